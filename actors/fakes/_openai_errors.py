"""OpenAI's errors, and those of servers that speak its API: by fault, and by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from ._plan import FaultKind
from ._replies import Reply, go_duration, json_reply

BAD_REQUEST = "invalid_request_error"

_RATE_LIMIT = (
    "Rate limit reached for the model in organization org-fake on requests per min (RPM): "
    "Limit 3, Used 3, Requested 1. Please try again in {wait}. "
    "Visit https://platform.openai.com/account/rate-limits to learn more."
)
_TPM_LIMIT = (
    "Rate limit reached for the model in organization org-fake on tokens per min (TPM): "
    "Limit 30000, Used 14567, Requested 24754. Please try again in 18.642s."
)
_TOO_LARGE = (
    "Request too large for the model in organization org-fake on tokens per min (TPM): Limit 30000, "
    "Requested 30601. The input or output tokens must be reduced in order to run successfully."
)
_QUOTA = "You exceeded your current quota, please check your plan and billing details."
_CONTEXT = "This model's maximum context length is smaller than your messages. Please reduce their length."
_POLICY = "Your request was rejected as a result of our safety system."
_SERVER = "The server had an error while processing your request. Sorry about that!"
_OVERLOADED = "Our servers are currently overloaded. Please try again later."

_REFUSALS: Final[Mapping[FaultKind, tuple[int, str, str | None, str]]] = {
    FaultKind.RATE_LIMIT: (429, "requests", "rate_limit_exceeded", _RATE_LIMIT),
    FaultKind.RATE_LIMIT_BARE: (429, "tokens", "rate_limit_exceeded", _RATE_LIMIT),
    FaultKind.SLOW_DOWN: (429, "rate_limit_error", "slow_down", "Your traffic grows too fast; slow down."),
    FaultKind.TOO_LARGE: (429, "tokens", "rate_limit_exceeded", _TOO_LARGE),
    FaultKind.QUOTA: (429, "insufficient_quota", "insufficient_quota", _QUOTA),
    FaultKind.AUTH: (401, BAD_REQUEST, "invalid_api_key", "Incorrect API key provided."),
    FaultKind.BAD_REQUEST: (400, BAD_REQUEST, None, "The request is malformed."),
    FaultKind.CONTEXT_LENGTH: (400, BAD_REQUEST, "context_length_exceeded", _CONTEXT),
    FaultKind.CONTENT_POLICY: (400, BAD_REQUEST, "content_policy_violation", _POLICY),
    FaultKind.NOT_FOUND: (404, BAD_REQUEST, "model_not_found", "The model or path does not exist."),
    FaultKind.SERVER_ERROR: (500, "server_error", None, _SERVER),
    FaultKind.UNAVAILABLE: (503, "service_unavailable_error", "server_is_overloaded", _OVERLOADED),
}


class OpenAIError(msgspec.Struct, frozen=True):
    """One error that has a name."""

    status: int
    document: Mapping[str, object]
    headers: Mapping[str, str] = {}


def _named(status: int, type_: str, code: str | None, message: str, **headers: str) -> OpenAIError:
    document = {"error": {"message": message, "type": type_, "param": None, "code": code}}
    return OpenAIError(status, document, {name.replace("_", "-"): value for name, value in headers.items()})


def _money(code: str, message: str = _QUOTA) -> OpenAIError:
    return _named(429, "insufficient_quota", code, message)


def _azure(status: int, code: str, message: str, **more: object) -> OpenAIError:
    error = {"message": message, "type": None, "param": "prompt", "code": code, "status": status, **more}
    return OpenAIError(status, {"error": error})


_FILTERED: Mapping[str, object] = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {}}
_FLAT = {"object": "error", "message": "bad request", "type": "BadRequestError", "param": None, "code": 400}

OPENAI_ERRORS: Final[Mapping[str, OpenAIError]] = {
    "rate_limit_tokens": _named(429, "tokens", "rate_limit_exceeded", _TPM_LIMIT),
    "credit_balance_exhausted": _money("credit_balance_exhausted"),
    "organization_spend_limit_exceeded": _money("organization_spend_limit_exceeded"),
    "project_spend_limit_exceeded": _money("project_spend_limit_exceeded"),
    "organization_usage_limit_exceeded": _money("organization_usage_limit_exceeded"),
    "billing_not_active": _money("billing_not_active", "Your account is not active."),
    "usage_limit_exceeded": _money("usage_limit_exceeded"),
    "image_content_policy_violation": _named(400, BAD_REQUEST, "image_content_policy_violation", _POLICY),
    "invalid_prompt": _named(400, BAD_REQUEST, "invalid_prompt", "Invalid prompt."),
    "unsupported_country_region_territory": _named(
        403, "request_forbidden", "unsupported_country_region_territory", "Country not supported."
    ),
    "timeout": _named(408, "timeout", None, "The request took too long."),
    "conflict": _named(409, BAD_REQUEST, "conflict", "The resource was changed by another request."),
    "unprocessable": _named(422, BAD_REQUEST, None, "The request could not be processed."),
    "azure_content_filter": _azure(400, "content_filter", "The response was filtered", innererror=_FILTERED),
    "azure_high_demand": _named(
        429,
        "too_many_requests",
        "429",
        "System is experiencing high demand.",
        retry_after_ms="1000",
        retry_after="1",
    ),
    "compatible_flat": OpenAIError(400, _FLAT),
    "compatible_number": OpenAIError(400, {"error": {**_FLAT, "object": None}}),
}
"""Errors that no fault stands for. ``azure_`` and ``compatible_``: of Azure, and of vLLM and its like."""


def openai_error(row: OpenAIError) -> Reply:
    """Build the error of *row*."""
    return json_reply(row.status, row.document).with_headers(row.headers)


def openai_refusal(kind: FaultKind, wait: float = 0.0) -> Reply:
    """Build the error *kind*; what OpenAI has no word for is its nearest."""
    status, type_, code, message = _REFUSALS.get(kind, _REFUSALS[FaultKind.UNAVAILABLE])
    # "Please try again in" is there with and without the header, as it is on the real service.
    return openai_error(_named(status, type_, code, message.format(wait=go_duration(wait))))


def openai_complaint(message: str) -> Reply:
    """Refuse a request that makes no sense."""
    return openai_error(_named(400, BAD_REQUEST, None, message))
