"""Fallback: after which errors the next provider is asked, and how long each may take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relight.runtime import DeadlineExceededError, RefusalError
from relight.supervisors import (
    BudgetExceededError,
    CircuitBreakerOpenError,
    FailureKind,
    ProviderBlockedError,
    ProviderError,
    ProviderFailedError,
    RateLimitedError,
    RetriesExhaustedError,
    StreamBrokenError,
)
from relight.supervisors.policies import Fallback

REQUESTS = {"bad_request", "context_length", "content_policy", "not_found", "bug"}


def decide(
    error: Exception, policy: Fallback | None = None, *, left: float = 60.0, is_last: bool = False
) -> str:
    return (policy or Fallback()).decide(error, time_left=left, is_last=is_last)


@pytest.mark.parametrize("kind", FailureKind)
def test_what_the_provider_is_to_blame_for_falls_back_and_what_the_request_is_does_not(
    kind: FailureKind,
) -> None:
    assert decide(ProviderError("p", kind)) == ("fail" if kind in REQUESTS else "next")
    assert decide(RetriesExhaustedError("p", kind)) == ("fail" if kind in REQUESTS else "next")


def test_kinds_that_are_named_fall_back_and_no_others() -> None:
    policy = Fallback(kinds=frozenset({FailureKind.CONTEXT_LENGTH}))
    assert decide(ProviderError("p", FailureKind.CONTEXT_LENGTH), policy) == "next"
    assert decide(ProviderError("p", FailureKind.SERVER), policy) == "fail"
    assert decide(StreamBrokenError("p"), policy) == "fail"


@pytest.mark.parametrize(
    "refusal",
    [CircuitBreakerOpenError, ProviderBlockedError, ProviderFailedError, RateLimitedError],
)
def test_refusals_fall_back(refusal: type[RefusalError]) -> None:
    assert decide(refusal("p")) == "next"  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def test_a_budget_that_is_spent_is_not_spent_elsewhere_unless_wished() -> None:
    assert decide(BudgetExceededError("p")) == "fail"
    assert decide(BudgetExceededError("p"), Fallback(over_budget=True)) == "next"


def test_a_deadline_falls_back_only_where_it_was_patience_that_ended() -> None:
    late = DeadlineExceededError("p", "too late")
    assert decide(late) == "fail"
    assert decide(late, Fallback(patience=5.0)) == "next"
    assert decide(late, Fallback(patience=5.0), left=0.05) == "fail"


@pytest.mark.parametrize("error", [ValueError(), KeyError(), ConnectionError(), TimeoutError()])
def test_unexpected_errors_are_the_caller_s(error: Exception) -> None:
    assert decide(error, Fallback(patience=1.0)) == "fail"


@given(st.floats(0.0, 1000.0), st.floats(0.0, 10.0), st.booleans())
def test_the_last_provider_s_error_and_one_without_time_left_are_final(
    left: float, least: float, is_last: bool
) -> None:
    error = ProviderError("p", FailureKind.SERVER)
    expected = "next" if left >= least and not is_last else "fail"
    assert decide(error, Fallback(least_time=least), left=left, is_last=is_last) == expected


@given(st.one_of(st.none(), st.floats(0.01, 100.0)), st.floats(0.0, 100.0), st.booleans())
def test_no_provider_gets_more_than_is_left_and_the_last_gets_all_of_it(
    patience: float | None, left: float, is_last: bool
) -> None:
    seconds = Fallback(patience=patience).turn(left, is_last=is_last)
    assert seconds == (left if is_last or patience is None else min(patience, left))


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"patience": 0.0}, "Fallback.patience must be more than 0"),
        ({"least_time": -1.0}, "Fallback.least_time must be 0"),
        ({"call_timeout": 0.0}, "Fallback.call_timeout must be more than 0"),
    ],
)
def test_wrong_numbers_are_refused_when_it_is_built(fields: dict[str, float], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Fallback(**fields)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
