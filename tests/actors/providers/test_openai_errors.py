"""OpenAI's errors, row by row."""

from datetime import UTC, datetime

import msgspec
import pytest

from relight.actors.providers import OpenAI
from relight.supervisors import FailureKind, ProviderError

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
RATE_TEXT = (
    "Rate limit reached for gpt-4o in organization org-1 on tokens per min (TPM): "
    "Limit 30000, Used 14567, Requested 24754. Please try again in 18.642s."
)
LARGE_TEXT = (
    "Request too large for gpt-4o in organization org-1 on tokens per min (TPM): "
    "Limit 30000, Requested 30601. The input or output tokens must be reduced in order to run successfully."
)


def classify(status: int, body: object, headers: dict[str, str] | None = None) -> ProviderError:
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return OpenAI.errors.classify("openai", status, headers or {}, data, now=NOW)


def nested(type_: str | None, code: str | int | None, message: str = "") -> dict[str, object]:
    return {"error": {"message": message, "type": type_, "param": None, "code": code}}


def flat(type_: str, code: int, message: str) -> dict[str, object]:
    return {"object": "error", "message": message, "type": type_, "param": None, "code": code}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (429, nested("requests", "rate_limit_exceeded", RATE_TEXT), FailureKind.RATE_LIMIT),
        (429, nested("tokens", "rate_limit_exceeded", RATE_TEXT), FailureKind.RATE_LIMIT),
        (429, nested("tokens", "rate_limit_exceeded", LARGE_TEXT), FailureKind.BAD_REQUEST),
        (429, nested("insufficient_quota", "insufficient_quota"), FailureKind.QUOTA),
        (429, nested("insufficient_quota", None), FailureKind.QUOTA),
        (429, nested("billing", "credit_balance_exhausted"), FailureKind.QUOTA),
        (429, nested("billing", "organization_spend_limit_exceeded"), FailureKind.QUOTA),
        (429, nested("billing", "project_spend_limit_exceeded"), FailureKind.QUOTA),
        (429, nested("billing", "organization_usage_limit_exceeded"), FailureKind.QUOTA),
        (429, nested(None, "billing_not_active"), FailureKind.QUOTA),
        (429, nested(None, "usage_limit_exceeded"), FailureKind.QUOTA),
        (429, nested("rate_limit_error", "slow_down"), FailureKind.RATE_LIMIT),
        (503, nested("rate_limit_error", "slow_down"), FailureKind.RATE_LIMIT),
        (429, b"", FailureKind.RATE_LIMIT),
        (503, nested("service_unavailable_error", "server_is_overloaded"), FailureKind.OVERLOADED),
        (503, b"<html>", FailureKind.OVERLOADED),
        (500, nested("server_error", None), FailureKind.SERVER),
        (502, b"<html>", FailureKind.SERVER),
        (504, b"", FailureKind.TIMEOUT),
        (408, b"", FailureKind.TIMEOUT),
        (401, nested("invalid_request_error", "invalid_api_key"), FailureKind.AUTH),
        (403, nested("request_forbidden", "unsupported_country_region_territory"), FailureKind.AUTH),
        (403, nested("invalid_request_error", "model_not_found"), FailureKind.NOT_FOUND),
        (400, nested("invalid_request_error", "context_length_exceeded"), FailureKind.CONTEXT_LENGTH),
        (400, nested("invalid_request_error", "content_policy_violation"), FailureKind.CONTENT_POLICY),
        (400, nested("invalid_request_error", "image_content_policy_violation"), FailureKind.CONTENT_POLICY),
        (400, nested("invalid_request_error", "invalid_prompt"), FailureKind.CONTENT_POLICY),
        (400, nested("image_generation_user_error", "moderation_blocked"), FailureKind.CONTENT_POLICY),
        (400, nested("invalid_request_error", None), FailureKind.BAD_REQUEST),
        (404, nested("invalid_request_error", "model_not_found"), FailureKind.NOT_FOUND),
        (422, nested("invalid_request_error", None), FailureKind.BAD_REQUEST),
        # Azure
        (400, nested(None, "content_filter", "The response was filtered"), FailureKind.CONTENT_POLICY),
        (400, nested(None, "contentFilter"), FailureKind.CONTENT_POLICY),
        (400, nested(None, "ResponsibleAIPolicyViolation"), FailureKind.CONTENT_POLICY),
        (429, nested(None, "429", "System is experiencing high demand"), FailureKind.OVERLOADED),
        (429, nested(None, "429", "Requests have exceeded token rate limit."), FailureKind.RATE_LIMIT),
        (404, nested(None, "DeploymentNotFound"), FailureKind.NOT_FOUND),
        (401, {"statusCode": 401, "message": "Access denied due to invalid key."}, FailureKind.AUTH),
        # compatible servers: flat bodies, numbers for codes
        (400, flat("BadRequestError", 400, "bad"), FailureKind.BAD_REQUEST),
        (404, flat("NotFoundError", 404, "The model `m` does not exist."), FailureKind.NOT_FOUND),
        (
            400,
            flat("BadRequestError", 400, "This model's maximum context length is 4096 tokens."),
            FailureKind.CONTEXT_LENGTH,
        ),
        (400, nested("BadRequestError", 400, "bad"), FailureKind.BAD_REQUEST),
        (500, nested("InternalServerError", 500, "oops"), FailureKind.SERVER),
        (404, {"error": "model 'm' not found"}, FailureKind.NOT_FOUND),
        (402, nested(None, 402, "Insufficient credits"), FailureKind.QUOTA),
        (402, nested(None, "in_flight_budget_exhausted"), FailureKind.RATE_LIMIT),
        # errors that come in a 200
        (200, nested("server_error", None), FailureKind.SERVER),
        (200, nested("tokens", "rate_limit_exceeded"), FailureKind.RATE_LIMIT),
        (200, nested("invalid_request_error", None), FailureKind.BAD_REQUEST),
        (200, nested(None, 502, "Provider returned error"), FailureKind.SERVER),
        (200, b'{"choi', FailureKind.INVALID_RESPONSE),
    ],
)
def test_each_error_of_openai_is_classified(status: int, body: object, kind: FailureKind) -> None:
    error = classify(status, body)
    assert error.kind is kind
    assert error.retryable is None


def test_a_conflict_may_be_retried_though_it_is_no_fault_of_the_server() -> None:
    error = classify(409, nested("invalid_request_error", None))
    assert (error.kind, error.retryable) == (FailureKind.BAD_REQUEST, True)


def test_the_code_is_kept_or_else_the_type() -> None:
    assert classify(429, nested("requests", "rate_limit_exceeded")).code == "rate_limit_exceeded"
    assert classify(500, nested("server_error", None)).code == "server_error"
    assert classify(500, b"").code is None


def test_the_wait_in_a_rate_limits_text_is_read() -> None:
    assert classify(429, nested("tokens", "rate_limit_exceeded", RATE_TEXT)).retry_after == 18.642


def test_the_wait_in_a_header_wins_over_that_in_the_text() -> None:
    body = nested("tokens", "rate_limit_exceeded", RATE_TEXT)
    assert classify(429, body, {"retry-after-ms": "250"}).retry_after == 0.25


@pytest.mark.parametrize("seconds", ["-1", "0", "NaN", "inf"])
def test_azures_waits_that_make_no_sense_are_none(seconds: str) -> None:
    headers = {"x-ratelimit-remaining-tokens": seconds, "x-ratelimit-reset-tokens": seconds}
    assert classify(429, nested(None, "429"), headers | {"retry-after": seconds}).retry_after is None


def test_azures_reset_is_in_whole_seconds() -> None:
    headers = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "7"}
    assert classify(429, nested(None, "429"), headers).retry_after == 7.0
