"""The notifications over WebSocket: an actor that serves them."""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

import anyio
import sniffio

from ...runtime import Actor
from .._errors import MissingExtraError
from .._secret import Secret
from ._checks import check_callable, check_each, check_kind, check_number, check_text, check_whole
from ._feed import Feed
from ._live_options import LiveOptions
from ._tokens import key_of

if TYPE_CHECKING:
    from hypercorn.config import Config

_BACKLOG = 128
_LARGEST_FRAME = 8 * 1024
"""Bytes of what a client may say in one frame."""
_CLOSING = 3.0
"""Seconds for the sessions to end."""
_UNHEARD = 5000
"""Milliseconds that data may be under way without the client's kernel saying it has it."""


class _Serve(Protocol):
    def __call__(
        self, app: object, config: Config, *, shutdown_trigger: Callable[[], Awaitable[None]]
    ) -> Awaitable[None]: ...


class LiveServer(Actor):
    """Tell users over WebSocket what happens to their jobs, at ``/api/v1/jobs/live``.

        await system.spawn(Child("live", partial(LiveServer, feed, secret=secret, port=8765)))

    A client begins with ``{"op": "hello", "token": ..., "cursor": ..., "job": ..., "queue": ...}``, of which
    only the token must be there (see `make_token`); it then gets ``{"op": "ready"}`` and events after the
    cursor, or from now on. Every frame has a number ``n``, and is to be acknowledged within *patience*
    seconds by ``{"op": "ack", "n": n}`` (for all up to n). At most 8 frames and 64 KiB are under way. A
    client that does not acknowledge is closed (4408); it comes again with its last cursor and misses
    nothing.

    A user hears of jobs of theirs alone. A slow client costs neither workers nor other clients anything.

    Args:
        feed: Of the store, which is open.
        secret: Of the tokens.
        host: 127.0.0.1 unless you say otherwise: put a proxy with TLS in front of anything else.
        port: 0: any that is free; see *on_ready*.
        origins: Pages that may connect, as browsers name them (``https://app.example.com``). Clients that
            are no browsers send none, and are let in.
        patience: Seconds for a hello, and for an ack.
        heartbeat: Seconds between two frames that say that all is well.
        sessions: Clients at a time; the next are turned away (403).
        on_ready: Called with the URL, when it listens.
        clock: Seconds since 1970.

    Raises:
        MissingExtraError: Starlette or hypercorn is not installed; the cause of the `StartError` when it is
            started.
        JobSpecError: *feed* is none, a number is out of range, or the secret is too short.
    """

    def __init__(
        self,
        feed: Feed,
        *,
        secret: Secret | str,
        host: str = "127.0.0.1",
        port: int = 0,
        origins: Collection[str] = (),
        patience: float = 5.0,
        heartbeat: float = 2.0,
        sessions: int = 128,
        on_ready: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        check_kind("LiveServer.feed", feed, Feed, "a Feed", "write Feed(store)")
        key_of(secret)
        check_text("LiveServer.host", host)
        check_whole("LiveServer.port", port, 0, 65_535)
        check_each("LiveServer.origins", origins, 'write origins=["https://app.example.com"]')
        check_number("LiveServer.patience", patience, is_open=True, of="seconds")
        check_number("LiveServer.heartbeat", heartbeat, is_open=True, of="seconds")
        check_whole("LiveServer.sessions", sessions, 1)
        if on_ready is not None:
            check_callable("LiveServer.on_ready", on_ready, "a function of the URL")
        self._options = LiveOptions(
            feed=feed,
            secret=secret if isinstance(secret, Secret) else Secret(secret),
            origins=frozenset(origins),
            patience=patience,
            heartbeat=heartbeat,
            sessions=sessions,
            clock=clock,
        )
        self._address = (host, port)
        self._on_ready = on_ready
        self.url = ""
        """Where it listens: ``ws://127.0.0.1:8765/api/v1/jobs/live``."""

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Listen, and serve."""
        try:
            from ._web_app import PATH, build_app

            serve = _hypercorn()
        except ImportError as error:
            raise MissingExtraError("the notifications' server", "web") from error
        ending = anyio.Event()
        listener = _listening(self._address)
        host, port = listener.getsockname()[:2]
        self.url = f"ws://{f'[{host}]' if ':' in host else host}:{port}{PATH}"
        app, config = build_app(self._options, ending), _config(listener)

        async def run() -> None:
            await serve(app, config, shutdown_trigger=ending.wait)

        async with anyio.create_task_group() as group:
            group.start_soon(run)
            if self._on_ready is not None:
                self._on_ready(self.url)
            try:
                yield
            finally:
                ending.set()
                # What does not end by itself is cut off: the supervisor's patience is no client's to use.
                group.cancel_scope.deadline = anyio.current_time() + 2 * _CLOSING


def _hypercorn() -> _Serve:
    return cast("_Serve", import_module(f"hypercorn.{sniffio.current_async_library()}").serve)


def _listening(address: tuple[str, int]) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    listener = socket.create_server(address, family=family, backlog=_BACKLOG)
    # hypercorn shields its sends. The kernel drops a client that takes nothing; connections inherit it.
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is not None:
        listener.setsockopt(socket.IPPROTO_TCP, option, _UNHEARD)
    listener.setblocking(False)  # noqa: FBT003 - the standard library's
    return listener


def _config(listener: socket.socket) -> Config:
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"fd://{listener.detach()}"]  # hypercorn closes it
    config.accesslog = None
    config.errorlog = None
    config.include_server_header = False
    config.graceful_timeout = _CLOSING
    config.shutdown_timeout = _CLOSING
    config.websocket_max_message_size = _LARGEST_FRAME
    return config
