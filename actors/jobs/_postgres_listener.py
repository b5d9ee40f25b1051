"""Hear of what other processes store in PostgreSQL. Imported only where the store is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import anyio
import anyio.to_thread
import psycopg

from ._postgres_session import CHANNEL
from ._postgres_setup import conninfo

_PAUSE = 0.005
"""Seconds not to listen after something was heard: many batches are one piece of news."""
_LONGEST_WAIT = 5.0
"""Seconds between two attempts to reach a server that is away."""


class Listener:
    """Call *heard* whenever some process has stored something. A hint: it may miss some.

    Args:
        dsn: The database.
        heard: Called on the loop.
    """

    def __init__(self, dsn: str, heard: Callable[[], object]) -> None:
        self._dsn = dsn
        self._heard = heard
        self.is_listening = False

    async def run(self) -> None:
        """Listen until cancelled, on a new connection where one breaks."""
        wait = 0.05
        while True:
            with suppress(psycopg.Error, OSError):
                connection = await anyio.to_thread.run_sync(self._connect)
                try:
                    self.is_listening = True
                    wait = 0.05
                    await self._listen(connection)
                finally:
                    self.is_listening = False
                    connection.close()
            self._heard()  # what was said meanwhile is lost: have everybody look
            await anyio.sleep(wait)
            wait = min(_LONGEST_WAIT, wait * 2)

    def _connect(self) -> psycopg.Connection:
        connection = psycopg.connect(conninfo(self._dsn), autocommit=True)
        connection.execute(f"LISTEN {CHANNEL}")
        return connection

    async def _listen(self, connection: psycopg.Connection) -> None:
        self._heard()
        while True:
            await anyio.wait_readable(connection.fileno())
            for _ in connection.notifies(timeout=0):
                continue
            if connection.closed:
                return
            self._heard()
            await anyio.sleep(_PAUSE)
