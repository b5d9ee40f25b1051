"""A response that is read as it comes."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import final

from ._http_messages import HttpReply, is_success


@final
class HttpStream:
    """Read a response piece by piece: its head is there, its body is iterated.

    Nothing is read ahead, so a reader who does not go on makes the server wait. Only within the block
    that opened it.

    Raises:
        ProviderError: While it is iterated: the connection broke, fell silent, or brought too much.
    """

    def __init__(
        self, status: int, headers: Mapping[str, str], receive: Callable[[], Awaitable[bytes]]
    ) -> None:
        self.status = status
        self.headers = headers
        """Names in lower case; of a repeated header, the values joined by commas."""
        self._receive = receive

    @property
    def is_success(self) -> bool:
        """Tell whether the server did as asked: 2xx, or "304 Not Modified"."""
        return is_success(self.status)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """Return the next bytes of the body, never none."""
        chunk = await self._receive()
        if not chunk:
            raise StopAsyncIteration
        return chunk

    async def read(self) -> HttpReply:
        """Return the response whole, with what is left of its body."""
        body = bytearray()
        while chunk := await self._receive():
            body += chunk
        return HttpReply(self.status, self.headers, bytes(body))
