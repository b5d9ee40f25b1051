"""The circuit: the machine of one breaker."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, assert_never, final

from ._circuit_state import CircuitState, Forced, OpenReason
from ._circuit_states import Closed, HalfOpen, Natural, Open, Permit
from ._forced_states import ForcedClosed, ForcedOpen, MetricsOnly

if TYPE_CHECKING:
    from ._breaker import Breaker

Listener = Callable[[CircuitState, CircuitState, float], None]
"""Hears of a transition: the old state, the new one, *now*."""

TransitionCause = Literal["auto", "forced"]
"""Who changed a circuit's state: itself, or an operator."""

_State = Natural | ForcedOpen | ForcedClosed | MetricsOnly


@dataclass(frozen=True, slots=True)
class CircuitStatistics:
    """What a circuit did and where it is."""

    state: CircuitState
    """Where it is."""
    forced: Forced | None
    """What an operator holds it in; None while it is left to itself."""
    reason: OpenReason | None
    """Why it is open; None when it is not."""
    consecutive_failures: int
    """Counted failures since the last success, those of probes included."""
    recent_attempts: int
    """Attempts in the window as of the last verdict; 0 unless it is closed and looks at shares."""
    recent_failures: int
    """Those that failed."""
    recent_slow: int
    """Those that were slow, failed or not."""
    opened: int
    """How often it opened, after a failed probe too."""
    half_opened: int
    """How often it let probes through."""
    closed: int
    """How often it closed again."""
    would_have_opened: int
    """How often it would have opened while it was held in metrics-only."""


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

    __slots__ = ("_entered", "_spec", "_state", "_would_have_opened", "cause", "on_transition", "standing")

    def __init__(self, spec: Breaker, on_transition: Listener | None = None) -> None:
        self.on_transition = on_transition
        self.cause: TransitionCause = "auto"
        """Who made the last transition."""
        self._spec = spec
        self._state: _State = Closed(spec)
        self.standing: Permit | None = self._state.standing
        """The permit that `admit` gives everybody for now; None where it has to be asked each time."""
        # How often each state was entered; being closed from the start does not count.
        self._entered = dict.fromkeys(CircuitState, 0)
        self._would_have_opened = 0

    @property
    def state(self) -> CircuitState:
        """Where it was when last asked; `poll` first to learn where it is."""
        return self._state.name

    @property
    def forced(self) -> Forced | None:
        """What an operator holds it in; None while it is left to itself."""
        return self._state.forced

    @property
    def reason(self) -> OpenReason | None:
        """Why it is open; None when it is not."""
        return self._state.reason

    @property
    def retry_at(self) -> float:
        """The moment an open circuit lets a probe through.

        ``-math.inf`` when it is not open, ``math.inf`` when an operator holds it open.
        """
        return self._state.wakes_at if self._state.name is CircuitState.OPEN else -math.inf

    def poll(self, now: float) -> CircuitState:
        """Become half-open if the time has come, and return the state."""
        state = self._state
        if now >= state.wakes_at and isinstance(state, Open):
            self._follow(state.woken(), now, "auto")
        return self._state.name

    def is_admitting(self, now: float) -> bool:
        """Tell whether `admit` would give a permit, without taking it."""
        if now >= self._state.wakes_at:
            self.poll(now)
        return self._state.is_admitting(now)

    def admit(self, now: float) -> Permit | None:
        """Give a permit for one attempt, or None."""
        if now >= self._state.wakes_at:
            self.poll(now)
        return self._state.admit(now)

    def succeeded(self, permit: Permit, now: float, seconds: float = 0.0) -> None:
        """Take the permit back: the service answered, *seconds* after the attempt began."""
        source = permit.source
        if source is self._state:
            after = source.succeeded(permit, now, seconds)
            if after is not source:
                self._follow(after, now, "auto")

    def failed(
        self, permit: Permit, now: float, retry_after: float | None = None, *, seconds: float = 0.0
    ) -> None:
        """Take the permit back: the service failed in a way that counts, *seconds* after it was asked.

        If this opens the circuit, a *retry_after* longer than the time it would be open extends it.
        """
        source = permit.source
        if source is self._state:
            after = source.failed(permit, now, seconds, retry_after)
            if after is not source:
                self._follow(after, now, "auto")

    def released(self, permit: Permit, now: float) -> None:
        """Take the permit back: the attempt says nothing about the service.

        It was cancelled, never sent, or went wrong in a way that does not count. It neither counts nor
        resets, and at half-open it makes room for another probe.
        """
        permit.source.released(permit)

    def force(self, forced: Forced | None, now: float) -> bool:
        """Hold it in a state, or give it back to itself; False where that changes nothing.

        ``"open"`` lets nobody pass. ``"closed"`` lets everybody pass and counts nothing. ``"metrics_only"``
        lets everybody pass, and counts how often it would have opened. What was begun before says nothing
        any more. Given back, a circuit that was held open is half-open, so that probes go first; any other
        one is closed and begins to count anew.

        Raises:
            ValueError: There is no such state.
        """
        held = self._state.forced
        if forced not in ("open", "closed", "metrics_only", None):
            raise ValueError(f'a breaker is forced "open", "closed" or "metrics_only", got {forced!r}')
        if forced == held:
            return False
        self._follow(self._forced_state(forced, held), now, "forced")
        return True

    def reconfigure(self, spec: Breaker) -> None:
        """Go by other numbers, in the state it is in; what was counted counts on.

        A lower number of failures opens it at the next one. An open circuit stays open as long as it was to,
        and one that an operator holds is held. Another window begins empty.
        """
        self._spec = spec
        self._state.reconfigure(spec)

    def _forced_state(self, forced: Forced | None, held: Forced | None) -> _State:
        match forced:
            case "open":
                return ForcedOpen()
            case "closed":
                return ForcedClosed()
            case "metrics_only":
                return MetricsOnly(self._spec, self._count_opening)
            case None:
                return (
                    HalfOpen(self._spec, 0, self._spec.open_seconds) if held == "open" else Closed(self._spec)
                )
        assert_never(forced)

    def _count_opening(self) -> None:
        self._would_have_opened += 1

    def statistics(self) -> CircuitStatistics:
        """Return the counts at this moment."""
        state = self._state
        attempts, failures, slow = state.recent
        return CircuitStatistics(
            state=state.name,
            forced=state.forced,
            reason=state.reason,
            consecutive_failures=state.failures,
            recent_attempts=attempts,
            recent_failures=failures,
            recent_slow=slow,
            opened=self._entered[CircuitState.OPEN],
            half_opened=self._entered[CircuitState.HALF_OPEN],
            closed=self._entered[CircuitState.CLOSED],
            would_have_opened=self._would_have_opened,
        )

    def _follow(self, state: _State, now: float, cause: TransitionCause) -> None:
        old, self._state, self.cause = self._state, state, cause
        self.standing = state.standing
        if state.name is old.name:
            return  # an operator holds it where it was
        self._entered[state.name] += 1
        if self.on_transition is not None:
            self.on_transition(old.name, state.name, now)
