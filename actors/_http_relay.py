"""The service's half of a relay: one attempt at an exchange, told apart as the service's own are."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from ..supervisors import FailureKind, ProviderError, StreamBrokenError
from ._http_messages import HttpReply, HttpRequest
from ._http_stream import HttpStream
from ._relay import AnsweredError, RelayedHead, RelayRequest, StreamWatch, headers_back, headers_out
from ._sse import EventParser, OversizedEventError

if TYPE_CHECKING:
    from ._http import HttpService


async def relay(service: HttpService, message: RelayRequest) -> AsyncGenerator[RelayedHead | bytes]:
    """Make the exchange once and yield the response's head and body.

    A response of JSON is read whole before any of it is handed on, so one that is cut off or unreadable
    can still be asked for again. So can a stream whose first event reports an error.

    Raises:
        AnsweredError: The response reports an error; it is attached.
        ProviderError: There is no response, or none that can be read.
        StreamBrokenError: The stream broke, reported an error, or lacks its end marker.
    """
    async with service.open_stream(_request(service, message)) as response:
        parts = _parts(service, message, response)
        async with aclosing(parts):
            async for part in parts:
                yield part


async def _parts(
    service: HttpService, message: RelayRequest, response: HttpStream
) -> AsyncGenerator[RelayedHead | bytes]:
    head = RelayedHead(response.status, headers_back(response.headers))
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not response.is_success:
        raise _answered(service, message, await response.read())
    if kind == "text/event-stream":
        watch = service.watch_stream(message)
        async with aclosing(_events(service, response, head, watch)) as parts:
            async for part in parts:
                yield part
    elif kind == "application/json" or kind.endswith("+json"):
        reply = await response.read()
        _check_json(service, reply)
        yield head
        yield reply.body
    else:
        yield head
        async for chunk in response:
            yield chunk


async def _events(
    service: HttpService, response: HttpStream, head: RelayedHead, watch: StreamWatch | None
) -> AsyncGenerator[RelayedHead | bytes]:
    """Hand a stream of events on, its head only together with its first event."""
    parser = EventParser()
    held: list[bytes] = []
    is_out = False
    failure: ProviderError | None = None
    async for chunk in response:
        try:
            events = parser.feed(chunk)
        except OversizedEventError as error:
            raise service.failure(FailureKind.INVALID_RESPONSE, str(error), retryable=False) from error
        if watch is not None and failure is None:
            failure = next((found for event in events if (found := watch.see(event))), None)
        if not is_out:
            held.append(chunk)
            if failure is not None:
                # Its head said that all is well, so the client library reads it as the stream it is.
                body = _hidden(service, b"".join(held))
                raise AnsweredError.of(failure, HttpReply(response.status, response.headers, body))
            if not events:
                continue
            is_out = True
            yield head
            chunk = b"".join(held)
        yield chunk if failure is None else _hidden(service, chunk)
        if failure is not None:
            # The client library has read the same event. It is noted here for the breaker.
            raise StreamBrokenError.after(failure)
    if watch is not None and not watch.is_complete:
        raise StreamBrokenError(service.name, detail="the stream ended without its end marker")
    if not is_out:
        yield head


def _request(service: HttpService, message: RelayRequest) -> HttpRequest:
    target = urlsplit(message.target)
    covered = urlsplit(service.base_url).path.rstrip("/")
    path = target.path
    if not path.startswith(f"{covered}/"):
        detail = f"the path {path!r} is not below that of the service, {covered!r}"
        raise service.failure(FailureKind.BAD_REQUEST, f"{detail}: give the client the same base URL")
    query = f"?{target.query}" if target.query else ""
    return HttpRequest(
        message.method,
        path[len(covered) :] + query,
        body=message.body,
        headers=headers_out(message.headers),
        idempotent=service.is_repeatable(message),
    )


def _answered(service: HttpService, message: RelayRequest, reply: HttpReply) -> AnsweredError:
    error = service.failure_of(reply)
    if not service.is_repeatable(message):
        error.retryable = False
    body = _hidden(service, reply.body)
    return AnsweredError.of(error, HttpReply(reply.status, headers_back(reply.headers), body))


def _hidden(service: HttpService, body: bytes) -> bytes:
    """Some servers echo the key, and the client library puts the body into its error."""
    return service.hide(body.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def _check_json(service: HttpService, reply: HttpReply) -> None:
    if not reply.body:
        return
    try:
        msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise service.failure(FailureKind.INVALID_RESPONSE, f"unreadable answer: {error}") from error
