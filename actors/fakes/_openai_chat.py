"""OpenAI's chat completions, in one piece and as a stream."""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec

from ._answers import digest, pieces
from ._dialects import Call, Circumstances
from ._openai_errors import openai_complaint, openai_refusal
from ._plan import FaultKind
from ._prompts import ChatMessage, Saying, prompt_tokens, say
from ._replies import Reply, Stream, json_reply, sse, stream_reply

_DONE = b"data: [DONE]\n\n"


class _StreamOptions(msgspec.Struct):
    include_usage: bool = False


class _Body(msgspec.Struct):
    messages: list[ChatMessage]
    model: str | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None


_bodies = msgspec.json.Decoder(_Body)


def complete_chat(call: Call, circumstances: Circumstances, context: int) -> Reply:
    """Complete a chat; a prompt of more than *context* tokens is refused."""
    try:
        body = _bodies.decode(call.body)
    except msgspec.DecodeError as error:
        return openai_complaint(f"We could not read the JSON body: {error}")
    model = body.model or call.params.get("deployment")
    if model is None:
        return openai_complaint("you must provide a model parameter")
    if prompt_tokens(body.messages) > context:
        return openai_refusal(FaultKind.CONTEXT_LENGTH)
    most = body.max_completion_tokens or body.max_tokens
    said = say(body.messages, most, circumstances.step.answer)
    identity = digest(call.body, 29)
    if not body.stream:
        return json_reply(200, _completion(model, said, identity))
    options = body.stream_options or _StreamOptions()
    chunks = tuple(sse(chunk) for chunk in _chunks(model, said, identity, options))
    # What says "complete" is the finish reason, and all after it.
    stream = Stream(
        pieces=(*chunks, _DONE),
        ending=3 if options.include_usage else 2,
        ping=b": keep-alive\n\n",
        error=lambda reply: b"data: " + reply.body + b"\n\n",
    )
    return stream_reply(stream)


def _completion(model: str, said: Saying, identity: str) -> dict[str, object]:
    message: dict[str, object] = {
        "role": "assistant",
        "content": said.text,
        "refusal": None,
        "annotations": [],
    }
    choice: dict[str, object] = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": _finish(said),
    }
    return {
        **_head("chat.completion", model, identity),
        "choices": [choice],
        "usage": _usage(said),
    }


def _chunks(model: str, said: Saying, identity: str, options: _StreamOptions) -> Iterator[dict[str, object]]:
    head = _head("chat.completion.chunk", model, identity)
    if options.include_usage:
        head["usage"] = None  # there in every chunk, and told in the last
    yield {**head, "choices": [_choice({"role": "assistant", "content": "", "refusal": None})]}
    for piece in pieces(said.text):
        yield {**head, "choices": [_choice({"content": piece})]}
    yield {**head, "choices": [_choice({}, _finish(said))]}
    if options.include_usage:
        yield {**head, "choices": [], "usage": _usage(said)}


def _choice(delta: dict[str, object], finish_reason: str | None = None) -> dict[str, object]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _head(object_: str, model: str, identity: str) -> dict[str, object]:
    return {
        "id": f"chatcmpl-{identity}",
        "object": object_,
        "created": int(time.time()),
        "model": model,
        "service_tier": "default",
        "system_fingerprint": "fp_fake",
    }


def _finish(said: Saying) -> str:
    return "length" if said.is_cut else "stop"


def _usage(said: Saying) -> dict[str, object]:
    return {
        "prompt_tokens": said.prompt_tokens,
        "completion_tokens": said.completion_tokens,
        "total_tokens": said.prompt_tokens + said.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }
