"""The circuit breaker: leave a service alone that keeps failing, then try it again with care.

closed -- too many failures --> open -- its time is up --> half-open -- all probes succeed --> closed
                                 ^------- a probe fails ------'
"""

from __future__ import annotations

import msgspec

from ._checks import check_least, check_positive, check_share
from ._circuit import Circuit, Listener


class Breaker(msgspec.Struct, frozen=True, kw_only=True):
    """Leave a service alone after failures in a row, or when too large a share of attempts fails or is slow.

    A share is looked at whenever an attempt fails or is slow: an answer in time opens nothing.

    Args:
        failures: Counted failures in a row that open it.
        failure_rate: Share of the attempts in the window that opens it when they fail; None: no share does.
        window: Seconds that shares are taken of, to a tenth of it.
        window_attempts: Attempts there have to be in the window before a share says anything.
        slow_seconds: An attempt that takes this long is slow, also where it succeeds; None: none is. One
            that was cancelled is not: nobody knows how long it would have taken.
        slow_rate: Share of the attempts in the window that opens it when they are slow.
        open_seconds: How long it stays open the first time; twice as long each time a probe fails.
        open_cap: The longest it stays open, in seconds, unless the server asks for more.
        probes: Trial calls let through at half-open. All have to succeed, and not be slow, to close it.
        probe_timeout: Seconds after which a probe without a verdict gives its place to another one. It
            is not a failure, and it keeps its say.
    """

    failures: int = 5
    failure_rate: float | None = 0.5
    window: float = 60.0
    window_attempts: int = 20
    slow_seconds: float | None = None
    slow_rate: float = 0.5
    open_seconds: float = 30.0
    open_cap: float = 300.0
    probes: int = 1
    probe_timeout: float = 60.0

    def __post_init__(self) -> None:
        check_least("Breaker.failures", self.failures, 1)
        if self.failure_rate is not None:
            check_share("Breaker.failure_rate", self.failure_rate)
        check_least("Breaker.window", self.window, 0.1)
        check_least("Breaker.window_attempts", self.window_attempts, 1)
        if self.slow_seconds is not None:
            check_positive("Breaker.slow_seconds", self.slow_seconds)
        check_share("Breaker.slow_rate", self.slow_rate)
        check_positive("Breaker.open_seconds", self.open_seconds)
        check_least("Breaker.open_cap", self.open_cap, self.open_seconds)
        check_least("Breaker.probes", self.probes, 1)
        check_positive("Breaker.probe_timeout", self.probe_timeout)

    def circuit(self, on_transition: Listener | None = None) -> Circuit:
        """Make the machine for one service."""
        return Circuit(self, on_transition)
