"""How a connection to PostgreSQL is opened and set up, and its tables are made.

Imported only where the store is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ._errors import SchemaError
from ._schema import SCHEMA_VERSION, statements
from ._sql_rows import Row

if TYPE_CHECKING:
    from typing import LiteralString

LOCKS = {"claims": 0x72656C01, "events": 0x72656C02, "migrations": 0x72656C03}
"""The numbers of our advisory locks."""
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
_DEFAULTS = {
    "connect_timeout": "5",
    "application_name": "relight",
    # A server whose machine is gone is noticed in some 15 seconds, not in hours.
    "keepalives_idle": "5",
    "keepalives_interval": "3",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
}


def conninfo(dsn: str) -> str:
    """Add what we want where *dsn* says nothing."""
    return make_conninfo(dsn, **{**_DEFAULTS, **conninfo_to_dict(dsn)})


def set_up(connection: psycopg.Connection[Row], statement_timeout: float, *, is_writer: bool) -> None:
    """Set what holds for all of a connection's transactions.

    Args:
        connection: A new one.
        statement_timeout: Seconds.
        is_writer: It runs the few statements of jobs, over and over; else questions of all kinds.
    """
    connection.prepared_max = None  # there are so many different ones only
    connection.execute(
        "SELECT set_config('statement_timeout', %s, false), set_config('jit', 'off', false), "
        "set_config('idle_in_transaction_session_timeout', '10s', false), "
        # A plan is kept for long, and the tables grow from nothing: it should use the indexes.
        "set_config('enable_seqscan', %s, false), set_config('enable_hashjoin', %s, false), "
        "set_config('enable_mergejoin', %s, false), set_config('enable_bitmapscan', %s, false)",
        (str(int(statement_timeout * 1000)), *["off" if is_writer else "on"] * 4),
    )


def migrate(connection: psycopg.Connection[Row], name: str) -> None:
    """Bring the tables to this version, and clear out what processes long gone have left.

    Args:
        connection: The one that writes.
        name: The store's.

    Raises:
        SchemaError: They are of a newer version.
        psycopg.Error: The server refuses.
    """
    with connection.transaction():
        _migrate(connection, name)


def check_version(connection: psycopg.Connection[Row], name: str) -> None:
    """Refuse tables of another version, and touch nothing.

    Args:
        connection: The one that writes.
        name: The store's.

    Raises:
        SchemaError: They are of another version, or not there.
        psycopg.Error: The server refuses.
    """
    is_there = connection.execute("SELECT to_regclass('relight_schema') IS NOT NULL").fetchall()[0][0]
    found = _version(connection) if is_there else 0
    if found != SCHEMA_VERSION:
        raise SchemaError(name, found, SCHEMA_VERSION)


def _version(connection: psycopg.Connection[Row]) -> int:
    rows = connection.execute("SELECT max(version) FROM relight_schema").fetchall()
    return cast("int | None", rows[0][0]) or 0


def _migrate(connection: psycopg.Connection[Row], name: str) -> None:
    connection.execute(b"SELECT pg_advisory_xact_lock(%s)", (LOCKS["migrations"],))
    connection.execute("CREATE TABLE IF NOT EXISTS relight_schema (version INTEGER NOT NULL)")
    found = _version(connection)
    if found > SCHEMA_VERSION:
        raise SchemaError(name, found, SCHEMA_VERSION)
    for version in range(found + 1, SCHEMA_VERSION + 1):
        for statement in statements(version, _WORDS):
            connection.execute(statement.encode())
        connection.execute("INSERT INTO relight_schema VALUES (%s)", (version,))
    if found == 0:
        for statement in _ONLY_HERE:
            connection.execute(statement)
    # Those of processes that are long gone.
    connection.execute("DELETE FROM relight_writer WHERE at < now() - interval '1 day'")
