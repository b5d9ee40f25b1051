"""The retry budget: a share of the calls of the last minute, and a few more."""

import math
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relight.supervisors.policies import RetryBudget, RetryBudgetStatistics, RetryLedger

WINDOW = 60.0
SLICE = 1.0


def granted(ledger: RetryLedger, now: float) -> int:
    """Ask until it says no."""
    count = 0
    while count < 1_000 and ledger.grant(now):
        count += 1
    return count


def test_a_quiet_service_has_ten_retries_a_minute() -> None:
    ledger = RetryBudget().ledger()
    assert granted(ledger, 5.0) == 10
    for _ in range(10):
        ledger.made(5.0)
    assert granted(ledger, 60.0) == 0
    assert granted(ledger, 66.0) == 10


def test_a_busy_one_has_three_for_ten_calls_more() -> None:
    ledger = RetryBudget().ledger()
    for _ in range(200):
        ledger.called(1.0)
    assert granted(ledger, 2.0) == 70
    assert ledger.statistics(2.0) == RetryBudgetStatistics(
        calls=200, retries=0, granted=70, left=0.0, refused=1
    )


def test_calls_of_more_than_a_minute_ago_do_not_count() -> None:
    ledger = RetryBudget(per_minute=0.0).ledger()
    for _ in range(100):
        ledger.called(0.0)
    assert ledger.left(60.0) == pytest.approx(30.0)
    assert ledger.left(61.0) == 0.0


def test_what_is_given_back_may_be_granted_again() -> None:
    ledger = RetryBudget(share=0.0, per_minute=1.0).ledger()
    assert ledger.grant(0.0)
    assert not ledger.grant(0.0)
    ledger.give_back()
    assert ledger.grant(0.0)


def test_a_budget_of_nothing_grants_nothing() -> None:
    ledger = RetryBudget(share=0.0, per_minute=0.0).ledger()
    ledger.called(0.0)
    assert not ledger.grant(0.0)


def test_the_share_may_be_so_large_that_it_bounds_nothing() -> None:
    ledger = RetryBudget(share=9.0, per_minute=0.0).ledger()
    ledger.called(0.0)
    assert granted(ledger, 0.0) == 9


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("share", -0.1, "RetryBudget.share must be 0..10, got -0.1"),
        ("share", math.nan, "RetryBudget.share must be 0..10, got nan"),
        ("per_minute", -1.0, "RetryBudget.per_minute must be 0..1e+06, got -1.0"),
        ("window", 0.0, "RetryBudget.window must be more than 0 seconds, and finite, got 0.0"),
    ],
)
def test_a_wrong_number_is_refused(field: str, value: float, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        RetryBudget(**{field: value})


calls_and_waits = st.lists(
    st.tuples(
        st.floats(0.0, 20.0),
        st.sampled_from(["call", "retry", "retry", "make", "give_back"]),
    ),
    max_size=120,
)


class Model:
    """All moments, in lists: what `RetryLedger` sums up."""

    def __init__(self, spec: RetryBudget) -> None:
        self.spec = spec
        self.calls: list[float] = []
        self.grants: list[float] = []
        self.waiting = 0

    def count(self, moments: list[float], now: float, window: float) -> int:
        return sum(1 for moment in moments if now - moment <= window)

    def most(self, now: float) -> float:
        """Retries there may be at *now*, with the calls of a slice too many."""
        calls = self.count(self.calls, now, self.spec.window * (1 + 1 / 60) + 1e-6)
        return self.spec.share * calls + self.spec.per_minute * self.spec.window / 60.0


def replay(spec: RetryBudget, steps: list[tuple[float, str]]) -> Iterator[tuple[Model, float]]:
    ledger, model, now = spec.ledger(), Model(spec), 0.0
    for wait, step in steps:
        now += wait
        if step == "call":
            ledger.called(now)
            model.calls.append(now)
        elif step == "retry":
            if ledger.grant(now):
                model.grants.append(now)
                model.waiting += 1
        elif model.waiting:
            model.waiting -= 1
            if step == "make":
                ledger.made(now)
            else:
                ledger.give_back()
                model.grants.pop()
        assert ledger.statistics(now).granted == model.waiting
        yield model, now


@given(
    steps=calls_and_waits,
    share=st.sampled_from([0.0, 0.1, 0.3, 1.0]),
    per_minute=st.sampled_from([0.0, 1.0, 10.0]),
)
def test_no_window_has_more_retries_than_the_budget(
    steps: list[tuple[float, str]], share: float, per_minute: float
) -> None:
    spec = RetryBudget(share=share, per_minute=per_minute)
    for model, now in replay(spec, steps):
        if model.grants and model.grants[-1] == now:
            assert model.count(model.grants, now, spec.window) <= model.most(now) + 1e-6


@given(rate=st.integers(200, 2_000), attempts=st.integers(2, 10))
def test_a_total_outage_costs_at_most_1_4_attempts_a_call(rate: int, attempts: int) -> None:
    """At 200 calls a minute or more; for three minutes, each call retried as often as it may."""
    ledger, sent = RetryBudget().ledger(), 0
    for number in range(3 * rate):
        now = number * 60.0 / rate
        ledger.called(now)
        sent += 1
        for _ in range(attempts - 1):
            if not ledger.grant(now):
                break
            ledger.made(now)
            sent += 1
    assert sent <= 1.4 * 3 * rate
