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

from ._plan import FaultKind
from ._replies import Reply

STREAM = "relight.stream"
"""The key in a request's state under which the connection's stream is."""

_LINGER_NOT = struct.pack("ii", 1, 0)


def plain(reply: Reply) -> Response:
    """Send *reply* as it is."""
    return Response(reply.body, reply.status, dict(reply.headers))


def response_for(fault: FaultKind | None, reply: Reply) -> Response:
    """Send *reply*, spoilt as *fault* wants it."""
    if fault is FaultKind.BROKEN_JSON:
        return plain(reply.cut())
    if fault is FaultKind.TRUNCATED:
        return CutOff(reply)
    return plain(reply)


class Hang(Response):
    """Send nothing until the client leaves; close the connection after *limit* seconds."""

    def __init__(self, limit: float, done: Callable[[], None]) -> None:
        super().__init__()
        self._limit = limit
        self._done = done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait, then say that it is over."""
        with trio.move_on_after(self._limit):
            await _wait_client_left(receive)
        self._done()
        await _stream(scope).aclose()


class Reset(Response):
    """Send nothing and reset the connection: the client reads ECONNRESET."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Close with SO_LINGER 0, which makes the kernel send RST instead of FIN."""
        stream = _stream(scope)
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        # The stream's own aclose() would do as well; hypercorn's says goodbye first, with a FIN.
        await stream.aclose()


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


async def _wait_client_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _stream(scope: Scope) -> trio.SocketStream:
    stream: trio.SocketStream = scope["state"][STREAM]
    return stream
