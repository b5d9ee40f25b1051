"""How Anthropic speaks: messages, its errors and its headers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import msgspec

from ._answers import digest
from ._dialects import Call, Circumstances, Route, bearer
from ._limits import RateView
from ._options import FakeSpec
from ._plan import FaultKind
from ._prompts import ChatMessage, Part, Saying, prompt_tokens, say
from ._replies import Hint, Reply, html_reply, json_reply

_RATE_LIMIT = "This request would exceed your organization's rate limit of requests per minute."
_BALANCE = (
    "Your credit balance is too low to access the Anthropic API. "
    "Please go to Plans & Billing to upgrade or purchase credits."
)
_TOO_LONG = "prompt is too long: 210000 tokens > 200000 maximum"
_BAD = "invalid_request_error"

_REFUSALS: Final[Mapping[FaultKind, tuple[int, str, str]]] = {
    FaultKind.RATE_LIMIT: (429, "rate_limit_error", _RATE_LIMIT),
    FaultKind.RATE_LIMIT_BARE: (429, "rate_limit_error", _RATE_LIMIT),
    FaultKind.SLOW_DOWN: (429, "rate_limit_error", "Your usage grew too fast; ramp up gradually."),
    FaultKind.TOO_LARGE: (413, "request_too_large", "Request exceeds the maximum allowed number of bytes."),
    FaultKind.QUOTA: (400, _BAD, _BALANCE),
    FaultKind.AUTH: (401, "authentication_error", "invalid x-api-key"),
    FaultKind.BAD_REQUEST: (400, _BAD, "The request is malformed."),
    FaultKind.CONTEXT_LENGTH: (400, _BAD, _TOO_LONG),
    FaultKind.CONTENT_POLICY: (400, _BAD, "Output blocked by content filtering policy"),
    FaultKind.NOT_FOUND: (404, "not_found_error", "The requested resource could not be found."),
    FaultKind.SERVER_ERROR: (500, "api_error", "Internal server error"),
    FaultKind.UNAVAILABLE: (503, "api_error", "Service unavailable"),
    FaultKind.OVERLOADED: (529, "overloaded_error", "Overloaded"),
}


class _Body(msgspec.Struct):
    model: str
    messages: list[ChatMessage]
    max_tokens: int
    system: str | list[Part] = ""
    stream: bool | None = None


class AnthropicDialect:
    """Speak like api.anthropic.com."""

    routes: tuple[Route, ...] = (Route("POST", "/v1/messages", "messages"),)
    seats: int | None = None

    def __init__(self, spec: FakeSpec) -> None:
        self._key = spec.key
        self._context = spec.options.context_tokens
        self._decoder = msgspec.json.Decoder(_Body)

    def is_authorized(self, headers: Mapping[str, str]) -> bool:
        """Tell whether x-api-key or the bearer is the key: older and newer clients differ."""
        return self._key in {headers.get("x-api-key"), bearer(headers)}

    def answer(self, call: Call, circumstances: Circumstances) -> Reply:
        """Answer a conversation."""
        request_id = request_identity(circumstances.number)
        if "anthropic-version" not in call.headers:
            return _error(400, _BAD, "anthropic-version: header is required", request_id)
        try:
            body = self._decoder.decode(call.body)
        except msgspec.DecodeError as error:
            return _error(400, _BAD, f"The request body is not valid: {error}", request_id)
        if body.stream:
            return _error(400, _BAD, "stream: the fake does not stream", request_id)
        system = ChatMessage("system", body.system).text()
        if prompt_tokens(body.messages, system) > self._context:
            return _refusal(FaultKind.CONTEXT_LENGTH, request_id)
        said = say(body.messages, body.max_tokens, circumstances.step.answer, system)
        return json_reply(200, _message(body.model, said, digest(call.body, 24)))

    def refuse(self, kind: FaultKind, request_id: str, hint: Hint) -> Reply:
        """Build the error *kind*."""
        if kind is FaultKind.HTML_ERROR:
            return html_reply(502)
        reply = _refusal(kind, request_id)
        if kind in {FaultKind.RATE_LIMIT, FaultKind.SLOW_DOWN}:
            return reply.with_headers(hint.headers())
        if kind is FaultKind.OVERLOADED:
            return reply.with_headers({"x-should-retry": "true"})
        return reply

    def headers(self, request_id: str, rate: RateView, hint: Hint, seconds: float) -> dict[str, str]:
        """Return the request id and the state of the rate limit; the reset is a moment here."""
        del seconds
        reset = (hint.today + timedelta(seconds=rate.reset)).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            "request-id": request_id,
            "anthropic-organization-id": "00000000-0000-4000-8000-00000000fa4e",
            "anthropic-ratelimit-requests-limit": str(rate.limit),
            "anthropic-ratelimit-requests-remaining": str(rate.remaining),
            "anthropic-ratelimit-requests-reset": reset,
        }

    def jobs(self, now: float) -> dict[str, int]:
        """Return nothing: there are no jobs."""
        del now
        return {}


def request_identity(number: int) -> str:
    """Return the id of request *number*."""
    return f"req_{digest(str(number), 24)}"


def _message(model: str, said: Saying, identity: str) -> dict[str, object]:
    return {
        "id": f"msg_{identity}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": said.text}],
        "stop_reason": "max_tokens" if said.is_cut else "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": said.prompt_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": said.completion_tokens,
            "service_tier": "standard",
        },
    }


def _refusal(kind: FaultKind, request_id: str) -> Reply:
    status, type_, message = _REFUSALS.get(kind, _REFUSALS[FaultKind.SERVER_ERROR])
    code = "ramp_limit_exceeded" if kind is FaultKind.SLOW_DOWN else None
    return _error(status, type_, message, request_id, code)


def _error(status: int, type_: str, message: str, request_id: str, code: str | None = None) -> Reply:
    details = None if code is None else {"error_code": code}
    error = {"type": type_, "message": message, "details": details}
    return json_reply(status, {"type": "error", "error": error, "request_id": request_id})
