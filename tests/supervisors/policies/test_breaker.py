"""The circuit breaker: when it opens, whom it lets through, what it forgets."""

import math
import re
from collections.abc import Callable
from typing import Literal

import pytest

from relight.supervisors.policies import Breaker, Circuit, CircuitState, Permit

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


def test_the_defaults_are_the_documented_numbers() -> None:
    assert Breaker() == Breaker(
        failures=5,
        failure_rate=0.5,
        window=60.0,
        window_attempts=20,
        slow_seconds=None,
        slow_rate=0.5,
        open_seconds=30.0,
        open_cap=300.0,
        probes=1,
        probe_timeout=60.0,
    )


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
    circuit = Breaker(failure_rate=None).circuit()
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
    found = circuit.statistics()
    assert (found.state, found.consecutive_failures) == (OPEN, 6)
    assert (found.opened, found.half_opened, found.closed) == (2, 1, 0)
    circuit.succeeded(permit_of(circuit, 90.0), 90.0)
    found = circuit.statistics()
    assert (found.state, found.consecutive_failures) == (CLOSED, 0)
    assert (found.opened, found.half_opened, found.closed) == (2, 2, 1)


# --- a probe without a verdict ---


def test_a_probe_without_a_verdict_gives_its_place_to_another_after_a_minute() -> None:
    circuit = opened_circuit()
    permit_of(circuit, 30.0)
    assert circuit.admit(89.9) is None
    assert circuit.is_admitting(90.0)
    assert sum(circuit.admit(90.0) is not None for _ in range(50)) == 1
    assert circuit.admit(149.9) is None
    assert circuit.admit(150.0) is not None


def test_an_overdue_probe_keeps_its_say() -> None:
    """Or a service whose calls take longer than the guard's patience could never be found well."""
    circuit = opened_circuit()
    slow = permit_of(circuit, 30.0)
    permit_of(circuit, 90.0)
    circuit.succeeded(slow, 100.0)
    assert circuit.state is CLOSED


def test_an_overdue_probe_that_fails_opens_it_again() -> None:
    circuit = opened_circuit()
    slow = permit_of(circuit, 30.0)
    permit_of(circuit, 90.0)
    circuit.failed(slow, 100.0)
    assert circuit.retry_at == 160.0


def test_only_as_many_overdue_probes_are_replaced_as_are_overdue() -> None:
    circuit = opened_circuit(probes=3)
    for moment in (30.0, 40.0, 50.0):
        permit_of(circuit, moment)
    assert [circuit.admit(now) is not None for now in (89.0, 90.0, 91.0, 100.0, 101.0)] == [
        False,
        True,
        False,
        True,
        False,
    ]


def test_a_thousand_lost_probes_leave_nothing_behind() -> None:
    circuit = opened_circuit()
    lost = [permit_of(circuit, 30.0 + 60.0 * number) for number in range(1000)]
    circuit.released(lost[-1], 60_000.0)
    assert circuit.admit(60_000.0) is not None
    assert circuit.admit(60_000.0) is None


# --- shares ---


def run(circuit: Circuit, pattern: str, *, apart: float = 1.0, slow: float = 0.0, start: float = 0.0) -> int:
    """Let attempts go by a pattern (F fails, S is slow, all else is well); return how many were admitted."""
    admitted = 0
    for number, letter in enumerate(pattern):
        now = start + number * apart
        permit = circuit.admit(now)
        if permit is None:
            continue
        admitted += 1
        if letter == "F":
            circuit.failed(permit, now)
        else:
            circuit.succeeded(permit, now, slow if letter == "S" else 0.1)
    return admitted


def test_at_an_error_rate_of_one_half_it_opens_though_no_two_failures_are_in_a_row() -> None:
    circuit = Breaker().circuit()
    assert run(circuit, ".F" * 100, apart=0.1) == 20
    assert circuit.state is OPEN
    assert circuit.reason == "failure_rate"


def test_below_the_rate_it_stays_closed() -> None:
    circuit = Breaker().circuit()
    assert run(circuit, "..F" * 100, apart=0.1) == 300


def test_a_rate_says_nothing_of_fewer_attempts() -> None:
    circuit = Breaker().circuit()
    assert run(circuit, ".F" * 9 + "F", apart=0.1) == 19
    assert circuit.state is CLOSED


def test_an_answer_in_time_opens_nothing() -> None:
    circuit = Breaker(failures=100).circuit()
    run(circuit, "F" * 19 + ".", apart=0.1)
    assert circuit.state is CLOSED
    run(circuit, "F", start=3.0)
    assert circuit.state is OPEN


def test_what_is_older_than_the_window_does_not_count() -> None:
    circuit = Breaker(failures=100).circuit()
    run(circuit, "F" * 19)
    fail(circuit, 80.0)
    assert circuit.state is CLOSED
    found = circuit.statistics()
    assert (found.recent_attempts, found.recent_failures) == (1, 1)


def test_the_window_moves_by_a_tenth_of_itself() -> None:
    circuit = Breaker(failures=100).circuit()
    run(circuit, "F" * 12)  # one a second, from 0 to 11
    for now, recent in ((59.9, 13), (60.0, 8), (65.9, 9), (66.0, 4)):
        fail(circuit, now)
        assert circuit.statistics().recent_attempts == recent


def test_without_a_rate_only_failures_in_a_row_open_it() -> None:
    circuit = Breaker(failure_rate=None).circuit()
    assert run(circuit, ".F" * 100, apart=0.1) == 200
    assert circuit.statistics().recent_attempts == 0


def test_released_attempts_are_in_no_share() -> None:
    circuit = Breaker(failures=100).circuit()
    for _ in range(100):
        circuit.released(permit_of(circuit, 1.0), 1.0)
    run(circuit, "F" * 19, apart=0.1, start=1.0)
    assert circuit.statistics().recent_attempts == 19
    assert circuit.state is CLOSED


def test_slow_attempts_do_not_matter_unless_it_is_said_what_is_slow() -> None:
    circuit = Breaker().circuit()
    assert run(circuit, "S" * 100, apart=0.1, slow=1000.0) == 100


def test_a_share_of_slow_attempts_opens_it_though_all_succeed() -> None:
    circuit = Breaker(failure_rate=None, slow_seconds=10.0, slow_rate=0.5).circuit()
    assert run(circuit, ".S" * 20, apart=0.1, slow=10.0) == 20
    assert circuit.reason == "slow_rate"


def test_a_failure_may_be_slow_too() -> None:
    circuit = Breaker(failures=100, failure_rate=None, slow_seconds=10.0).circuit()
    for _ in range(20):
        circuit.failed(permit_of(circuit, 1.0), 1.0, seconds=10.0)
    assert circuit.reason == "slow_rate"


def test_a_slow_probe_opens_it_again() -> None:
    """Else it would close on a service that is as slow as it was, and open again 20 attempts later."""
    circuit = Breaker(failures=1, slow_seconds=10.0).circuit()
    fail(circuit, 0.0)
    circuit.succeeded(permit_of(circuit, 30.0), 40.0, 10.0)
    assert circuit.retry_at == 100.0
    assert circuit.reason == "probe_slow"


def test_a_circuit_that_closes_begins_a_new_window() -> None:
    circuit = Breaker().circuit()
    run(circuit, ".F" * 10, apart=0.1)
    assert circuit.state is OPEN
    circuit.succeeded(permit_of(circuit, 32.0), 32.0)
    fail(circuit, 33.0)
    assert circuit.statistics().recent_attempts == 1


# --- an operator's hand ---


def test_forced_open_it_admits_nobody_for_as_long_as_it_lasts() -> None:
    circuit = Breaker().circuit()
    assert circuit.force("open", 0.0)
    assert circuit.state is OPEN
    assert circuit.retry_at == math.inf
    assert circuit.reason == "forced"
    assert circuit.admit(1e9) is None


def test_forced_closed_it_admits_everybody_whatever_becomes_of_it() -> None:
    circuit = opened_circuit()
    circuit.force("closed", 1.0)
    assert run(circuit, "F" * 100, start=1.0) == 100
    circuit.released(permit_of(circuit, 200.0), 200.0)
    circuit.succeeded(permit_of(circuit, 200.0), 200.0)
    assert circuit.state is CLOSED
    assert circuit.statistics().consecutive_failures == 0


def test_metrics_only_admits_everybody_and_counts_how_often_it_would_have_opened() -> None:
    circuit = Breaker().circuit()
    circuit.force("metrics_only", 0.0)
    assert run(circuit, "F" * 12) == 12
    circuit.released(permit_of(circuit, 20.0), 20.0)
    found = circuit.statistics()
    assert found.state is CLOSED
    assert found.forced == "metrics_only"
    assert (found.would_have_opened, found.consecutive_failures, found.opened) == (2, 2, 0)
    assert found.recent_failures == 2
    circuit.succeeded(permit_of(circuit, 21.0), 21.0)
    assert circuit.statistics().consecutive_failures == 0


def test_given_back_from_forced_open_it_is_half_open() -> None:
    circuit = Breaker().circuit()
    circuit.force("open", 0.0)
    assert circuit.force(None, 5.0)
    assert circuit.state is HALF_OPEN
    assert circuit.forced is None
    assert sum(circuit.admit(5.0) is not None for _ in range(50)) == 1


@pytest.mark.parametrize("forced", ["closed", "metrics_only"])
def test_given_back_from_any_other_state_it_is_closed_and_counts_anew(
    forced: Literal["closed", "metrics_only"],
) -> None:
    circuit = Breaker().circuit()
    fail(circuit, 0.0, times=4)
    circuit.force(forced, 0.0)
    fail(circuit, 0.0, times=4)
    circuit.force(None, 0.0)
    fail(circuit, 0.0, times=4)
    assert circuit.state is CLOSED
    fail(circuit, 0.0)
    assert circuit.state is OPEN


def test_forcing_what_is_forced_or_giving_back_what_is_not_changes_nothing() -> None:
    circuit = opened_circuit()
    assert not circuit.force(None, 1.0)
    assert circuit.retry_at == 30.0
    assert circuit.force("open", 1.0)
    assert not circuit.force("open", 2.0)


def test_verdicts_from_before_it_was_forced_are_dropped() -> None:
    circuit = Breaker(failures=1).circuit()
    before = permit_of(circuit, 0.0)
    circuit.force("metrics_only", 1.0)
    during = permit_of(circuit, 1.0)
    circuit.failed(before, 2.0)
    assert circuit.statistics().would_have_opened == 0
    circuit.force(None, 3.0)
    circuit.failed(during, 4.0)
    assert circuit.state is CLOSED


def test_a_listener_hears_who_changed_the_state_and_nothing_where_it_stays() -> None:
    seen: list[tuple[CircuitState, CircuitState, str]] = []
    circuit = Breaker(failures=1).circuit(lambda old, new, _: seen.append((old, new, circuit.cause)))
    circuit.force("closed", 0.0)
    circuit.force("open", 0.0)
    circuit.force(None, 0.0)
    circuit.succeeded(permit_of(circuit, 0.0), 0.0)
    fail(circuit, 0.0)
    assert seen == [
        (CLOSED, OPEN, "forced"),
        (OPEN, HALF_OPEN, "forced"),
        (HALF_OPEN, CLOSED, "auto"),
        (CLOSED, OPEN, "auto"),
    ]


def test_an_unknown_state_is_refused() -> None:
    with pytest.raises(ValueError, match='"open", "closed" or "metrics_only", got \'ajar\''):
        Breaker().circuit().force("ajar", 0.0)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


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
        (
            lambda: Breaker(failure_rate=0.0),
            "Breaker.failure_rate must be more than 0 and at most 1, got 0.0",
        ),
        (
            lambda: Breaker(slow_rate=math.nan),
            "Breaker.slow_rate must be more than 0 and at most 1, got nan",
        ),
        (
            lambda: Breaker(slow_seconds=0.0),
            "Breaker.slow_seconds must be more than 0 seconds, and finite, got 0.0",
        ),
        (lambda: Breaker(window=0.05), "Breaker.window must be 0.1 or more, and finite, got 0.05"),
        (lambda: Breaker(window_attempts=0), "Breaker.window_attempts must be 1 or more, and finite, got 0"),
        (
            lambda: Breaker(probe_timeout=math.inf),
            "Breaker.probe_timeout must be more than 0 seconds, and finite, got inf",
        ),
    ],
)
def test_a_breaker_refuses_a_wrong_number(build: Callable[[], Breaker], complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        build()
