"""The gate: a pause for everybody, made longer but never shorter."""

import math

from hypothesis import given
from hypothesis import strategies as st

from relight.supervisors.policies import Gate, GateStatistics

moments = st.floats(0.0, 1e6)


def test_a_new_gate_is_open() -> None:
    gate = Gate()
    assert gate.is_open(-1e9)
    assert gate.reopens_at == -math.inf
    assert gate.statistics() == GateStatistics(times_shut=0, seconds_paused=0.0, reopens_at=-math.inf)


def test_a_shut_gate_opens_at_the_very_moment_named() -> None:
    gate = Gate()
    gate.shut(60.0, now=40.0)
    assert not gate.is_open(40.0)
    assert not gate.is_open(59.999)
    assert gate.is_open(60.0)
    assert gate.reopens_at == 60.0


def test_a_pause_is_never_made_shorter() -> None:
    gate = Gate()
    gate.shut(60.0, now=0.0)
    gate.shut(30.0, now=1.0)
    assert gate.reopens_at == 60.0
    assert gate.statistics() == GateStatistics(times_shut=1, seconds_paused=60.0, reopens_at=60.0)


def test_a_pause_made_longer_is_still_one_pause() -> None:
    gate = Gate()
    gate.shut(60.0, now=0.0)
    gate.shut(90.0, now=10.0)
    assert gate.statistics() == GateStatistics(times_shut=1, seconds_paused=90.0, reopens_at=90.0)


def test_a_pause_after_the_last_one_is_over_is_another_pause() -> None:
    gate = Gate()
    gate.shut(60.0, now=0.0)
    gate.shut(110.0, now=100.0)
    assert gate.statistics() == GateStatistics(times_shut=2, seconds_paused=70.0, reopens_at=110.0)


def test_a_moment_that_has_passed_shuts_nothing() -> None:
    gate = Gate()
    gate.shut(5.0, now=10.0)
    assert gate.is_open(10.0)
    assert gate.statistics().times_shut == 0


@given(steps=st.lists(st.tuples(moments, st.floats(-10.0, 100.0)), max_size=12))
def test_it_is_open_exactly_when_every_pause_is_over(steps: list[tuple[float, float]]) -> None:
    gate = Gate()
    ends: list[float] = []
    for now, wait in sorted(steps):
        gate.shut(now + wait, now)
        ends.append(now + wait)
        assert gate.is_open(now) == all(end <= now for end in ends)
        assert gate.statistics().seconds_paused >= 0.0
