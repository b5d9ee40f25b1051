"""The cost budget: reserved before it is sent, charged when it has ended, refused when there is no room."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relight.supervisors.policies import CostBudget, Purse, PurseStatistics, Shortfall, shortfall_of


def purse(per_minute: float | None = None, per_day: float | None = None) -> Purse:
    return CostBudget(usd_per_minute=per_minute, usd_per_day=per_day).purse("svc")


def spend(from_purse: Purse, usd: float, now: float, *, is_retry: bool = False) -> None:
    from_purse.reserve(usd)
    from_purse.charge(usd, usd, now, is_retry=is_retry)


def test_what_fits_has_room_and_what_does_not_is_told_when() -> None:
    money = purse(per_minute=1.0)
    assert money.shortfall(1.0, 0.0) is None
    spend(money, 0.75, 10.0)
    assert money.shortfall(0.25, 10.0) is None
    lack = money.shortfall(0.5, 20.0)
    assert lack == Shortfall("svc", "minute", 1.0, 0.75, 51.0)
    assert money.shortfall(0.5, 20.0 + 51.0) is None


def test_what_is_reserved_counts_as_spent_until_the_call_has_ended() -> None:
    money = purse(per_minute=1.0)
    money.reserve(0.75)
    assert money.shortfall(0.5, 0.0) == Shortfall("svc", "minute", 1.0, 0.75, None)
    money.give_back(0.75)
    assert money.shortfall(0.5, 0.0) is None


def test_the_charge_replaces_the_estimate() -> None:
    money = purse(per_minute=1.0)
    money.reserve(0.75)
    money.charge(0.75, 0.25, 0.0, is_retry=False)
    assert money.shortfall(0.75, 0.0) is None
    assert money.shortfall(0.76, 0.0) is not None


def test_what_exceeds_the_whole_budget_never_has_room() -> None:
    assert purse(per_minute=1.0).shortfall(1.5, 0.0) == Shortfall("svc", "minute", 1.0, 0.0, None)


def test_when_nothing_is_left_there_is_no_room_for_what_costs_nothing() -> None:
    money = purse(per_minute=1.0)
    assert money.shortfall(0.0, 0.0) is None
    spend(money, 1.0, 0.5)
    assert money.shortfall(0.0, 0.5) == Shortfall("svc", "minute", 1.0, 1.0, 60.5)
    assert money.shortfall(0.0, 61.0) is None


def test_when_all_is_reserved_nobody_knows_when_there_is_room() -> None:
    money = purse(per_minute=1.0)
    money.reserve(1.0)
    lack = money.shortfall(0.0, 0.0)
    assert lack is not None
    assert lack.retry_after is None


def test_a_day_is_the_last_24_hours() -> None:
    money = purse(per_minute=10.0, per_day=1.0)
    spend(money, 1.0, 0.0)
    lack = money.shortfall(0.1, 7200.0)
    assert lack is not None
    assert lack.window == "day"
    assert lack.retry_after == pytest.approx(86_400.0 + 1440.0 - 7200.0)


def test_retries_are_told_apart() -> None:
    money = purse(per_minute=1.0, per_day=5.0)
    spend(money, 0.5, 0.0)
    spend(money, 0.25, 0.0, is_retry=True)
    money.reserve(0.125)
    assert money.statistics(0.0) == PurseStatistics(
        scope="svc",
        reserved_usd=0.125,
        left_usd={"minute": 0.125, "day": 4.125},
        spent_usd=0.75,
        retry_usd=0.25,
    )


def test_of_several_purses_the_one_that_is_short_for_longest_is_told() -> None:
    one, other, empty = purse(per_minute=1.0), purse(per_day=1.0), purse()
    assert shortfall_of((one, other, empty), 1.0, 0.0) is None
    spend(one, 1.0, 0.0)
    spend(other, 1.0, 0.0)
    lack = shortfall_of((one, other, empty), 0.5, 0.0)
    assert lack is not None
    assert lack.window == "day"
    assert shortfall_of((one, other), 2.0, 0.0) is not None


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("usd_per_minute", 0.0, "CostBudget.usd_per_minute must be more than 0 dollars, and finite, got 0.0"),
        ("usd_per_day", math.nan, "CostBudget.usd_per_day must be more than 0 dollars, and finite, got nan"),
        ("unpriced", "free", 'CostBudget.unpriced must be "allow" or "refuse", got \'free\''),
    ],
)
def test_a_wrong_value_is_refused(field: str, value: object, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        CostBudget(**{field: value})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


calls = st.lists(
    st.tuples(
        st.floats(0.0, 40.0),
        st.sampled_from(["begin", "begin", "end", "cancel"]),
        st.floats(0.0, 1.2),
        st.floats(0.0, 1.0),
    ),
    max_size=60,
)
"""Seconds since the last, what happens, what it may cost, the share of it that it did cost."""


class Model:
    """Every charge with its moment."""

    def __init__(self) -> None:
        self.charges: list[tuple[float, float]] = []
        self.in_flight: list[float] = []

    def within(self, seconds: float, now: float) -> float:
        return sum(usd for moment, usd in self.charges if now - moment <= seconds) + sum(self.in_flight)


@given(steps=calls, per_minute=st.floats(0.5, 3.0), per_day=st.floats(0.5, 6.0))
def test_no_window_has_more_than_its_limit_and_what_would_fit_is_let_through(
    steps: list[tuple[float, str, float, float]], per_minute: float, per_day: float
) -> None:
    money, model, now = purse(per_minute, per_day), Model(), 0.0
    for pause, step, usd, share in steps:
        now += pause
        if step == "begin":
            lack = money.shortfall(usd, now)
            if lack is None:
                money.reserve(usd)
                model.in_flight.append(usd)
            else:
                used = model.within({"minute": 61.0, "day": 87_840.0}[lack.window] + 1e-3, now)
                assert used + usd > lack.limit_usd - 1e-6
                assert lack.retry_after is None or lack.retry_after >= 0.0
        elif model.in_flight:
            reserved = model.in_flight.pop()
            if step == "end":
                money.charge(reserved, reserved * share, now, is_retry=False)
                model.charges.append((now, reserved * share))
            else:
                money.give_back(reserved)
        assert model.within(60.0, now) <= per_minute + 1e-6
        assert model.within(86_400.0, now) <= per_day + 1e-6
        assert money.statistics(now).reserved_usd == pytest.approx(sum(model.in_flight), abs=1e-6)


@given(
    spent=st.lists(st.tuples(st.floats(0.0, 30.0), st.floats(0.0, 0.4)), max_size=20), usd=st.floats(0.0, 1.0)
)
def test_after_the_seconds_it_names_there_is_room(spent: list[tuple[float, float]], usd: float) -> None:
    money, now = purse(per_minute=1.0), 0.0
    for pause, amount in spent:
        now += pause
        if money.shortfall(amount, now) is None:
            spend(money, amount, now)
    lack = money.shortfall(usd, now)
    if lack is not None:
        assert lack.retry_after is not None
        assert money.shortfall(usd, now + lack.retry_after + 1e-6) is None
