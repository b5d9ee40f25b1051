"""Every test of the contract runs on every store."""

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import FrameType

import pytest

from relight.actors.jobs import MemoryStore, PostgresStore, SqliteStore, Store


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def closed_store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Make an empty store."""
    if request.param == "sqlite":
        return SqliteStore(tmp_path / "jobs.db")
    if request.param == "postgres":
        return PostgresStore(request.getfixturevalue("dsn"))
    return MemoryStore()


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
