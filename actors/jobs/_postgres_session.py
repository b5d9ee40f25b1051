"""Transactions on PostgreSQL, as the SQL stores use them. Imported only where the store is.

Events are numbered and stored last, under a lock that is given up after the commit: their numbers go by the
order of commits, so nobody who reads on from a number misses one, and one job's events are in the order they
happened. Ordering them by transaction id (which is given out at a transaction's first write) has a job's
start before its creation now and then, and holds events back for as long as any other transaction in the
database takes. The lock is taken by the statement that stores the events, right before the commit.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import cast
from uuid import uuid4

import msgspec
import psycopg

from ._errors import StoreError
from ._postgres_connection import PostgresConnection
from ._postgres_setup import LOCKS
from ._sql_rows import EVENT_COLUMNS, Row
from ._writer import UndecidedError

CHANNEL = "relight_jobs"
"""Who waits for a change listens to it."""
CURSOR_DIGITS = 19
"""Cursors are as long as the largest number, so that they also compare right as text."""

NOW = "extract(epoch FROM now())::float8"
"""The moment the transaction began, by the database's clock."""
_BEGIN = (
    "INSERT INTO relight_writer VALUES (?, ?, now()) "  # noqa: S608
    f"ON CONFLICT (id) DO UPDATE SET batch = excluded.batch, at = excluded.at RETURNING {NOW}"
)
_NOTIFY = f"SELECT pg_notify('{CHANNEL}', '')"
_STORE_EVENTS = f"""
    WITH turn AS MATERIALIZED (SELECT pg_advisory_xact_lock({LOCKS["events"]}) IS NULL), stored AS (
        INSERT INTO relight_event (job, queue, user_key, kind, at, data)
        SELECT e.job, e.queue, e.user_key, e.kind, {NOW}, convert_to(e.data, 'UTF8')
        FROM turn CROSS JOIN json_to_recordset(?::json)
            AS e(place int, job text, queue text, user_key text, kind text, data text)
        ORDER BY e.place
    ) {_NOTIFY}
"""  # noqa: S608
"""The events are sorted once we have the lock, and numbered as they are sorted."""
_PATIENCE = 10.0
"""Seconds to look for a server that broke off in the middle of a commit, to learn how it ended."""


class PostgresSession(PostgresConnection):
    """One connection, as `SqlSession` has it."""

    def __init__(
        self, dsn: str, name: str, statement_timeout: float, *, is_writer: bool, migrates: bool = True
    ) -> None:
        super().__init__(dsn, name, statement_timeout, is_writer=is_writer, migrates=migrates)
        self._start: psycopg.Cursor[Row] | None = None
        """Of a transaction that writes: its moment, not yet fetched."""
        self._moment: float | None = None
        self._id = uuid4().hex
        self._batch = 0
        """The number of the transaction, which is in the row of this session once it is committed."""
        self._events: list[dict[str, object]] = []
        self._has_news = False

    # --- transactions -------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin a transaction, on a new connection if the old one broke."""
        self._moment, self._events, self._has_news, self._is_lost = None, [], False, False
        self._batch += 1
        connection = self._connected()
        if self._is_writer:
            with self._translated():
                self._enter_pipeline(connection)
                self._execute("BEGIN")
                self._start = self._execute(_BEGIN, (self._id, self._batch))

    def commit(self) -> bool:
        """Store the events and make all of it last; returns whether there were any."""
        if self._pipeline is None:
            return False
        self.now()  # the answer says that we hold our row, whatever becomes of the connection
        try:
            with self._translated():
                if self._events:
                    self._execute(_STORE_EVENTS, (msgspec.json.encode(self._events).decode(),))
                elif self._has_news:
                    self._execute(_NOTIFY)
                self._execute("COMMIT")
                self._pipeline.sync()
        except StoreError as error:
            # Only a server that gave a reason has certainly not committed. Of anything else (the connection
            # broke, psycopg could not end its pipeline) it has to be asked: made again, it might be twice.
            is_refused = not self._is_lost and getattr(error.__cause__, "sqlstate", None) is not None
            self._is_lost = not is_refused
            if is_refused or not self._was_committed():
                raise
        return self._has_news

    def _was_committed(self) -> bool:
        """Ask a server that broke off in the middle of a commit how that ended.

        Our row in the table of writers says so, and locking it waits for a transaction that still goes on.
        (The number of a transaction would not do: after a crash it may be another's.)

        Raises:
            UndecidedError: It does not come back.
        """
        give_up = time.monotonic() + _PATIENCE
        wait = 0.05
        while True:
            self.close()
            try:
                connection = self._connect()
                sql = "SELECT batch FROM relight_writer WHERE id = %s FOR UPDATE"
                found = connection.execute(sql, (self._id,)).fetchall()
            except (StoreError, psycopg.Error) as error:
                if time.monotonic() > give_up:
                    problem = "it was lost in the middle of a commit: what was asked for may be stored or not"
                    raise UndecidedError(self._name, problem, is_passing=True) from error
            else:
                return bool(found) and found[0][0] == self._batch
            time.sleep(wait)
            wait = min(1.0, wait * 2)

    def rollback(self) -> bool:
        """Undo what is open; returns whether the connection broke meanwhile."""
        connection = self._connection
        assert connection is not None
        with suppress(psycopg.Error):
            self._leave_pipeline()
        try:
            if self._is_lost:
                connection.close()
            elif not connection.closed:
                connection.rollback()
        except psycopg.Error:
            connection.close()
        return self._is_lost

    def now(self) -> float:
        """Return the moment the transaction began, by the database's clock."""
        if self._moment is None:
            start = self._start if self._is_writer else None
            found = self.rows(f"SELECT {NOW}") if start is None else self._fetch(start)
            self._moment = cast("float", found[0][0])
        return self._moment

    def lock_claims(self) -> None:
        """Let no other process claim until this transaction ends."""
        self.send(f"SELECT pg_advisory_xact_lock({LOCKS['claims']})")

    def skip_locked(self) -> str:
        """Leave out rows that another transaction changes."""
        return "FOR UPDATE SKIP LOCKED"

    def locked(self) -> str:
        """Let nobody change the rows read."""
        return "FOR UPDATE"

    # --- events -------------------------------------------------------------------------------------

    def tell(self, job: str, queue: str, user: str | None, kind: str, data: bytes) -> None:
        """Keep an event until the commit."""
        event = {"place": len(self._events), "job": job, "queue": queue, "user_key": user, "kind": kind}
        self._events.append({**event, "data": data.decode()})
        self._has_news = True

    def announce(self) -> None:
        """Say that this transaction has news."""
        self._has_news = True

    def first_cursor(self) -> str:
        """Return the number of the last event that was deleted, as a cursor."""
        return _cursor(cast("int", self.rows("SELECT max(seq) FROM relight_pruned")[0][0]))

    def last_cursor(self) -> str:
        """Return the number of the newest event, as the cursor after it."""
        sql = (
            "SELECT greatest((SELECT max(seq) FROM relight_event), (SELECT max(seq) FROM relight_pruned), 0)"
        )
        return _cursor(cast("int", self.rows(sql)[0][0]))

    def events(
        self, after: str, conditions: str, values: Sequence[object], most: int
    ) -> list[tuple[str, Row]]:
        """Return events after a cursor."""
        sql = (
            f"SELECT seq, {EVENT_COLUMNS} FROM relight_event WHERE seq > ?{conditions} "  # noqa: S608
            "ORDER BY seq LIMIT ?"
        )
        rows = self.rows(sql, (int(after), *values, most))
        return [(_cursor(cast("int", row[0])), row[1:]) for row in rows]

    def prune_events(self, before: float, most: int) -> None:
        """Delete the oldest events before a moment, and note which was the last of them."""
        self.send(
            "WITH gone AS (DELETE FROM relight_event WHERE seq IN "
            "(SELECT seq FROM relight_event WHERE at < ? ORDER BY at, seq LIMIT ?) RETURNING seq) "
            "UPDATE relight_pruned SET seq = greatest(seq, (SELECT max(seq) FROM gone))",
            (before, most),
        )

    def prune_ledger(self, before: float, most: int) -> int:
        """Delete the oldest entries of the ledger before a moment."""
        return self.run(
            "DELETE FROM relight_ledger WHERE ctid = ANY (ARRAY("
            "SELECT ctid FROM relight_ledger WHERE at < ? ORDER BY at LIMIT ? FOR UPDATE SKIP LOCKED))",
            (before, most),
        )

    def is_pruned(self, cursor: str) -> bool:
        """Tell whether events after *cursor* have been deleted."""
        return bool(self.rows("SELECT 1 FROM relight_pruned WHERE seq > ?", (int(cursor),)))


def _cursor(number: int) -> str:
    return f"{number:0{CURSOR_DIGITS}}"
