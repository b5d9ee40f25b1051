"""Streams of language models: what is delivered, what a break leaves behind, and what it cost."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterable
from typing import Generic, TypeVar

from ...runtime import Message
from ...supervisors import FailureKind, ProviderError, StreamBrokenError
from .._http import HttpService
from .._http_messages import HttpReply, HttpRequest
from .._sse import ServerSentEvent
from .._usage import Usage

ChunkT = TypeVar("ChunkT")

_CUT_OFF = frozenset({FailureKind.NETWORK, FailureKind.TIMEOUT})


class Reading(ABC, Generic[ChunkT]):
    """Make chunks of a stream's events, and remember enough to say what came before a break."""

    def __init__(self, model: str) -> None:
        self.model = model
        """What was asked; the price goes by it."""
        self.has_begun = False
        """The model has answered, so there is something to pay."""
        self._chunks: list[ChunkT] = []
        """What the events have made."""

    def _made(self, chunk: ChunkT) -> ChunkT:
        """Remember *chunk*, and return it."""
        self._chunks.append(chunk)
        return chunk

    @abstractmethod
    def hear(self, event: ServerSentEvent) -> Iterable[ChunkT]:
        """Take one event and return the chunks it makes.

        Raises:
            ProviderError: It reports an error, or cannot be read.
        """

    @property
    @abstractmethod
    def is_over(self) -> bool:
        """Whether the end marker has come: nothing of interest follows."""

    @abstractmethod
    def last_chunk(self) -> ChunkT:
        """Return the last chunk, with the reason of the end and the usage.

        Raises:
            ProviderError: STREAM_BROKEN, if the end came without its marker; CONTENT_POLICY, if the
                provider declined.
        """

    @abstractmethod
    def so_far(self) -> object:
        """Return the answer as far as it came, in the form of a whole one."""

    @abstractmethod
    def usage(self) -> Usage:
        """Return what the answer used: as the provider says, else an estimate that says it is one."""


async def read_stream(
    service: HttpService, message: Message, request: HttpRequest, reading: Reading[ChunkT]
) -> AsyncGenerator[ChunkT, None]:
    """Send *request* and yield the chunks that *reading* makes of the answer.

    Before the first chunk an error is what it is anywhere else. After it, it is a `StreamBrokenError`
    with the part of the answer that came, and so is a stream that ends without its end marker.
    What a stream that was broken or left has used is told in an event.
    """
    is_out = False
    reason = "left"
    try:
        async with service.exchange_events(request) as events:
            async for event in events:
                for chunk in reading.hear(event):
                    is_out = True
                    yield chunk
                if reading.is_over:
                    break
            last = reading.last_chunk()
            reason = ""
            is_out = True
            yield last
            await events.finish()
    except ProviderError as error:
        reason = "broken"
        if is_out or error.kind is FailureKind.STREAM_BROKEN:
            raise _broken(error, reading.so_far()) from error
        raise
    finally:
        if reason and reading.has_begun:
            _tell(service, message, reading, reason)


def in_stream(service: HttpService, reply: HttpReply) -> ProviderError:
    """Classify an error that a stream tells of after its head has said that all is well."""
    failure = service.failure_of(reply)
    if failure.kind is not FailureKind.INVALID_RESPONSE:
        return failure
    # It can be read very well: it says that something broke, and not what.
    return ProviderError(
        failure.provider, FailureKind.SERVER, failure.detail, status=failure.status, code=failure.code
    )


def _broken(error: ProviderError, partial: object) -> StreamBrokenError:
    # Without a status it was the connection; with one, the provider told of an error of its own.
    was_cut_off = error.status is None and error.kind in _CUT_OFF
    return StreamBrokenError(
        error.provider,
        FailureKind.STREAM_BROKEN if was_cut_off else error.kind,
        error.detail,
        partial=partial,
        status=error.status,
        code=error.code,
        retry_after=error.retry_after,
        retryable=error.retryable,
    )


def _tell(service: HttpService, message: Message, reading: Reading[ChunkT], reason: str) -> None:
    usage = reading.usage()
    service.emit(
        "provider.stream_dropped",
        provider=service.name,
        operation=type(message).__name__,
        model=reading.model,
        reason=reason,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        usd=usage.usd,
    )
