"""What PostgreSQL's errors mean for a store. Imported only where the store is."""

from __future__ import annotations

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
    "25006": "it is read-only: name its primary, with a role that may write",
}
_THREE = "a store takes three connections, two with listen=False"
_NO_CONNECTION = (
    # What libpq and poolers say, what that means, and whether waiting may help. The first that fits counts.
    (
        "root certificate file",
        "it has no certificates to check the server's by: name them in sslrootcert",
        False,
    ),
    ("certificate verify failed", "the server's certificate is not signed by any in sslrootcert", False),
    (
        "does not match host name",
        "the server's certificate is for another name: is this the right host?",
        False,
    ),
    ("does not support SSL", "it speaks no TLS: is this the right port? Else leave out sslmode", False),
    ("SSL", "TLS failed: do sslmode and the certificates fit?", False),
    ("no pg_hba.conf entry", "it lets nobody in like this: allow it in pg_hba.conf, or ask for TLS", False),
    ("Tenant or user not found", "no such user: Supabase's pooler wants postgres.PROJECT for a name", False),
    ("authentication failed", "it refuses this user or password", False),
    ("no password supplied", "it wants a password", False),
    (
        "unsupported startup parameter",
        "a pooler refuses what the DSN, or PGOPTIONS, sets: leave it out",
        False,
    ),
    ("does not exist", "create it first, or is the name wrong?", False),
    ("no such", "create it first, or is the name wrong?", False),
    ("connection slots", f"it has no connection left: wait, or allow more; {_THREE}", True),
    ("no more connections", f"it has no connection left: wait, or allow more; {_THREE}", True),
    ("too many", f"it has no connection left: wait, or allow more; {_THREE}", True),
    ("max clients", f"it has no connection left: wait, or allow more; {_THREE}", True),
    ("resolve host", "its host's name is not known here: is it right?", True),
    ("translate host", "its host's name is not known here: is it right?", True),
    ("Connection refused", "nobody listens there: is it running, and the port right?", True),
    ("No such file", "nobody listens there: is it running, and the folder of its socket right?", True),
    ("timeout", "it does not answer: is a firewall in between, or the host wrong?", True),
    ("timed out", "it does not answer: is a firewall in between, or the host wrong?", True),
)
_BROKEN = (
    ("query_wait_timeout", f"the pooler had no connection to give: wait, or allow more; {_THREE}", True),
    ("no answer", f"is it stopped, or a pooler's pool empty? ({_THREE})", True),
    ("statement pooling", "a pooler in statement mode: use one in session or transaction mode", False),
)
_READABLE = "postgresql://user:password@host:5432/database"


def name_of(dsn: str) -> str:
    """Say which database it is, without the password.

    Raises:
        JobSpecError: The DSN can't be read.
    """
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.Error:
        # Not the cause: its text has the DSN in it, password and all.
        raise JobSpecError("PostgresStore.dsn:", f'the DSN can\'t be read: write "{_READABLE}"') from None
    host, port = str(parts.get("host") or "localhost"), str(parts.get("port") or 5432)
    if _has_torn_password(dsn, host, port):
        problem = "a @ or / in a password is written %40 or %2F"
        raise JobSpecError("PostgresStore.dsn:", f'the DSN can\'t be read: write "{_READABLE}"; {problem}')
    return f"PostgreSQL {parts.get('dbname') or ''!r} at {host}:{port}"


def _has_torn_password(dsn: str, host: str, port: str) -> bool:
    """Tell whether libpq takes a part of the password for something else, which may be shown."""
    scheme, _, rest = dsn.partition("://")
    path = rest.partition("/")[2].partition("?")[0] if scheme.startswith("postgres") else ""
    are_ports = all(one.isdecimal() for one in port.split(",") if one)
    return "@" in path or "@" in host[1:] or not are_ports  # an abstract socket's name begins with one


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


def broken(name: str, error: psycopg.Error) -> StoreError:
    """Say that the connection broke."""
    said = _first_line(error)
    for words, meaning, is_passing in _BROKEN:
        if words in said:
            return StoreError(name, f"{said}: {meaning}", is_passing=is_passing)
    return StoreError(name, f"the connection broke: is it running? ({said})", is_passing=True)


def unreachable(name: str, dsn: str, error: psycopg.Error) -> StoreError:
    """Say why there is no connection. libpq gives no code before there is one, only English.

    Args:
        name: The store's.
        dsn: What it was to connect to.
        error: Its text may have parts of the password in it.
    """
    text = str(error).strip() or "no reason given"
    # Of several hosts, the last. What comes before is the host, which the store's name has.
    said = " ".join(text.splitlines()[0].rpartition(" failed: ")[2].split())
    if password := str(conninfo_to_dict(dsn).get("password") or ""):
        said = said.replace(password, "***")
    for words, meaning, is_passing in _NO_CONNECTION:
        if words in text:
            return StoreError(name, f"it can't be reached: {meaning} ({said})", is_passing=is_passing)
    return StoreError(name, f"it can't be reached: {said}", is_passing=True)


def _first_line(error: psycopg.Error) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
