"""What happens when an actor fails: supervisors, and the guard of every service.

    Supervisor("providers", intensity=5, period=60.0, children=[
        Child("openai", OpenAI.from_env),
        Child("anthropic", Anthropic.from_env, shutdown=10.0),
    ])

A supervisor starts its children in order, restarts what crashes, and stops them in reverse. A
child that stands for a service (`GuardedActor`) gets a supervisor of its own: its guard decides
about every call by the `Policy`, and its failures stay its own.
"""

from ..runtime import claim
from ._adaptation import Adaptation
from ._administration import ChildCounts, ChildStatus
from ._child import Child, Restart, RestartName
from ._errors import (
    AlreadyPresentError,
    AlreadyStartedError,
    BudgetExceededError,
    ChildNotFoundError,
    ChildRestartingError,
    ChildRunningError,
    ChildSpecError,
    CircuitBreakerOpenError,
    MaxChildrenError,
    ProviderBlockedError,
    ProviderError,
    ProviderFailedError,
    RateLimitedError,
    RestartIntensityError,
    RetriesExhaustedError,
    StreamBrokenError,
    SupervisionError,
)
from ._failures import FailureKind
from ._fallback_ref import FallbackRef, FallbackStatistics
from ._find import find_actor
from ._guard_statistics import CallKey, GuardStatistics, Histogram, RetryKey, TransitionKey
from ._guarded import (
    Attempt,
    Charge,
    Estimate,
    GuardedActor,
    current_attempt,
    follows_limits,
    report_limits,
)
from ._health import Health, Problem
from ._intensity import RestartWindow
from ._losses import Loss
from ._metering import SpendingStatistics
from ._operation_settings import OperationSettings
from ._outlook import restarts_due
from ._pool_ref import PoolRef
from ._portal import Portal
from ._price_settings import PriceSettings
from ._reload import SettingChange
from ._retry_layers import NestedRetries, enclosing_retry_layer, retry_layer
from ._retrying_parts import how_it_retries
from ._run import run
from ._settings import ProviderSettings, Settings
from ._settings_file import ReloadSettings, SettingsFile
from ._specs import (
    AutoShutdownName,
    DynamicSupervisor,
    Pool,
    RouteName,
    Spec,
    StrategyName,
    Supervisor,
)
from ._supervisor_ref import DynamicSupervisorRef, SupervisorRef
from ._system import System, open_system
from ._tree_view import Supervision, TreeNode

__all__ = [
    "Adaptation",
    "AlreadyPresentError",
    "AlreadyStartedError",
    "Attempt",
    "AutoShutdownName",
    "BudgetExceededError",
    "CallKey",
    "Charge",
    "Child",
    "ChildCounts",
    "ChildNotFoundError",
    "ChildRestartingError",
    "ChildRunningError",
    "ChildSpecError",
    "ChildStatus",
    "CircuitBreakerOpenError",
    "DynamicSupervisor",
    "DynamicSupervisorRef",
    "Estimate",
    "FailureKind",
    "FallbackRef",
    "FallbackStatistics",
    "GuardStatistics",
    "GuardedActor",
    "Health",
    "Histogram",
    "Loss",
    "MaxChildrenError",
    "NestedRetries",
    "OperationSettings",
    "Pool",
    "PoolRef",
    "Portal",
    "PriceSettings",
    "Problem",
    "ProviderBlockedError",
    "ProviderError",
    "ProviderFailedError",
    "ProviderSettings",
    "RateLimitedError",
    "ReloadSettings",
    "Restart",
    "RestartIntensityError",
    "RestartName",
    "RestartWindow",
    "RetriesExhaustedError",
    "RetryKey",
    "RouteName",
    "SettingChange",
    "Settings",
    "SettingsFile",
    "Spec",
    "SpendingStatistics",
    "StrategyName",
    "StreamBrokenError",
    "Supervision",
    "SupervisionError",
    "Supervisor",
    "SupervisorRef",
    "System",
    "TransitionKey",
    "TreeNode",
    "current_attempt",
    "enclosing_retry_layer",
    "find_actor",
    "follows_limits",
    "how_it_retries",
    "open_system",
    "report_limits",
    "restarts_due",
    "retry_layer",
    "run",
]

claim(globals())
