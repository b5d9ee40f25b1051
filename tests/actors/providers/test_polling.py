"""Polling: when to look at a job again, and when to lose patience."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relight.actors.providers import Polling

STEADY = Polling(jitter=0.0)


def test_waits_grow_by_half_up_to_the_cap() -> None:
    watch = STEADY.watch(600.0, now=0.0)
    waits = [watch.next_wait(Random(0)) for _ in range(8)]
    assert waits == pytest.approx([0.5, 0.75, 1.125, 1.6875, 2.53125, 3.796875, 5.0, 5.0])


@given(st.integers(0, 2**32), st.integers(1, 50))
def test_jitter_adds_a_tenth_at_most_and_never_shortens(seed: int, looks: int) -> None:
    rng, jittered, steady = Random(seed), Polling().watch(600.0, now=0.0), STEADY.watch(600.0, now=0.0)
    for _ in range(looks):
        plain = steady.next_wait(rng)
        assert plain <= jittered.next_wait(rng) <= plain * 1.1 + 1e-9


def test_a_failed_look_makes_the_next_ones_as_rare_as_allowed() -> None:
    watch = STEADY.watch(600.0, now=0.0)
    watch.slow_down()
    assert watch.next_wait(Random(0)) == 5.0


def test_a_wait_the_server_asks_for_is_not_cut_short() -> None:
    assert STEADY.watch(600.0, now=0.0).next_wait(Random(0), least=20.0) == 20.0


def test_a_job_may_queue_for_five_minutes() -> None:
    watch = STEADY.watch(600.0, now=1000.0)
    assert watch.lateness(1300.0) is None
    assert watch.lateness(1300.1) == "queue_timeout"


def test_a_job_may_run_half_a_minute_longer_than_it_was_allowed() -> None:
    watch = STEADY.watch(60.0, now=0.0)
    watch.started(299.0)
    assert watch.lateness(299.0 + 90.0) is None
    assert watch.lateness(299.0 + 90.1) == "run_timeout"


def test_a_job_that_goes_back_to_the_queue_does_not_get_more_time() -> None:
    watch = STEADY.watch(60.0, now=0.0)
    watch.started(10.0)
    watch.started(80.0)
    assert watch.lateness(101.0) == "run_timeout"


def test_a_new_job_may_be_unknown_for_a_moment() -> None:
    watch = STEADY.watch(60.0, now=0.0)
    assert watch.is_new(5.0)
    assert not watch.is_new(5.1)
    watch.started(1.0)
    assert not watch.is_new(2.0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("initial", 0.0),
        ("factor", 0.9),
        ("cap", 0.4),
        ("jitter", -0.1),
        ("queue_limit", 0.0),
        ("run_grace", -1.0),
        ("visible_after", float("nan")),
        ("cap", float("inf")),
    ],
)
def test_a_polling_rule_that_cannot_work_is_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"Polling\.{field} must be .*, got"):
        Polling(**{field: value})
