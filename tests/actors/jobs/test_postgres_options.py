"""What a PostgreSQL store refuses before it reaches for a server."""

import sys

import pytest

from relight.actors import MissingExtraError
from relight.actors.jobs import PostgresStore


def test_without_its_driver_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [
        name for name in sys.modules if name.startswith(("psycopg", "relight.actors.jobs._postgres_"))
    ]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=r"relight\[postgres\]"):
        PostgresStore("postgresql://host/db")


def test_a_timeout_of_nothing_is_refused() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(ValueError, match="statement_timeout"):
        PostgresStore("postgresql://host/db", statement_timeout=0.0)
