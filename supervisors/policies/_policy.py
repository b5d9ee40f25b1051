"""The policy: everything about failure that is decided for one service."""

from collections.abc import Mapping

import msgspec

from ...runtime import same_setting
from ._adaptive import Adaptive
from ._backoff import Backoff, Exponential, flaw_of
from ._breaker import Breaker
from ._checks import check_least, check_positive
from ._concurrency import Concurrency
from ._cost_budget import CostBudget
from ._operation import OperationPolicy
from ._rate_limit import RateLimit
from ._retry import Retry
from ._retry_budget import RetryBudget


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Bundle what is decided about the failures of one service.

    Args:
        retry: Which failures are retried, and when.
        breaker: When the service is left alone; None: never.
        concurrency: How many attempts may be in flight: a number, or as many as the provider takes.
        rate_limit: How many calls and tokens a minute; None: whatever the provider lets through.
        retry_budget: How many retries all calls may cause together; None: as many as *retry* says.
        cost_budget: How much money may be spent; None: any.
        account: The API account it uses. Services of one account share its gate, its block, its rate limit
            and its cost budget. None: it has one of its own.
        call_timeout: Seconds for a whole call, waits and retries included, where the caller gave none.
        attempt_timeout: Seconds for one attempt.
        mailbox: Calls that may be waiting.
        blocked_probe: Seconds between trial calls while the provider refuses the account.
        intensity: More restarts than this within *period*, and the provider has failed.
        period: Seconds.
        restart_backoff: Waits before a crashed service is started again.
        failed_probe: Seconds until a failed provider is tried again.
        by_operation: What single operations decide otherwise, by the name of the message's class.
    """

    retry: Retry = Retry()
    breaker: Breaker | None = Breaker()
    concurrency: Concurrency | Adaptive = Concurrency()
    rate_limit: RateLimit | None = None
    retry_budget: RetryBudget | None = RetryBudget()
    cost_budget: CostBudget | None = None
    account: str | None = None
    call_timeout: float = 180.0
    attempt_timeout: float = 30.0
    mailbox: int = 1024
    blocked_probe: float = 300.0
    intensity: int = 5
    period: float = 60.0
    restart_backoff: Backoff = Exponential(1.0, cap=30.0)
    failed_probe: float = 30.0
    by_operation: Mapping[str, OperationPolicy] = {}

    def __post_init__(self) -> None:
        if self.account is not None and not self.account.strip():
            raise ValueError(f"Policy.account must be a name or None, got {self.account!r}")
        check_positive("Policy.call_timeout", self.call_timeout)
        check_positive("Policy.attempt_timeout", self.attempt_timeout)
        check_least("Policy.mailbox", self.mailbox, 1)
        check_positive("Policy.blocked_probe", self.blocked_probe)
        check_least("Policy.intensity", self.intensity, 0)
        check_positive("Policy.period", self.period)
        if flaw := flaw_of(self.restart_backoff):
            raise ValueError(f"Policy.restart_backoff {flaw}, got {self.restart_backoff!r}")
        check_positive("Policy.failed_probe", self.failed_probe)

    def operation_name(self, operation: str) -> str | None:
        """Return how `by_operation` spells *operation*; None if it does not mention it.

        Case does not matter, as environment variables have none.
        """
        if operation in self.by_operation:
            return operation
        return next((name for name in self.by_operation if same_setting(name, operation)), None)

    def of(self, operation: str) -> "Policy":
        """Return the policy in force for the messages of one class, itself where nothing is said of them."""
        name = self.operation_name(operation)
        if name is None:
            return self
        own = self.by_operation[name]
        return msgspec.structs.replace(
            self,
            retry=own.retry or self.retry,
            call_timeout=own.call_timeout or self.call_timeout,
            attempt_timeout=own.attempt_timeout or self.attempt_timeout,
        )

    @property
    def longest_attempt(self) -> float:
        """Seconds that no attempt exceeds, whatever is asked."""
        own = (operation.attempt_timeout or 0.0 for operation in self.by_operation.values())
        return max((self.attempt_timeout, *own))
