"""The circuit breaker beside a model of it: the rules once more, kept as plain lists of what happened."""

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from relight.supervisors.policies import Breaker, CircuitState, CircuitStatistics, Forced, Permit

CLOSED, HALF_OPEN, OPEN = CircuitState.CLOSED, CircuitState.HALF_OPEN, CircuitState.OPEN


@dataclass
class Verdict:
    """What became of an attempt while the circuit was closed."""

    at: float
    failed: bool
    slow: bool


@dataclass
class Model:
    """Numbered generations, every verdict kept, no objects for states."""

    spec: Breaker
    state: CircuitState = CLOSED
    forced: Forced | None = None
    generation: int = 0
    row: int = 0
    openings: int = 0
    retry_at: float = -math.inf
    verdicts: list[Verdict] = field(default_factory=list[Verdict])
    out: dict[int, float] = field(default_factory=dict[int, float])
    """Probes in their places: number, and when they are overdue."""
    passed: int = 0
    would: int = 0
    log: list[CircuitState] = field(default_factory=list[CircuitState])

    def turn(self, state: CircuitState, *, forced: Forced | None = None) -> None:
        if state is not self.state:
            self.log.append(state)
        self.state = state
        self.forced = forced
        self.generation += 1
        self.retry_at = -math.inf
        self.verdicts.clear()
        self.out.clear()
        self.passed = 0

    def tick(self, now: float) -> None:
        if self.state is OPEN and self.forced is None and now >= self.retry_at:
            self.turn(HALF_OPEN)

    def admits(self, now: float) -> bool:
        if self.state is not HALF_OPEN:
            return self.state is CLOSED
        in_place = sum(overdue > now for overdue in self.out.values())
        return self.passed + in_place < self.spec.probes

    def take(self, number: int, now: float) -> None:
        if self.state is not HALF_OPEN:
            return
        if self.passed + len(self.out) == self.spec.probes:
            del self.out[min(self.out, key=lambda probe: (self.out[probe], probe))]
        self.out[number] = now + self.spec.probe_timeout

    def recent(self) -> list[Verdict]:
        """Filter what the window shows: the slice of the last verdict and the nine before it."""
        if not self.verdicts or (self.spec.failure_rate is None and self.spec.slow_seconds is None):
            return []
        slices = Fraction(self.spec.window) / 10
        newest = Fraction(self.verdicts[-1].at) // slices
        return [verdict for verdict in self.verdicts if Fraction(verdict.at) // slices > newest - 10]

    def is_too_bad(self) -> bool:
        if self.row >= self.spec.failures:
            return True
        recent = self.recent()
        if len(recent) < self.spec.window_attempts:
            return False
        failed = sum(verdict.failed for verdict in recent) / len(recent)
        slow = sum(verdict.slow for verdict in recent) / len(recent)
        return (self.spec.failure_rate is not None and failed >= self.spec.failure_rate) or (
            self.spec.slow_seconds is not None and slow >= self.spec.slow_rate
        )

    def open(self, now: float, retry_after: float | None) -> None:
        span = min(300.0, 30.0 * 2**self.openings)
        self.openings += 1
        self.turn(OPEN)
        self.retry_at = now + max(span, retry_after or 0.0)

    def verdict(self, number: int, now: float, failed: bool, seconds: float, hint: float | None) -> None:
        slow = self.spec.slow_seconds is not None and seconds >= self.spec.slow_seconds
        if self.forced == "closed":
            return
        if self.state is HALF_OPEN:
            self.probe_verdict(number, now, failed, slow, hint)
            return
        self.row = self.row + 1 if failed else 0
        self.verdicts.append(Verdict(now, failed, slow))
        if (failed or slow) and self.is_too_bad():
            if self.forced is None:
                self.open(now, hint if failed else None)
            else:
                self.would += 1
                self.row = 0
                self.verdicts.clear()

    def probe_verdict(self, number: int, now: float, failed: bool, slow: bool, hint: float | None) -> None:
        if failed or slow:
            self.row += failed
            self.open(now, hint if failed else None)
            return
        self.row = 0
        self.out.pop(number, None)
        self.passed += 1
        if self.passed == self.spec.probes:
            self.openings = 0
            self.turn(CLOSED)

    def force(self, forced: Forced | None) -> None:
        if forced == self.forced:
            return
        held = self.forced
        self.row = self.openings = 0
        if forced is None and held == "open":
            self.openings = 0
            self.turn(HALF_OPEN)
        else:
            self.turn(OPEN if forced == "open" else CLOSED, forced=forced)
        if forced == "open":
            self.retry_at = math.inf


class CircuitAgainstModel(RuleBasedStateMachine):
    """Drive a circuit and the model with the same calls; late and forgotten permits included."""

    @initialize(
        spec=st.builds(
            Breaker,
            failures=st.sampled_from((1, 2, 4, 1000)),
            failure_rate=st.none() | st.sampled_from((0.25, 0.5, 1.0)),
            window=st.sampled_from((10.0, 60.0)),
            window_attempts=st.integers(1, 6),
            slow_seconds=st.none() | st.just(5.0),
            slow_rate=st.sampled_from((0.5, 1.0)),
            probes=st.integers(1, 3),
            probe_timeout=st.sampled_from((2.0, 60.0)),
        )
    )
    def start(self, spec: Breaker) -> None:
        self.now = 0.0
        self.model = Model(spec)
        self.log: list[CircuitState] = []
        self.circuit = spec.circuit(self.listen)
        self.held: list[tuple[int, int, Permit]] = []
        self.numbers = 0

    def listen(self, old: CircuitState, new: CircuitState, now: float) -> None:
        assert now == self.now
        assert old is (self.log[-1] if self.log else CLOSED)
        assert new is self.circuit.state
        self.log.append(new)

    @rule(seconds=st.sampled_from((0.0, 0.5, 1.0, 6.0, 29.0, 30.0, 60.0, 300.0)))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.circuit.state is OPEN and self.circuit.forced is None)
    @rule(before=st.booleans())
    def wait_for_the_reopening(self, *, before: bool) -> None:
        self.now = max(self.now, self.circuit.retry_at - 0.5 * before)

    @rule()
    def poll(self) -> None:
        self.model.tick(self.now)
        assert self.circuit.poll(self.now) is self.model.state

    @rule()
    def ask(self) -> None:
        self.model.tick(self.now)
        assert self.circuit.is_admitting(self.now) == self.model.admits(self.now)

    @rule(times=st.integers(1, 4))
    def admit(self, times: int) -> None:
        for _ in range(times):
            self.model.tick(self.now)
            permit = self.circuit.admit(self.now)
            assert (permit is not None) == self.model.admits(self.now)
            if permit is not None:
                assert permit.is_probe == (self.model.state is HALF_OPEN)
                self.numbers += 1
                self.model.take(self.numbers, self.now)
                self.held.append((self.model.generation, self.numbers, permit))

    @precondition(lambda self: self.held)
    @rule(
        data=st.data(),
        verdict=st.sampled_from(("succeeded", "failed", "released")),
        seconds=st.sampled_from((0.0, 4.9, 5.0)),
        retry_after=st.none() | st.sampled_from((1.0, 45.0, 1000.0)),
    )
    def end(
        self,
        data: st.DataObject,
        verdict: Literal["succeeded", "failed", "released"],
        seconds: float,
        retry_after: float | None,
    ) -> None:
        generation, number, permit = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        is_current = generation == self.model.generation
        match verdict:
            case "succeeded":
                self.circuit.succeeded(permit, self.now, seconds)
            case "failed":
                self.circuit.failed(permit, self.now, retry_after, seconds=seconds)
            case "released":
                self.circuit.released(permit, self.now)
        if is_current and verdict == "released":
            self.model.out.pop(number, None)
        elif is_current:
            self.model.verdict(number, self.now, verdict == "failed", seconds, retry_after)

    @rule(forced=st.none() | st.sampled_from(("open", "closed", "metrics_only")))
    def force(self, forced: Forced | None) -> None:
        changes = forced != self.model.forced
        assert self.circuit.force(forced, self.now) == changes
        self.model.force(forced)

    @invariant()
    def agrees(self) -> None:
        model, recent = self.model, self.model.recent()
        found = self.circuit.statistics()
        assert self.circuit.retry_at == model.retry_at
        assert self.log == model.log
        assert (found.reason is not None) == (model.state is OPEN)
        assert found == CircuitStatistics(
            state=model.state,
            forced=model.forced,
            reason=found.reason,
            consecutive_failures=model.row,
            recent_attempts=len(recent),
            recent_failures=sum(verdict.failed for verdict in recent),
            recent_slow=sum(verdict.slow for verdict in recent),
            opened=model.log.count(OPEN),
            half_opened=model.log.count(HALF_OPEN),
            closed=model.log.count(CLOSED),
            would_have_opened=model.would,
        )


TestCircuitAgainstModel = pytest.mark.slow(CircuitAgainstModel.TestCase)
