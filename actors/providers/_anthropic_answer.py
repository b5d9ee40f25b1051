"""Answers as Anthropic sends them, whole or in a stream, as far as they are read."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ...supervisors import FailureKind
from .._http import HttpService
from .._http_messages import HttpReply
from .._sse import ServerSentEvent
from .._usage import Usage
from ._anthropic_messages import CreateMessage, MessageChunk, MessageReply, StreamMessage
from ._chat import Pricing, estimate_output
from ._streaming import Reading, in_stream
from ._tools import ToolCall, ToolCallDelta


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None

    def normal(self) -> Usage:
        read, written = self.cache_read_input_tokens or 0, self.cache_creation_input_tokens or 0
        return Usage(
            # Anthropic counts what went through its cache apart.
            input_tokens=(self.input_tokens or 0) + read + written,
            output_tokens=self.output_tokens or 0,
            cached_tokens=read,
            cache_write_tokens=written,
        )

    def updated(self, later: _Usage) -> _Usage:
        """Return it with what a later event counts: the whole up to then, not what was added."""
        news = {name: value for name, value in msgspec.structs.asdict(later).items() if value is not None}
        return msgspec.structs.replace(self, **news)


class _Block(msgspec.Struct):
    type: str
    text: str = ""
    thinking: str = ""
    id: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.Raw(b"")


class Answer(msgspec.Struct):
    """A whole answer."""

    content: list[_Block]
    usage: _Usage
    id: str = ""
    model: str = ""
    stop_reason: str | None = None

    def read(self, service: HttpService, message: CreateMessage, price: Pricing) -> MessageReply:
        """Say it in our words.

        Raises:
            ProviderError: The model declined.
        """
        check_declined(service, self.stop_reason)
        return MessageReply(
            id=self.id,
            model=self.model or message.model,
            text="".join(block.text for block in self.content if block.type == "text"),
            stop_reason=self.stop_reason,
            tool_calls=tuple(
                ToolCall(block.id, block.name, bytes(block.input).decode())
                for block in self.content
                if block.type == "tool_use"
            ),
            thinking="".join(block.thinking for block in self.content),
            usage=price(self.usage.normal()),
        )


def check_declined(service: HttpService, stop_reason: str | None) -> None:
    """Raise CONTENT_POLICY if an answer that looks like a success is a refusal."""
    if stop_reason == "refusal":
        raise service.failure(FailureKind.CONTENT_POLICY, "the model refused to answer", code="refusal")


class _Delta(msgspec.Struct):
    text: str = ""
    thinking: str = ""
    partial_json: str = ""
    stop_reason: str | None = None


class _Head(msgspec.Struct):
    id: str = ""
    model: str = ""
    usage: _Usage | None = None


class _Event(msgspec.Struct):
    type: str
    index: int = 0
    message: _Head | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: _Usage | None = None


class MessageReading(Reading[MessageChunk]):
    """Read a streamed message."""

    def __init__(self, service: HttpService, message: StreamMessage, price: Pricing) -> None:
        super().__init__(message.model)
        self._service = service
        self._message = message
        self._price = price
        self._head = _Head()
        self._usage = _Usage()
        self._stop_reason: str | None = None
        self._is_stopped = False

    @property
    def is_over(self) -> bool:
        """Whether ``message_stop`` has come."""
        return self._is_stopped

    def hear(self, event: ServerSentEvent) -> Iterator[MessageChunk]:
        """Take one event and yield the chunk it makes, if any. Pings and kinds yet unknown make none."""
        reply = HttpReply(200, {}, event.data.encode())
        if event.event == "error":
            raise in_stream(self._service, reply)
        heard = self._service.decode(reply, _Event)
        if heard.type == "error":
            raise in_stream(self._service, reply)
        self._usage = self._usage.updated(heard.usage or _Usage())
        match heard.type:
            case "message_start":
                self._begin(heard.message or _Head())
            case "content_block_start" if heard.content_block is not None:
                yield from self._block(heard.index, heard.content_block)
            case "content_block_delta" if heard.delta is not None:
                yield from self._added(heard.index, heard.delta)
            case "message_delta" if heard.delta is not None:
                self._stop_reason = heard.delta.stop_reason or self._stop_reason
            case "message_stop":
                self._is_stopped = True
            case _:
                return

    def _begin(self, head: _Head) -> None:
        self.has_begun = True
        self._head = head
        self._usage = self._usage.updated(head.usage or _Usage())

    def _block(self, index: int, block: _Block) -> Iterator[MessageChunk]:
        # A block begins empty as a rule, but not by any promise.
        yield from self._added(index, _Delta(text=block.text, thinking=block.thinking))
        if block.type == "tool_use":
            yield self._called(ToolCallDelta(index, block.id, block.name))

    def _added(self, index: int, delta: _Delta) -> Iterator[MessageChunk]:
        if delta.text or delta.thinking:
            yield self._made(MessageChunk(text=delta.text, thinking=delta.thinking))
        if delta.partial_json:
            yield self._called(ToolCallDelta(index, arguments=delta.partial_json))

    def _called(self, part: ToolCallDelta) -> MessageChunk:
        return self._made(MessageChunk(tool_calls=(part,)))

    def last_chunk(self) -> MessageChunk:
        """Return the chunk that ends the stream."""
        if not self._is_stopped:
            raise self._service.failure(FailureKind.STREAM_BROKEN, "the stream ended without message_stop")
        check_declined(self._service, self._stop_reason)
        return self._end()

    def _end(self) -> MessageChunk:
        return MessageChunk(
            stop_reason=self._stop_reason,
            usage=self.usage(),
            id=self._head.id,
            model=self._head.model or self.model,
        )

    def so_far(self) -> MessageReply:
        """Return the answer as far as it came."""
        return MessageReply.of([*self._chunks, self._end()])

    def usage(self) -> Usage:
        """Return what the API counted at the end; before it, an estimate of the output."""
        counted = self._usage.normal()
        if self._is_stopped:
            return self._price(counted)
        estimate = msgspec.structs.replace(
            counted,
            input_tokens=counted.input_tokens or self._message.input_tokens,
            output_tokens=max(
                counted.output_tokens, estimate_output(chunk.written for chunk in self._chunks)
            ),
            is_estimate=True,
        )
        return self._price(estimate)
