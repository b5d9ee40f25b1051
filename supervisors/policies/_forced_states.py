"""The states an operator holds a circuit in: none of them is left but by the operator.

resilience4j has the same three: forced open, disabled, metrics only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, final

from ._circuit_state import CircuitState, Forced, OpenReason
from ._circuit_states import Closed, Natural, Permit
from ._window import Recent

if TYPE_CHECKING:
    from ._breaker import Breaker


@final
class ForcedOpen:
    """Nobody passes until an operator says otherwise."""

    name: Final = CircuitState.OPEN
    wakes_at: Final = math.inf
    standing: Final = None
    forced: Final[Forced] = "open"
    reason: Final[OpenReason] = "forced"
    recent: Final = Recent()
    failures: Final = 0
    __slots__ = ()

    def is_admitting(self, now: float) -> bool:
        return False

    def admit(self, now: float) -> None:
        return None

    def reconfigure(self, spec: Breaker) -> None:
        """Stay: it goes by no number."""


@final
class ForcedClosed:
    """Everybody passes, whatever becomes of it."""

    name: Final = CircuitState.CLOSED
    wakes_at: Final = math.inf
    forced: Final[Forced] = "closed"
    reason: Final = None
    recent: Final = Recent()
    failures: Final = 0
    __slots__ = ("standing",)

    def __init__(self) -> None:
        self.standing: Final = Permit(self, is_probe=False)

    def is_admitting(self, now: float) -> bool:
        return True

    def admit(self, now: float) -> Permit:
        return self.standing

    def succeeded(self, permit: Permit, now: float, seconds: float) -> ForcedClosed:
        return self

    def failed(self, permit: Permit, now: float, seconds: float, retry_after: float | None) -> ForcedClosed:
        return self

    def released(self, permit: Permit) -> None:
        """Count nothing."""

    def reconfigure(self, spec: Breaker) -> None:
        """Stay: it goes by no number."""


@final
class MetricsOnly:
    """Everybody passes; it is counted how often a closed circuit would have opened."""

    name: Final = CircuitState.CLOSED
    wakes_at: Final = math.inf
    forced: Final[Forced] = "metrics_only"
    reason: Final = None
    __slots__ = ("_closed", "_on_opening", "_spec", "standing")

    def __init__(self, spec: Breaker, on_opening: Callable[[], None]) -> None:
        self._spec = spec
        self._on_opening = on_opening
        self._closed = Closed(spec)
        self.standing: Final = Permit(self, is_probe=False)

    @property
    def failures(self) -> int:
        return self._closed.failures

    @property
    def recent(self) -> Recent:
        return self._closed.recent

    def is_admitting(self, now: float) -> bool:
        return True

    def admit(self, now: float) -> Permit:
        return self.standing

    def succeeded(self, permit: Permit, now: float, seconds: float) -> MetricsOnly:
        return self._followed(self._closed.succeeded(permit, now, seconds))

    def failed(self, permit: Permit, now: float, seconds: float, retry_after: float | None) -> MetricsOnly:
        return self._followed(self._closed.failed(permit, now, seconds, retry_after))

    def released(self, permit: Permit) -> None:
        """Count nothing, as a closed circuit does."""

    def reconfigure(self, spec: Breaker) -> None:
        self._spec = spec
        self._closed.reconfigure(spec)

    def _followed(self, state: Natural) -> MetricsOnly:
        if state is not self._closed:
            # Once for all that it would have kept away, not once a failure: the count begins anew.
            self._on_opening()
            self._closed = Closed(self._spec)
        return self
