"""The states a circuit goes through by itself: who passes in each, and where a verdict leads.

One class per state. What happens to a state returns the state that follows, itself where nothing changes.
A permit belongs to the state that gave it out, and a new state is a new generation: the verdict of an attempt
that began before a transition says nothing about the time after it, and is dropped (sony/gobreaker does it
with a counter).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, final

from ._circuit_state import CircuitState, OpenReason
from ._window import Recent, Window

if TYPE_CHECKING:
    from ._breaker import Breaker
    from ._forced_states import ForcedClosed, MetricsOnly


@final
class Permit:
    """Allow one attempt. Hand it back to the circuit, once, with what became of the attempt."""

    __slots__ = ("is_probe", "is_returned", "source")

    def __init__(self, source: Closed | HalfOpen | ForcedClosed | MetricsOnly, *, is_probe: bool) -> None:
        self.source: Final = source
        """The state that gave it out."""
        self.is_probe: Final = is_probe
        """The attempt decides whether the circuit closes, so it should be made without retries."""
        self.is_returned = False
        """A probe's permit was handed back. One of a closed circuit is shared, and never is."""


@final
class Closed:
    """Everybody passes. Failures in a row are counted, and so is what the window holds."""

    name: Final = CircuitState.CLOSED
    wakes_at: Final = math.inf
    forced: Final = None
    reason: Final = None
    __slots__ = ("_slow_seconds", "_spec", "_window", "failures", "standing")

    def __init__(self, spec: Breaker) -> None:
        self._spec = spec
        self.failures = 0
        self._window = _window_of(spec)
        self._slow_seconds = math.inf if spec.slow_seconds is None else spec.slow_seconds
        # Here it does not matter which attempt a verdict is about, and calls need not allocate.
        self.standing: Final = Permit(self, is_probe=False)
        """The permit that everybody gets."""

    @property
    def recent(self) -> Recent:
        return Recent() if self._window is None else self._window.recent()

    def is_admitting(self, now: float) -> bool:
        return True

    def admit(self, now: float) -> Permit:
        return self.standing

    def succeeded(self, permit: Permit, now: float, seconds: float) -> Natural:
        self.failures = 0
        window = self._window
        if window is None:
            return self
        if now >= window.until:
            window.turn(now)
        window.attempts += 1
        if seconds < self._slow_seconds:
            return self
        window.slow += 1
        return self._judged(now, None)

    def failed(self, permit: Permit, now: float, seconds: float, retry_after: float | None) -> Natural:
        self.failures += 1
        window = self._window
        if window is not None:
            if now >= window.until:
                window.turn(now)
            window.attempts += 1
            window.failures += 1
            window.slow += seconds >= self._slow_seconds
        return self._judged(now, retry_after)

    def released(self, permit: Permit) -> None:
        """Count nothing: only successes reset, only failures count."""

    def reconfigure(self, spec: Breaker) -> None:
        before, self._spec = self._spec, spec
        self._slow_seconds = math.inf if spec.slow_seconds is None else spec.slow_seconds
        window = _window_of(spec)
        if window is None or self._window is None or spec.window != before.window:
            self._window = window

    def _judged(self, now: float, retry_after: float | None) -> Natural:
        reason = self._reason_to_open()
        if reason is None:
            return self
        return Open(self._spec, reason, self.failures, self._spec.open_seconds, now, retry_after)

    def _reason_to_open(self) -> OpenReason | None:
        spec, recent = self._spec, self.recent
        if self.failures >= spec.failures:
            return "failures"
        if recent.attempts < spec.window_attempts:
            return None
        if spec.failure_rate is not None and recent.failures >= spec.failure_rate * recent.attempts:
            return "failure_rate"
        if spec.slow_seconds is not None and recent.slow >= spec.slow_rate * recent.attempts:
            return "slow_rate"
        return None


@final
class Open:
    """Nobody passes until *wakes_at*."""

    name: Final = CircuitState.OPEN
    forced: Final = None
    standing: Final = None
    recent: Final = Recent()
    __slots__ = ("_seconds", "_spec", "failures", "reason", "wakes_at")

    def __init__(
        self,
        spec: Breaker,
        reason: OpenReason,
        failures: int,
        seconds: float,
        now: float,
        retry_after: float | None,
    ) -> None:
        self._spec = spec
        self.reason: Final[OpenReason | None] = reason
        self.failures = failures
        # Without the server's extension, so that the next time is twice this and not twice that.
        self._seconds = seconds
        asked = 0.0 if retry_after is None or math.isinf(retry_after) else retry_after
        self.wakes_at = now + max(seconds, asked)

    def is_admitting(self, now: float) -> bool:
        return False

    def admit(self, now: float) -> None:
        return None

    def reconfigure(self, spec: Breaker) -> None:
        self._spec = spec

    def woken(self) -> HalfOpen:
        return HalfOpen(self._spec, self.failures, min(self._seconds * 2.0, self._spec.open_cap))


@final
class HalfOpen:
    """A few probes pass; all have to succeed, and the first to fail opens it again.

    A probe that has no verdict for `Breaker.probe_timeout` seconds gives its place to another, or a permit
    that got lost would keep everybody out for ever. It is not counted as failed: nobody knows, and work that
    takes longer than the guard's patience would keep a healthy service shut. It keeps its say.
    """

    name: Final = CircuitState.HALF_OPEN
    wakes_at: Final = math.inf
    forced: Final = None
    standing: Final = None
    reason: Final = None
    recent: Final = Recent()
    __slots__ = ("_next_seconds", "_places", "_spec", "_successes", "failures")

    def __init__(self, spec: Breaker, failures: int, next_seconds: float) -> None:
        self._spec = spec
        self.failures = failures
        self._next_seconds = next_seconds
        self._successes = 0
        # The permits that are out, each with the moment it loses its place, the oldest first.
        self._places: dict[Permit, float] = {}

    def is_admitting(self, now: float) -> bool:
        if self._successes + len(self._places) < self._spec.probes:
            return True
        return bool(self._places) and next(iter(self._places.values())) <= now

    def admit(self, now: float) -> Permit | None:
        if not self.is_admitting(now):
            return None
        if self._successes + len(self._places) >= self._spec.probes:
            del self._places[next(iter(self._places))]
        permit = Permit(self, is_probe=True)
        self._places[permit] = now + self._spec.probe_timeout
        return permit

    def succeeded(self, permit: Permit, now: float, seconds: float) -> Natural:
        if permit.is_returned:
            return self
        slow_seconds = self._spec.slow_seconds
        if slow_seconds is not None and seconds >= slow_seconds:
            return self._reopened("probe_slow", now, None)
        self._take_back(permit)
        self.failures = 0
        self._successes += 1
        return Closed(self._spec) if self._successes == self._spec.probes else self

    def failed(self, permit: Permit, now: float, seconds: float, retry_after: float | None) -> Natural:
        if permit.is_returned:
            return self
        self.failures += 1
        return self._reopened("probe_failed", now, retry_after)

    def released(self, permit: Permit) -> None:
        self._take_back(permit)

    def reconfigure(self, spec: Breaker) -> None:
        self._spec = spec
        # With fewer probes the next success has to be the last, or nothing would ever close it.
        self._successes = min(self._successes, spec.probes - 1)

    def _take_back(self, permit: Permit) -> None:
        permit.is_returned = True
        self._places.pop(permit, None)

    def _reopened(self, reason: OpenReason, now: float, retry_after: float | None) -> Natural:
        return Open(self._spec, reason, self.failures, self._next_seconds, now, retry_after)


def _window_of(spec: Breaker) -> Window | None:
    is_counting = spec.failure_rate is not None or spec.slow_seconds is not None
    return Window(spec.window) if is_counting else None


Natural = Closed | Open | HalfOpen
"""A state of a circuit that is left to itself."""
