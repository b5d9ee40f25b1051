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
from ._administration import ChildCounts, ChildStatus
from ._child import Child, Restart
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
from ._guard_statistics import CallKey, GuardStatistics, Histogram, RetryKey
from ._guarded import Attempt, Estimate, GuardedActor, current_attempt
from ._intensity import RestartWindow
from ._losses import Loss
from ._pool_ref import PoolRef
from ._run import run
from ._settings import ProviderSettings, Settings
from ._specs import DynamicSupervisor, Pool, Spec, Supervisor
from ._supervisor_ref import DynamicSupervisorRef, SupervisorRef
from ._system import System, open_system

__all__ = [
    "AlreadyPresentError",
    "AlreadyStartedError",
    "Attempt",
    "BudgetExceededError",
    "CallKey",
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
    "GuardStatistics",
    "GuardedActor",
    "Histogram",
    "Loss",
    "MaxChildrenError",
    "Pool",
    "PoolRef",
    "ProviderBlockedError",
    "ProviderError",
    "ProviderFailedError",
    "ProviderSettings",
    "RateLimitedError",
    "Restart",
    "RestartIntensityError",
    "RestartWindow",
    "RetriesExhaustedError",
    "RetryKey",
    "Settings",
    "Spec",
    "StreamBrokenError",
    "SupervisionError",
    "Supervisor",
    "SupervisorRef",
    "System",
    "current_attempt",
    "open_system",
    "run",
]

claim(globals())
