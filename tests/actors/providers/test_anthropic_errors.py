"""Anthropic's errors, row by row."""

from datetime import UTC, datetime

import msgspec
import pytest

from relight.actors.providers import Anthropic
from relight.supervisors import FailureKind, ProviderError

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
BALANCE = "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing."
LIMITS = (
    "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC."
)


def classify(status: int, body: object, headers: dict[str, str] | None = None) -> ProviderError:
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return Anthropic.errors.classify("anthropic", status, headers or {}, data, now=NOW)


def error(type_: str, message: str = "", code: str | None = None) -> dict[str, object]:
    details = None if code is None else {"error_code": code}
    inner = {"type": type_, "message": message, "details": details}
    return {"type": "error", "error": inner, "request_id": "req_1"}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (
            400,
            error("invalid_request_error", "messages: at least one message is required"),
            FailureKind.BAD_REQUEST,
        ),
        (
            400,
            error("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
            FailureKind.CONTEXT_LENGTH,
        ),
        (
            400,
            error(
                "invalid_request_error",
                "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
            ),
            FailureKind.CONTEXT_LENGTH,
        ),
        (400, error("invalid_request_error", BALANCE), FailureKind.QUOTA),
        (400, error("invalid_request_error", LIMITS), FailureKind.QUOTA),
        (401, error("authentication_error", "invalid x-api-key"), FailureKind.AUTH),
        (402, error("billing_error", code="linked_organization_spend_limit_reached"), FailureKind.QUOTA),
        (402, error("billing_error", code="linked_organization_billing_unavailable"), FailureKind.QUOTA),
        (402, b"", FailureKind.QUOTA),
        (408, b"", FailureKind.TIMEOUT),
        (403, error("permission_error"), FailureKind.AUTH),
        (403, b"", FailureKind.AUTH),
        (404, error("not_found_error", "model: claude-99"), FailureKind.NOT_FOUND),
        (413, error("request_too_large"), FailureKind.BAD_REQUEST),
        (
            413,
            b"<html><center><h1>413 Request Entity Too Large</h1></center></html>",
            FailureKind.BAD_REQUEST,
        ),
        (429, error("rate_limit_error"), FailureKind.RATE_LIMIT),
        (429, error("rate_limit_error", code="enforced_spend_limit_reached"), FailureKind.QUOTA),
        (429, error("rate_limit_error", code="contract_spend_limit_reached"), FailureKind.QUOTA),
        (429, error("rate_limit_error", code="ramp_limit_exceeded"), FailureKind.RATE_LIMIT),
        (500, error("api_error", "Internal server error"), FailureKind.SERVER),
        (502, b"<html>", FailureKind.SERVER),
        (504, error("timeout_error"), FailureKind.TIMEOUT),
        (529, error("overloaded_error", "Overloaded"), FailureKind.OVERLOADED),
        (529, b"", FailureKind.OVERLOADED),
        (520, b"<html>", FailureKind.SERVER),
        # the same by type where the status is a stream's 200
        (200, error("overloaded_error", "Overloaded"), FailureKind.OVERLOADED),
        (200, error("rate_limit_error"), FailureKind.RATE_LIMIT),
        (200, error("api_error"), FailureKind.SERVER),
        (200, error("timeout_error"), FailureKind.TIMEOUT),
        (200, error("authentication_error"), FailureKind.AUTH),
        (200, error("permission_error"), FailureKind.AUTH),
        (200, error("not_found_error"), FailureKind.NOT_FOUND),
        (200, error("billing_error"), FailureKind.QUOTA),
        (200, error("rate_limit_error", code="enforced_spend_limit_reached"), FailureKind.QUOTA),
        (200, error("request_too_large"), FailureKind.BAD_REQUEST),
        (200, error("invalid_request_error", BALANCE), FailureKind.QUOTA),
        (200, error("invalid_request_error"), FailureKind.BAD_REQUEST),
        (200, b"{", FailureKind.INVALID_RESPONSE),
    ],
)
def test_each_error_of_anthropic_is_classified(status: int, body: object, kind: FailureKind) -> None:
    assert classify(status, body).kind is kind


def test_a_conflict_may_be_retried_though_it_is_no_fault_of_the_server() -> None:
    assert classify(409, b"").retryable is True


def test_the_detailed_code_is_kept_or_else_the_type() -> None:
    assert classify(429, error("rate_limit_error", code="ramp_limit_exceeded")).code == "ramp_limit_exceeded"
    assert classify(529, error("overloaded_error")).code == "overloaded_error"


def test_a_rate_limits_header_says_how_long() -> None:
    assert classify(429, error("rate_limit_error"), {"retry-after": "171"}).retry_after == 171.0
