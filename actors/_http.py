"""HttpService: any HTTP API, and the base of the providers that speak HTTP."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar, TypeVar

import msgspec

from ..runtime import Message, SettingsError, handles
from ..supervisors import FailureKind, ProviderError, follows_limits, report_limits
from ..supervisors.policies import Concurrency, Exponential, Policy, Retry
from ._classification import ErrorTable
from ._connection import Connection
from ._errors import MissingExtraError
from ._http_events import EventStream
from ._http_messages import HttpReply, HttpRequest
from ._http_relay import relay
from ._http_stream import HttpStream
from ._prices import DEFAULT_PRICES, PriceTable
from ._probe import Probe
from ._rate_headers import rate_report
from ._relay import RelayedHead, RelayRequest, StreamWatch
from ._secret import Secret
from ._service import Service

if TYPE_CHECKING:
    from ._transport import HttpClient

ReplyT = TypeVar("ReplyT")

MEBIBYTE = 1024 * 1024

# By name, because some servers call their events plain text, or nothing at all.
_NO_EVENTS = frozenset({"application/json", "text/html"})
_BAD_KEY = "holds what no HTTP header can carry (a line break, a blank at an end, no ASCII): copy it again"


class HttpService(Service):
    """Stand for an HTTP API. Ask it with :class:`HttpRequest`, or subclass it and add handlers.

    Needs the extra ``relight[http]``. Redirects are followed for GET and HEAD only, and the key is
    never sent to another server.

    Args:
        base_url: Where the API is; the paths of requests are below it.
        key: Sent as ``Authorization: Bearer``; override :meth:`secret_headers` for another place.
        headers: Sent with every request.
        connect_timeout: Seconds to a connection.
        read_timeout: Seconds to the first byte of an answer, and between any two.
        idle_timeout: Seconds between any two bytes of a stream, once it has begun.
        most_bytes: A longer answer is refused.
        prices: What the service's models cost.

    Raises:
        MissingExtraError: httpx2 is not installed.
        SettingsError: The key is none that a header can carry.
    """

    policy: ClassVar[Policy] = Policy(
        retry=Retry(attempts=3, backoff=Exponential(1.0, cap=30.0)),
        concurrency=Concurrency(10),
        attempt_timeout=30.0,
    )
    errors: ClassVar[ErrorTable] = ErrorTable()
    """How this provider's error responses are classified."""

    def __init__(
        self,
        base_url: str,
        *,
        key: Secret | str | None = None,
        headers: Mapping[str, str] | None = None,
        connect_timeout: float = 5.0,
        read_timeout: float = 60.0,
        idle_timeout: float = 90.0,
        most_bytes: int = 32 * MEBIBYTE,
        prices: PriceTable = DEFAULT_PRICES,
    ) -> None:
        super().__init__(key=key, prices=prices)
        if self._key is not None and not self._key.fits_header:
            # Now and in our words: the libraries below quote the whole header in their errors.
            raise SettingsError(f"{type(self).__name__}(key=...)", _BAD_KEY)
        self.base_url = base_url
        self._headers = dict(headers or {})
        self._timeouts = (connect_timeout, read_timeout, idle_timeout)
        self._most_bytes = most_bytes
        self._client: HttpClient | None = None
        # At once, and not when it starts: a missing library should stop the program, not crash a child.
        self._open_client = _client_opener(type(self).__name__)

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Keep one connection pool open while the actor lives."""
        connect_timeout, read_timeout, idle_timeout = self._timeouts
        connection = Connection(
            provider=self.name,
            base_url=self.base_url,
            headers=self._headers,
            secret_headers=self.secret_headers(),
            attempts=self.policy_in_force.concurrency.most,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            idle_timeout=idle_timeout,
            most_bytes=self._most_bytes,
        )
        async with self._open_client(connection) as self._client:
            yield

    @handles
    async def request(self, message: HttpRequest) -> HttpReply:
        """Send *message* and return the response."""
        try:
            return await self.exchange(message)
        except ProviderError as error:
            if error.status is not None and not self.is_repeatable(message):
                error.retryable = False
            raise

    @handles
    async def relay(self, message: RelayRequest) -> AsyncGenerator[RelayedHead | bytes]:
        """Make the exchange of a client library; see `relight.transport`."""
        async with aclosing(relay(self, message)) as parts:
            async for part in parts:
                yield part

    def watch_stream(self, message: RelayRequest) -> StreamWatch | None:
        """Return who watches the stream of a relayed response; None: nobody knows its end marker."""
        return None

    def is_repeatable(self, message: Message) -> bool:
        """Tell whether *message* may be attempted again after an attempt may have carried it out."""
        return message.is_repeatable if isinstance(message, HttpRequest | RelayRequest) else True

    def probe(self, model: str | None = None) -> Probe | None:
        """Look at the address itself, where the service is any HTTP API."""
        return Probe(request=HttpRequest("GET", "/"), purpose="looks at the address itself")

    def secret_headers(self) -> dict[str, Secret]:
        """Return the headers that carry the key. Override it where the key goes elsewhere."""
        return {} if self._key is None else {"authorization": Secret(f"Bearer {self._key.reveal()}")}

    async def exchange(self, message: HttpRequest) -> HttpReply:
        """Send one request, within a handler, and return the response if it is a success.

        Raises:
            ProviderError: No response, or one that reports an error. The former is not retryable
                if *message* is not repeatable and may have been carried out.
        """
        reply = await self._running_client().send(message)
        self.note_limits(reply.headers)
        if reply.is_success:
            return reply
        raise self.failure_of(reply)

    @asynccontextmanager
    async def exchange_stream(self, message: HttpRequest) -> AsyncGenerator[HttpStream]:
        """Send one request, within a handler, and read the response as it comes.

        The block gets the response once its head says that it is a success. Nothing is read ahead of
        the block, and whatever ends the block, the response is closed: the server sees that nobody
        listens any more. The connection is kept if the response was read to its end.

        Raises:
            ProviderError: As :meth:`exchange`. While the block reads: NETWORK or TIMEOUT where the
                connection broke or fell silent, INVALID_RESPONSE where the answer is too long.
        """
        async with self._running_client().stream(message) as stream:
            self.note_limits(stream.headers)
            if not stream.is_success:
                raise self.failure_of(await stream.read())
            yield stream

    @asynccontextmanager
    async def exchange_events(self, message: HttpRequest) -> AsyncGenerator[EventStream]:
        """Send one request, within a handler, and read the response's events as they come.

        Raises:
            ProviderError: As :meth:`exchange_stream`. INVALID_RESPONSE where the answer is no stream
                of events, or an error where it tells of one, and where an event is too long.
        """
        async with self.exchange_stream(message) as response:
            if _media_type(response) in _NO_EVENTS:
                raise self.failure_of(await response.read())
            yield EventStream(response, self._refuse)

    def _refuse(self, detail: str) -> ProviderError:
        return self.failure(FailureKind.INVALID_RESPONSE, detail, retryable=False)

    def open_stream(self, message: HttpRequest) -> AbstractAsyncContextManager[HttpStream]:
        """Send one request, within a handler, and read the response as it comes, whatever its status.

        Raises:
            ProviderError: No response; while the block reads, as :meth:`exchange_stream`.
        """
        return self._running_client().stream(message)

    def _running_client(self) -> HttpClient:
        if self._client is None:
            raise RuntimeError(f"{self!r} is not running: ask it through its ref")
        return self._client

    def note_limits(self, headers: Mapping[str, str]) -> None:
        """Correct the service's rate limit, where it has one, by what an answer's headers say of it."""
        if follows_limits():
            report = rate_report(headers, now=datetime.now(UTC))
            if report.requests is not None or report.tokens is not None:
                report_limits(report)

    def failure_of(self, reply: HttpReply) -> ProviderError:
        """Classify a response that is not what was asked for."""
        return self.errors.classify(
            self.name, reply.status, reply.headers, reply.body, now=datetime.now(UTC), hide=self.hide
        )

    def decode(self, reply: HttpReply, shape: type[ReplyT]) -> ReplyT:
        """Read the body of a success as *shape*.

        Raises:
            ProviderError: It is something else: an error in disguise, or INVALID_RESPONSE.
        """
        try:
            return msgspec.json.decode(reply.body, type=shape)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            failure = self.failure_of(reply)
            if failure.kind is FailureKind.INVALID_RESPONSE:
                failure = self.failure(FailureKind.INVALID_RESPONSE, f"unreadable answer: {error}")
            raise failure from error


def _media_type(response: HttpStream) -> str:
    return response.headers.get("content-type", "").partition(";")[0].strip().lower()


def _client_opener(user: str) -> Callable[[Connection], AbstractAsyncContextManager[HttpClient]]:
    try:
        from ._transport import open_client
    except ImportError as error:
        raise MissingExtraError(user, "http") from error
    return open_client
