"""The ASGI application of the notifications."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from ._web_session import Session

if TYPE_CHECKING:
    from ._live_options import LiveOptions

PATH = "/api/v1/jobs/live"


def build_app(options: LiveOptions, ending: anyio.Event) -> Starlette:
    """Build it.

    Args:
        options: The server's.
        ending: Set when the server ends: sessions are closed first.
    """
    count = 0

    async def live(socket: WebSocket) -> None:
        nonlocal count
        # A browser sends its page's origin, and the cookies of any site: only pages we know are let in.
        origin = socket.headers.get("origin")
        if (origin is not None and origin not in options.origins) or ending.is_set():
            await socket.close(1008)  # before it is accepted: HTTP 403
            return
        if count >= options.sessions:
            await socket.close(1013)
            return
        count += 1
        try:
            await socket.accept()
            await Session(socket, options, ending).run()
        finally:
            count -= 1

    return Starlette(routes=[WebSocketRoute(PATH, live)])
