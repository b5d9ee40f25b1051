"""Every test of the contract runs on every store."""

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path
from types import FrameType

import pytest

from relight.actors.jobs import MemoryStore, PostgresStore, SqliteStore, Store
from relight.bench.postgres import PostgresServer

from . import poolers
from .poolers import PgBouncer, find_pgbouncer

Pool = Callable[..., PgBouncer]
"""Starts a pooler before the tests' PostgreSQL: its mode, and more of its settings."""


@pytest.fixture(scope="session")
def shared_database(postgres: PostgresServer) -> tuple[str, Iterator[str]]:
    """Make a database with a schema for each store: it is sooner made than a database."""
    return postgres.new_database(), (f"store_{number}" for number in count())


@pytest.fixture(scope="session")
def shared_pools(postgres: PostgresServer) -> Iterator[Callable[[str], PgBouncer]]:
    """Start poolers that many tests share, by mode."""
    program = find_pgbouncer()
    if program is None:
        pytest.skip(poolers.HOW)
    started: dict[str, PgBouncer] = {}

    def find(mode: str) -> PgBouncer:
        return started.get(mode) or started.setdefault(mode, PgBouncer(program, postgres, mode))

    yield find
    for one in started.values():
        one.stop()


@pytest.fixture
def pool(postgres: PostgresServer) -> Iterator[Pool]:
    """Start poolers of one's own."""
    program = find_pgbouncer()
    if program is None:
        pytest.skip(poolers.HOW)
    started: list[PgBouncer] = []

    def pool(mode: str, **settings: object) -> PgBouncer:
        started.append(PgBouncer(program, postgres, mode, **settings))
        return started[-1]

    yield pool
    for one in started:
        one.stop()


def make_store(request: pytest.FixtureRequest, folder: Path) -> Store:
    """Make an empty store of the kind that a fixture's parameter names."""
    if request.param == "memory":
        return MemoryStore()
    if request.param == "sqlite":
        return SqliteStore(folder / "jobs.db")
    if request.param == "postgres":
        return PostgresStore(request.getfixturevalue("dsn"))
    server: PgBouncer = request.getfixturevalue("shared_pools")(request.param.partition(" ")[0])
    database, schemas = request.getfixturevalue("shared_database")
    return PostgresStore(server.dsn(database), schema=next(schemas))


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def closed_store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Make an empty store."""
    return make_store(request, tmp_path)


@pytest.fixture
async def store(closed_store: Store, anyio_backend: object) -> AsyncIterator[Store]:
    """Open an empty store."""
    async with closed_store.opened():
        yield closed_store


@pytest.fixture(autouse=True)
def no_writer_is_left() -> Iterator[None]:
    """See that every store's thread has ended with it, however that came."""
    yield
    left = [
        frame.f_code.co_filename
        for top in sys._current_frames().values()
        for frame in _calls(top)
        if frame.f_code.co_filename.endswith("_writer.py") and frame.f_code.co_name == "_work"
    ]
    assert left == []


def _calls(top: FrameType) -> Iterator[FrameType]:
    frame: FrameType | None = top
    while frame is not None:
        yield frame
        frame = frame.f_back
