"""The job stores to be measured, each with a bare loop of commits on a database of the same kind."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from relight.actors.jobs import PostgresStore, SqliteStore, Store

from .postgres import PostgresServer, find_binaries

_TABLE = "CREATE TABLE floor (id INTEGER PRIMARY KEY, data TEXT)"
_DATA = "x" * 100
_ENDED = (
    "INSERT INTO relight_job (id, queue, kind, args, state, version, priority, attempt, max_attempts, runs, "
    "service_retries, fence, created_at, run_at, finished_at, key_limit, is_cancel_requested, cost_usd) "
    "SELECT 'old-' || n, 'bench', 'draw', {args}, 'succeeded', '', 0, 1, 5, 1, 0, 1, 0, 0, 1, 1, 0, 0 "
    "FROM {numbers}"
)
_SQLITE_NUMBERS = (
    "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {most}) SELECT n FROM c)"
)


class Measured(msgspec.Struct, frozen=True):
    """A store, and what it is measured against."""

    name: str
    store: Store
    commit: Callable[[], None]
    """Store one row in a transaction of its own."""
    age: Callable[[int], None]
    """Have the store hold so many jobs that ended long ago."""
    again: Callable[[], Store]
    """The same database as another process would use it."""


async def stores() -> AsyncIterator[Measured]:
    """Make each store that can be had here, empty and open."""
    with _sqlite() as made:
        async with made.store.opened():
            yield made
    binaries = find_binaries()
    if binaries is None or find_spec("psycopg") is None:
        return
    with _postgres(binaries) as made:
        async with made.store.opened():
            yield made


@contextmanager
def _sqlite() -> Generator[Measured]:
    with TemporaryDirectory(prefix="relight-bench-") as folder:
        path = Path(folder)
        bare = sqlite3.connect(path / "floor.db", isolation_level=None)
        for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", _TABLE):
            bare.execute(statement)
        numbers = count()

        def age(most: int) -> None:
            other = sqlite3.connect(path / "jobs.db")
            other.execute(_ENDED.format(args="x'7b7d'", numbers=_SQLITE_NUMBERS.format(most=most)))
            other.commit()
            other.close()

        def commit() -> None:
            bare.execute("INSERT INTO floor VALUES (?, ?)", (next(numbers), _DATA))

        again = partial(SqliteStore, path / "jobs.db")
        yield Measured("sqlite", again(), commit, age, again)
        bare.close()


@contextmanager
def _postgres(binaries: Path) -> Generator[Measured]:
    import psycopg

    server = PostgresServer(binaries, is_durable=True)
    try:
        bare = psycopg.connect(server.dsn())
        bare.execute(_TABLE)
        bare.commit()
        numbers = count()

        def commit() -> None:
            bare.execute("INSERT INTO floor VALUES (%s, %s)", (next(numbers), _DATA))
            bare.commit()

        def age(most: int) -> None:
            series = f"generate_series(1, {most}) AS n"
            server.sql(_ENDED.format(args="'{{}}'", numbers=series).replace("{{}}", "{}"))
            server.sql("ANALYZE relight_job")

        again = partial(PostgresStore, server.dsn())
        yield Measured("postgres", again(), commit, age, again)
        bare.close()
    finally:
        server.remove()
