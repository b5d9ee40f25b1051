"""Each test of dying workers runs on the stores that outlive a process."""

from __future__ import annotations

from pathlib import Path

import pytest

from relight.bench.postgres import PostgresServer

from ..conftest import Pool


@pytest.fixture(params=["sqlite", "postgres", "transaction pooler"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def where(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Say where the store is."""
    if kind == "sqlite":
        return str(tmp_path / "jobs.db")
    if kind == "postgres":
        return str(request.getfixturevalue("dsn"))
    server: PostgresServer = request.getfixturevalue("postgres")
    pool: Pool = request.getfixturevalue("pool")
    return pool("transaction", default_pool_size=5).dsn(server.new_database())
