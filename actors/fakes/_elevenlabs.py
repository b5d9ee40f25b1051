"""How ElevenLabs speaks: speech, voices, its errors and its headers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import msgspec

from ._dialects import Call, Circumstances, Route
from ._limits import RateView
from ._options import FakeSpec
from ._plan import FaultKind
from ._replies import Hint, Reply, Stream, html_reply, json_reply
from ._sounds import audio

_SMALL_PLAN = 5
"""Requests at the same time, as of the plan called Creator."""
_MOST_CHARACTERS = 10_000
"""Of one request."""

_BUSY = "The system is experiencing heavy traffic, please try again later."
_CONCURRENT = (
    "Too many concurrent requests. Your current subscription is associated with a maximum of "
    "{most} concurrent requests (running in parallel)."
)
_LONG = f"A maximum of {_MOST_CHARACTERS} characters per request is supported."

# Of each its HTTP status, type, code and message.
_REFUSALS: Final[Mapping[FaultKind, tuple[int, str, str, str]]] = {
    FaultKind.RATE_LIMIT: (429, "rate_limit_error", "rate_limit_exceeded", "Too many requests."),
    FaultKind.RATE_LIMIT_BARE: (429, "rate_limit_error", "rate_limit_exceeded", "Too many requests."),
    FaultKind.CONCURRENCY: (429, "rate_limit_error", "concurrent_limit_exceeded", _CONCURRENT),
    FaultKind.SLOW_DOWN: (429, "rate_limit_error", "system_busy", _BUSY),
    FaultKind.OVERLOADED: (429, "rate_limit_error", "system_busy", _BUSY),
    FaultKind.TOO_LARGE: (400, "validation_error", "max_character_limit_exceeded", _LONG),
    FaultKind.CONTEXT_LENGTH: (400, "validation_error", "max_character_limit_exceeded", _LONG),
    FaultKind.QUOTA: (401, "payment_required", "quota_exceeded", "This request exceeds your quota."),
    FaultKind.AUTH: (401, "authentication_error", "invalid_api_key", "Invalid API key"),
    FaultKind.NOT_FOUND: (404, "not_found", "voice_not_found", "A voice with this voice_id was not found."),
    FaultKind.CONTENT_POLICY: (403, "authorization_error", "content_against_policy", "Not allowed."),
    FaultKind.SERVER_ERROR: (500, "internal_error", "internal_server_error", "Something went wrong."),
    FaultKind.UNAVAILABLE: (503, "internal_error", "service_unavailable", "Service unavailable."),
}

_VOICES: Final[list[dict[str, object]]] = [
    {"voice_id": "fake-narrator", "name": "Nora", "category": "premade", "labels": {"gender": "female"}},
    {"voice_id": "fake-hero", "name": "Hugo", "category": "premade", "labels": {"gender": "male"}},
    {"voice_id": "fake-villain", "name": "Vera", "category": "cloned", "labels": {}},
]


class _Body(msgspec.Struct):
    text: str
    model_id: str = "eleven_multilingual_v2"
    voice_settings: dict[str, object] | None = None


_CHUNK = 1024


class ElevenLabsDialect:
    """Speak like api.elevenlabs.io. Every voice is known, and says nothing."""

    routes: tuple[Route, ...] = (
        Route("POST", "/v1/text-to-speech/{voice}", "speech", is_seated=True),
        Route("POST", "/v1/text-to-speech/{voice}/stream", "speech_stream", streams=True, is_seated=True),
        Route("GET", "/v1/voices", "voices"),
    )

    def __init__(self, spec: FakeSpec) -> None:
        self._key = spec.key
        self._characters = spec.options.characters
        self._decoder = msgspec.json.Decoder(_Body)
        self.seats: int | None = spec.options.concurrency or _SMALL_PLAN

    def is_authorized(self, headers: Mapping[str, str]) -> bool:
        """Tell whether xi-api-key is the key."""
        return headers.get("xi-api-key") == self._key

    def answer(self, call: Call, circumstances: Circumstances) -> Reply:
        """List the voices, or say a text."""
        del circumstances
        if call.operation == "voices":
            return json_reply(200, {"voices": _VOICES, "has_more": False, "total_count": len(_VOICES)})
        try:
            body = self._decoder.decode(call.body)
        except msgspec.DecodeError as error:
            return _invalid(f"{error}")
        if not body.text.strip():
            return _invalid("text: must not be empty")
        if len(body.text) > _MOST_CHARACTERS:
            return _refusal(FaultKind.TOO_LARGE)
        cost = _cost(body)
        if not self._spend(cost):
            return _refusal(FaultKind.QUOTA)
        data, kind = audio(body.text, dict(call.query).get("output_format", "mp3_44100_128"))
        headers = {"content-type": kind, "character-cost": str(cost)}
        if call.operation == "speech_stream":
            return Reply(200, b"", headers, _spoken(data))
        return Reply(200, data, headers)

    def refuse(self, kind: FaultKind, request_id: str, hint: Hint) -> Reply:
        """Build the error *kind*; what ElevenLabs has no word for is a 503."""
        if kind is FaultKind.HTML_ERROR:
            return html_reply(502)
        if kind is FaultKind.BAD_REQUEST:
            return _invalid("text: field required")
        reply = _refusal(kind, request_id, self.seats)
        return reply.with_headers(hint.headers()) if kind is FaultKind.RATE_LIMIT else reply

    def headers(self, request_id: str, rate: RateView, hint: Hint, seconds: float) -> dict[str, str]:
        """Return the request id, and how many requests are dealt with."""
        del hint, seconds
        return {
            "request-id": request_id,
            "current-concurrent-requests": str(rate.in_flight),
            "maximum-concurrent-requests": str(rate.most_in_flight),
        }

    def jobs(self, now: float) -> dict[str, int]:
        """Return nothing: there are no jobs."""
        del now
        return {}

    def _spend(self, characters: int) -> bool:
        if self._characters is None:
            return True
        if characters > self._characters:
            return False
        self._characters -= characters
        return True


def _spoken(data: bytes) -> Stream:
    """Cut a sound into chunks. Nothing says that it is complete but its end."""
    chunks = tuple(data[at : at + _CHUNK] for at in range(0, len(data), _CHUNK))
    return Stream(pieces=chunks, ending=1, ping=b"")


def _cost(body: _Body) -> int:
    """Count the characters that are billed: half of them for the fast models."""
    is_fast = any(word in body.model_id for word in ("flash", "turbo"))
    return math.ceil(len(body.text) / 2) if is_fast else len(body.text)


def _refusal(kind: FaultKind, request_id: str = "", most: int | None = None) -> Reply:
    status, type_, code, message = _REFUSALS.get(kind, _REFUSALS[FaultKind.UNAVAILABLE])
    detail = {
        "type": type_,
        "code": code,
        "message": message.format(most=most),
        "request_id": request_id,
        "param": None,
    }
    return json_reply(status, {"detail": detail})


def _invalid(message: str) -> Reply:
    detail = {"loc": ["body"], "msg": message, "type": "value_error"}
    return json_reply(422, {"detail": [detail]})
