"""The rate limit: evenly spread, in debt after a large call, and corrected by what the provider says."""

import math
import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from relight.supervisors.policies import Allowance, RateLimit, RateLimiter, RateReport


def begin_all(limiter: RateLimiter, tokens: list[float], until: float = math.inf) -> list[float]:
    """Begin calls as early as it lets them; return when each began."""
    now = 0.0
    moments: list[float] = []
    for amount in tokens:
        now += limiter.wait(now, amount)
        if now > until:
            break
        limiter.take(now, amount)
        moments.append(now)
    return moments


def test_calls_are_spread_evenly_after_a_burst() -> None:
    limiter = RateLimit(requests_per_minute=60, burst=3.0).limiter()
    moments = begin_all(limiter, [0.0] * 6)
    assert moments == pytest.approx([0.0, 0.0, 0.0, 1.0, 2.0, 3.0])


def test_at_least_one_call_is_let_through_at_once() -> None:
    limiter = RateLimit(requests_per_minute=6, burst=0.1).limiter()
    assert begin_all(limiter, [0.0] * 3) == pytest.approx([0.0, 10.0, 20.0])


def test_tokens_count_as_they_are_estimated() -> None:
    limiter = RateLimit(tokens_per_minute=6000, burst=6.0).limiter()
    assert begin_all(limiter, [400.0, 200.0, 300.0, 100.0]) == pytest.approx([0.0, 0.0, 3.0, 4.0])


def test_a_call_larger_than_the_bucket_waits_until_that_is_full_and_leaves_a_debt() -> None:
    limiter = RateLimit(tokens_per_minute=600, burst=6.0).limiter()
    assert begin_all(limiter, [10.0, 600.0, 10.0]) == pytest.approx([0.0, 1.0, 1.0 + 55.0])


def test_usage_corrects_the_estimate() -> None:
    limiter = RateLimit(tokens_per_minute=600, burst=6.0).limiter()
    limiter.take(0.0, 60.0)
    assert limiter.wait(0.0, 60.0) == pytest.approx(6.0)
    limiter.settle(0.0, 60.0, 20.0)
    assert limiter.wait(0.0, 60.0) == pytest.approx(2.0)
    limiter.take(2.0, 60.0)
    limiter.settle(2.0, 60.0, 120.0)
    assert limiter.wait(2.0, 60.0) == pytest.approx(12.0)


def test_tokens_nobody_knew_are_counted_when_the_answer_tells() -> None:
    limiter = RateLimit(tokens_per_minute=600, burst=6.0).limiter()
    limiter.take(0.0, None)
    assert limiter.statistics(0.0).unknown_tokens == 1
    assert limiter.statistics(0.0).tokens_left == 60.0
    limiter.settle(0.0, None, 60.0)
    assert limiter.statistics(0.0).tokens_left == pytest.approx(0.0)


def test_an_estimate_stands_where_no_usage_is_known() -> None:
    limiter = RateLimit(tokens_per_minute=600, burst=6.0).limiter()
    limiter.take(0.0, 60.0)
    limiter.settle(0.0, 60.0, None)
    assert limiter.statistics(0.0).tokens_left == pytest.approx(0.0)


def test_what_was_not_sent_is_given_back() -> None:
    limiter = RateLimit(requests_per_minute=60, tokens_per_minute=600, burst=1.0).limiter()
    limiter.take(0.0, 10.0)
    assert limiter.wait(0.0, 10.0) == pytest.approx(1.0)
    limiter.give_back(0.0, 10.0)
    assert limiter.wait(0.0, 10.0) == 0.0


def test_who_is_behind_others_waits_for_them_too() -> None:
    limiter = RateLimit(requests_per_minute=60, burst=2.0).limiter()
    assert [limiter.wait(0.0, ahead=ahead) for ahead in range(4)] == pytest.approx([0.0, 0.0, 1.0, 2.0])


def test_without_a_number_only_the_provider_bounds_it() -> None:
    limiter = RateLimit().limiter()
    assert limiter.wait(0.0, 1e9, ahead=1_000_000) == 0.0
    assert limiter.statistics(0.0).requests_left is None
    assert limiter.statistics(0.0).tokens_left is None
    limiter.take(0.0, 100.0)
    limiter.report(RateReport(Allowance(0.0, 60.0, 60.0), Allowance(500.0, 1000.0, 30.0)), 0.0, 100.0)
    assert limiter.wait(0.0) == pytest.approx(1.0)
    assert limiter.wait(1.0, 500.0) == 0.0
    assert limiter.wait(1.0, 800.0) == pytest.approx((300.0 * 30.0 / 500.0) - 1.0)
    assert limiter.statistics(0.0).reports == 1


def test_the_provider_can_only_make_it_slower_than_the_policy() -> None:
    limiter = RateLimit(requests_per_minute=60, burst=1.0).limiter()
    limiter.take(0.0, 0.0)
    limiter.report(RateReport(Allowance(9999.0, 10_000.0, 0.006)), 0.0)
    assert limiter.wait(0.0) == pytest.approx(1.0)
    limiter.report(RateReport(Allowance(0.0, 10.0, 60.0)), 0.0)
    assert limiter.wait(0.0) == pytest.approx(6.0)


def test_calls_on_their_way_are_taken_off_what_is_left() -> None:
    limiter = RateLimit().limiter()
    for _ in range(4):
        limiter.take(0.0, 100.0)
    limiter.report(RateReport(Allowance(5.0, 60.0), Allowance(500.0, 6000.0)), 0.0, 100.0)
    assert limiter.statistics(0.0).requests_left == pytest.approx(2.0)
    assert limiter.statistics(0.0).tokens_left == pytest.approx(200.0)


@pytest.mark.parametrize(
    ("said", "wait"),
    [
        (Allowance(0.0), 60.0),
        (Allowance(0.0, 60.0), 1.0),
        (Allowance(0.0, 0.0), 60.0),
        (Allowance(0.0, None, 5.0), 5.0),
        (Allowance(0.0, 60.0, -1.0), 1.0),
        (Allowance(3.0, None, 5.0), 0.0),
        (Allowance(60.0, 60.0, 0.0), 0.0),
    ],
)
def test_what_a_provider_leaves_out_is_guessed(said: Allowance, wait: float) -> None:
    limiter = RateLimit().limiter()
    limiter.take(0.0, 0.0)
    limiter.report(RateReport(said), 0.0)
    assert limiter.wait(0.0) == pytest.approx(wait)


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        (
            "requests_per_minute",
            0.0,
            "RateLimit.requests_per_minute must be more than 0, and finite, got 0.0",
        ),
        (
            "tokens_per_minute",
            math.inf,
            "RateLimit.tokens_per_minute must be more than 0, and finite, got inf",
        ),
        ("burst", 0.0, "RateLimit.burst must be more than 0 seconds, and finite, got 0.0"),
    ],
)
def test_a_wrong_number_is_refused(field: str, value: float, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        RateLimit(**{field: value})


class Level:
    """A token bucket the plain way: a level that is filled up second by second."""

    def __init__(self, per_minute: float, burst: float) -> None:
        self.rate = per_minute / 60.0
        self.capacity = max(1.0, self.rate * burst)
        self.level = self.capacity
        self.at = 0.0

    def fill(self, now: float) -> None:
        self.level = min(self.capacity, self.level + (now - self.at) * self.rate)
        self.at = now

    def wait(self, amount: float, now: float) -> float:
        self.fill(now)
        return max(0.0, (min(amount, self.capacity) - self.level) / self.rate)

    def take(self, amount: float, now: float) -> None:
        self.fill(now)
        self.level = min(self.capacity, self.level - amount)


limits = st.floats(1.0, 10_000.0)
bursts = st.floats(0.1, 60.0)


@given(
    requests=limits,
    tokens=limits,
    burst=bursts,
    calls=st.lists(
        st.tuples(st.floats(0.0, 30.0), st.floats(0.0, 2000.0), st.floats(0.0, 3000.0)), max_size=30
    ),
)
def test_it_says_what_two_buckets_filled_by_hand_say(
    requests: float, tokens: float, burst: float, calls: list[tuple[float, float, float]]
) -> None:
    limiter = RateLimit(requests_per_minute=requests, tokens_per_minute=tokens, burst=burst).limiter()
    by_request, by_token, now = Level(requests, burst), Level(tokens, burst), 0.0
    for pause, guess, used in calls:
        now += pause
        wait = limiter.wait(now, guess)
        expected = max(by_request.wait(1.0, now), by_token.wait(guess, now))
        assert wait == pytest.approx(expected, abs=1e-5, rel=1e-6)
        now += wait
        limiter.take(now, guess)
        by_request.take(1.0, now)
        by_token.take(guess, now)
        limiter.settle(now, guess, used)
        by_token.take(used - guess, now)
    left = limiter.statistics(now)
    by_request.fill(now)
    by_token.fill(now)
    assert left.requests_left == pytest.approx(by_request.level, abs=1e-3, rel=1e-6)
    assert left.tokens_left == pytest.approx(by_token.level, abs=1e-3, rel=1e-6)


@given(requests=st.floats(1.0, 600.0), burst=bursts, start=st.integers(0, 60))
def test_no_minute_has_more_calls_than_the_limit_and_its_burst(
    requests: float, burst: float, start: int
) -> None:
    limiter = RateLimit(requests_per_minute=requests, burst=burst).limiter()
    moments = begin_all(limiter, [0.0] * 2000, until=180.0)
    assume(moments)
    counted = sum(1 for moment in moments if start <= moment < start + 60.0)
    assert counted <= requests + max(1.0, requests / 60.0 * burst) + 1.0


@given(
    said=st.lists(
        st.tuples(
            st.floats(0.0, 10.0),
            st.floats(0.0, 100.0),
            st.none() | st.floats(-1.0, 100.0),
            st.none() | st.floats(-1.0, 100.0),
        ),
        max_size=20,
    )
)
def test_whatever_a_provider_says_a_call_gets_its_turn(
    said: list[tuple[float, float, float | None, float | None]],
) -> None:
    limiter, now = RateLimit().limiter(), 0.0
    for pause, remaining, limit, resets_in in said:
        now += pause
        limiter.take(now, 0.0)
        limiter.report(RateReport(Allowance(remaining, limit, resets_in)), now)
        wait = limiter.wait(now)
        assert 0.0 <= wait < math.inf
        limiter.settle(now, 0.0, None)
        assert limiter.wait(now + wait) <= 1e-5
