"""A WebSocket client on wsproto, over anyio's sockets: what a browser would do, in twenty lines."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import cast
from urllib.parse import urlsplit

import anyio
import msgspec
from anyio.abc import SocketStream
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Message,
    Ping,
    RejectConnection,
    Request,
)


class Closed(Exception):  # noqa: N818 - it is an answer, not a fault
    """The server has closed the connection, or not let us in."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class WebSocketClient:
    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream
        self._ws = WSConnection(ConnectionType.CLIENT)
        self._events: list[Event] = []

    async def open(self, host: str, path: str, headers: Sequence[tuple[str, str]]) -> None:
        raw = [(name.encode(), value.encode()) for name, value in headers]
        await self._stream.send(self._ws.send(Request(host=host, target=path, extra_headers=raw)))
        event = await self._next()
        if isinstance(event, RejectConnection):
            raise Closed(event.status_code)
        assert isinstance(event, AcceptConnection)

    async def send(self, fields: object) -> None:
        text = fields if isinstance(fields, str) else msgspec.json.encode(fields).decode()
        await self._stream.send(self._ws.send(Message(data=text)))

    async def receive(self) -> dict[str, object]:
        """Return the next frame, unacknowledged."""
        text = ""
        while True:
            event = await self._next()
            if isinstance(event, CloseConnection):
                await self._stream.send(self._ws.send(event.response()))
                raise Closed(event.code)
            if isinstance(event, Ping):
                await self._stream.send(self._ws.send(event.response()))
            if isinstance(event, Message):
                text += cast("str", event.data)  # pyright: ignore[reportUnknownMemberType]
                if event.message_finished:
                    return msgspec.json.decode(text, type=dict[str, object])

    async def hear(self) -> dict[str, object]:
        """Return the next frame that is no heartbeat, and acknowledge all."""
        while True:
            frame = await self.receive()
            await self.send({"op": "ack", "n": frame["n"]})
            if frame["op"] != "hb":
                return frame

    async def wait_closed(self) -> int:
        """Wait until the server closes; returns the code."""
        while True:
            try:
                await self.receive()
            except Closed as closed:
                return closed.code

    async def _next(self) -> Event:
        while not self._events:
            try:
                self._ws.receive_data(await self._stream.receive())
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                raise Closed(1006) from None
            self._events = list(self._ws.events())
        return self._events.pop(0)


@asynccontextmanager
async def connect(url: str, *headers: tuple[str, str]) -> AsyncGenerator[WebSocketClient]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    async with await anyio.connect_tcp(parts.hostname, parts.port) as stream:
        client = WebSocketClient(stream)
        with anyio.fail_after(30):
            await client.open(parts.netloc, parts.path, headers)
        yield client
