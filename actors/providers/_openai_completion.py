"""Chat completions as OpenAI sends them, whole or in a stream, as far as they are read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from ...supervisors import FailureKind
from .._http import HttpService
from .._http_messages import HttpReply
from .._sse import ServerSentEvent
from .._usage import Usage
from ._chat import Pricing, estimate_output
from ._openai_chat import ChatChunk, ChatCompletion, ChatReply, StreamChat
from ._openai_usage import ChatUsage
from ._streaming import Reading, in_stream
from ._tools import ToolCall, ToolCallDelta

EndMarker = Literal["finish_reason", "done", "any"]


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct):
    function: _Function | None = None
    id: str | None = None
    index: int | None = None


class _Said(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct):
    message: _Said
    finish_reason: str | None = None


class Completion(msgspec.Struct):
    """A whole answer."""

    choices: list[_Choice]
    id: str = ""
    model: str = ""
    usage: ChatUsage | None = None

    def read(self, service: HttpService, message: ChatCompletion, price: Pricing) -> ChatReply:
        """Say it in our words.

        Raises:
            ProviderError: It is no answer, or the provider declined.
        """
        if not self.choices:
            raise service.failure(FailureKind.INVALID_RESPONSE, "the answer holds no choice")
        choice = self.choices[0]
        check_declined(service, choice.finish_reason, choice.message.refusal)
        return ChatReply(
            id=self.id,
            model=self.model or message.model,
            text=choice.message.content or "",
            finish_reason=choice.finish_reason,
            tool_calls=tuple(map(_whole_call, choice.message.tool_calls or ())),
            usage=price(self.usage.normal()) if self.usage else Usage(),
        )


def check_declined(service: HttpService, finish_reason: str | None, refusal: str | None) -> None:
    """Raise CONTENT_POLICY if an answer that looks like a success is a refusal."""
    if finish_reason == "content_filter":
        raise service.failure(FailureKind.CONTENT_POLICY, "the answer was filtered", code="content_filter")
    if refusal:
        raise service.failure(FailureKind.CONTENT_POLICY, refusal, code="refusal")


def _whole_call(call: _Call) -> ToolCall:
    function = call.function or _Function()
    return ToolCall(call.id or "", function.name or "", function.arguments or "")


class _StreamedChoice(msgspec.Struct):
    delta: _Said | None = None
    finish_reason: str | None = None
    index: int = 0


class _Event(msgspec.Struct):
    choices: list[_StreamedChoice] | None = None
    error: object = None
    id: str | None = None
    model: str | None = None
    usage: ChatUsage | None = None


class ChatReading(Reading[ChatChunk]):
    """Read a streamed chat completion."""

    def __init__(
        self, service: HttpService, message: StreamChat, price: Pricing, end_marker: EndMarker
    ) -> None:
        super().__init__(message.model)
        self._service = service
        self._message = message
        self._price = price
        self._end_marker = end_marker
        self._id = self._answering = ""
        self._refusals: list[str] = []
        self._finish_reason: str | None = None
        self._usage: ChatUsage | None = None
        self._is_done = False

    @property
    def is_over(self) -> bool:
        """Whether ``[DONE]`` has come."""
        return self._is_done

    def hear(self, event: ServerSentEvent) -> Iterator[ChatChunk]:
        """Take one event and yield the chunk it makes, if any."""
        if event.data.strip() == "[DONE]":
            self._is_done = True
            return
        reply = HttpReply(200, {}, event.data.encode())
        heard = self._service.decode(reply, _Event)
        if heard.error or event.event == "error":
            raise in_stream(self._service, reply)
        self.has_begun = True
        self._id, self._answering = heard.id or self._id, heard.model or self._answering
        # Some servers count along, in every event; the last count is the whole.
        self._usage = heard.usage or self._usage
        for choice in heard.choices or ():
            if choice.index == 0:
                self._finish_reason = choice.finish_reason or self._finish_reason
                yield from self._said(choice.delta or _Said())

    def _said(self, said: _Said) -> Iterator[ChatChunk]:
        if said.refusal:
            self._refusals.append(said.refusal)
        calls = tuple(_delta(number, call) for number, call in enumerate(said.tool_calls or ()))
        if said.content or calls:
            yield self._made(ChatChunk(text=said.content or "", tool_calls=calls))

    def last_chunk(self) -> ChatChunk:
        """Return the chunk that ends the stream."""
        if not self._has_ended():
            raise self._service.failure(FailureKind.STREAM_BROKEN, "the stream ended without its end marker")
        check_declined(self._service, self._finish_reason, "".join(self._refusals))
        return self._end()

    def _end(self) -> ChatChunk:
        return ChatChunk(
            finish_reason=self._finish_reason,
            usage=self.usage(),
            id=self._id,
            model=self._answering or self.model,
        )

    def _has_ended(self) -> bool:
        if self._finish_reason is not None or self._end_marker == "any":
            return True
        return self._is_done and self._end_marker == "done"

    def so_far(self) -> ChatReply:
        """Return the answer as far as it came."""
        return ChatReply.of([*self._chunks, self._end()])

    def usage(self) -> Usage:
        """Return what the server counted at its end, else an estimate."""
        if self._usage is not None and (self._finish_reason is not None or self._is_done):
            return self._price(self._usage.normal())
        written = [*self._refusals, *(chunk.written for chunk in self._chunks)]
        counted = self._usage.normal() if self._usage is not None else Usage()
        estimate = Usage(
            input_tokens=counted.input_tokens or self._message.input_tokens,
            output_tokens=max(counted.output_tokens, estimate_output(written)),
            is_estimate=True,
        )
        return self._price(estimate)


def _delta(number: int, call: _Call) -> ToolCallDelta:
    function = call.function or _Function()
    # Some compatible servers send whole calls and do not number them.
    index = number if call.index is None else call.index
    return ToolCallDelta(index, call.id or "", function.name or "", function.arguments or "")
