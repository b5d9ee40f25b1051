"""The circuit breaker: leave a service alone that keeps failing, then try it again with care.

    closed -- failures in a row --> open -- its time is up --> half-open -- all probes succeed --> closed
                                     ^------- a probe fails ------'

One class per state; what happens to a state returns the state that follows. A permit belongs to the state
that gave it out, and a new state is a new generation: the verdict of an attempt that began before a
transition says nothing about the time after it, and is dropped (sony/gobreaker does it with a counter).
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final

import msgspec

from ._checks import check_least, check_positive


class CircuitState(enum.IntEnum):
    """Whether calls may pass. The values are the metric's."""

    CLOSED = 0
    """All may pass."""
    HALF_OPEN = 1
    """A few probes may pass."""
    OPEN = 2
    """None may pass."""


class Breaker(msgspec.Struct, frozen=True, kw_only=True):
    """Leave a service alone after failures in a row.

    Args:
        failures: Counted failures in a row that open it.
        open_seconds: How long it stays open the first time; twice as long each time a probe fails.
        open_cap: The longest it stays open, in seconds, unless the server asks for more.
        probes: Trial calls let through at half-open. All have to succeed to close it.
    """

    failures: int = 5
    open_seconds: float = 30.0
    open_cap: float = 300.0
    probes: int = 1

    def __post_init__(self) -> None:
        check_least("Breaker.failures", self.failures, 1)
        check_positive("Breaker.open_seconds", self.open_seconds)
        check_least("Breaker.open_cap", self.open_cap, self.open_seconds)
        check_least("Breaker.probes", self.probes, 1)

    def circuit(self, on_transition: _Listener | None = None) -> Circuit:
        """Make the machine for one service."""
        return Circuit(self, on_transition)


_Listener = Callable[[CircuitState, CircuitState, float], None]


@dataclass(frozen=True, slots=True)
class CircuitStatistics:
    """What a circuit did and where it is."""

    state: CircuitState
    """Where it is."""
    consecutive_failures: int
    """Counted failures since the last success, those of probes included."""
    opened: int
    """How often it opened, after a failed probe too."""
    half_opened: int
    """How often it let probes through."""
    closed: int
    """How often it closed again."""


@final
class Permit:
    """Allow one attempt. Hand it back to the circuit, once, with what became of the attempt."""

    __slots__ = ("_source", "is_probe")

    def __init__(self, source: _Closed | _HalfOpen, *, is_probe: bool) -> None:
        self._source: Final = source
        self.is_probe: Final = is_probe
        """The attempt decides whether the circuit closes, so it should be made without retries."""


@final
class Circuit:
    """Say whether the service may be called, and learn from what became of the calls.

    Ask with `admit` before each attempt and end every permit with one of `succeeded`, `failed` and
    `released`. The circuit has no clock: moments come in as *now*, in seconds of a clock that never goes
    back.

    Args:
        spec: When it opens, and for how long.
        on_transition: Called with the old state, the new state and *now*, when the transition is complete.
            It must not raise.
    """

    __slots__ = ("_entered", "_state", "on_transition")

    def __init__(self, spec: Breaker, on_transition: _Listener | None = None) -> None:
        self.on_transition = on_transition
        self._state: _State = _Closed(spec)
        # How often each state was entered; being closed from the start does not count.
        self._entered = dict.fromkeys(CircuitState, 0)

    @property
    def state(self) -> CircuitState:
        """Where it was when last asked; `poll` first to learn where it is."""
        return self._state.name

    @property
    def retry_at(self) -> float:
        """The moment an open circuit lets a probe through; ``-math.inf`` when it is not open."""
        return self._state.retry_at if isinstance(self._state, _Open) else -math.inf

    def poll(self, now: float) -> CircuitState:
        """Become half-open if the time has come, and return the state."""
        state = self._state
        if isinstance(state, _Open) and now >= state.retry_at:
            self._follow(state.half_open(), now)
        return self._state.name

    def is_admitting(self, now: float) -> bool:
        """Tell whether `admit` would give a permit, without taking it."""
        self.poll(now)
        return self._state.is_admitting()

    def admit(self, now: float) -> Permit | None:
        """Give a permit for one attempt, or None."""
        self.poll(now)
        return self._state.admit()

    def succeeded(self, permit: Permit, now: float) -> None:
        """Take the permit back: the service answered."""
        source = permit._source
        if source is self._state:
            self._follow(source.succeeded(permit), now)

    def failed(self, permit: Permit, now: float, retry_after: float | None = None) -> None:
        """Take the permit back: the service failed in a way that counts.

        If this opens the circuit, a *retry_after* longer than the time it would be open extends it.
        """
        source = permit._source
        if source is self._state:
            self._follow(source.failed(permit, now, retry_after), now)

    def released(self, permit: Permit, now: float) -> None:
        """Take the permit back: the attempt says nothing about the service.

        It was cancelled, never sent, or went wrong in a way that does not count. It neither counts nor
        resets, and at half-open it makes room for another probe.
        """
        permit._source.released(permit)

    def reconfigure(self, spec: Breaker) -> None:
        """Go by other numbers, in the state it is in; what was counted counts on.

        A lower number of failures opens it at the next one. An open circuit stays open as long as it was to.
        """
        self._state.reconfigure(spec)

    def statistics(self) -> CircuitStatistics:
        """Return the counts at this moment."""
        return CircuitStatistics(
            state=self._state.name,
            consecutive_failures=self._state.failures,
            opened=self._entered[CircuitState.OPEN],
            half_opened=self._entered[CircuitState.HALF_OPEN],
            closed=self._entered[CircuitState.CLOSED],
        )

    def _follow(self, state: _State, now: float) -> None:
        old = self._state
        if state is old:
            return
        self._state = state
        self._entered[state.name] += 1
        if self.on_transition is not None:
            self.on_transition(old.name, state.name, now)


@final
class _Closed:
    """Everybody passes; failures in a row are counted."""

    name: Final = CircuitState.CLOSED
    __slots__ = ("_permit", "_spec", "failures")

    def __init__(self, spec: Breaker) -> None:
        self._spec = spec
        self.failures = 0
        # One for all: here it does not matter which attempt a verdict is about, and calls need not allocate.
        self._permit = Permit(self, is_probe=False)

    def is_admitting(self) -> bool:
        return True

    def admit(self) -> Permit:
        return self._permit

    def succeeded(self, permit: Permit) -> _State:
        self.failures = 0
        return self

    def failed(self, permit: Permit, now: float, retry_after: float | None) -> _State:
        self.failures += 1
        if self.failures < self._spec.failures:
            return self
        return _Open(self._spec, self.failures, self._spec.open_seconds, now, retry_after)

    def released(self, permit: Permit) -> None:
        """Count nothing: only successes reset, only failures count."""

    def reconfigure(self, spec: Breaker) -> None:
        self._spec = spec


@final
class _Open:
    """Nobody passes until *retry_at*."""

    name: Final = CircuitState.OPEN
    __slots__ = ("_seconds", "_spec", "failures", "retry_at")

    def __init__(
        self, spec: Breaker, failures: int, seconds: float, now: float, retry_after: float | None
    ) -> None:
        self._spec = spec
        self.failures = failures
        # Without the server's extension, so that the next time is twice this and not twice that.
        self._seconds = seconds
        asked = 0.0 if retry_after is None or math.isinf(retry_after) else retry_after
        self.retry_at = now + max(seconds, asked)

    def is_admitting(self) -> bool:
        return False

    def admit(self) -> None:
        return None

    def reconfigure(self, spec: Breaker) -> None:
        self._spec = spec

    def half_open(self) -> _HalfOpen:
        return _HalfOpen(self._spec, self.failures, min(self._seconds * 2.0, self._spec.open_cap))


@final
class _HalfOpen:
    """A few probes pass; all have to succeed, and the first to fail opens it again."""

    name: Final = CircuitState.HALF_OPEN
    __slots__ = ("_next_seconds", "_outstanding", "_spec", "_successes", "failures")

    def __init__(self, spec: Breaker, failures: int, next_seconds: float) -> None:
        self._spec = spec
        self.failures = failures
        self._next_seconds = next_seconds
        self._successes = 0
        # The permits themselves and not their number: one handed back twice must not make room for two.
        self._outstanding: set[Permit] = set()

    def is_admitting(self) -> bool:
        return self._successes + len(self._outstanding) < self._spec.probes

    def admit(self) -> Permit | None:
        if not self.is_admitting():
            return None
        permit = Permit(self, is_probe=True)
        self._outstanding.add(permit)
        return permit

    def succeeded(self, permit: Permit) -> _State:
        if permit not in self._outstanding:
            return self
        self._outstanding.remove(permit)
        self.failures = 0
        self._successes += 1
        return _Closed(self._spec) if self._successes == self._spec.probes else self

    def failed(self, permit: Permit, now: float, retry_after: float | None) -> _State:
        if permit not in self._outstanding:
            return self
        return _Open(self._spec, self.failures + 1, self._next_seconds, now, retry_after)

    def released(self, permit: Permit) -> None:
        self._outstanding.discard(permit)

    def reconfigure(self, spec: Breaker) -> None:
        self._spec = spec
        # With fewer probes the next success has to be the last, or nothing would ever close it.
        self._successes = min(self._successes, spec.probes - 1)


_State = _Closed | _Open | _HalfOpen
