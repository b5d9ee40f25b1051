"""The store on PostgreSQL: for jobs of several machines."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import anyio

from .._errors import MissingExtraError
from . import _postgres_bulk as bulk
from . import _sql_reads as reads
from ._checks import check_kind, check_number
from ._errors import StoreError
from ._sql_store import SqlStore

if TYPE_CHECKING:
    from ._postgres_listener import Listener

POLL = 1.0
"""Seconds after which who waits should look in any case, where other processes tell us what they stored."""
POLL_ALONE = 0.05
"""Seconds between two looks for what they stored, where they can't."""


class PostgresStore(SqlStore):
    """Keep jobs in a PostgreSQL database, of version 13 or newer.

    Needs ``pip install "relight[postgres]"``. Opens two connections, and one more to hear of what other
    processes store. A connection that breaks is opened anew; meanwhile calls raise a `StoreError` that is
    passing.

    Args:
        dsn: ``postgresql://user:password@host:port/database``, or as libpq has it. What it leaves out
            comes from libpq's environment. The password is in no error and no log.
        statement_timeout: Seconds that one statement may take, waits for locks included.
        listen: Hear of changes by LISTEN. False: look for them every 50 ms. For poolers that give a
            connection to others after each transaction; those need a session of their own for the rest,
            too, so use their session port, or none.

    Raises:
        MissingExtraError: psycopg is not installed.
        JobSpecError: The DSN can't be read, or *statement_timeout* is out of range.
    """

    def __init__(self, dsn: str, *, statement_timeout: float = 30.0, listen: bool = True) -> None:
        try:
            from ._postgres_errors import name_of
            from ._postgres_listener import Listener
            from ._postgres_session import PostgresSession
        except ImportError as error:
            raise MissingExtraError("the PostgreSQL store", "postgres") from error
        check_number("PostgresStore.statement_timeout", statement_timeout, is_open=True, of="seconds")
        check_kind("PostgresStore.dsn", dsn, str, "a text", 'write "postgresql://user@host/database"')
        self._name = name_of(dsn)
        self._seen: str | None = None
        """The newest event's cursor when somebody last looked."""
        self._listener: Listener | None = Listener(dsn, self._notice) if listen else None
        connect = partial(PostgresSession, dsn, self._name, statement_timeout)
        super().__init__(self._name, bulk, connect)

    def __repr__(self) -> str:
        return f"<PostgresStore {self._name}>"

    @asynccontextmanager
    async def opened(self, *, migrate: bool = True) -> AsyncGenerator[None]:
        """Open it and migrate its tables; close it when the block ends.

        Args:
            migrate: False: use it as it is; see `Store.opened`.

        Raises:
            SchemaError: Its tables are of another version.
            StoreError: It can't be reached.
        """
        failure: Exception | None = None
        async with super().opened(migrate=migrate), anyio.create_task_group() as group:
            if self._listener is not None:
                group.start_soon(self._listener.run)
            try:
                yield
            except Exception as error:  # noqa: BLE001 - handed on below, not wrapped in the group's own
                failure = error
            group.cancel_scope.cancel()
        if failure is not None:
            raise failure

    # --- inside ---------------------------------------------------------------------------------------

    async def _wait_elsewhere(self, changed: anyio.Event) -> None:
        """Wait to be told. What was said while nobody listened is lost: return now and then in any case."""
        if self._listener is not None and self._listener.is_listening:
            with anyio.move_on_after(POLL):
                await changed.wait()
            return
        while not changed.is_set():
            # Compared with what it was at the last wait, whoever waited: a commit in between counts.
            seen = await self._look()
            if seen != self._seen:
                self._seen = seen
                self._notice()
            with anyio.move_on_after(POLL_ALONE):
                await changed.wait()

    async def _look(self) -> str | None:
        try:
            return await self._reader.do(reads.last_cursor)
        except StoreError as error:
            if not error.is_passing:
                raise
            return None
