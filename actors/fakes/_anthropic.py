"""How Anthropic speaks: messages, its errors and its headers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

from ._answers import digest
from ._anthropic_errors import anthropic_complaint, anthropic_refusal
from ._anthropic_stream import message_stream
from ._dialects import Call, Circumstances, Route, bearer
from ._limits import Level, RateView
from ._options import FakeSpec
from ._plan import FaultKind
from ._prompts import ChatMessage, Part, Saying, prompt_tokens, say
from ._replies import Hint, Reply, html_reply, json_reply, stream_reply


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
            return anthropic_complaint("anthropic-version: header is required", request_id)
        try:
            body = self._decoder.decode(call.body)
        except msgspec.DecodeError as error:
            return anthropic_complaint(f"The request body is not valid: {error}", request_id)
        system = ChatMessage("system", body.system).text()
        if prompt_tokens(body.messages, system) > self._context:
            return anthropic_refusal(FaultKind.CONTEXT_LENGTH, request_id)
        said = say(body.messages, body.max_tokens, circumstances.step.answer, system)
        message = _message(body.model, said, digest(call.body, 24))
        return stream_reply(message_stream(message, said)) if body.stream else json_reply(200, message)

    def refuse(self, kind: FaultKind, request_id: str, hint: Hint) -> Reply:
        """Build the error *kind*."""
        if kind is FaultKind.HTML_ERROR:
            return html_reply(502)
        reply = anthropic_refusal(kind, request_id)
        if kind in {FaultKind.RATE_LIMIT, FaultKind.SLOW_DOWN}:
            return reply.with_headers(hint.headers())
        if kind is FaultKind.OVERLOADED:
            return reply.with_headers({"x-should-retry": "true"})
        return reply

    def headers(self, request_id: str, rate: RateView, hint: Hint, seconds: float) -> dict[str, str]:
        """Return the request id and the state of the rate limit; the reset is a moment here."""
        del seconds
        return {
            "request-id": request_id,
            "anthropic-organization-id": "00000000-0000-4000-8000-00000000fa4e",
            **_levels("requests", rate.requests, hint.today),
            **_levels("tokens", rate.tokens, hint.today),
        }

    def jobs(self, now: float) -> dict[str, int]:
        """Return nothing: there are no jobs."""
        del now
        return {}


def _levels(name: str, level: Level, today: datetime) -> dict[str, str]:
    reset = today + timedelta(seconds=level.reset)
    return {
        f"anthropic-ratelimit-{name}-limit": str(level.limit),
        f"anthropic-ratelimit-{name}-remaining": str(level.remaining),
        f"anthropic-ratelimit-{name}-reset": reset.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


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
