"""The store on SQLite: one file, no set-up, several processes of one machine."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Literal, cast

import anyio

from . import _sqlite_bulk as bulk
from ._checks import check_callable, check_whole, is_number
from ._errors import JobSpecError, SchemaError, StoreError
from ._schema import SCHEMA_VERSION, statements
from ._sql_rows import EVENT_COLUMNS, Row
from ._sql_store import SqlStore

POLL = 0.05
"""Seconds between two looks for commits of other processes. A look takes microseconds."""
_LONGEST_WAIT = 3600.0
_LEAST_BYTES = 256 * 1024
"""The tables alone take half of it."""
_STATEMENTS = 256
"""Statements that a connection keeps planned."""
_WORDS = {
    "text": "TEXT",
    "bytes": "BLOB",
    "real": "REAL",
    "event_key": "seq INTEGER PRIMARY KEY AUTOINCREMENT",
}
_PASSING = {
    sqlite3.SQLITE_BUSY: "locked by another process: wait, or see who holds it",
    sqlite3.SQLITE_LOCKED: "locked by another connection",
    sqlite3.SQLITE_FULL: "the disk, or the size it is allowed, is full: make room",
    sqlite3.SQLITE_IOERR: "the disk can't be written or read: is it full, or gone?",
}
_LASTING = {
    sqlite3.SQLITE_READONLY: "it is read-only: change the file's permissions, or use another file",
    sqlite3.SQLITE_CANTOPEN: "it can't be opened: does its folder exist, and may it be written to?",
    sqlite3.SQLITE_CORRUPT: "it is corrupt: restore it from a copy, or rescue it with sqlite3's .recover",
    sqlite3.SQLITE_NOTADB: "it is no SQLite database: name another file",
    sqlite3.SQLITE_PERM: "it may not be read: change the file's permissions",
}
_OF_VALUE = frozenset({sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH})
"""What it has against a value, and not for itself."""


class SqliteStore(SqlStore):
    """Keep jobs in one SQLite file.

    Several processes of one machine may use the same file. Not on a network file system: SQLite's locks
    don't hold there.

    Args:
        path: The file; made if it is not there.
        synchronous: ``full``: what was acknowledged survives a power loss. ``normal``: faster where
            little is done at once, but the last moments before a power loss may be gone.
        busy_timeout: Seconds to wait for another process that is writing.
        max_bytes: The file grows no larger; None: as large as the disk allows.
        clock: Seconds since 1970; a test's own, perhaps. Asked on the store's threads.

    Raises:
        JobSpecError: *path* is none, or an option is out of range.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        synchronous: Literal["full", "normal"] = "full",
        busy_timeout: float = 10.0,
        max_bytes: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        _check_path(path)
        if synchronous not in ("full", "normal"):
            problem = f"must be 'full' or 'normal', got {synchronous!r}"
            raise JobSpecError("SqliteStore.synchronous", problem)
        if not is_number(busy_timeout) or not 0.0 <= busy_timeout <= _LONGEST_WAIT:
            problem = f"must be 0 to {_LONGEST_WAIT:g} s, got {busy_timeout!r}"
            raise JobSpecError("SqliteStore.busy_timeout", problem)
        if max_bytes is not None:
            check_whole("SqliteStore.max_bytes", max_bytes, _LEAST_BYTES)
        check_callable("SqliteStore.clock", clock, "a function that returns seconds since 1970")
        self.path = Path(path)
        connect = partial(_Session, self.path, synchronous, busy_timeout, max_bytes, clock)
        self._seen = 0
        """The data version when somebody last looked at it."""
        name = _name(self.path)
        super().__init__(name, bulk, connect)

    def __repr__(self) -> str:
        return f"<SqliteStore {self.path}>"

    async def _wait_elsewhere(self, changed: anyio.Event) -> None:
        """Poll: SQLite tells nobody of commits, but its data version costs next to nothing to read."""
        while not changed.is_set():
            with anyio.move_on_after(POLL):
                await changed.wait()
                return
            # Compared with what it was at the last look, whoever looked: a commit in between counts.
            seen = await self._reader.do(_data_version)
            if seen != self._seen:
                self._seen = seen
                self._notice()


def _check_path(path: object) -> None:
    problem = None
    if not isinstance(path, str | Path):
        problem = f"got a {type(path).__name__}"
    elif str(path) == ":memory:":
        problem = "got ':memory:': write MemoryStore()"
    elif "://" in str(path):
        problem = "got a URL: write store_from_url(...)"  # not its value: it may hold a password
    elif not str(path):
        problem = "got ''"
    if problem is not None:
        raise JobSpecError("SqliteStore.path", f"must be a file's, {problem}")


def _name(path: Path) -> str:
    return f"SQLite file {str(path)!r}"


def _data_version(session: object) -> int:
    return cast("_Session", session).data_version()


class _Session:
    """One connection, as `SqlSession` has it."""

    def __init__(
        self,
        path: Path,
        synchronous: str,
        busy_timeout: float,
        max_bytes: int | None,
        clock: Callable[[], float],
        *,
        is_writer: bool,
        migrates: bool,
    ) -> None:
        self._path = path
        self._clock = clock
        self._is_writer = is_writer
        self._moment: float | None = None
        """Of the transaction: it is the same for all that is stored in it."""
        self._events: list[Row] = []
        self._has_news = False
        if not migrates and not path.exists():
            raise SchemaError(_name(path), 0, SCHEMA_VERSION)
        try:
            self._connection = sqlite3.connect(
                # Else SQLite makes a file that is not there.
                path if migrates else f"{path.absolute().as_uri()}?mode=rw",
                timeout=busy_timeout,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=_STATEMENTS,
                uri=not migrates,
            )
        except sqlite3.DatabaseError as error:
            raise self._translated(error) from error
        try:
            if not migrates:
                self._check_version()
            self._set_up(synchronous, max_bytes)
            if is_writer and migrates:
                self._migrate()
        except BaseException:
            self._connection.close()
            raise

    def _set_up(self, synchronous: str, max_bytes: int | None) -> None:
        self.run("PRAGMA journal_mode = WAL")
        self.run(f"PRAGMA synchronous = {synchronous}")
        self.run("PRAGMA foreign_keys = ON")
        if max_bytes is not None:
            page = cast("int", self.rows("PRAGMA page_size")[0][0])
            self.run(f"PRAGMA max_page_count = {max(1, max_bytes // page)}")

    def _migrate(self) -> None:
        self.begin()
        self.run("CREATE TABLE IF NOT EXISTS relight_schema (version INTEGER NOT NULL)")
        found = self._version()
        if found > SCHEMA_VERSION:
            self.rollback()
            raise SchemaError(_name(self._path), found, SCHEMA_VERSION)
        for version in range(found + 1, SCHEMA_VERSION + 1):
            for statement in statements(version, _WORDS):
                self.run(statement)
            self.run("INSERT INTO relight_schema VALUES (?)", (version,))
        self.commit()

    def _check_version(self) -> None:
        """Refuse tables of another version, and touch nothing."""
        is_there = self.rows("SELECT 1 FROM sqlite_master WHERE name = 'relight_schema'")
        found = self._version() if is_there else 0
        if found != SCHEMA_VERSION:
            raise SchemaError(_name(self._path), found, SCHEMA_VERSION)

    def _version(self) -> int:
        return cast("int | None", self.rows("SELECT max(version) FROM relight_schema")[0][0]) or 0

    def begin(self) -> None:
        """Begin a transaction: at once as a writer, so that it need not become one later and fail."""
        self._moment, self._events, self._has_news = None, [], False
        self.run("BEGIN IMMEDIATE" if self._is_writer else "BEGIN")

    def commit(self) -> bool:
        """Make it last; returns whether it has news for who waits for a change."""
        bulk.store_events(self, self._events)
        self.run("COMMIT")
        return self._has_news

    def rollback(self) -> bool:
        """Undo it, if one is open; a file is never lost."""
        with suppress(sqlite3.Error):  # the next begin says what is wrong
            if self._connection.in_transaction:
                self._connection.rollback()
        return False

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def now(self) -> float:
        """Return when this transaction first asked, by the store's clock."""
        if self._moment is None:
            self._moment = self._clock()
        return self._moment

    def run(self, sql: str, values: Sequence[object] = ()) -> int:
        """Run one statement."""
        return self._execute(sql, values).rowcount

    def send(self, sql: str, values: Sequence[object] = ()) -> None:
        """Run one statement that needs no answer."""
        self._execute(sql, values)

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """Run one statement that returns rows."""
        try:
            return self._connection.execute(sql, cast("Sequence[str]", values)).fetchall()
        except sqlite3.DatabaseError as error:
            raise self._translated(error) from error

    def _execute(self, sql: str, values: Sequence[object]) -> sqlite3.Cursor:
        try:
            return self._connection.execute(sql, cast("Sequence[str]", values))
        except sqlite3.DatabaseError as error:
            raise self._translated(error) from error

    def ask(self, sql: str, values: Sequence[object] = ()) -> Callable[[], list[Row]]:
        """Run one statement that returns rows."""
        found = self.rows(sql, values)
        return lambda: found

    def lock_claims(self) -> None:
        """Do nothing: there is one writer at a time."""

    def skip_locked(self) -> str:
        """Return nothing: there are no locks of rows."""
        return ""

    def locked(self) -> str:
        """Return nothing: nobody else writes meanwhile."""
        return ""

    def tell(self, job: str, queue: str, user: str | None, kind: str, data: bytes) -> None:
        """Keep an event until the commit."""
        self._events.append((job, queue, user, kind, self.now(), data))
        self._has_news = True

    def announce(self) -> None:
        """Say that this transaction has news."""
        self._has_news = True

    def first_cursor(self) -> str:
        """Return the number before the oldest event's."""
        oldest = cast("int | None", self.rows("SELECT min(seq) FROM relight_event")[0][0])
        return self.last_cursor() if oldest is None else str(oldest - 1)

    def last_cursor(self) -> str:
        """Return the number of the newest event there ever was."""
        found = self.rows("SELECT seq FROM sqlite_sequence WHERE name = 'relight_event'")
        return str(found[0][0]) if found else "0"

    def events(
        self, after: str, conditions: str, values: Sequence[object], most: int
    ) -> list[tuple[str, Row]]:
        """Return events after a cursor. Numbers go by the order of commits: there is one writer at a time."""
        sql = (
            f"SELECT seq, {EVENT_COLUMNS} FROM relight_event WHERE seq > ?{conditions} "  # noqa: S608
            "ORDER BY seq LIMIT ?"
        )
        return [(str(row[0]), row[1:]) for row in self.rows(sql, (int(after), *values, most))]

    def prune_events(self, before: float, most: int) -> None:
        """Delete the oldest events before a moment."""
        self.run(
            "DELETE FROM relight_event WHERE seq IN "
            "(SELECT seq FROM relight_event WHERE at < ? ORDER BY at, seq LIMIT ?)",
            (before, most),
        )

    def prune_ledger(self, before: float, most: int) -> int:
        """Delete the oldest entries of the ledger before a moment."""
        return self.run(
            "DELETE FROM relight_ledger WHERE rowid IN "
            "(SELECT rowid FROM relight_ledger WHERE at < ? ORDER BY at LIMIT ?)",
            (before, most),
        )

    def is_pruned(self, cursor: str) -> bool:
        """Tell whether events after *cursor* have been deleted."""
        return int(cursor) < int(self.first_cursor())

    def data_version(self) -> int:
        """Return a number that changes with every commit of another connection."""
        return cast("int", self.rows("PRAGMA data_version")[0][0])

    def _translated(self, error: sqlite3.DatabaseError) -> StoreError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        problem = _PASSING.get(code) or _LASTING.get(code) or str(error)
        return self._error(problem, is_passing=code in _PASSING, is_of_value=code in _OF_VALUE)

    def _error(self, problem: str, *, is_passing: bool, is_of_value: bool = False) -> StoreError:
        return StoreError(_name(self._path), problem, is_passing=is_passing, is_of_value=is_of_value)
