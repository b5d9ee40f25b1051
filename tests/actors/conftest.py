"""A PostgreSQL of one's own, for each process that tests."""

from collections.abc import Iterator

import pytest

from relight.bench.postgres import HOW, PostgresServer, find_binaries
from tests.support.databases import Databases


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


@pytest.fixture(scope="session")
def databases(postgres: PostgresServer) -> Databases:
    return Databases(postgres)


@pytest.fixture
def database(databases: Databases) -> Iterator[str]:
    """Name an empty database."""
    name = databases.take()
    yield name
    databases.give_back(name)


@pytest.fixture
def dsn(postgres: PostgresServer, database: str) -> str:
    """Say how to reach an empty database."""
    return postgres.dsn(database)
