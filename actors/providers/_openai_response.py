"""Responses as OpenAI sends them, whole or in a stream, as far as they are read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import msgspec

from ...supervisors import FailureKind
from .._http import HttpService
from .._http_messages import HttpReply
from .._sse import ServerSentEvent
from .._usage import Usage
from ._chat import Pricing, estimate_output
from ._openai_responses import CreateResponse, ResponseChunk, ResponseReply, StreamResponse
from ._openai_usage import ResponseUsage
from ._streaming import Reading, in_stream
from ._tools import ToolCall, ToolCallDelta

PartT = TypeVar("PartT")


class _Content(msgspec.Struct):
    type: str = ""
    text: str | None = None
    refusal: str | None = None


class _Item(msgspec.Struct):
    type: str = ""
    content: list[_Content] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: object = None
    """A text, in function calls; tools of the provider's own have other forms."""


class _Details(msgspec.Struct):
    reason: str | None = None


class WireResponse(msgspec.Struct):
    """A response, finished or not."""

    output: list[_Item]
    id: str = ""
    model: str = ""
    status: str = "completed"
    error: object = None
    incomplete_details: _Details | None = None
    usage: ResponseUsage | None = None

    def read(
        self, service: HttpService, message: CreateResponse | StreamResponse, price: Pricing
    ) -> ResponseReply:
        """Say it in our words.

        Raises:
            ProviderError: It failed, or the provider declined.
        """
        if self.error or self.status == "failed":
            error = self.error or {"code": "server_error", "message": "the response failed"}
            raise in_stream(service, HttpReply(200, {}, msgspec.json.encode({"error": error})))
        if self.incomplete_details is not None and self.incomplete_details.reason == "content_filter":
            raise service.failure(
                FailureKind.CONTENT_POLICY, "the answer was filtered", code="content_filter"
            )
        parts = [part for item in self.output for part in item.content or ()]
        if refusal := "".join(part.refusal or "" for part in parts):
            raise service.failure(FailureKind.CONTENT_POLICY, refusal, code="refusal")
        return ResponseReply(
            id=self.id,
            model=self.model or message.model,
            text="".join(part.text or "" for part in parts if part.type == "output_text"),
            status=self.status,
            tool_calls=tuple(
                ToolCall(item.call_id or "", item.name or "", _text(item.arguments))
                for item in self.output
                if item.type == "function_call"
            ),
            usage=price(self.usage.normal()) if self.usage else Usage(),
        )


class _Event(msgspec.Struct):
    type: str
    delta: object = None
    """A text, in the events that are read."""
    item: msgspec.Raw = msgspec.Raw(b"{}")
    output_index: int = 0
    response: msgspec.Raw = msgspec.Raw(b"{}")


class _Head(msgspec.Struct):
    id: str = ""
    model: str = ""


class ResponseReading(Reading[ResponseChunk]):
    """Read a streamed response."""

    def __init__(self, service: HttpService, message: StreamResponse, price: Pricing) -> None:
        super().__init__(message.model)
        self._service = service
        self._message = message
        self._price = price
        self._head = _Head()
        self._end: ResponseReply | None = None

    @property
    def is_over(self) -> bool:
        """Whether the event with the whole response has come."""
        return self._end is not None

    def hear(self, event: ServerSentEvent) -> Iterator[ResponseChunk]:
        """Take one event and yield the chunk it makes, if any."""
        if event.data.strip() == "[DONE]":  # compatible servers end as chats do
            return
        reply = HttpReply(200, {}, event.data.encode())
        heard = self._service.decode(reply, _Event)
        self.has_begun = self.has_begun or heard.type.startswith("response.")
        match heard.type:
            case "error":
                raise in_stream(self._service, reply)
            case "response.created":
                self._head = self._part(heard.response, _Head)
            case "response.output_text.delta" if heard.delta:
                yield self._made(ResponseChunk(text=_text(heard.delta)))
            case "response.output_item.added":
                item = self._part(heard.item, _Item)
                if item.type == "function_call":
                    yield self._called(heard.output_index, item)
            case "response.function_call_arguments.delta":
                yield self._called(heard.output_index, _Item(arguments=heard.delta))
            case "response.completed" | "response.incomplete" | "response.failed":
                end = self._part(heard.response, WireResponse)
                self._end = end.read(self._service, self._message, self._price)
            case _:
                return

    def _part(self, raw: msgspec.Raw, shape: type[PartT]) -> PartT:
        return self._service.decode(HttpReply(200, {}, bytes(raw)), shape)

    def _called(self, index: int, item: _Item) -> ResponseChunk:
        part = ToolCallDelta(index, item.call_id or "", item.name or "", _text(item.arguments))
        return self._made(ResponseChunk(tool_calls=(part,)))

    def last_chunk(self) -> ResponseChunk:
        """Return the chunk that ends the stream."""
        end = self._end
        if end is None:
            raise self._service.failure(FailureKind.STREAM_BROKEN, "the stream ended without its last event")
        return ResponseChunk(status=end.status, usage=self.usage(), id=end.id, model=end.model)

    def so_far(self) -> ResponseReply:
        """Return the answer as far as it came."""
        head = ResponseChunk(id=self._head.id, model=self._head.model or self.model, usage=self.usage())
        return ResponseReply.of([*self._chunks, head])

    def usage(self) -> Usage:
        """Return what the last event says, else an estimate."""
        if self._end is not None and self._end.usage != Usage():
            return self._end.usage
        estimate = Usage(
            input_tokens=self._message.input_tokens,
            output_tokens=estimate_output(chunk.written for chunk in self._chunks),
            is_estimate=True,
        )
        return self._price(estimate)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
