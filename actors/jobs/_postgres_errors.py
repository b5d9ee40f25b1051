"""What PostgreSQL's errors mean for a store. Imported only where the store is."""

from __future__ import annotations

from typing import cast

import psycopg
from psycopg.conninfo import conninfo_to_dict

from ._errors import JobSpecError, StoreError

_LASTING = {
    "28": "it refuses this user or password",  # the class of authorization errors
    "3D": "there is no such database: create it first",
    "42501": "this user may not do that: grant it the rights, or let an owner migrate first",
    "22": "a value can't be stored",
    "23": "a value can't be stored",
}
_OF_VALUE = ("22", "23", "54")
"""Classes of errors about a value: it is none of its type, breaks a constraint, or is beyond a limit."""
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
        JobSpecError: The DSN can't be read.
    """
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.Error:
        # Not the cause: its text has the DSN in it, password and all.
        problem = 'the DSN can\'t be read: write "postgresql://user:password@host:5432/database"'
        raise JobSpecError("PostgresStore.dsn:", problem) from None
    host = _host(parts)
    return f"PostgreSQL {parts.get('dbname') or ''!r} at {host}:{parts.get('port') or 5432}"


def refused(name: str, error: psycopg.Error) -> StoreError:
    """Say what a server that is there has against a statement.

    Args:
        name: The store's.
        error: The server's, or psycopg's own.
    """
    code = error.sqlstate or ""
    for problems, is_passing in ((_PASSING, True), (_LASTING, False)):
        known = problems.get(code) or problems.get(code[:2])
        if known is not None:
            return StoreError(
                name,
                f"{known} ({_first_line(error)})",
                is_passing=is_passing,
                is_of_value=not is_passing and code[:2] in _OF_VALUE,
            )
    is_of_value = code[:2] in _OF_VALUE or isinstance(error, psycopg.DataError)
    return StoreError(name, _first_line(error), is_passing=False, is_of_value=is_of_value)


def broken(name: str) -> StoreError:
    """Say that the connection broke."""
    return StoreError(name, "the connection broke: is it running?", is_passing=True)


def unreachable(name: str, dsn: str, error: psycopg.Error) -> StoreError:
    """Say why there is no connection. libpq gives no code before there is one, only English.

    Args:
        name: The store's.
        dsn: What it was to connect to.
        error: Its text may have parts of the password in it.
    """
    parts = conninfo_to_dict(dsn)
    text = str(error).replace(str(parts.get("host") or "\0"), _host(parts))
    if parts.get("password"):
        text = text.replace(str(parts["password"]), "***")
    is_lasting = any(
        words in text for words in ("authentication failed", "no password supplied", "does not exist")
    )
    said = " ".join(text.split())
    return StoreError(name, f"it can't be reached: {said}", is_passing=not is_lasting)


def _host(parts: object) -> str:
    host = str(cast("dict[str, object]", parts).get("host") or "localhost")
    return host.rpartition("@")[2]  # what stands before belongs to a password with an @ in it


def _first_line(error: psycopg.Error) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
