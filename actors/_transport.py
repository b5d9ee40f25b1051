"""The client: it knows httpx2, sends requests, and translates errors.

httpx2 and not httpx 0.28, whose connection pool loses slots to cancellation; a supervised runtime
cancels all the time.
"""

import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import cache

import anyio.to_thread
import httpx2
import msgspec

from ..supervisors import FailureKind, ProviderError
from ._connection import Connection
from ._http_messages import HttpReply, HttpRequest
from ._http_stream import HttpStream
from ._transport_response import TRANSPORT_ERRORS, OpenResponse, bare

_MOST_REDIRECTS = 5


class HttpClient:
    """Send requests over one connection pool."""

    def __init__(self, client: httpx2.AsyncClient, connection: Connection) -> None:
        self._client = client
        self._connection = connection

    async def send(self, message: HttpRequest) -> HttpReply:
        """Return the whole response, whatever its status.

        Raises:
            ProviderError: No response. Not retryable if the request may have been carried out and
                must not be carried out twice.
        """
        async with self._open(message) as response:
            return await HttpStream(response.status, response.headers, response.receive).read()

    @asynccontextmanager
    async def stream(self, message: HttpRequest) -> AsyncGenerator[HttpStream, None]:
        """Send *message*; the block reads the response as it comes, whatever its status.

        However the block ends, the response is closed. The connection is used again if all was read.

        Raises:
            ProviderError: As :meth:`send`; from within the block too, while it reads.
        """
        async with self._open(message) as response:
            response.wait_between(self._connection.idle_timeout)
            yield HttpStream(response.status, response.headers, response.receive)

    @asynccontextmanager
    async def _open(self, message: HttpRequest) -> AsyncGenerator[OpenResponse, None]:
        if self._client.is_closed:
            raise self._failure(FailureKind.NETWORK, "not sent: the service is stopping", retryable=None)

        def translate(error: Exception) -> ProviderError:
            return self._translated(error, message)

        try:
            response = await self._answer(_build(self._client, message))
        except TRANSPORT_ERRORS as error:
            raise translate(error) from bare(error)
        opened = OpenResponse(response, self._connection, translate)
        try:
            yield opened
        finally:
            await opened.close()

    async def _answer(self, request: httpx2.Request) -> httpx2.Response:
        """Return the head of the response to *request*, after all redirects."""
        for _ in range(_MOST_REDIRECTS + 1):
            response = await self._client.send(request, stream=True)
            if response.next_request is None or request.method not in {"GET", "HEAD"}:
                return response
            request = self._redirected(response.next_request)
            await response.aclose()
        raise httpx2.TooManyRedirects(f"more than {_MOST_REDIRECTS} redirects", request=request)

    def _redirected(self, request: httpx2.Request) -> httpx2.Request:
        # httpx2 drops Authorization on its own, but not the other headers that carry keys.
        if _origin(request.url) != _origin(self._client.base_url):
            for name in self._connection.secret_headers:
                request.headers.pop(name, None)
        return request

    def _translated(self, error: Exception, message: HttpRequest) -> ProviderError:
        kind, was_sent = next(row[1:] for row in _TRANSLATIONS if isinstance(error, row[0]))
        detail = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return self._failure(
            kind, detail, retryable=False if was_sent and not message.is_repeatable else None
        )

    def _failure(self, kind: FailureKind, detail: str, *, retryable: bool | None) -> ProviderError:
        return ProviderError(self._connection.provider, kind, detail, retryable=retryable)


@asynccontextmanager
async def open_client(connection: Connection) -> AsyncGenerator[HttpClient, None]:
    """Open a connection pool, and close it in the end."""
    # In a thread, because the first one reads the system's certificates, which holds up everybody for 50 ms.
    async with await anyio.to_thread.run_sync(_make_client, connection) as client:
        yield HttpClient(client, connection)


@cache
def _tls() -> ssl.SSLContext:
    """Read the system's certificates, once a process: a service that restarts need not wait for them."""
    return httpx2.create_ssl_context()


def _make_client(connection: Connection) -> httpx2.AsyncClient:
    secrets = {name: secret.reveal() for name, secret in connection.secret_headers.items()}
    return httpx2.AsyncClient(
        base_url=connection.base_url,
        headers={**connection.headers, **secrets},
        verify=_tls(),
        timeout=httpx2.Timeout(connection.read_timeout, connect=connection.connect_timeout),
        # No cap on connections: the bulkhead is one, and settings may have raised it.
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=connection.attempts),
    )


def _build(client: httpx2.AsyncClient, message: HttpRequest) -> httpx2.Request:
    headers = dict(message.headers)
    if message.idempotency_key is not None:
        headers["idempotency-key"] = message.idempotency_key
    content = message.body
    if message.json is not None:
        headers.setdefault("content-type", "application/json")
        content = msgspec.json.encode(message.json)
    return client.build_request(
        message.method.upper(),
        message.path,
        params=dict(message.query) or None,
        headers=headers,
        content=content or None,
    )


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return (url.scheme, url.host, url.port)


_TRANSLATIONS: tuple[tuple[type[Exception], FailureKind, bool], ...] = (
    # (error, what it means, whether the request may have been carried out); subclasses first
    (httpx2.ConnectTimeout, FailureKind.TIMEOUT, False),
    (httpx2.TimeoutException, FailureKind.TIMEOUT, True),
    (httpx2.ConnectError, FailureKind.NETWORK, False),
    (httpx2.ProxyError, FailureKind.NETWORK, False),
    (httpx2.NetworkError, FailureKind.NETWORK, True),
    (httpx2.RemoteProtocolError, FailureKind.NETWORK, True),
    (httpx2.LocalProtocolError, FailureKind.BAD_REQUEST, False),
    (httpx2.UnsupportedProtocol, FailureKind.BAD_REQUEST, False),
    (httpx2.InvalidURL, FailureKind.BAD_REQUEST, False),
    (httpx2.TooManyRedirects, FailureKind.BAD_REQUEST, True),
    (httpx2.DecodingError, FailureKind.INVALID_RESPONSE, True),
    (httpx2.HTTPError, FailureKind.NETWORK, True),
)
