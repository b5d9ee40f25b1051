"""How a connection to PostgreSQL is opened and set up, and its tables are made.

Imported only where the store is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast
from zlib import crc32

import psycopg
from psycopg.conninfo import conninfo_to_dict

from ._errors import JobSpecError, SchemaError
from ._schema import SCHEMA_VERSION, statements
from ._sql_rows import Row

if TYPE_CHECKING:
    from typing import LiteralString

LOCKS = {"claims": 0x72656C01, "events": 0x72656C02, "migrations": 0x72656C03}
"""The numbers of our advisory locks, where no schema is named."""
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")
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


@dataclass(slots=True, frozen=True)
class Database:
    """Where a store's tables are, and how long a statement may take."""

    dsn: str = field(repr=False)
    """As libpq has it, with a password."""
    name: str
    """What the store is called in errors; without one."""
    statement_timeout: float
    """Seconds."""
    schema: str | None
    """Where the tables are; None: where the user's search path begins."""

    def conninfo(self) -> dict[str, object]:
        """Add what we want where the DSN says nothing."""
        return {**_DEFAULTS, **conninfo_to_dict(self.dsn)}

    def first_answer(self) -> float:
        """Return the seconds that a new connection may take to answer: as long as to be made."""
        return float(str(self.conninfo()["connect_timeout"])) or float(_DEFAULTS["connect_timeout"])

    def lock(self, what: str) -> int:
        """Return the number of an advisory lock: those of other schemas are none of our business."""
        return LOCKS[what] + (crc32(self.schema.encode()) >> 1 << 32 if self.schema else 0)

    def settings(self, *, is_writer: bool, is_local: bool) -> str:
        """Return the statement that sets what holds for our transactions.

        Args:
            is_writer: It runs the few statements of jobs, over and over; else questions of all kinds.
            is_local: Only until the transaction in hand ends.
        """
        scans = "off" if is_writer else "on"
        settings = {
            "statement_timeout": str(int(self.statement_timeout * 1000)),
            "jit": "off",
            "idle_in_transaction_session_timeout": "10s",
            # A plan is kept for long, and the tables grow from nothing: it should use the indexes.
            "enable_seqscan": scans,
            "enable_hashjoin": scans,
            "enable_mergejoin": scans,
            "enable_bitmapscan": scans,
            **({"search_path": self.schema} if self.schema else {}),
        }
        ends = "true" if is_local else "false"
        return "SELECT " + ", ".join(
            f"set_config('{name}', '{value}', {ends})" for name, value in settings.items()
        )


def check_schema(schema: str | None) -> None:
    """See that it is a name that needs no quotes.

    Raises:
        JobSpecError: It is none.
    """
    if schema is not None and not _SCHEMA.fullmatch(schema):
        problem = "must be a name of small letters, digits and _, at most 63 of them"
        raise JobSpecError("PostgresStore.schema", f"{problem}, got {schema!r}")


def migrate(connection: psycopg.Connection[Row], database: Database) -> None:
    """Bring the tables to this version, and clear out what processes long gone have left.

    Args:
        connection: The one that writes.
        database: Where.

    Raises:
        SchemaError: They are of a newer version.
        psycopg.Error: The server refuses.
    """
    with connection.transaction():
        connection.execute(database.settings(is_writer=False, is_local=True).encode())
        connection.execute(b"SELECT pg_advisory_xact_lock(%s)", (database.lock("migrations"),))
        _migrate(connection, database)


def check_version(connection: psycopg.Connection[Row], database: Database) -> None:
    """Refuse tables of another version, and touch nothing.

    Args:
        connection: The one that writes.
        database: Where.

    Raises:
        SchemaError: They are of another version, or not there.
        psycopg.Error: The server refuses.
    """
    with connection.transaction():
        connection.execute(database.settings(is_writer=True, is_local=True).encode())
        is_there = _is_there(connection, "to_regclass", "relight_schema")
        found = _version(connection) if is_there else 0
    if found != SCHEMA_VERSION:
        raise SchemaError(database.name, found, SCHEMA_VERSION)


def _version(connection: psycopg.Connection[Row]) -> int:
    rows = connection.execute("SELECT max(version) FROM relight_schema").fetchall()
    return cast("int | None", rows[0][0]) or 0


def _migrate(connection: psycopg.Connection[Row], database: Database) -> None:
    # Each is asked for before it is made: a user who may not make any is told so even where it is there.
    if database.schema and not _is_there(connection, "to_regnamespace", database.schema):
        connection.execute(f"CREATE SCHEMA {database.schema}".encode())
    if not _is_there(connection, "to_regclass", "relight_schema"):
        connection.execute("CREATE TABLE relight_schema (version INTEGER NOT NULL)")
    found = _version(connection)
    if found > SCHEMA_VERSION:
        raise SchemaError(database.name, found, SCHEMA_VERSION)
    for version in range(found + 1, SCHEMA_VERSION + 1):
        for statement in statements(version, _WORDS):
            connection.execute(statement.encode())
        connection.execute("INSERT INTO relight_schema VALUES (%s)", (version,))
    if found == 0:
        for statement in _ONLY_HERE:
            connection.execute(statement)
    # Those of processes that are long gone.
    connection.execute("DELETE FROM relight_writer WHERE at < now() - interval '1 day'")


def _is_there(connection: psycopg.Connection[Row], to_oid: str, name: str) -> bool:
    found = connection.execute(f"SELECT {to_oid}(%s) IS NOT NULL".encode(), (name,)).fetchall()
    return bool(found[0][0])
