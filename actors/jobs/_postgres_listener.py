"""Hear of what other processes store in PostgreSQL. Imported only where the store is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from secrets import token_hex

import anyio
import anyio.to_thread
import psycopg

from ._errors import StoreError
from ._postgres_pipeline import CollectingConnection
from ._postgres_route import Route
from ._postgres_session import CHANNEL
from ._postgres_setup import Database

_PAUSE = 0.005
"""Seconds not to listen after something was heard: many batches are one piece of news."""
_PROBE_AGAIN = 30.0
"""Seconds between two attempts to hear something through a pooler."""
_LONGEST_WAIT = 5.0
"""Seconds between two attempts to reach a server that is away."""


class Listener:
    """Call *heard* whenever some process has stored something. A hint: it may miss some.

    Args:
        database: Which one.
        route: Told what is heard through a pooler.
        heard: Called on the loop.
        ask: Runs a statement on another connection.
    """

    def __init__(
        self,
        database: Database,
        route: Route,
        heard: Callable[[], object],
        ask: Callable[[str], Awaitable[object]],
    ) -> None:
        self._database = database
        self._route = route
        self._heard = heard
        self._ask = ask
        self._is_direct = True
        self._probe = f"relight_{token_hex(8)}"
        """What nobody else says anything on."""
        self.is_listening = False
        """We would hear of it. Behind a pooler: we have heard of something."""

    async def run(self) -> None:
        """Listen until cancelled, on a new connection where one breaks."""
        wait = 0.05
        while True:
            with suppress(psycopg.Error, OSError):
                connection = await anyio.to_thread.run_sync(self._connect)
                try:
                    wait = 0.05
                    await self._listen(connection)
                finally:
                    self.is_listening = False
                    connection.close()
            self._heard()  # what was said meanwhile is lost: have everybody look
            await anyio.sleep(wait)
            wait = min(_LONGEST_WAIT, wait * 2)

    def _connect(self) -> CollectingConnection:
        connection = CollectingConnection.open(self._database)
        try:
            self._is_direct = self._route.is_direct(connection)
            channel = CHANNEL if self._is_direct else self._probe
            connection.execute(f"LISTEN {channel}".encode())
        except psycopg.Error:
            connection.close()
            raise
        self.is_listening = self._is_direct
        return connection

    async def _listen(self, connection: CollectingConnection) -> None:
        if not self._is_direct:
            await self._prove(connection)
        self._heard()
        while True:
            await anyio.wait_readable(connection.fileno())
            if _drain(connection) and not self._is_direct:
                self._route.proofs += 1
            if connection.closed:
                return
            self._heard()
            await anyio.sleep(_PAUSE)

    async def _prove(self, connection: CollectingConnection) -> None:
        """Listen once a notification was heard: else we would do it for others, who want to hear nothing.

        Raises:
            psycopg.Error: The connection broke.
        """
        # What came together with an answer proves nothing: then we had the server's attention in any case.
        _drain(connection)
        while not self.is_listening:
            with suppress(StoreError):
                await self._ask(f"SELECT pg_notify('{self._probe}', '')")
            with anyio.move_on_after(_PROBE_AGAIN):
                await anyio.wait_readable(connection.fileno())
                self.is_listening = _drain(connection) > 0
        self._route.proofs += 1
        listen = f"LISTEN {CHANNEL}; UNLISTEN {self._probe}".encode()
        await anyio.to_thread.run_sync(connection.execute, listen)


def _drain(connection: CollectingConnection) -> int:
    return sum(1 for _ in connection.notifies(timeout=0))
