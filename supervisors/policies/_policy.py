"""The policy: everything about failure that is decided for one service."""

import msgspec

from ._adaptive import Adaptive
from ._backoff import Backoff, Exponential, flaw_of
from ._breaker import Breaker
from ._checks import check_least, check_positive
from ._concurrency import Concurrency
from ._retry import Retry


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Bundle what is decided about the failures of one service.

    Args:
        retry: Which failures are retried, and when.
        breaker: When the service is left alone; None: never.
        concurrency: How many attempts may be in flight: a number, or as many as the provider takes.
        call_timeout: Seconds for a whole call, waits and retries included, where the caller gave none.
        attempt_timeout: Seconds for one attempt.
        mailbox: Calls that may be waiting.
        blocked_probe: Seconds between trial calls while the provider refuses the account.
        intensity: More restarts than this within *period*, and the provider has failed.
        period: Seconds.
        restart_backoff: Waits before a crashed service is started again.
        failed_probe: Seconds until a failed provider is tried again.
    """

    retry: Retry = Retry()
    breaker: Breaker | None = Breaker()
    concurrency: Concurrency | Adaptive = Concurrency()
    call_timeout: float = 180.0
    attempt_timeout: float = 30.0
    mailbox: int = 1024
    blocked_probe: float = 300.0
    intensity: int = 5
    period: float = 60.0
    restart_backoff: Backoff = Exponential(1.0, cap=30.0)
    failed_probe: float = 30.0

    def __post_init__(self) -> None:
        check_positive("Policy.call_timeout", self.call_timeout)
        check_positive("Policy.attempt_timeout", self.attempt_timeout)
        check_least("Policy.mailbox", self.mailbox, 1)
        check_positive("Policy.blocked_probe", self.blocked_probe)
        check_least("Policy.intensity", self.intensity, 0)
        check_positive("Policy.period", self.period)
        if flaw := flaw_of(self.restart_backoff):
            raise ValueError(f"Policy.restart_backoff {flaw}, got {self.restart_backoff!r}")
        check_positive("Policy.failed_probe", self.failed_probe)
