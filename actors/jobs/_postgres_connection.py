"""One connection to PostgreSQL: opened anew where it broke, its statements sent together.

Imported only where the store is. Statements that need no answer wait and travel with the next that does, so
that a batch is a few round trips.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache, partial

import psycopg

from ._errors import StoreError
from ._postgres_errors import broken, refused, unreachable
from ._postgres_pipeline import CollectingConnection, StatementPipeline
from ._postgres_setup import check_version, conninfo, migrate, set_up
from ._sql_rows import Row


class PostgresConnection:
    """One connection, used by one thread. Statements are written with ``?`` for their values.

    Args:
        dsn: The database.
        name: What the store is called in errors; without a password.
        statement_timeout: Seconds.
        is_writer: It has transactions, in a pipeline; else each statement is alone.
        migrates: The writer migrates the tables; else it refuses those of another version.

    Raises:
        StoreError: The database can't be reached or used.
    """

    def __init__(
        self, dsn: str, name: str, statement_timeout: float, *, is_writer: bool, migrates: bool
    ) -> None:
        self._dsn = conninfo(dsn)
        self._name = name
        self._statement_timeout = statement_timeout
        self._is_writer = is_writer
        self._connection: CollectingConnection | None = None
        self._pipeline: StatementPipeline | None = None
        self._is_lost = False
        """The connection broke in this transaction."""
        connection = self._connect()
        try:
            if is_writer:
                with self._translated():
                    (migrate if migrates else check_version)(connection, self._name)
        except BaseException:
            self.close()
            raise

    # --- opening and closing ------------------------------------------------------------------------

    def _connect(self) -> CollectingConnection:
        try:
            connection = CollectingConnection.connect(self._dsn, autocommit=True)
        except psycopg.Error as error:
            raise unreachable(self._name, self._dsn, error) from None  # it may have parts of the password
        self._connection = connection
        try:
            set_up(connection, self._statement_timeout, is_writer=self._is_writer)
        except psycopg.Error as error:
            connection.close()
            raise self._error(error) from error
        return self._connection

    def _connected(self) -> CollectingConnection:
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

    def _enter_pipeline(self, connection: CollectingConnection) -> None:
        """Have statements sent together from now on. It holds for many transactions."""
        if self._pipeline is None:
            self._pipeline = StatementPipeline(connection)

    def _leave_pipeline(self) -> None:
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            pipeline.leave()

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
            if self._pipeline is not None:
                self._pipeline.sync()
            return cursor.fetchall()

    def _execute(self, sql: str, values: Sequence[object] = ()) -> psycopg.Cursor[Row]:
        assert self._connection is not None
        to = self._connection if self._pipeline is None else self._pipeline
        return to.execute(_in_psycopg(sql), values or None)

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
