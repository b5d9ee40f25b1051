"""One connection to PostgreSQL, as the SQL stores use it. Imported only where the store is.

Statements that need no answer wait in psycopg's pipeline and travel with the next that does, so that a
batch is a few round trips. Events are numbered and stored last, under a lock that is given up after the
commit: their numbers go by the order of commits, so nobody who reads on from a number misses one, and
one job's events are in the order they happened. Ordering them by transaction id (which is given out at a
transaction's first write) has a job's start before its creation now and then, and holds events back for
as long as any other transaction in the database takes. Lock, events and commit are one message: a process
that is stopped in between holds up nobody.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import lru_cache, partial
from typing import TYPE_CHECKING, cast
from uuid import uuid4

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ._errors import StoreError
from ._schema import MIGRATIONS, statements
from ._sql_rows import EVENT_COLUMNS, Row

if TYPE_CHECKING:
    from typing import LiteralString

CHANNEL = "relight_jobs"
"""Who waits for a change listens to it."""
CURSOR_DIGITS = 19
"""Cursors are as long as the largest number, so that they also compare right as text."""

_LOCKS = {"claims": 0x72656C01, "events": 0x72656C02, "migrations": 0x72656C03}
_WORDS = {
    "text": 'TEXT COLLATE "C"',  # as Python sorts, whatever the database's language
    "bytes": "BYTEA",
    "real": "DOUBLE PRECISION",
    "event_key": "seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
}
_ONLY_HERE: tuple[LiteralString, ...] = (
    "CREATE TABLE relight_pruned (seq BIGINT NOT NULL)",
    "INSERT INTO relight_pruned VALUES (0)",
    # A row for each session that writes; it is changed with every batch, in place.
    """
    CREATE TABLE relight_writer (
        id TEXT PRIMARY KEY, batch BIGINT NOT NULL, at TIMESTAMPTZ NOT NULL
    ) WITH (fillfactor = 20)
    """,
)
NOW = "extract(epoch FROM now())::float8"
"""The moment the transaction began, by the database's clock."""
_BEGIN = (
    "INSERT INTO relight_writer VALUES (?, ?, now()) "  # noqa: S608
    f"ON CONFLICT (id) DO UPDATE SET batch = excluded.batch, at = excluded.at RETURNING {NOW}"
)
_STORE_EVENTS = (
    "INSERT INTO relight_event (job, queue, user_key, kind, at, data) "  # noqa: S608
    f"SELECT e.job, e.queue, e.user_key, e.kind, {NOW}, convert_to(e.data, 'UTF8') "
    "FROM json_to_recordset(?::json) "
    "AS e(place int, job text, queue text, user_key text, kind text, data text) ORDER BY e.place"
)
_DEFAULTS = {
    "connect_timeout": "5",
    "application_name": "relight",
    # A server whose machine is gone is noticed in some 15 seconds, not in hours.
    "keepalives_idle": "5",
    "keepalives_interval": "3",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
}
_PATIENCE = 10.0
"""Seconds to look for a server that broke off in the middle of a commit, to learn how it ended."""
_LASTING = {
    "28": "it refuses this user or password",  # the class of authorization errors
    "3D": "there is no such database: create it first",
    "42501": "this user may not do that: grant it the rights, or let an owner migrate first",
    "22": "a value can't be stored",
    "23": "a value can't be stored",
}
_PASSING = {
    "53100": "its disk is full: make room",
    "53300": "it has no connection left: wait, or allow more",
    "57014": "a statement took too long: is somebody holding a lock?",
    "25P03": "a transaction stood still for too long",
    "40": "another transaction was in the way: try again",
    "23505": "another process did the same at the same time: try again",
    "25006": "it is read-only: is it a standby?",
}


def name_of(dsn: str) -> str:
    """Say which database it is, without the password.

    Raises:
        ValueError: The DSN can't be read.
    """
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.Error:
        # Not the cause: its text has the DSN in it, password and all.
        problem = 'the DSN can\'t be read: write "postgresql://user:password@host:5432/database"'
        raise ValueError(problem) from None
    host = _host(parts)
    return f"PostgreSQL {parts.get('dbname') or ''!r} at {host}:{parts.get('port') or 5432}"


def conninfo(dsn: str) -> str:
    """Add what we want where *dsn* says nothing."""
    return make_conninfo(dsn, **{**_DEFAULTS, **conninfo_to_dict(dsn)})


def _host(parts: object) -> str:
    host = str(cast("dict[str, object]", parts).get("host") or "localhost")
    return host.rpartition("@")[2]  # what stands before belongs to a password with an @ in it


class PostgresSession:
    """One connection, as `SqlSession` has it."""

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
        self._start: psycopg.Cursor[Row] | None = None
        """Of a transaction that writes: its moment, not yet fetched."""
        self._moment: float | None = None
        self._id = uuid4().hex
        self._batch = 0
        """The number of the transaction, which is in the row of this session once it is committed."""
        self._events: list[dict[str, object]] = []
        self._has_news = False
        self._is_lost = False
        """The connection broke in this transaction."""
        connection = self._connect()
        try:
            if is_writer:
                with self._translated():
                    self._migrate(connection)
        except BaseException:
            self.close()
            raise

    # --- the connection -----------------------------------------------------------------------------

    def _connect(self) -> psycopg.Connection[Row]:
        try:
            connection = psycopg.connect(self._dsn, autocommit=not self._is_writer)
        except psycopg.Error as error:
            raise self._unreachable(error) from None  # its text may have parts of the password in it
        self._connection = cast("psycopg.Connection[Row]", connection)
        try:
            self._set_up(connection)
        except psycopg.Error as error:
            connection.close()
            raise self._error(error) from error
        return self._connection

    def _set_up(self, connection: psycopg.Connection[Row]) -> None:
        connection.execute(
            "SELECT set_config('statement_timeout', %s, false), set_config('jit', 'off', false), "
            "set_config('idle_in_transaction_session_timeout', '10s', false), "
            # A plan is kept for long, and the tables grow from nothing: it should use the indexes.
            "set_config('enable_seqscan', %s, false), set_config('enable_hashjoin', %s, false), "
            "set_config('enable_mergejoin', %s, false), set_config('enable_bitmapscan', %s, false)",
            (str(int(self._statement_timeout * 1000)), *["off" if self._is_writer else "on"] * 4),
        )
        connection.commit()

    def _migrate(self, connection: psycopg.Connection[Row]) -> None:
        connection.execute(b"SELECT pg_advisory_xact_lock(%s)", (_LOCKS["migrations"],))
        connection.execute("CREATE TABLE IF NOT EXISTS relight_schema (version INTEGER NOT NULL)")
        rows = connection.execute("SELECT max(version) FROM relight_schema").fetchall()
        found = cast("int | None", rows[0][0]) or 0
        if found > len(MIGRATIONS):
            connection.rollback()
            problem = (
                f"its schema is of version {found}, this relight knows {len(MIGRATIONS)}: upgrade relight"
            )
            raise StoreError(self._name, problem, is_passing=False)
        for version in range(found + 1, len(MIGRATIONS) + 1):
            for statement in statements(version, _WORDS):
                connection.execute(statement.encode())
            connection.execute("INSERT INTO relight_schema VALUES (%s)", (version,))
        if found == 0:
            for statement in _ONLY_HERE:
                connection.execute(statement)
        # Those of processes that are long gone.
        connection.execute("DELETE FROM relight_writer WHERE at < now() - interval '1 day'")
        connection.commit()

    def begin(self) -> None:
        """Begin a transaction, on a new connection if the old one broke."""
        self._moment, self._events, self._has_news, self._is_lost = None, [], False, False
        self._batch += 1
        connection = self._connection
        if connection is None or connection.closed:
            connection = self._connect()
        if self._is_writer:
            with self._translated():
                self._pipeline_context = connection.pipeline()
                self._pipeline = self._pipeline_context.__enter__()
                self._start = self._execute(_BEGIN, (self._id, self._batch))

    def commit(self) -> bool:
        """Store the events and make all of it last; returns whether there were any."""
        connection = self._connection
        assert connection is not None
        if not self._is_writer:
            return False
        self.now()  # the answer says that we hold our row, whatever becomes of the connection
        try:
            with self._translated():
                if self._events:
                    self._lock("events")
                    self._execute(_STORE_EVENTS, (msgspec.json.encode(self._events).decode(),))
                if self._has_news:
                    self._execute("SELECT pg_notify(?, '')", (CHANNEL,))
                connection.commit()
                self._leave_pipeline()
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
        """
        give_up = time.monotonic() + _PATIENCE
        wait = 0.05
        while True:
            self.close()
            try:
                connection = self._connect()
                sql = "SELECT batch FROM relight_writer WHERE id = %s FOR UPDATE"
                found = connection.execute(sql, (self._id,)).fetchall()
                connection.commit()
            except (StoreError, psycopg.Error):
                if time.monotonic() > give_up:
                    raise
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

    def _leave_pipeline(self) -> None:
        pipeline, self._pipeline_context, self._pipeline = self._pipeline_context, None, None
        if pipeline is not None:
            pipeline.__exit__(None, None, None)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._leave_pipeline()
            self._connection.close()

    # --- statements ---------------------------------------------------------------------------------

    def now(self) -> float:
        """Return the moment the transaction began, by the database's clock."""
        if self._moment is None:
            start = self._start if self._is_writer else None
            found = self.rows(f"SELECT {NOW}") if start is None else self._fetch(start)
            self._moment = cast("float", found[0][0])
        return self._moment

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

    def _lock(self, which: str) -> None:
        self._execute(f"SELECT pg_advisory_xact_lock({_LOCKS[which]})")

    def lock_claims(self) -> None:
        """Let no other process claim until this transaction ends."""
        with self._translated():
            self._lock("claims")

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

    def prune_events(self, before: float) -> None:
        """Delete events, and note which was the last of them."""
        self.send(
            "WITH gone AS (DELETE FROM relight_event WHERE at < ? RETURNING seq) "
            "UPDATE relight_pruned SET seq = greatest(seq, (SELECT max(seq) FROM gone))",
            (before,),
        )

    def is_pruned(self, cursor: str) -> bool:
        """Tell whether events after *cursor* have been deleted."""
        return bool(self.rows("SELECT 1 FROM relight_pruned WHERE seq > ?", (int(cursor),)))

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
        if is_away:
            return StoreError(self._name, "the connection broke: is it running?", is_passing=True)
        for problems, is_passing in ((_PASSING, True), (_LASTING, False)):
            known = problems.get(code) or problems.get(code[:2])
            if known is not None:
                return StoreError(self._name, f"{known} ({_first_line(error)})", is_passing=is_passing)
        return StoreError(self._name, _first_line(error), is_passing=False)

    def _unreachable(self, error: psycopg.Error) -> StoreError:
        """Say why there is no connection. libpq gives no code before there is one, only English."""
        parts = conninfo_to_dict(self._dsn)
        text = str(error).replace(str(parts.get("host") or "\0"), _host(parts))
        if parts.get("password"):
            text = text.replace(str(parts["password"]), "***")
        is_lasting = any(
            words in text for words in ("authentication failed", "no password supplied", "does not exist")
        )
        said = " ".join(text.split())
        return StoreError(self._name, f"it can't be reached: {said}", is_passing=not is_lasting)


@lru_cache(512)
def _in_psycopg(sql: str) -> bytes:
    return sql.replace("?", "%s").encode()


def _cursor(number: int) -> str:
    return f"{number:0{CURSOR_DIGITS}}"


def _first_line(error: psycopg.Error) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
