"""Refusals and failures of providers: facts as attributes, one clear line of text."""

import pytest

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


@pytest.mark.parametrize(
    ("refusal", "text"),
    [
        (CircuitBreakerOpenError("openai"), "openai: the circuit breaker is open"),
        (ProviderBlockedError("openai"), "openai: blocked: check the account's quota and its key"),
        (ProviderFailedError("openai"), "openai: failed: it crashed too often, see its last crash"),
        (RateLimitedError("openai"), "openai: paused by a rate limit for longer than this call can wait"),
        (BudgetExceededError("openai"), "openai: the budget is spent"),
    ],
)
def test_a_refusal_says_why(refusal: Exception, text: str) -> None:
    assert str(refusal) == text


def test_a_refusal_keeps_its_own_reason_and_says_when_to_come_back() -> None:
    refusal = CircuitBreakerOpenError("openai", "5 failures in a row", retry_after=12.0)
    assert str(refusal) == "openai: 5 failures in a row; try again in 12 s"
    assert (refusal.provider, refusal.reason, refusal.retry_after) == ("openai", "5 failures in a row", 12.0)


@pytest.mark.parametrize(
    ("wait", "text"), [(0.3, "0.3"), (2.957, "2.96"), (998.0, "998"), (20_612.3, "20612")]
)
def test_a_wait_is_written_for_people(wait: float, text: str) -> None:
    assert str(CircuitBreakerOpenError("openai", retry_after=wait)).endswith(f"; try again in {text} s")
    late = ProviderError("openai", FailureKind.RATE_LIMIT, retry_after=wait)
    assert str(late).endswith(f"; try again in {text} s")


def test_a_bare_provider_error_names_provider_and_kind() -> None:
    error = ProviderError("anthropic", FailureKind.NETWORK)
    assert str(error) == "anthropic: network"
    assert (error.provider, error.kind, error.detail) == ("anthropic", FailureKind.NETWORK, "")
    assert (error.status, error.code, error.retry_after) == (None, None, None)
    assert (error.attempts, error.retryable) == (1, None)


def test_a_full_provider_error_tells_all_it_knows() -> None:
    error = ProviderError(
        "openai",
        FailureKind.RATE_LIMIT,
        "Rate limit reached",
        status=429,
        code="rate_limit_exceeded",
        retry_after=6.5,
        attempts=2,
        retryable=False,
    )
    assert str(error) == (
        "openai: rate_limit (status 429, rate_limit_exceeded): Rate limit reached; try again in 6.5 s"
    )
    assert (error.status, error.code, error.retry_after) == (429, "rate_limit_exceeded", 6.5)
    assert (error.attempts, error.retryable) == (2, False)


def test_a_broken_stream_hands_over_what_came() -> None:
    error = StreamBrokenError("openai", detail="no end marker", partial=["once", "upon"], code="eof")
    assert error.partial == ["once", "upon"]
    assert error.kind is FailureKind.STREAM_BROKEN
    assert str(error) == "openai: stream_broken (eof): no end marker"


def test_an_exhausted_call_carries_its_last_error_and_the_number_of_attempts() -> None:
    last = ProviderError("openai", FailureKind.SERVER, "Bad gateway", status=502)
    error = RetriesExhaustedError.after(last, 3)
    assert error.__cause__ is last
    assert (error.kind, error.status, error.attempts) == (FailureKind.SERVER, 502, 3)
    assert str(error) == "openai: server (status 502): gave up after 3 attempts: Bad gateway"


def test_an_exhausted_call_is_not_retried_once_more_by_its_caller() -> None:
    assert RetriesExhaustedError.after(ProviderError("openai", FailureKind.SERVER), 3).retryable is False


def test_an_exhausted_call_keeps_the_hint_of_its_last_error_unless_there_is_a_better_one() -> None:
    last = ProviderError("openai", FailureKind.OVERLOADED, retry_after=40.0)
    assert RetriesExhaustedError.after(last, 1).retry_after == 40.0
    assert RetriesExhaustedError.after(last, 1, retry_after=44.0).retry_after == 44.0


def test_an_exhausted_call_of_one_attempt_reads_well() -> None:
    error = RetriesExhaustedError.after(ProviderError("openai", FailureKind.TIMEOUT), 1)
    assert str(error) == "openai: timeout: gave up after 1 attempt"
