"""Retry decisions: which failure, which attempt, which wait."""

import math
import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relight.supervisors import FailureKind
from relight.supervisors.policies import Exponential, Fixed, GiveUp, Retry, RetryIn

RETRIED = {
    FailureKind.RATE_LIMIT,
    FailureKind.OVERLOADED,
    FailureKind.SERVER,
    FailureKind.TIMEOUT,
    FailureKind.NETWORK,
    FailureKind.STREAM_BROKEN,
    FailureKind.INVALID_RESPONSE,
}
NEVER = set(FailureKind) - RETRIED

kinds = st.sampled_from(list(FailureKind))
seconds = st.floats(0.0, 1e9)
hints = st.none() | st.floats()


def decide(
    retry: Retry,
    kind: FailureKind = FailureKind.SERVER,
    attempt: int = 1,
    *,
    retryable: bool | None = None,
    retry_after: float | None = None,
    time_left: float = 1000.0,
    seed: int = 1,
) -> RetryIn | GiveUp:
    return retry.decide(
        kind, attempt, retryable=retryable, retry_after=retry_after, time_left=time_left, rng=Random(seed)
    )


def test_defaults_are_three_attempts_and_one_second_doubling_to_thirty() -> None:
    retry = Retry()
    assert retry.attempts == 3
    assert retry.backoff == Exponential(1.0, cap=30.0, base=2.0, jitter="full")
    assert retry.kinds == RETRIED
    assert retry.backoff_by_kind == {}
    assert retry.attempts_by_kind == {}
    assert retry.max_wait == 120.0


@pytest.mark.parametrize("kind", sorted(RETRIED))
def test_a_passing_failure_is_retried_twice_and_then_given_up(kind: FailureKind) -> None:
    retry = Retry(backoff=Fixed(2.0))
    assert decide(retry, kind, 1) == RetryIn(2.0, hinted=False)
    assert decide(retry, kind, 2) == RetryIn(2.0, hinted=False)
    assert decide(retry, kind, 3) == GiveUp("attempts", None)


@pytest.mark.parametrize("kind", sorted(NEVER))
def test_a_lasting_failure_is_never_retried(kind: FailureKind) -> None:
    assert decide(Retry(), kind, 1) == GiveUp("kind", None)


@pytest.mark.parametrize(
    ("kind", "retryable", "retried"),
    [
        (FailureKind.SERVER, None, True),
        (FailureKind.SERVER, True, True),
        (FailureKind.SERVER, False, False),
        (FailureKind.TIMEOUT, None, False),
        (FailureKind.TIMEOUT, True, False),
        (FailureKind.TIMEOUT, False, False),
        (FailureKind.NOT_FOUND, None, False),
        (FailureKind.NOT_FOUND, True, True),
        (FailureKind.NOT_FOUND, False, False),
    ],
)
def test_a_failure_overrides_its_kind_but_not_the_policy(
    kind: FailureKind, *, retryable: bool | None, retried: bool
) -> None:
    without_timeouts = Retry(kinds=frozenset(RETRIED - {FailureKind.TIMEOUT}))
    decision = decide(without_timeouts, kind, retryable=retryable)
    assert isinstance(decision, RetryIn) == retried
    assert retried or decision == GiveUp("kind", None)


def test_the_backoff_grows_with_the_attempts() -> None:
    retry = Retry(attempts=10, backoff=Exponential(1.0, cap=30.0, jitter="none"))
    waits = [decide(retry, attempt=attempt) for attempt in range(1, 8)]
    assert waits == [RetryIn(float(wait), hinted=False) for wait in (1, 2, 4, 8, 16, 30, 30)]


def test_a_kind_may_have_its_own_backoff() -> None:
    retry = Retry(backoff=Fixed(1.0), backoff_by_kind={FailureKind.RATE_LIMIT: Fixed(60.0)})
    assert decide(retry, FailureKind.RATE_LIMIT) == RetryIn(60.0, hinted=False)
    assert decide(retry, FailureKind.SERVER) == RetryIn(1.0, hinted=False)


def test_a_kind_may_have_its_own_number_of_attempts() -> None:
    retry = Retry(attempts_by_kind={FailureKind.OVERLOADED: 5, FailureKind.TIMEOUT: 1})
    assert isinstance(decide(retry, FailureKind.OVERLOADED, 4), RetryIn)
    assert decide(retry, FailureKind.OVERLOADED, 5) == GiveUp("attempts", None)
    assert decide(retry, FailureKind.TIMEOUT, 1) == GiveUp("attempts", None)
    assert isinstance(decide(retry, FailureKind.SERVER, 2), RetryIn)


def test_one_attempt_means_no_retry() -> None:
    assert decide(Retry(attempts=1)) == GiveUp("attempts", None)


def test_a_server_hint_wins_over_the_backoff() -> None:
    decision = decide(Retry(backoff=Fixed(1.0)), FailureKind.RATE_LIMIT, retry_after=20.0)
    assert isinstance(decision, RetryIn)
    assert decision.hinted
    assert 20.0 <= decision.wait <= 22.0


def test_a_hinted_wait_is_spread_over_the_tenth_after_it() -> None:
    waits: list[float] = []
    for seed in range(500):
        decision = decide(Retry(), retry_after=20.0, seed=seed)
        assert isinstance(decision, RetryIn)
        waits.append(decision.wait)
    assert 20.0 <= min(waits) < 20.1
    assert 21.9 < max(waits) <= 22.0
    assert len(set(waits)) == len(waits)


@pytest.mark.parametrize("junk", [0.0, -5.0, math.nan, math.inf, -math.inf])
def test_a_hint_that_is_no_wait_is_ignored(junk: float) -> None:
    assert decide(Retry(backoff=Fixed(1.0)), retry_after=junk) == RetryIn(1.0, hinted=False)
    assert decide(Retry(), attempt=3, retry_after=junk) == GiveUp("attempts", None)
    assert decide(Retry(), FailureKind.QUOTA, retry_after=junk) == GiveUp("kind", None)


def test_a_hint_of_exactly_the_longest_wait_is_obeyed() -> None:
    for seed in range(100):
        assert decide(Retry(max_wait=120.0), retry_after=120.0, seed=seed) == RetryIn(120.0, hinted=True)


def test_a_hint_above_the_longest_wait_is_not_cut_short_but_reported() -> None:
    assert decide(Retry(), retry_after=171.0) == GiveUp("wait_too_long", 171.0)


def test_a_backoff_above_the_longest_wait_is_given_up_too() -> None:
    assert decide(Retry(backoff=Fixed(200.0))) == GiveUp("wait_too_long", 200.0)


def test_without_a_longest_wait_only_the_deadline_counts() -> None:
    patient = Retry(max_wait=math.inf)
    assert isinstance(decide(patient, retry_after=3600.0, time_left=10_000.0), RetryIn)


def test_a_wait_beyond_the_deadline_is_given_up_at_once() -> None:
    assert decide(Retry(backoff=Fixed(5.0)), time_left=4.9) == GiveUp("deadline", 5.0)


def test_a_hint_beyond_the_deadline_is_given_up_and_never_understated() -> None:
    decision = decide(Retry(), retry_after=60.0, time_left=59.0)
    assert isinstance(decision, GiveUp)
    assert decision.reason == "deadline"
    assert decision.retry_after is not None
    assert 60.0 <= decision.retry_after <= 66.0


def test_giving_up_passes_the_hint_on() -> None:
    assert decide(Retry(), FailureKind.QUOTA, retry_after=900.0) == GiveUp("kind", 900.0)
    assert decide(Retry(), FailureKind.SERVER, 3, retry_after=7.0) == GiveUp("attempts", 7.0)


@given(
    kind=kinds,
    attempt=st.integers(1, 20),
    retryable=st.none() | st.booleans(),
    retry_after=hints,
    time_left=seconds,
    max_wait=seconds,
    seed=st.integers(),
)
def test_a_retry_fits_the_attempts_the_longest_wait_and_the_deadline(
    kind: FailureKind,
    attempt: int,
    *,
    retryable: bool | None,
    retry_after: float | None,
    time_left: float,
    max_wait: float,
    seed: int,
) -> None:
    retry = Retry(attempts=5, max_wait=max_wait)
    decision = decide(
        retry, kind, attempt, retryable=retryable, retry_after=retry_after, time_left=time_left, seed=seed
    )
    if isinstance(decision, RetryIn):
        assert attempt < 5
        assert retryable or (retryable is None and kind.is_retryable)
        assert 0.0 <= decision.wait <= min(max_wait, time_left)
        assert not decision.hinted or (retry_after is not None and decision.wait >= retry_after)
    elif decision.reason in ("wait_too_long", "deadline"):
        assert decision.retry_after is not None
        assert decision.retry_after > (max_wait if decision.reason == "wait_too_long" else time_left)


@pytest.mark.parametrize("attempts", [0, 11, -1])
def test_retry_refuses_attempts_out_of_range(attempts: int) -> None:
    with pytest.raises(ValueError, match=re.escape(f"Retry.attempts must be 1..10, got {attempts}")):
        Retry(attempts=attempts)


def test_retry_refuses_attempts_out_of_range_for_a_kind() -> None:
    with pytest.raises(ValueError, match=re.escape("Retry.attempts_by_kind[server] must be 1..10, got 0")):
        Retry(attempts_by_kind={FailureKind.SERVER: 0})


def test_retry_refuses_a_negative_longest_wait() -> None:
    with pytest.raises(ValueError, match=r"Retry\.max_wait must be 0\.\.inf, got -1\.0"):
        Retry(max_wait=-1.0)


def test_retry_refuses_kinds_that_are_never_retried() -> None:
    with pytest.raises(
        ValueError, match=re.escape("Retry.kinds must not hold kinds that are never retried, got auth, quota")
    ):
        Retry(kinds=frozenset({FailureKind.SERVER, FailureKind.QUOTA, FailureKind.AUTH}))
