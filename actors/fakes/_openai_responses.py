"""OpenAI's Responses, in one piece and as a stream of events."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

import msgspec

from ._answers import digest, pieces
from ._dialects import Call, Circumstances
from ._openai_errors import openai_complaint, openai_refusal
from ._plan import FaultKind
from ._prompts import ChatMessage, Saying, prompt_tokens, say
from ._replies import Reply, Stream, json_reply, sse, sse_all, stream_reply

_FAILURE = {"code": "server_error", "message": "The model failed to answer."}
_LIMIT = "max_output_tokens"


class _Body(msgspec.Struct):
    model: str
    input: str | list[ChatMessage]
    instructions: str | None = None
    max_output_tokens: int | None = None
    stream: bool | None = None
    metadata: dict[str, str] | None = None


class _Inner(msgspec.Struct):
    message: str
    code: str | int | None = None
    type: str | None = None


class _Refusal(msgspec.Struct):
    error: _Inner


_bodies = msgspec.json.Decoder(_Body)


def respond(call: Call, circumstances: Circumstances, context: int) -> Reply:
    """Answer an input; one of more than *context* tokens is refused."""
    try:
        body = _bodies.decode(call.body)
    except msgspec.DecodeError as error:
        return openai_complaint(f"We could not read the JSON body: {error}")
    messages = [ChatMessage("user", body.input)] if isinstance(body.input, str) else body.input
    instructions = body.instructions or ""
    if prompt_tokens(messages, instructions) > context:
        return openai_refusal(FaultKind.CONTEXT_LENGTH)
    said = say(messages, body.max_output_tokens, circumstances.step.answer, instructions)
    identity = digest(call.body, 48)
    if body.stream:
        return stream_reply(_stream(body, said, identity))
    if circumstances.fault is FaultKind.RESPONSE_FAILED:
        return json_reply(200, _failed(body, identity, _FAILURE))
    return json_reply(200, _ended(body, said, identity))


def _stream(body: _Body, said: Saying, identity: str) -> Stream:
    def error(reply: Reply) -> bytes:
        inner = msgspec.json.decode(reply.body, type=_Refusal).error
        event = {"type": "error", "code": inner.code, "message": inner.message, "param": None}
        return sse({**event, "sequence_number": len(events)}, "error")

    def failure(reply: Reply) -> bytes:
        inner = msgspec.json.decode(reply.body, type=_Refusal).error
        told = {"code": inner.code or inner.type, "message": inner.message}
        response = _failed(body, identity, told)
        event = {"type": "response.failed", "response": response, "sequence_number": len(events)}
        return sse(event, "response.failed")

    events = [
        {**event, "sequence_number": number} for number, event in enumerate(_events(body, said, identity))
    ]
    return Stream(pieces=sse_all(events), ending=1, ping=b": keep-alive\n\n", error=error, failure=failure)


def _events(body: _Body, said: Saying, identity: str) -> Iterator[dict[str, object]]:
    begun = _response(body, identity, "in_progress")
    part = _part("")
    item = _item(identity, [], "in_progress")
    place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    yield {"type": "response.output_item.added", "output_index": 0, "item": item}
    yield {"type": "response.content_part.added", **place, "part": part}
    for piece in pieces(said.text):
        yield {"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []}
    whole = _part(said.text)
    done = _item(identity, [whole], _status(said))
    yield {"type": "response.output_text.done", **place, "text": said.text, "logprobs": []}
    yield {"type": "response.content_part.done", **place, "part": whole}
    yield {"type": "response.output_item.done", "output_index": 0, "item": done}
    yield {"type": f"response.{_status(said)}", "response": _ended(body, said, identity)}


def _ended(body: _Body, said: Saying, identity: str) -> dict[str, object]:
    response = _response(body, identity, _status(said))
    response["output"] = [_item(identity, [_part(said.text)], _status(said))]
    response["incomplete_details"] = {"reason": _LIMIT} if said.is_cut else None
    response["usage"] = {
        "input_tokens": said.prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": said.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": said.prompt_tokens + said.completion_tokens,
    }
    return response


def _failed(body: _Body, identity: str, error: Mapping[str, object]) -> dict[str, object]:
    return {**_response(body, identity, "failed"), "error": error}


def _response(body: _Body, identity: str, status: str) -> dict[str, object]:
    return {
        "id": f"resp_{identity}",
        "object": "response",
        "created_at": int(time.time()),
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "metadata": body.metadata or {},
        "model": body.model,
        "output": [],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": None,
    }


def _item(identity: str, content: list[dict[str, object]], status: str) -> dict[str, object]:
    return {
        "id": f"msg_{identity}",
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": content,
    }


def _part(text: str) -> dict[str, object]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _status(said: Saying) -> str:
    return "incomplete" if said.is_cut else "completed"
