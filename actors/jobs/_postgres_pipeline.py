"""psycopg's pipeline, with all that is asked for sent in one piece.

Imported only where the store is. psycopg sends each statement of a pipeline as it is asked for, and the mark
that ends them (Sync) with the first answer that is fetched. A process that is stopped in between, alone or
with its machine, leaves the server in the middle: it takes the session for busy, so that no timeout of its
ends it, and the locks it holds stand in the way of every other process. It is also a system call or two for
each statement. Here they are kept until an answer is wanted, and travel together with their Sync. (What does
not fit into libpq's buffer, 64 KiB, goes ahead.)
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from secrets import randbits
from typing import Any, cast

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.waiting import Ready, Wait

from ._postgres_setup import Database
from ._sql_rows import Row


class NoAnswerError(psycopg.OperationalError):
    """The server, or what stands before it, says nothing at all. The connection is closed."""


class CollectingConnection(psycopg.Connection[Row]):
    """A connection that can be told not to send yet what is asked for."""

    is_collecting = False
    patience = 0.0
    """Seconds to wait for the next word of an answer. The server ends a statement that takes too long, but
    who waits in a pooler for a connection, or for a server that is stopped, might wait for ever."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # psycopg numbers prepared statements from 0. Should two clients ever be given one session, each has
        # to miss its own: the other's under the same name would be carried out in its place.
        self._prepared._prepared_idx = randbits(62)  # pyright: ignore[reportPrivateUsage]

    @classmethod
    def open(cls, database: Database) -> CollectingConnection:
        """Connect; the first answer may take as long as that.

        Raises:
            psycopg.Error: It can't be reached.
        """
        connection = cls.connect(**cast("Any", database.conninfo()), autocommit=True)
        connection.patience = database.first_answer()
        return connection

    def enter_pipeline(self) -> psycopg.Pipeline:
        """Begin to send statements before the answers of others are there."""
        self._pipeline = pipeline = psycopg.Pipeline(self)
        return pipeline.__enter__()

    def leave_pipeline(self) -> None:
        """End that. All answers are there; psycopg's own way asks for them once more.

        Raises:
            psycopg.Error: They are not.
        """
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            pipeline._exit(None)  # pyright: ignore[reportPrivateUsage]

    def wait(self, gen: PQGen[RV], *arguments: Any, **options: Any) -> RV:
        """Carry out what psycopg wants to do with the socket, unless we collect."""
        if not self.is_collecting:
            return super().wait(self._patiently(gen), *arguments, **options)
        # Statements are in the pipeline's queue by the time psycopg first waits for the socket.
        try:
            next(gen)
        except StopIteration as stop:
            return cast("RV", stop.value)
        gen.close()
        return cast("RV", None)

    def _patiently(self, gen: PQGen[RV]) -> PQGen[RV]:
        give_up = time.monotonic() + self.patience
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if ready:
                    give_up = time.monotonic() + self.patience
                elif time.monotonic() > give_up:
                    self.pgconn.finish()
                    raise NoAnswerError(f"no answer within {self.patience:g} seconds")
                wanted = gen.send(ready)
        except StopIteration as stop:
            return cast("RV", stop.value)


class StatementPipeline:
    """Statements on their way to the server, and their answers. It serves many transactions.

    Args:
        connection: Whose; it is in the pipeline's mode until that is left, which takes a round trip. In
            autocommit: psycopg's own BEGIN is a round trip, too.
    """

    def __init__(self, connection: CollectingConnection) -> None:
        self._connection = connection
        self._pipeline = connection.enter_pipeline()
        self._is_synced = True
        """The server was asked for the answers of all there is."""

    def execute(self, sql: bytes, values: Sequence[object] | None) -> psycopg.Cursor[Row]:
        """Take a statement along with the next sync; the cursor has its rows after that."""
        self._is_synced = False
        self._connection.is_collecting = True
        try:
            cursor = self._connection.execute(sql, values)
        finally:
            self._connection.is_collecting = False
        commands = self._pipeline.command_queue
        while commands:
            commands.popleft()()  # into libpq's buffer
        return cursor

    def sync(self) -> None:
        """Send what there is, and wait for the answers.

        Raises:
            psycopg.Error: A statement failed, or the connection did.
        """
        if not self._is_synced:
            self._connection.pgconn.pipeline_sync()
            self._pipeline.result_queue.append(None)
            self._is_synced = True
            self._flush()
            # Not its sync(), which sends a Sync of its own. One that comes after the end of a transaction is
            # answered to whom a pooler has given the connection by then.
            self._connection.wait(self._pipeline._fetch_gen(flush=False))  # pyright: ignore[reportPrivateUsage]

    def leave(self) -> None:
        """Send what there is, drop the answers, and leave the pipeline's mode.

        Raises:
            psycopg.Error: The connection broke.
        """
        try:
            self.sync()
        finally:
            self._connection.leave_pipeline()

    def _flush(self) -> None:
        # psycopg tries once and leaves what the socket does not take, and never comes back to it: the server
        # would wait for the rest of a large statement, and we for its answer.
        if self._connection.pgconn.flush():
            self._connection.wait(_flushed(self._connection))


def _flushed(connection: psycopg.Connection[Row]) -> Generator[Wait, Ready | int]:
    """Send what is left, and take in what the server says meanwhile."""
    while connection.pgconn.flush():
        if (yield Wait.RW) & Ready.R:
            connection.pgconn.consume_input()
