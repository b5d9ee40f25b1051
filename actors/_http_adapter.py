"""The client library's half of a relay: httpx2 transports that send their requests to an actor."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from math import ceil

import anyio
import httpx2
import msgspec

from ..runtime import AskError, DeadlineExceededError, DeliveryError, Ref, RefusalError, Stream
from ..supervisors import (
    BudgetExceededError,
    FailureKind,
    Portal,
    ProviderBlockedError,
    ProviderError,
    RateLimitedError,
)
from ._relay import AnsweredError, RelayedHead, RelayRequest, headers_out

_REFUSED: tuple[tuple[type[RefusalError], int], ...] = (
    (RateLimitedError, 429),
    (BudgetExceededError, 402),
    (ProviderBlockedError, 403),
    (RefusalError, 503),
)
"""The status that a refusal comes back as; subclasses first."""

_Failure = (RefusalError, ProviderError, AskError, DeliveryError)


class Exchange:
    """One request of the client library, on its way through the actor."""

    def __init__(self, ref: Ref, request: httpx2.Request, body: bytes, timeout: float | None) -> None:
        self._request = request
        self._patience: float | None = request.extensions.get("timeout", {}).get("read")
        self._stream: Stream[RelayedHead | bytes] = ref.stream(
            RelayRequest(
                method=request.method,
                target=request.url.raw_path.decode("ascii"),
                # Now: the message may end as a dead letter, and the client's own key must not.
                headers=headers_out(request.headers),
                body=body,
                model=_model(request.headers, body),
            ),
            timeout=timeout,
        )

    async def begin(self, body: httpx2.AsyncByteStream | httpx2.SyncByteStream) -> httpx2.Response:
        """Send the request and return the response, its *body* still to be read.

        Raises:
            httpx2.TransportError: There is no response.
        """
        try:
            await self._stream.__aenter__()
            head = await self._next()
        except BaseException as error:
            await self.close()
            if isinstance(error, RefusalError) and not isinstance(error, DeadlineExceededError):
                return _refused(error)
            if (answered := _answer_in(error)) is not None:
                return _answered(answered, error)
            if isinstance(error, _Failure):
                raise self._translated(error) from error
            raise
        assert isinstance(head, RelayedHead)
        return httpx2.Response(head.status, headers=dict(head.headers), stream=body)

    async def read(self) -> bytes:
        """Return more of the body; none at its end.

        Raises:
            httpx2.TransportError: The rest does not come.
        """
        try:
            part = await self._next()
        except StopAsyncIteration:
            return b""
        except _Failure as error:
            raise self._translated(error) from error
        assert isinstance(part, bytes)
        return part

    async def close(self) -> None:
        """Leave the exchange; an attempt under way is cancelled."""
        await self._stream.__aexit__(None, None, None)

    async def _next(self) -> RelayedHead | bytes:
        with anyio.move_on_after(self._patience):
            return await anext(self._stream)
        raise httpx2.ReadTimeout(f"nothing came for {self._patience:g} s", request=self._request)

    def _translated(self, error: Exception) -> httpx2.TransportError:
        is_late = isinstance(error, TimeoutError | DeadlineExceededError) or (
            isinstance(error, ProviderError) and error.kind is FailureKind.TIMEOUT
        )
        kind = httpx2.ReadTimeout if is_late else httpx2.RemoteProtocolError
        return kind(str(error), request=self._request)


class AsyncActorTransport(httpx2.AsyncBaseTransport):
    """Send what an asynchronous client sends through an actor."""

    def __init__(self, ref: Ref, timeout: float | None) -> None:
        self._ref = ref
        self._timeout = timeout

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Make one exchange; see `transport`."""
        exchange = Exchange(self._ref, request, await request.aread(), self._timeout)
        return await exchange.begin(_AsyncBody(exchange))


class ActorTransport(httpx2.BaseTransport):
    """Send what a synchronous client sends through an actor, from a thread that is not the loop's."""

    def __init__(self, ref: Ref, portal: Portal, timeout: float | None) -> None:
        self._ref = ref
        self._portal = portal
        self._timeout = timeout

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Make one exchange; see `transport`."""
        exchange = Exchange(self._ref, request, request.read(), self._timeout)
        return self._portal.call(exchange.begin, _Body(exchange, self._portal))


class _AsyncBody(httpx2.AsyncByteStream):
    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while chunk := await self._exchange.read():
            yield chunk

    async def aclose(self) -> None:
        await self._exchange.close()


class _Body(httpx2.SyncByteStream):
    def __init__(self, exchange: Exchange, portal: Portal) -> None:
        self._exchange = exchange
        self._portal = portal

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self._portal.call(self._exchange.read):
            yield chunk

    def close(self) -> None:
        self._portal.call(self._exchange.close)


def _answer_in(error: BaseException) -> AnsweredError | None:
    """Find the provider's own answer behind what the guard made of it."""
    link: BaseException | None = error
    while link is not None and not isinstance(link, AnsweredError):
        link = link.__cause__
    return link


def _answered(answered: AnsweredError, error: BaseException) -> httpx2.Response:
    reply = answered.reply
    headers = {**reply.headers, "x-should-retry": "false"}
    if isinstance(error, ProviderError) and error.retry_after is not None:
        headers.setdefault("retry-after", str(ceil(error.retry_after)))
    return httpx2.Response(reply.status, headers=headers, content=reply.body)


def _refused(error: RefusalError) -> httpx2.Response:
    status = next(status for kind, status in _REFUSED if isinstance(error, kind))
    code = re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__.removesuffix("Error")).lower()
    headers = {"content-type": "application/json", "x-should-retry": "false"}
    if error.retry_after is not None:
        headers["retry-after"] = str(ceil(error.retry_after))
    # Both shapes that client libraries look for: the outer type is Anthropic's.
    body = {"type": "error", "error": {"type": code, "code": code, "message": str(error), "param": None}}
    return httpx2.Response(status, headers=headers, content=msgspec.json.encode(body))


class _Named(msgspec.Struct):
    model: str = ""


def _model(headers: Mapping[str, str], body: bytes) -> str:
    if not headers.get("content-type", "").startswith("application/json"):
        return ""
    try:
        return msgspec.json.decode(body, type=_Named).model
    except msgspec.MsgspecError:
        return ""
