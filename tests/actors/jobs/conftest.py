"""Every test of the contract runs on every store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relight.actors.jobs import MemoryStore, SqliteStore, Store


@pytest.fixture(params=["memory", "sqlite"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, anyio_backend: object
) -> AsyncIterator[Store]:
    """Open an empty store."""
    made: Store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "jobs.db")
    async with made.opened():
        yield made
