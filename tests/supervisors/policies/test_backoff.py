"""Waits between attempts: never negative, never above the cap, spread by jitter."""

import math
import re
from random import Random
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relight import Actor, Child, ChildSpecError, FailureKind
from relight.supervisors.policies import (
    Backoff,
    Decorrelated,
    Exponential,
    Fixed,
    Policy,
    Retry,
    flaw_of,
    wait_of,
)

Jitter = Literal["full", "equal", "none"]

attempts = st.integers(1, 10_000)
jitters = st.sampled_from(("full", "equal", "none"))
seconds = st.floats(0.0, 1e6)


def exponential_waits(jitter: Jitter, count: int = 1000) -> list[float]:
    rng = Random(1)
    backoff = Exponential(8.0, cap=8.0, jitter=jitter)
    return [backoff.wait(1, rng) for _ in range(count)]


def test_exponential_doubles_from_the_initial_wait_up_to_the_cap() -> None:
    backoff = Exponential(1.0, cap=30.0, jitter="none")
    assert [backoff.wait(attempt, Random(1)) for attempt in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]


def test_exponential_grows_by_its_base() -> None:
    backoff = Exponential(0.5, cap=100.0, base=3.0, jitter="none")
    assert [backoff.wait(attempt, Random(1)) for attempt in range(1, 5)] == [0.5, 1.5, 4.5, 13.5]


def test_exponential_defaults_are_one_second_doubling_to_thirty_with_full_jitter() -> None:
    assert Exponential() == Exponential(1.0, cap=30.0, base=2.0, jitter="full")


def test_full_jitter_spreads_over_the_whole_wait() -> None:
    waits = exponential_waits("full")
    assert min(waits) < 0.5
    assert max(waits) > 7.5
    assert max(waits) <= 8.0


def test_equal_jitter_keeps_half_of_the_wait() -> None:
    waits = exponential_waits("equal")
    assert 4.0 <= min(waits) < 4.5
    assert 7.5 < max(waits) <= 8.0


@given(
    initial=seconds,
    extra=seconds,
    base=st.floats(1.0, 1e6),
    jitter=jitters,
    attempt=attempts,
    seed=st.integers(),
)
def test_exponential_stays_between_zero_and_its_cap(
    initial: float, extra: float, base: float, jitter: Jitter, attempt: int, seed: int
) -> None:
    cap = initial + extra
    wait = Exponential(initial, cap=cap, base=base, jitter=jitter).wait(attempt, Random(seed))
    assert 0.0 <= wait <= cap


@given(attempt=attempts)
def test_exponential_never_gets_shorter_without_jitter(attempt: int) -> None:
    backoff = Exponential(0.1, cap=1e9, base=1.5, jitter="none")
    assert backoff.wait(attempt + 1, Random(1)) >= backoff.wait(attempt, Random(1))


@pytest.mark.parametrize("base", [1.1, 2.0, 2, 10.0])
def test_exponential_does_not_overflow_at_attempt_ten_thousand(base: float) -> None:
    assert Exponential(1.0, cap=300.0, base=base, jitter="none").wait(10_000, Random(1)) == 300.0


def test_exponential_without_growth_waits_the_initial_time() -> None:
    assert Exponential(2.0, base=1.0, jitter="none").wait(10_000, Random(1)) == 2.0


@given(
    initial=seconds,
    extra=st.floats(0.0, 1.7e308),
    base=st.floats(1.0, 1e300),
    attempt=attempts,
    seed=st.integers(),
)
def test_decorrelated_stays_between_its_initial_wait_and_its_cap(
    initial: float, extra: float, base: float, attempt: int, seed: int
) -> None:
    cap = initial + extra
    wait = Decorrelated(initial, cap=cap, base=base).wait(attempt, Random(seed))
    assert initial <= wait <= cap


def test_decorrelated_first_waits_up_to_three_times_the_initial_time() -> None:
    rng = Random(1)
    waits = [Decorrelated(2.0, cap=100.0).wait(1, rng) for _ in range(1000)]
    assert 2.0 <= min(waits) < 2.1
    assert 5.9 < max(waits) <= 6.0


def remembered_waits(initial: float, cap: float, count: int, rng: Random) -> list[float]:
    """The algorithm as it was published, with its memory: each wait is drawn from the one before."""
    waits: list[float] = []
    sleep = initial
    for _ in range(count):
        sleep = min(cap, rng.uniform(initial, sleep * 3.0))
        waits.append(sleep)
    return waits


@pytest.mark.parametrize("attempt", [1, 2, 3, 6, 10])
def test_decorrelated_waits_are_spread_as_those_of_one_kept_row(attempt: int) -> None:
    rng = Random(attempt)
    rows = 4_000
    backoff = Decorrelated(1.0, cap=30.0)
    ours = sorted(backoff.wait(attempt, rng) for _ in range(rows))
    theirs = sorted(remembered_waits(1.0, 30.0, attempt, rng)[-1] for _ in range(rows))
    for tenth in range(1, 10):
        place = rows * tenth // 10
        assert ours[place] == pytest.approx(theirs[place], rel=0.15)


def test_decorrelated_waits_of_one_call_are_mostly_longer_each_time() -> None:
    rng = Random(1)
    means = [sum(Decorrelated(1.0, cap=300.0).wait(n, rng) for _ in range(2000)) / 2000 for n in range(1, 8)]
    assert means == sorted(means)


def test_decorrelated_defaults_are_one_second_three_times_and_thirty() -> None:
    assert Decorrelated() == Decorrelated(1.0, cap=30.0, base=3.0)


def test_decorrelated_at_attempt_ten_thousand_costs_no_more_than_at_a_hundred() -> None:
    late, early = Random(3), Random(3)
    backoff = Decorrelated(1.0)
    assert backoff.wait(10_000, late) == backoff.wait(100, early)
    assert late.random() == early.random()


@pytest.mark.parametrize(
    ("initial", "cap", "base", "complaint"),
    [
        (-1.0, 30.0, 3.0, "Decorrelated.initial must be 0 or more, and finite, got -1.0"),
        (1.0, 0.5, 3.0, "Decorrelated.cap must be 1 or more, and finite, got 0.5"),
        (1.0, 30.0, math.nan, "Decorrelated.base must be 1 or more, and finite, got nan"),
    ],
)
def test_decorrelated_refuses_a_wrong_number(initial: float, cap: float, base: float, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        Decorrelated(initial, cap=cap, base=base)


def test_fixed_waits_the_same_after_every_attempt() -> None:
    backoff = Fixed(60.0)
    assert [backoff.wait(attempt, Random(attempt)) for attempt in (1, 2, 10_000)] == [60.0, 60.0, 60.0]


def test_fixed_jitter_adds_up_to_its_share() -> None:
    rng = Random(1)
    waits = [Fixed(60.0, jitter=0.1).wait(1, rng) for _ in range(1000)]
    assert 60.0 <= min(waits) < 60.5
    assert 65.5 < max(waits) <= 66.0


@given(delay=seconds, jitter=st.floats(0.0, 1.0), attempt=attempts, seed=st.integers())
def test_fixed_is_never_shorter_than_its_delay(delay: float, jitter: float, attempt: int, seed: int) -> None:
    assert delay <= Fixed(delay, jitter=jitter).wait(attempt, Random(seed)) <= 2.0 * delay


@pytest.mark.parametrize(
    "backoff", [Exponential(), Exponential(jitter="equal"), Decorrelated(), Fixed(5.0, jitter=0.5)]
)
def test_the_same_seed_gives_the_same_waits(backoff: Backoff) -> None:
    first, second = Random(7), Random(7)
    assert [backoff.wait(n, first) for n in range(1, 9)] == [backoff.wait(n, second) for n in range(1, 9)]


@pytest.mark.parametrize(
    ("initial", "cap", "base", "complaint"),
    [
        (-1.0, 30.0, 2.0, "Exponential.initial must be 0 or more, and finite, got -1.0"),
        (math.nan, 30.0, 2.0, "Exponential.initial must be 0 or more, and finite, got nan"),
        (1.0, 0.5, 2.0, "Exponential.cap must be 1 or more, and finite, got 0.5"),
        (1.0, math.inf, 2.0, "Exponential.cap must be 1 or more, and finite, got inf"),
        (1.0, 30.0, 0.5, "Exponential.base must be 1 or more, and finite, got 0.5"),
    ],
)
def test_exponential_refuses_a_wrong_number(initial: float, cap: float, base: float, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        Exponential(initial, cap=cap, base=base)


def test_exponential_refuses_an_unknown_jitter() -> None:
    complaint = 'Exponential.jitter must be "full", "equal" or "none", got \'some\''
    with pytest.raises(ValueError, match=re.escape(complaint)):
        Exponential(jitter="some")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("delay", "jitter", "complaint"),
    [
        (-1.0, 0.0, "Fixed.delay must be 0 or more, and finite, got -1.0"),
        (math.inf, 0.0, "Fixed.delay must be 0 or more, and finite, got inf"),
        (1.0, 1.5, "Fixed.jitter must be 0..1, got 1.5"),
    ],
)
def test_fixed_refuses_a_wrong_number(delay: float, jitter: float, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        Fixed(delay, jitter=jitter)


class Raising:
    def wait(self, attempt: int, rng: Random) -> float:
        if attempt > 5:
            raise ZeroDivisionError
        return 1.0


class Returning:
    def __init__(self, seconds: float, attempt: int = 1) -> None:
        self.seconds = seconds
        self.attempt = attempt

    def wait(self, attempt: int, rng: Random) -> float:
        return self.seconds if attempt >= self.attempt else 1.0


@pytest.mark.parametrize(
    ("backoff", "flaw"),
    [
        (object(), "must be a backoff"),
        (Raising(), "raised ZeroDivisionError for attempt 10000"),
        (Returning(math.nan), "returned nan for attempt 1"),
        (Returning(math.inf, 2), "returned inf for attempt 2"),
        (Returning(-1.0), "returned -1.0"),
    ],
)
def test_a_backoff_that_goes_wrong_is_refused_when_the_policy_is_built(backoff: Backoff, flaw: str) -> None:
    with pytest.raises(ValueError, match=rf"Retry.backoff .*{flaw}"):
        Retry(backoff=backoff)
    with pytest.raises(ValueError, match=rf"Retry.backoff_by_kind\[timeout\] .*{flaw}"):
        Retry(backoff_by_kind={FailureKind.TIMEOUT: backoff})
    with pytest.raises(ValueError, match=rf"Policy.restart_backoff .*{flaw}"):
        Policy(restart_backoff=backoff)
    with pytest.raises(ChildSpecError, match=rf"Child.backoff .*{flaw}"):
        Child("child", Actor, backoff=backoff)


@pytest.mark.parametrize("backoff", [Returning(2.0), Exponential(1.0), Decorrelated(1.0), Fixed(0.0)])
def test_a_backoff_of_ones_own_is_taken(backoff: Backoff) -> None:
    assert flaw_of(backoff) is None
    assert Retry(backoff=backoff).wait(FailureKind.TIMEOUT, 1, None, Random(1)) >= 0.0


@pytest.mark.parametrize("backoff", [Raising(), Returning(math.nan), Returning(-1.0), Returning(math.inf)])
def test_one_that_goes_wrong_in_spite_of_its_trial_waits_as_the_default_does(backoff: Backoff) -> None:
    assert wait_of(backoff, 6, Random(1)) == Exponential(1.0, cap=30.0).wait(6, Random(1))
