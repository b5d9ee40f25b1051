"""How OpenAI speaks: chat completions, its errors and its headers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

import msgspec

from ._answers import digest
from ._dialects import Call, Circumstances, Route, bearer
from ._limits import RateView
from ._options import FakeSpec
from ._plan import FaultKind
from ._prompts import ChatMessage, Saying, prompt_tokens, say
from ._replies import Hint, Reply, go_duration, html_reply, json_reply

_ORGANIZATION = "org-fake"

_RATE_LIMIT = (
    "Rate limit reached for the model in organization org-fake on requests per min (RPM): "
    "Limit 3, Used 3, Requested 1. Please try again in {wait}. "
    "Visit https://platform.openai.com/account/rate-limits to learn more."
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
_BAD = "invalid_request_error"

_REFUSALS: Final[Mapping[FaultKind, tuple[int, str, str | None, str]]] = {
    FaultKind.RATE_LIMIT: (429, "requests", "rate_limit_exceeded", _RATE_LIMIT),
    FaultKind.RATE_LIMIT_BARE: (429, "tokens", "rate_limit_exceeded", _RATE_LIMIT),
    FaultKind.SLOW_DOWN: (429, "rate_limit_error", "slow_down", "Your traffic grows too fast; slow down."),
    FaultKind.TOO_LARGE: (429, "tokens", "rate_limit_exceeded", _TOO_LARGE),
    FaultKind.QUOTA: (429, "insufficient_quota", "insufficient_quota", _QUOTA),
    FaultKind.AUTH: (401, _BAD, "invalid_api_key", "Incorrect API key provided."),
    FaultKind.BAD_REQUEST: (400, _BAD, None, "The request is malformed."),
    FaultKind.CONTEXT_LENGTH: (400, _BAD, "context_length_exceeded", _CONTEXT),
    FaultKind.CONTENT_POLICY: (400, _BAD, "content_policy_violation", _POLICY),
    FaultKind.NOT_FOUND: (404, _BAD, "model_not_found", "The model or path does not exist."),
    FaultKind.SERVER_ERROR: (500, "server_error", None, _SERVER),
    FaultKind.UNAVAILABLE: (503, "service_unavailable_error", "server_is_overloaded", _OVERLOADED),
}


class _Body(msgspec.Struct):
    model: str
    messages: list[ChatMessage]
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stream: bool | None = None


class OpenAIDialect:
    """Speak like api.openai.com."""

    routes: tuple[Route, ...] = (Route("POST", "/v1/chat/completions", "chat"),)
    seats: int | None = None

    def __init__(self, spec: FakeSpec) -> None:
        self._key = spec.key
        self._context = spec.options.context_tokens
        self._decoder = msgspec.json.Decoder(_Body)

    def is_authorized(self, headers: Mapping[str, str]) -> bool:
        """Tell whether the bearer is the key."""
        return bearer(headers) == self._key

    def answer(self, call: Call, circumstances: Circumstances) -> Reply:
        """Complete a chat."""
        try:
            body = self._decoder.decode(call.body)
        except msgspec.DecodeError as error:
            return _error(400, _BAD, None, f"We could not read the JSON body: {error}")
        if body.stream:
            return _error(400, _BAD, None, "The fake does not stream: leave out 'stream'.")
        if prompt_tokens(body.messages) > self._context:
            return _refusal(FaultKind.CONTEXT_LENGTH)
        most = body.max_completion_tokens or body.max_tokens
        said = say(body.messages, most, circumstances.step.answer)
        return json_reply(200, _completion(body.model, said, digest(call.body, 29)))

    def refuse(self, kind: FaultKind, request_id: str, hint: Hint) -> Reply:
        """Build the error *kind*; what OpenAI has no word for is its nearest."""
        del request_id  # only in the header
        if kind is FaultKind.HTML_ERROR:
            return html_reply(502)
        reply = _refusal(kind, hint.wait)
        if kind in {FaultKind.RATE_LIMIT, FaultKind.SLOW_DOWN}:
            return reply.with_headers(hint.headers())
        return reply

    def headers(self, request_id: str, rate: RateView, hint: Hint, seconds: float) -> dict[str, str]:
        """Return the request id and the state of the rate limit."""
        del hint  # resets are durations here, not dates
        return {
            "x-request-id": request_id,
            "openai-organization": _ORGANIZATION,
            "openai-processing-ms": str(round(seconds * 1000)),
            "openai-version": "2020-10-01",
            "x-ratelimit-limit-requests": str(rate.limit),
            "x-ratelimit-remaining-requests": str(rate.remaining),
            "x-ratelimit-reset-requests": go_duration(rate.reset),
        }

    def jobs(self, now: float) -> dict[str, int]:
        """Return nothing: there are no jobs."""
        del now
        return {}


def _completion(model: str, said: Saying, identity: str) -> dict[str, object]:
    choice: dict[str, object] = {
        "index": 0,
        "message": {"role": "assistant", "content": said.text, "refusal": None, "annotations": []},
        "logprobs": None,
        "finish_reason": "length" if said.is_cut else "stop",
    }
    return {
        "id": f"chatcmpl-{identity}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [choice],
        "usage": {
            "prompt_tokens": said.prompt_tokens,
            "completion_tokens": said.completion_tokens,
            "total_tokens": said.prompt_tokens + said.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
        "service_tier": "default",
        "system_fingerprint": "fp_fake",
    }


def _refusal(kind: FaultKind, wait: float = 0.0) -> Reply:
    status, type_, code, message = _REFUSALS.get(kind, _REFUSALS[FaultKind.UNAVAILABLE])
    # "Please try again in" is there with and without the header, as it is on the real service.
    return _error(status, type_, code, message.format(wait=go_duration(wait)))


def _error(status: int, type_: str, code: str | None, message: str) -> Reply:
    return json_reply(status, {"error": {"message": message, "type": type_, "param": None, "code": code}})
