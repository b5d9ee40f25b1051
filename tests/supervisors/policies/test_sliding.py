"""A sum over the last seconds: never too little, and too much by a slice at most."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relight.supervisors.policies import SlidingSum

WINDOW = 60.0
SLICE = 1.0

steps = st.lists(st.tuples(st.floats(0.0, 40.0), st.floats(0.0, 100.0)), max_size=40)
"""What is added: seconds since the last, and how much."""


def told(sums: SlidingSum, added: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Add everything; return each amount with its moment."""
    now = 0.0
    log: list[tuple[float, float]] = []
    for wait, amount in added:
        now += wait
        sums.add(amount, now)
        log.append((now, amount))
    return log


def test_what_was_added_counts_for_the_whole_window() -> None:
    sums = SlidingSum(WINDOW)
    sums.add(5.0, 0.5)
    assert sums.total(60.5) == 5.0
    assert sums.total(61.5) == 0.0


@given(added=steps, after=st.floats(0.0, 130.0))
def test_it_holds_all_of_the_window_and_nothing_older_than_a_slice_more(
    added: list[tuple[float, float]], after: float
) -> None:
    sums = SlidingSum(WINDOW)
    log = told(sums, added)
    now = (log[-1][0] if log else 0.0) + after
    least = sum(amount for moment, amount in log if now - moment <= WINDOW)
    most = sum(amount for moment, amount in log if now - moment <= WINDOW + SLICE + 1e-6)
    assert least - 1e-6 <= sums.total(now) <= most + 1e-6


@given(added=steps, amount=st.floats(0.001, 200.0))
def test_it_knows_when_it_will_be_less(added: list[tuple[float, float]], amount: float) -> None:
    sums = SlidingSum(WINDOW)
    log = told(sums, added)
    now = log[-1][0] if log else 0.0
    before = sums.total(now)
    wait = sums.seconds_until_less(amount, now)
    if wait is None:
        assert before < amount
    else:
        assert 0.0 <= wait <= WINDOW + SLICE + 1e-6
        assert sums.total(now + wait + 1e-6) <= before - amount + 1e-6


def test_errors_of_floats_do_not_pile_up() -> None:
    sums = SlidingSum(WINDOW)
    for second in range(10_000):
        sums.add(0.1, float(second))
    assert sums.total(9_999.0) == pytest.approx(6.1, abs=1e-9)
