"""Find a store by its URL, or its file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ...runtime import SettingsError
from ._memory import MemoryStore
from ._postgres import PostgresStore
from ._sqlite import SqliteStore
from ._store import Store

VARIABLE = "RELIGHT_STORE"
"""The environment variable that names the store where nothing else does."""
_FORMS = "use a file's path, sqlite:///path/to/file.db or postgresql://user@host/database"

_MAKE = "A worker makes it, or `python -m relight jobs migrate`"


def store_from_url(url: str, *, must_exist: bool = False) -> Store:
    """Return the store that a URL or the path of a file names; it is not opened.

    ``jobs.db`` and ``sqlite:///jobs.db`` are a SQLite file in this folder, ``sqlite:////var/lib/jobs.db`` one
    with its whole path, ``postgresql://user:password@host:5432/database`` a database, ``memory:`` a store of
    its own in memory.

    Args:
        url: As above. A password in it is in no error and no log.
        must_exist: A SQLite file that is not there is an error, and not made.

    Raises:
        SettingsError: It names no store, or a file that is not there.
        MissingExtraError: The database's library is not installed.
    """
    _check_text(url)
    before, colon, _ = url.partition(":")
    scheme = before.lower() if colon else ""
    if scheme in ("", "sqlite"):
        return SqliteStore(_file(_path_in(url) if scheme else Path(url), must_exist=must_exist))
    if scheme in ("postgres", "postgresql"):
        try:
            return PostgresStore(url)
        except ValueError:
            # Nothing of what the library says: it may quote the password.
            raise SettingsError("store", f"the PostgreSQL URL can't be read: {_FORMS}") from None
    if url == "memory:":
        return MemoryStore()
    raise SettingsError("store", f"no store goes by {scheme!r}: {_FORMS}")


def store_url(given: str | None, environ: Mapping[str, str]) -> str:
    """Return the URL a user gave, on the command line or in the environment.

    Raises:
        SettingsError: There is none.
    """
    url = given or environ.get(VARIABLE, "").strip()
    if not url:
        raise SettingsError("store", f"is not named: give --store FILE or set {VARIABLE}; {_FORMS}")
    return url


def _check_text(url: object) -> None:
    if not isinstance(url, str) or not url:
        got = "''" if url == "" else f"a {type(url).__name__}"  # not its value: there may be a password in it
        raise SettingsError("store", f"must be a text, got {got}: {_FORMS}")


def _file(path: Path, *, must_exist: bool) -> Path:
    try:
        is_folder, is_there = path.is_dir(), path.exists()
    except OSError as error:  # too long a name, say
        raise SettingsError("store", f"{str(path)[:80]!r} can't be a file: {error.strerror}") from None
    if is_folder:
        raise SettingsError("store", f"{str(path)!r} is a folder: name the file in it")
    if must_exist and not is_there:
        raise SettingsError("store", f"there is no job store at {str(path)!r}: is the folder right? {_MAKE}")
    return path


def _path_in(url: str) -> Path:
    parts = urlsplit(url)
    name = unquote(parts.path.removeprefix("/"))
    if parts.netloc or not name:
        raise SettingsError("store", f"the SQLite URL names no file: {_FORMS}")
    return Path(name)
