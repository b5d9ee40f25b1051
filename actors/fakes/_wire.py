"""Replies and faults as they happen on the connection.

hypercorn shows an application requests and responses, never the connection. Faults live below
that, so the server puts the connection's stream into each request's state (see ``_server.py``).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

import trio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ._courses import Course, End
from ._log import Ending
from ._plan import FaultKind
from ._replies import Reply

STREAM = "relight.stream"
"""The key in a request's state under which the connection's stream is."""

_LINGER_NOT = struct.pack("ii", 1, 0)
_PING_SECONDS = 0.05
_SETTLE_SECONDS = 0.01


def plain(reply: Reply) -> Response:
    """Send *reply* as it is."""
    return Response(reply.body, reply.status, dict(reply.headers))


def response_for(fault: FaultKind | None, reply: Reply) -> Response:
    """Send *reply*, spoilt as *fault* wants it."""
    if fault is FaultKind.BROKEN_JSON:
        return plain(reply.cut())
    if fault is FaultKind.TRUNCATED:
        return CutOff(reply)
    if fault is FaultKind.WRONG_LENGTH:
        return Raw(reply.too_short())
    return Raw(reply) if reply.is_mismeasured else plain(reply)


class Hang(Response):
    """Send nothing until the client leaves; close the connection after *limit* seconds."""

    def __init__(self, limit: float, done: Callable[[Ending], None]) -> None:
        super().__init__()
        self._limit = limit
        self._done = done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait, then say that it is over."""
        with trio.move_on_after(self._limit) as wait:
            await _wait_client_left(receive)
        self._done(Ending(0, is_abandoned=not wait.cancelled_caught))
        await _stream(scope).aclose()


class Reset(Response):
    """Send nothing and reset the connection: the client reads ECONNRESET."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reset."""
        await _reset(_stream(scope))


class CutOff(Response):
    """Promise the whole body, send half of it and close the connection."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.body, reply.status, dict(reply.headers))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the head with the true length, half the body, and close."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        half = bytes(self.body)[: max(1, len(self.body) // 2)]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        await _stream(scope).aclose()


class Raw(Response):
    """Send a reply whose headers lie, which no web server would, and close the connection."""

    def __init__(self, reply: Reply) -> None:
        # Said as well as done: else what is left over would spoil the client's next request, or not.
        super().__init__(reply.body, reply.status, {**reply.headers, "connection": "close"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write the bytes to the connection, past the server."""
        lines = [b"HTTP/1.1 %d Fake" % self.status_code]
        lines += [name + b": " + value for name, value in self.raw_headers]
        stream = _stream(scope)
        await stream.send_all(b"\r\n".join([*lines, b"", bytes(self.body)]))
        await stream.aclose()


class Streaming(Response):
    """Send a course, a piece at a time and no faster than the client reads."""

    def __init__(self, reply: Reply, course: Course, done: Callable[[Ending], None]) -> None:
        self.status_code = reply.status
        self.background = None
        self.init_headers(reply.headers)  # no body is set, so no length is told
        self._course = course
        self._done = done
        self._sent = 0
        self._is_done = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the end, or until the client leaves."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch, receive, nursery.cancel_scope)
                await self._run(send, _stream(scope))
                nursery.cancel_scope.cancel()
        finally:
            self._finish(is_abandoned=True)

    async def _watch(self, receive: Receive, scope: trio.CancelScope) -> None:
        await _wait_client_left(receive)
        scope.cancel()

    async def _run(self, send: Send, stream: trio.SocketStream) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        # hypercorn keeps the head back until there is a body, be it an empty one.
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        for piece in self._course.pieces:
            await self._send(send, piece)
        await self._end(send, stream)

    async def _send(self, send: Send, piece: bytes) -> None:
        await trio.sleep(self._course.delay)
        self._sent += 1
        if self._course.end is End.DONE and self._sent == len(self._course.pieces):
            # Before the last piece: a client that has it finds the log up to date.
            self._finish()
        await send({"type": "http.response.body", "body": piece, "more_body": True})

    async def _end(self, send: Send, stream: trio.SocketStream) -> None:
        match self._course.end:
            case End.DONE:
                self._finish()
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            case End.RESET:
                self._finish()
                # A reset overtakes what is on its way; let the client have what was sent.
                await trio.sleep(_SETTLE_SECONDS)
                await _reset(stream)
            case End.CUT:
                self._finish()
                rest = self._course.rest
                await stream.send_all(b"%x\r\n" % len(rest) + rest[: max(1, len(rest) // 2)])
                await stream.aclose()
            case End.SILENCE:
                await trio.sleep(self._course.limit)
                self._finish()
                await stream.aclose()
            case End.PINGS:
                with trio.move_on_after(self._course.limit):
                    await self._ping(send)
                self._finish()
                await stream.aclose()

    async def _ping(self, send: Send) -> None:
        while True:
            await trio.sleep(self._course.delay or _PING_SECONDS)
            await send({"type": "http.response.body", "body": self._course.ping, "more_body": True})

    def _finish(self, *, is_abandoned: bool = False) -> None:
        if not self._is_done:
            self._is_done = True
            self._done(Ending(self.status_code, self._sent, is_abandoned))


async def _reset(stream: trio.SocketStream) -> None:
    """Close with SO_LINGER 0, which makes the kernel send RST instead of FIN."""
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    # The stream's own aclose() would do as well; hypercorn's says goodbye first, with a FIN.
    await stream.aclose()


async def _wait_client_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _stream(scope: Scope) -> trio.SocketStream:
    stream: trio.SocketStream = scope["state"][STREAM]
    return stream
