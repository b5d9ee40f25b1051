"""A breaker that is given other numbers goes on where it was, and never gets stuck."""

from hypothesis import given
from hypothesis import strategies as st

from relight.supervisors.policies import Breaker, Circuit, CircuitState, Permit

breakers = st.builds(
    Breaker,
    failures=st.integers(1, 4),
    open_seconds=st.sampled_from([1.0, 5.0]),
    open_cap=st.sampled_from([5.0, 20.0]),
    probes=st.integers(1, 4),
)


def state_of(circuit: Circuit) -> CircuitState:
    return circuit.state


def circuit_at(state: CircuitState, spec: Breaker) -> Circuit:
    circuit = spec.circuit()
    if state is not CircuitState.CLOSED:
        for _ in range(spec.failures):
            fail(circuit, 0.0)
    if state is CircuitState.HALF_OPEN:
        circuit.poll(spec.open_seconds)
    assert state_of(circuit) is state
    return circuit


def permit_of(circuit: Circuit, now: float) -> Permit:
    permit = circuit.admit(now)
    assert permit is not None
    return permit


def fail(circuit: Circuit, now: float) -> None:
    circuit.failed(permit_of(circuit, now), now)


def test_failures_in_a_row_count_on() -> None:
    circuit = Breaker(failures=5).circuit()
    fail(circuit, 0.0)
    fail(circuit, 0.0)
    circuit.reconfigure(Breaker(failures=3))
    assert state_of(circuit) is CircuitState.CLOSED
    fail(circuit, 0.0)
    assert state_of(circuit) is CircuitState.OPEN


def test_a_count_that_is_above_the_new_number_opens_at_the_next_failure() -> None:
    circuit = Breaker(failures=5).circuit()
    for _ in range(4):
        fail(circuit, 0.0)
    circuit.reconfigure(Breaker(failures=2))
    assert state_of(circuit) is CircuitState.CLOSED
    fail(circuit, 0.0)
    assert state_of(circuit) is CircuitState.OPEN


def test_an_open_one_opens_for_the_new_time_only_the_next_time() -> None:
    circuit = circuit_at(CircuitState.OPEN, Breaker(open_seconds=10.0))
    circuit.reconfigure(Breaker(open_seconds=50.0, open_cap=50.0))
    assert circuit.retry_at == 10.0
    assert circuit.poll(10.0) is CircuitState.HALF_OPEN
    fail(circuit, 10.0)
    assert circuit.retry_at == 30.0, "twice what it was, as it went on"
    assert circuit.poll(30.0) is CircuitState.HALF_OPEN
    fail(circuit, 30.0)
    assert circuit.retry_at == 70.0


def test_probes_that_are_out_keep_their_say() -> None:
    circuit = circuit_at(CircuitState.HALF_OPEN, Breaker(probes=2))
    first, second = permit_of(circuit, 30.0), permit_of(circuit, 30.0)
    circuit.reconfigure(Breaker(probes=1))
    assert not circuit.is_admitting(30.0)
    circuit.succeeded(first, 30.0)
    assert state_of(circuit) is CircuitState.CLOSED
    circuit.failed(second, 30.0)
    assert state_of(circuit) is CircuitState.CLOSED


@given(before=breakers, after=breakers, good=st.integers(0, 3), out=st.integers(0, 3))
def test_a_half_open_one_closes_once_enough_probes_go_well(
    before: Breaker, after: Breaker, good: int, out: int
) -> None:
    circuit = circuit_at(CircuitState.HALF_OPEN, before)
    now = before.open_seconds
    for _ in range(min(good, before.probes - 1)):
        circuit.succeeded(permit_of(circuit, now), now)
    held = [permit for _ in range(out) if (permit := circuit.admit(now)) is not None]
    circuit.reconfigure(after)
    assert state_of(circuit) is CircuitState.HALF_OPEN
    for permit in held:
        circuit.released(permit, now)
    for _ in range(after.probes):
        if state_of(circuit) is CircuitState.HALF_OPEN:
            circuit.succeeded(permit_of(circuit, now), now)
    assert state_of(circuit) is CircuitState.CLOSED


def count(circuit: Circuit, *, good: int = 0, bad: int = 0) -> None:
    for _ in range(good):
        circuit.succeeded(permit_of(circuit, 0.0), 0.0)
    for _ in range(bad):
        fail(circuit, 0.0)


def test_what_the_window_holds_counts_for_another_share() -> None:
    circuit = Breaker(failures=99, failure_rate=0.9, window_attempts=10).circuit()
    count(circuit, good=6, bad=6)
    circuit.reconfigure(Breaker(failures=99, failure_rate=0.5, window_attempts=10))
    assert circuit.statistics().recent_attempts == 12
    fail(circuit, 0.0)
    assert state_of(circuit) is CircuitState.OPEN


def test_another_window_begins_empty_and_no_share_needs_none() -> None:
    circuit = Breaker(failures=99, window_attempts=10).circuit()
    count(circuit, good=6, bad=5)
    circuit.reconfigure(Breaker(failures=99, window_attempts=10, window=5.0))
    assert circuit.statistics().recent_attempts == 0
    circuit.reconfigure(Breaker(failures=99, failure_rate=None))
    count(circuit, bad=50)
    assert (state_of(circuit), circuit.statistics().recent_attempts) == (CircuitState.CLOSED, 0)
    circuit.reconfigure(Breaker(failures=99, window_attempts=10))
    count(circuit, good=9, bad=5)
    assert circuit.statistics().recent_attempts == 14


def test_what_is_slow_may_change() -> None:
    circuit = Breaker(slow_seconds=10.0, window_attempts=2).circuit()
    for _ in range(2):
        circuit.succeeded(permit_of(circuit, 0.0), 0.0, 5.0)
    circuit.reconfigure(Breaker(slow_seconds=5.0, window_attempts=2))
    for _ in range(2):
        circuit.succeeded(permit_of(circuit, 0.0), 0.0, 5.0)
    assert circuit.reason == "slow_rate"


def test_what_an_operator_holds_is_held_and_goes_on_with_the_new_numbers() -> None:
    circuit = Breaker(failures=5).circuit()
    for forced in ("open", "closed"):
        circuit.force(forced, 0.0)
        circuit.reconfigure(Breaker(failures=2))
        assert circuit.forced == forced
    circuit.force("metrics_only", 0.0)
    fail(circuit, 0.0)
    circuit.reconfigure(Breaker(failures=3))
    count(circuit, bad=2)
    assert circuit.statistics().would_have_opened == 1
    count(circuit, bad=3)
    assert circuit.statistics().would_have_opened == 2
    circuit.reconfigure(Breaker(failures=1))
    circuit.force(None, 0.0)
    fail(circuit, 0.0)
    assert state_of(circuit) is CircuitState.OPEN
