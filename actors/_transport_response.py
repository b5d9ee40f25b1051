"""A response under way, as httpx2 has it: read in pieces, bounded, and closed without a trace."""

from collections.abc import Callable
from typing import TypeVar

import anyio
import httpx2

from ..supervisors import FailureKind, ProviderError
from ._connection import Connection

ErrorT = TypeVar("ErrorT", bound=BaseException)

TRANSPORT_ERRORS = (httpx2.HTTPError, httpx2.InvalidURL)
"""What httpx2 raises over a request."""


class OpenResponse:
    """Read one response, and close it."""

    def __init__(
        self,
        response: httpx2.Response,
        connection: Connection,
        translate: Callable[[Exception], ProviderError],
    ) -> None:
        self.status = response.status_code
        self.headers = dict(response.headers)
        self._response = response
        self._connection = connection
        self._translate = translate
        self._chunks = response.aiter_bytes()
        self._received = 0
        self._has_begun = False
        self._has_ended = False

    def wait_between(self, seconds: float) -> None:
        """Wait so long at most for any next bytes. To be said before the first of them."""
        # The timeouts travel with the request, and that of reading is read again when the body begins.
        self._response.request.extensions["timeout"]["read"] = seconds

    async def receive(self) -> bytes:
        """Return the next bytes of the body; none after its end.

        Raises:
            ProviderError: The connection broke or fell silent, or the body is too long.
        """
        if self._has_ended:
            return b""
        self._has_begun = True
        try:
            async for chunk in self._chunks:
                self._count(chunk)
                if chunk:
                    return chunk
        except TRANSPORT_ERRORS as error:
            self._has_ended = True
            raise self._translate(error) from bare(error)
        self._has_ended = True
        return b""

    async def close(self) -> None:
        """Close the connection, unless the response was read to its end."""
        # Takes no time, and half of it would leave the connection to the pool or to the garbage collector.
        with anyio.CancelScope(shield=True):
            await self._response.aclose()
            if self._has_begun and not self._has_ended:
                await self._unwind()

    async def _unwind(self) -> None:
        """Let the generators inside httpx2 find out that the connection is closed.

        They are nested, and closing the outermost leaves the inner ones to the garbage collector,
        which trio reports for each.
        """
        try:
            async for _ in self._chunks:
                pass
        except (*TRANSPORT_ERRORS, httpx2.StreamError):
            return

    def _count(self, chunk: bytes) -> None:
        self._received += len(chunk)
        if self._received > (limit := self._connection.most_bytes):
            detail = f"the answer is longer than {limit} bytes, the service's limit"
            provider = self._connection.provider
            raise ProviderError(provider, FailureKind.INVALID_RESPONSE, detail, retryable=False)


def bare(error: ErrorT) -> ErrorT:
    """Drop the tracebacks of *error* and its causes: the frames in the library hold headers with keys."""
    link: BaseException | None = error
    while link is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    return error
