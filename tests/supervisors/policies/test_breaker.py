"""The circuit breaker: when it opens, whom it lets through, what it forgets."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from relight.supervisors.policies import Breaker, Circuit, CircuitState, CircuitStatistics, Permit

CLOSED, HALF_OPEN, OPEN = CircuitState.CLOSED, CircuitState.HALF_OPEN, CircuitState.OPEN


def permit_of(circuit: Circuit, now: float) -> Permit:
    permit = circuit.admit(now)
    assert permit is not None
    return permit


def fail(circuit: Circuit, now: float, times: int = 1) -> None:
    for _ in range(times):
        circuit.failed(permit_of(circuit, now), now)


def opened_circuit(**spec: int) -> Circuit:
    """Give a circuit that opened at moment 0, for 30 s."""
    circuit = Breaker(**spec).circuit()
    fail(circuit, 0.0, times=5)
    assert circuit.state is OPEN
    return circuit


def test_defaults_are_five_failures_thirty_seconds_and_one_probe() -> None:
    assert Breaker() == Breaker(failures=5, open_seconds=30.0, open_cap=300.0, probes=1)


def test_a_new_circuit_is_closed_and_admits_everybody() -> None:
    circuit = Breaker().circuit()
    assert circuit.state is CLOSED
    assert circuit.retry_at == -math.inf
    assert circuit.is_admitting(0.0)
    assert all(circuit.admit(0.0) is not None for _ in range(1000))


def test_five_consecutive_counted_failures_open_it_for_thirty_seconds_then_one_probe_passes() -> None:
    circuit = Breaker().circuit()
    fail(circuit, 100.0, times=4)
    assert circuit.state is CLOSED
    fail(circuit, 100.0)
    assert circuit.state is OPEN
    assert circuit.retry_at == 130.0
    assert circuit.admit(129.999) is None
    assert circuit.state is OPEN
    assert permit_of(circuit, 130.0).is_probe
    assert circuit.state is HALF_OPEN
    assert circuit.admit(130.0) is None


def test_a_success_resets_the_count() -> None:
    circuit = Breaker().circuit()
    for _ in range(10):
        fail(circuit, 0.0, times=4)
        circuit.succeeded(permit_of(circuit, 0.0), 0.0)
    assert circuit.state is CLOSED
    assert circuit.statistics().consecutive_failures == 0


def test_six_released_permits_do_not_open_it() -> None:
    circuit = Breaker().circuit()
    for _ in range(6):
        circuit.released(permit_of(circuit, 0.0), 0.0)
    assert circuit.state is CLOSED
    assert circuit.statistics().consecutive_failures == 0


def test_a_released_permit_does_not_reset_the_count_either() -> None:
    circuit = Breaker().circuit()
    fail(circuit, 0.0, times=4)
    circuit.released(permit_of(circuit, 0.0), 0.0)
    fail(circuit, 0.0)
    assert circuit.state is OPEN


def test_of_fifty_callers_at_half_open_one_gets_through() -> None:
    circuit = opened_circuit()
    assert sum(circuit.admit(30.0) is not None for _ in range(50)) == 1


def test_a_released_probe_gives_its_permit_back_and_the_next_one_is_admitted() -> None:
    circuit = opened_circuit()
    probe = permit_of(circuit, 30.0)
    circuit.released(probe, 31.0)
    assert circuit.state is HALF_OPEN
    assert circuit.is_admitting(31.0)
    assert circuit.admit(31.0) is not None
    assert circuit.admit(31.0) is None


def test_a_probe_handed_back_twice_makes_room_for_one() -> None:
    circuit = opened_circuit(probes=2)
    probe = permit_of(circuit, 30.0)
    permit_of(circuit, 30.0)
    circuit.released(probe, 31.0)
    circuit.released(probe, 31.0)
    assert sum(circuit.admit(31.0) is not None for _ in range(50)) == 1


def test_a_released_probe_has_no_verdict_left() -> None:
    circuit = opened_circuit()
    probe = permit_of(circuit, 30.0)
    circuit.released(probe, 31.0)
    circuit.succeeded(probe, 31.0)
    circuit.failed(probe, 31.0)
    assert circuit.state is HALF_OPEN


def test_a_successful_probe_closes_it() -> None:
    circuit = opened_circuit()
    circuit.succeeded(permit_of(circuit, 30.0), 31.0)
    assert circuit.state is CLOSED
    assert not permit_of(circuit, 31.0).is_probe
    assert circuit.statistics().consecutive_failures == 0


def test_each_failed_probe_doubles_the_time_up_to_the_cap() -> None:
    circuit = opened_circuit()
    spans = [circuit.retry_at]
    for _ in range(5):
        now = circuit.retry_at
        fail(circuit, now)
        spans.append(circuit.retry_at - now)
    assert spans == [30.0, 60.0, 120.0, 240.0, 300.0, 300.0]


def test_the_time_does_not_overflow_after_two_thousand_failed_probes() -> None:
    circuit = opened_circuit()
    for _ in range(2_000):
        fail(circuit, circuit.retry_at)
    now = circuit.retry_at
    fail(circuit, now)
    assert circuit.retry_at == now + 300.0


def test_closing_resets_the_time_it_stays_open() -> None:
    circuit = opened_circuit()
    fail(circuit, 30.0)
    circuit.succeeded(permit_of(circuit, 90.0), 90.0)
    fail(circuit, 100.0, times=5)
    assert circuit.retry_at == 130.0


def test_a_longer_hint_of_the_server_extends_the_time_beyond_the_cap() -> None:
    circuit = Breaker().circuit()
    fail(circuit, 0.0, times=4)
    circuit.failed(permit_of(circuit, 0.0), 0.0, retry_after=900.0)
    assert circuit.retry_at == 900.0


def test_an_extension_is_not_doubled() -> None:
    circuit = Breaker().circuit()
    fail(circuit, 0.0, times=4)
    circuit.failed(permit_of(circuit, 0.0), 0.0, retry_after=100.0)
    fail(circuit, 100.0)
    assert circuit.retry_at == 160.0


@pytest.mark.parametrize("hint", [5.0, 0.0, -1.0, math.nan, math.inf])
def test_a_hint_that_is_shorter_or_no_wait_changes_nothing(hint: float) -> None:
    circuit = Breaker(failures=1).circuit()
    circuit.failed(permit_of(circuit, 0.0), 0.0, retry_after=hint)
    assert circuit.retry_at == 30.0


def test_all_of_several_probes_have_to_succeed() -> None:
    circuit = opened_circuit(probes=3)
    probes = [permit_of(circuit, 30.0) for _ in range(3)]
    assert circuit.admit(30.0) is None
    for probe in probes[:2]:
        circuit.succeeded(probe, 31.0)
        assert circuit.state is HALF_OPEN
        assert circuit.admit(31.0) is None
    circuit.succeeded(probes[2], 32.0)
    assert circuit.state is CLOSED


def test_the_first_of_several_probes_to_fail_opens_it_again() -> None:
    circuit = opened_circuit(probes=3)
    first, second, third = [permit_of(circuit, 30.0) for _ in range(3)]
    circuit.succeeded(first, 31.0)
    circuit.failed(second, 31.0)
    assert circuit.retry_at == 91.0
    circuit.failed(third, 40.0)
    assert circuit.retry_at == 91.0


def test_a_late_failure_from_before_it_opened_does_not_fail_the_probe() -> None:
    circuit = Breaker().circuit()
    late = permit_of(circuit, 0.0)
    fail(circuit, 0.0, times=5)
    permit_of(circuit, 30.0)
    circuit.failed(late, 31.0)
    assert circuit.state is HALF_OPEN
    assert circuit.statistics().consecutive_failures == 5


def test_a_late_success_from_before_it_opened_does_not_close_it() -> None:
    circuit = Breaker().circuit()
    late = permit_of(circuit, 0.0)
    fail(circuit, 0.0, times=5)
    circuit.succeeded(late, 1.0)
    assert circuit.state is OPEN
    permit_of(circuit, 30.0)
    circuit.succeeded(late, 31.0)
    assert circuit.state is HALF_OPEN


def test_a_late_failure_from_before_it_closed_again_is_not_counted() -> None:
    circuit = Breaker(failures=1).circuit()
    late = permit_of(circuit, 0.0)
    fail(circuit, 0.0)
    circuit.succeeded(permit_of(circuit, 30.0), 30.0)
    circuit.failed(late, 31.0)
    assert circuit.state is CLOSED


def test_a_late_release_from_before_it_opened_makes_no_room() -> None:
    circuit = Breaker().circuit()
    late = permit_of(circuit, 0.0)
    fail(circuit, 0.0, times=5)
    permit_of(circuit, 30.0)
    circuit.released(late, 31.0)
    assert not circuit.is_admitting(31.0)


def test_a_permit_of_another_circuit_has_no_say() -> None:
    circuit, other = Breaker(failures=1).circuit(), Breaker(failures=1).circuit()
    circuit.failed(permit_of(other, 0.0), 0.0)
    assert circuit.state is CLOSED


def test_asking_whether_it_admits_takes_nothing() -> None:
    circuit = opened_circuit()
    assert not circuit.is_admitting(29.0)
    assert all(circuit.is_admitting(30.0) for _ in range(10))
    assert circuit.state is HALF_OPEN
    assert circuit.admit(30.0) is not None
    assert not circuit.is_admitting(30.0)


def test_polling_makes_it_half_open_when_the_time_has_come() -> None:
    circuit = opened_circuit()
    assert circuit.poll(29.0) is OPEN
    assert circuit.poll(30.0) is HALF_OPEN
    assert circuit.retry_at == -math.inf


def test_a_listener_sees_every_transition_once_it_is_complete() -> None:
    seen: list[tuple[CircuitState, CircuitState, float, CircuitState]] = []

    def listen(old: CircuitState, new: CircuitState, now: float) -> None:
        seen.append((old, new, now, circuit.state))

    circuit = Breaker().circuit(listen)
    fail(circuit, 0.0, times=5)
    fail(circuit, 30.0)
    circuit.succeeded(permit_of(circuit, 90.0), 91.0)
    assert seen == [
        (CLOSED, OPEN, 0.0, OPEN),
        (OPEN, HALF_OPEN, 30.0, HALF_OPEN),
        (HALF_OPEN, OPEN, 30.0, OPEN),
        (OPEN, HALF_OPEN, 90.0, HALF_OPEN),
        (HALF_OPEN, CLOSED, 91.0, CLOSED),
    ]


def test_statistics_count_transitions_and_failures_in_a_row() -> None:
    circuit = opened_circuit()
    fail(circuit, 30.0)
    assert circuit.statistics() == CircuitStatistics(
        state=OPEN, consecutive_failures=6, opened=2, half_opened=1, closed=0
    )
    circuit.succeeded(permit_of(circuit, 90.0), 90.0)
    assert circuit.statistics() == CircuitStatistics(
        state=CLOSED, consecutive_failures=0, opened=2, half_opened=2, closed=1
    )


@pytest.mark.parametrize(
    ("build", "complaint"),
    [
        (lambda: Breaker(failures=0), "Breaker.failures must be 1 or more, and finite, got 0"),
        (
            lambda: Breaker(open_seconds=0.0),
            "Breaker.open_seconds must be more than 0 seconds, and finite, got 0.0",
        ),
        (lambda: Breaker(open_cap=10.0), "Breaker.open_cap must be 30 or more, and finite, got 10.0"),
        (lambda: Breaker(probes=0), "Breaker.probes must be 1 or more, and finite, got 0"),
    ],
)
def test_a_breaker_refuses_a_wrong_number(build: Callable[[], Breaker], complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        build()


@dataclass
class Model:
    """The rules once more, in one flat place: numbered generations, no objects for states."""

    failures: int
    probes: int
    state: CircuitState = CLOSED
    generation: int = 0
    row: int = 0
    openings: int = 0
    retry_at: float = -math.inf
    waiting: int = 0
    passed: int = 0
    log: list[CircuitState] = field(default_factory=list[CircuitState])

    def turn(self, state: CircuitState) -> None:
        self.state = state
        self.generation += 1
        self.retry_at = -math.inf
        self.waiting = self.passed = 0
        self.log.append(state)

    def tick(self, now: float) -> None:
        if self.state is OPEN and now >= self.retry_at:
            self.turn(HALF_OPEN)

    def admits(self) -> bool:
        return self.state is CLOSED or (self.state is HALF_OPEN and self.waiting + self.passed < self.probes)

    def success(self) -> None:
        self.row = 0
        if self.state is HALF_OPEN:
            self.waiting -= 1
            self.passed += 1
            if self.passed == self.probes:
                self.openings = 0
                self.turn(CLOSED)

    def failure(self, now: float, retry_after: float | None) -> None:
        self.row += 1
        if self.state is HALF_OPEN or self.row == self.failures:
            span = min(300.0, 30.0 * 2**self.openings)
            self.openings += 1
            self.turn(OPEN)
            self.retry_at = now + max(span, retry_after or 0.0)


class CircuitAgainstModel(RuleBasedStateMachine):
    """Drive a circuit and the model with the same calls; late and forgotten permits included."""

    @initialize(failures=st.integers(1, 4), probes=st.integers(1, 3))
    def start(self, failures: int, probes: int) -> None:
        self.now = 0.0
        self.model = Model(failures, probes)
        self.log: list[CircuitState] = []
        self.circuit = Breaker(failures=failures, probes=probes).circuit(self.listen)
        self.held: list[tuple[int, Permit]] = []

    def listen(self, old: CircuitState, new: CircuitState, now: float) -> None:
        assert now == self.now
        assert old is (self.log[-1] if self.log else CLOSED)
        assert new is self.circuit.state
        self.log.append(new)

    @rule(seconds=st.sampled_from((0.0, 1.0, 29.0, 30.0, 60.0, 300.0)))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.circuit.state is OPEN)
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
        assert self.circuit.is_admitting(self.now) == self.model.admits()

    @rule()
    def admit(self) -> None:
        self.model.tick(self.now)
        permit = self.circuit.admit(self.now)
        assert (permit is not None) == self.model.admits()
        if permit is not None:
            assert permit.is_probe == (self.model.state is HALF_OPEN)
            self.model.waiting += 1
            self.held.append((self.model.generation, permit))

    @precondition(lambda self: self.held)
    @rule(
        data=st.data(),
        verdict=st.sampled_from(("succeeded", "failed", "failed", "released")),
        retry_after=st.none() | st.sampled_from((1.0, 45.0, 1000.0)),
    )
    def end(
        self,
        data: st.DataObject,
        verdict: Literal["succeeded", "failed", "released"],
        retry_after: float | None,
    ) -> None:
        generation, permit = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        is_current = generation == self.model.generation
        match verdict:
            case "succeeded":
                self.circuit.succeeded(permit, self.now)
                if is_current:
                    self.model.success()
            case "failed":
                self.circuit.failed(permit, self.now, retry_after)
                if is_current:
                    self.model.failure(self.now, retry_after)
            case "released":
                self.circuit.released(permit, self.now)
                if is_current:
                    self.model.waiting -= 1

    @invariant()
    def agrees(self) -> None:
        assert self.circuit.state is self.model.state
        assert self.circuit.retry_at == self.model.retry_at
        assert self.log == self.model.log
        assert self.circuit.statistics() == CircuitStatistics(
            state=self.model.state,
            consecutive_failures=self.model.row,
            opened=self.log.count(OPEN),
            half_opened=self.log.count(HALF_OPEN),
            closed=self.log.count(CLOSED),
        )


TestCircuitAgainstModel = pytest.mark.slow(CircuitAgainstModel.TestCase)
