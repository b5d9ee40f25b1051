"""Every test of the contract runs on every store."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from relight.actors.jobs import MemoryStore, PostgresStore, SqliteStore, Store
from tests.support.postgres import HOW, PostgresServer, find_binaries


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Start a PostgreSQL for all tests."""
    binaries = find_binaries()
    if binaries is None:
        pytest.skip(HOW)
    pytest.importorskip("psycopg")
    server = PostgresServer(binaries)
    yield server
    server.remove()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, anyio_backend: object
) -> AsyncIterator[Store]:
    """Open an empty store."""
    made: Store = MemoryStore()
    if request.param == "sqlite":
        made = SqliteStore(tmp_path / "jobs.db")
    elif request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        made = PostgresStore(server.dsn(server.new_database()))
    async with made.opened():
        yield made
