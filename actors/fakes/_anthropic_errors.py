"""Anthropic's errors: by fault, and by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from ._plan import FaultKind
from ._replies import Reply, html_reply, json_reply

_BAD = "invalid_request_error"
_RATE_LIMIT = "This request would exceed your organization's rate limit of requests per minute."
_BALANCE = (
    "Your credit balance is too low to access the Anthropic API. "
    "Please go to Plans & Billing to upgrade or purchase credits."
)
_USAGE = (
    "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC."
)
_SPEND = "Your organization has reached its spend limit."
_TOO_LONG = "prompt is too long: 210000 tokens > 200000 maximum"
_HTML = (
    b"<html>\r\n<head><title>413 Request Entity Too Large</title></head>\r\n<body>\r\n"
    b"<center><h1>413 Request Entity Too Large</h1></center>\r\n<hr><center>cloudflare</center>\r\n"
    b"</body>\r\n</html>\r\n"
)


class AnthropicError(msgspec.Struct, frozen=True):
    """One error."""

    status: int
    type: str
    message: str
    code: str | None = None
    """In ``details``."""
    html: bytes | None = None
    """Said instead, by the gateway in front."""


_REFUSALS: Final[Mapping[FaultKind, AnthropicError]] = {
    FaultKind.RATE_LIMIT: AnthropicError(429, "rate_limit_error", _RATE_LIMIT),
    FaultKind.RATE_LIMIT_BARE: AnthropicError(429, "rate_limit_error", _RATE_LIMIT),
    FaultKind.SLOW_DOWN: AnthropicError(
        429, "rate_limit_error", "Your usage grew too fast; ramp up gradually.", "ramp_limit_exceeded"
    ),
    FaultKind.TOO_LARGE: AnthropicError(
        413, "request_too_large", "Request exceeds the maximum allowed number of bytes."
    ),
    FaultKind.QUOTA: AnthropicError(400, _BAD, _BALANCE),
    FaultKind.AUTH: AnthropicError(401, "authentication_error", "invalid x-api-key"),
    FaultKind.BAD_REQUEST: AnthropicError(400, _BAD, "The request is malformed."),
    FaultKind.CONTEXT_LENGTH: AnthropicError(400, _BAD, _TOO_LONG),
    FaultKind.CONTENT_POLICY: AnthropicError(400, _BAD, "Output blocked by content filtering policy"),
    FaultKind.NOT_FOUND: AnthropicError(404, "not_found_error", "The requested resource could not be found."),
    FaultKind.SERVER_ERROR: AnthropicError(500, "api_error", "Internal server error"),
    FaultKind.UNAVAILABLE: AnthropicError(503, "api_error", "Service unavailable"),
    FaultKind.OVERLOADED: AnthropicError(529, "overloaded_error", "Overloaded"),
}

ANTHROPIC_ERRORS: Final[Mapping[str, AnthropicError]] = {
    "usage_limits_reached": AnthropicError(400, _BAD, _USAGE),
    "linked_organization_spend_limit_reached": AnthropicError(
        402, "billing_error", _SPEND, "linked_organization_spend_limit_reached"
    ),
    "linked_organization_billing_unavailable": AnthropicError(
        402, "billing_error", "Billing is not available.", "linked_organization_billing_unavailable"
    ),
    "permission_error": AnthropicError(
        403, "permission_error", "Your API key does not have permission to use the specified resource."
    ),
    "request_too_large_html": AnthropicError(413, "", "", html=_HTML),
    "enforced_spend_limit_reached": AnthropicError(
        429, "rate_limit_error", _SPEND, "enforced_spend_limit_reached"
    ),
    "contract_spend_limit_reached": AnthropicError(
        429, "rate_limit_error", _SPEND, "contract_spend_limit_reached"
    ),
    "timeout_error": AnthropicError(504, "timeout_error", "The request timed out."),
}
"""Errors that no fault stands for."""


def anthropic_error(row: AnthropicError, request_id: str) -> Reply:
    """Build the error of *row*."""
    if row.html is not None:
        return html_reply(row.status, row.html)
    details = None if row.code is None else {"error_code": row.code}
    error = {"type": row.type, "message": row.message, "details": details}
    return json_reply(row.status, {"type": "error", "error": error, "request_id": request_id})


def anthropic_refusal(kind: FaultKind, request_id: str) -> Reply:
    """Build the error *kind*; what Anthropic has no word for is its nearest."""
    return anthropic_error(_REFUSALS.get(kind, _REFUSALS[FaultKind.SERVER_ERROR]), request_id)


def anthropic_complaint(message: str, request_id: str) -> Reply:
    """Refuse a request that makes no sense."""
    return anthropic_error(AnthropicError(400, _BAD, message), request_id)
