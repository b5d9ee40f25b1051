"""An answer of Anthropic's as a stream of events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ._answers import pieces
from ._prompts import Saying
from ._replies import Reply, Stream, sse, sse_all

_NO_CACHE = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
_PING: Mapping[str, object] = {"type": "ping"}


def message_stream(message: Mapping[str, object], said: Saying) -> Stream:
    """Cut *message* into events; the last two say that it is complete."""
    return Stream(
        pieces=sse_all(list(_events(message, said))),
        ending=2,
        ping=sse(_PING, "ping"),
        error=_error,
    )


def _events(message: Mapping[str, object], said: Saying) -> Iterator[dict[str, object]]:
    usage = {"input_tokens": said.prompt_tokens, "output_tokens": 1, **_NO_CACHE}
    begun: dict[str, object] = {**message, "content": [], "stop_reason": None, "usage": usage}
    yield {"type": "message_start", "message": begun}
    yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    yield dict(_PING)
    for piece in pieces(said.text):
        delta = {"type": "text_delta", "text": piece}
        yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    ended: dict[str, object] = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": ended, "usage": {"output_tokens": said.completion_tokens}}
    yield {"type": "message_stop"}


def _error(reply: Reply) -> bytes:
    return b"event: error\ndata: " + reply.body + b"\n\n"
