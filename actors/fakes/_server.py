"""Serve fakes over HTTP on 127.0.0.1: hypercorn's protocol on our own accept loop.

hypercorn's ``serve()`` takes an application and keeps the connections to itself. A fake has to break
connections, so the dozen lines of its accept loop are here, and each connection is handed to
hypercorn's TCP server with its stream in the state that every request carries.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import cast

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework, ConnectionState

from ._app import build_app
from ._fake import Fake
from ._options import FakeSpec
from ._wire import STREAM

HOST = "127.0.0.1"
_BACKLOG = 1024

_logger = logging.getLogger("relight.fakes")


async def serve(
    specs: Sequence[FakeSpec],
    ready: Callable[[Mapping[str, str]], None],
    wait_end: Callable[[], Awaitable[None]],
) -> None:
    """Serve the fakes described until *wait_end* returns; then drop every connection.

    Args:
        specs: One per fake; each gets a port of its own.
        ready: Called once with the base URL of each provider, when all ports are open.
        wait_end: Waits for the end.

    Raises:
        OSError: A port is taken.
    """
    sockets = [socket.create_server((HOST, spec.port), backlog=_BACKLOG) for spec in specs]
    async with trio.open_nursery() as nursery:
        for spec, sock in zip(specs, sockets, strict=True):
            listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
            nursery.start_soon(trio.serve_listeners, _connection_handler(Fake(spec)), [listener])
        ready({spec.provider: _url(sock) for spec, sock in zip(specs, sockets, strict=True)})
        await wait_end()
        nursery.cancel_scope.cancel()


def _connection_handler(fake: Fake) -> Callable[[trio.SocketStream], Awaitable[None]]:
    app = ASGIWrapper(cast("ASGIFramework", build_app(fake)))
    return partial(_handle, partial(TCPServer, app, _config(), WorkerContext(None)))


async def _handle(server: Callable[..., Awaitable[None]], stream: trio.SocketStream) -> None:
    try:
        await server(ConnectionState({STREAM: stream}), stream)
    except Exception:
        # One connection's accident must not end the fake.
        _logger.exception("a connection ended with an error")


def _config() -> Config:
    config = Config()
    config.errorlog = logging.getLogger("hypercorn.error")
    config.include_server_header = False
    # Longer than any client's pool keeps a connection: else a request could meet one just closed.
    config.keep_alive_timeout = 120.0
    config.keep_alive_max_requests = 1_000_000
    return config


def _url(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://{host}:{port}"
