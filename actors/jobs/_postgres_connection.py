"""One connection to PostgreSQL: opened anew where it broke, its statements sent together.

Imported only where the store is. Statements that need no answer wait in psycopg's pipeline and travel with
the next that does, so that a batch is a few round trips.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import lru_cache, partial
from typing import cast

import psycopg

from ._errors import StoreError
from ._postgres_errors import broken, refused, unreachable
from ._postgres_setup import conninfo, migrate, set_up
from ._sql_rows import Row


class PostgresConnection:
    """One connection, used by one thread. Statements are written with ``?`` for their values.

    Args:
        dsn: The database.
        name: What the store is called in errors; without a password.
        statement_timeout: Seconds.
        is_writer: It has transactions, in a pipeline; else each statement is alone. It migrates the tables.

    Raises:
        StoreError: The database can't be reached or used.
    """

    def __init__(self, dsn: str, name: str, statement_timeout: float, *, is_writer: bool) -> None:
        self._dsn = conninfo(dsn)
        self._name = name
        self._statement_timeout = statement_timeout
        self._is_writer = is_writer
        self._connection: psycopg.Connection[Row] | None = None
        self._pipeline: psycopg.Pipeline | None = None
        self._pipeline_context: AbstractContextManager[psycopg.Pipeline] | None = None
        self._is_synced = True
        """The server has been asked for the answers of all that was sent."""
        self._is_lost = False
        """The connection broke in this transaction."""
        connection = self._connect()
        try:
            if is_writer:
                with self._translated():
                    migrate(connection, self._name)
        except BaseException:
            self.close()
            raise

    # --- opening and closing ------------------------------------------------------------------------

    def _connect(self) -> psycopg.Connection[Row]:
        try:
            connection = psycopg.connect(self._dsn, autocommit=not self._is_writer)
        except psycopg.Error as error:
            raise unreachable(self._name, self._dsn, error) from None  # it may have parts of the password
        self._connection = cast("psycopg.Connection[Row]", connection)
        try:
            set_up(connection, self._statement_timeout, is_writer=self._is_writer)
        except psycopg.Error as error:
            connection.close()
            raise self._error(error) from error
        return self._connection

    def _connected(self) -> psycopg.Connection[Row]:
        """Return the connection, a new one if the old one broke."""
        connection = self._connection
        if connection is None or connection.closed:
            self.close()
            connection = self._connect()
        return connection

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._leave_pipeline()
            self._connection.close()

    def _enter_pipeline(self, connection: psycopg.Connection[Row]) -> None:
        """Have statements sent together from now on. It holds for many transactions: leaving takes a trip."""
        if self._pipeline is None:
            self._pipeline_context = connection.pipeline()
            self._pipeline = self._pipeline_context.__enter__()

    def _leave_pipeline(self) -> None:
        pipeline, self._pipeline_context, self._pipeline = self._pipeline_context, None, None
        if pipeline is not None:
            pipeline.__exit__(None, None, None)

    # --- statements ---------------------------------------------------------------------------------

    def run(self, sql: str, values: Sequence[object] = ()) -> int:
        """Run one statement; returns how many rows it touched."""
        return len(self.rows(f"{sql} RETURNING 1", values))

    def send(self, sql: str, values: Sequence[object] = ()) -> None:
        """Run one statement that needs no answer, together with the next that does."""
        with self._translated():
            self._execute(sql, values)

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """Run one statement that returns rows."""
        return self.ask(sql, values)()

    def ask(self, sql: str, values: Sequence[object] = ()) -> Callable[[], list[Row]]:
        """Run one statement that returns rows, together with the next whose rows are fetched."""
        with self._translated():
            cursor = self._execute(sql, values)
        return partial(self._fetch, cursor)

    def _fetch(self, cursor: psycopg.Cursor[Row]) -> list[Row]:
        with self._translated():
            if self._pipeline is not None and not self._is_synced:
                # Without a sync the server takes the transaction for busy, not idle: it would never end
                # that of a process which is stopped here, and never free its locks.
                self._pipeline.sync()
                self._is_synced = True
            return cursor.fetchall()

    def _execute(self, sql: str, values: Sequence[object] = ()) -> psycopg.Cursor[Row]:
        assert self._connection is not None
        self._is_synced = False
        return self._connection.execute(_in_psycopg(sql), values or None)

    # --- errors -------------------------------------------------------------------------------------

    @contextmanager
    def _translated(self) -> Generator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise self._error(error) from error

    def _error(self, error: psycopg.Error) -> StoreError:
        code = error.sqlstate or ""
        is_away = self._connection is None or self._connection.closed or code.startswith(("08", "57P"))
        self._is_lost = self._is_lost or is_away
        return broken(self._name) if is_away else refused(self._name, error)


@lru_cache(512)
def _in_psycopg(sql: str) -> bytes:
    return sql.replace("?", "%s").encode()
