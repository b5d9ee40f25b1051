"""A server that answers with bytes written by hand: for what no decent server would send."""

import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import anyio
import anyio.abc
import msgspec

Reply = bytes | Callable[[anyio.abc.SocketStream], Awaitable[None]]
"""Bytes, or a function that sends them in its own time; the connection is closed when it returns."""

HANG = b"hang"
"""In place of a reply: never answer."""


def http(status: int, body: bytes = b"", *headers: str) -> bytes:
    """Write a well-formed response."""
    lines = [f"HTTP/1.1 {status} Reason", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def http_json(status: int, body: object, *headers: str) -> bytes:
    """Write a well-formed response with a JSON body."""
    return http(status, msgspec.json.encode(body), "content-type: application/json", *headers)


STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
"""The head of a stream of events that ends with its connection."""


def events(*data: object, end: bytes = b"") -> bytes:
    """Write a stream of events, each a text or what is sent as JSON, and whatever bytes come last."""
    lines = (item.encode() if isinstance(item, str) else msgspec.json.encode(item) for item in data)
    return STREAM + b"".join(b"data: " + line + b"\n\n" for line in lines) + end


async def wait_closed(stream: anyio.abc.SocketStream) -> None:
    """Wait until the client has closed the connection."""
    with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
        await stream.receive()


class RawServer:
    """The server's address, and what it was sent."""

    def __init__(self, port: int, replies: tuple[Reply, ...]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.requests: list[bytes] = []
        self.times: list[float] = []
        self.connections = 0
        self._replies = list(replies)

    async def handle(self, stream: anyio.abc.SocketStream) -> None:
        """Answer the requests of one connection; replies are used in order, the last one for ever."""
        self.connections += 1
        async with stream:
            while (request := await _read_request(stream)) is not None:
                self.requests.append(request)
                self.times.append(anyio.current_time())
                reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
                if not isinstance(reply, bytes):
                    with suppress(anyio.BrokenResourceError):  # the client has left
                        await reply(stream)
                    return
                if reply == HANG:
                    await anyio.sleep_forever()
                await stream.send(reply)
                if b"\r\ncontent-length" not in reply:  # only our own replies are whole
                    return


@asynccontextmanager
async def serve(*replies: Reply, port: int = 0) -> AsyncGenerator[RawServer, None]:
    """Serve *replies* on a free port, or on *port*, until the block ends."""
    failed: Exception | None = None
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port)
    async with listener, anyio.create_task_group() as group:
        server = RawServer(listener.extra(anyio.abc.SocketAttribute.local_port), replies)
        group.start_soon(listener.serve, server.handle)
        try:
            yield server
        except Exception as error:  # noqa: BLE001 - raised below, out of reach of the group that would wrap it
            failed = error
        group.cancel_scope.cancel()
    if failed is not None:
        raise failed


async def free_port() -> int:
    """Find a port nobody listens on, and that no client is given either, as those from 32768 on are."""
    while True:
        port = random.SystemRandom().randrange(16_384, 32_768)
        with suppress(OSError):
            async with await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port):
                return port


async def _read_request(stream: anyio.abc.SocketStream) -> bytes | None:
    data = b""
    try:
        while b"\r\n\r\n" not in data:
            data += await stream.receive()
        head, _, body = data.partition(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        length = int(lengths[0].partition(b":")[2]) if lengths else 0
        while len(body) < length:
            more = await stream.receive()
            body, data = body + more, data + more
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return None
    return data
