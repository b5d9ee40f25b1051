"""Each test of dying workers runs on the stores that outlive a process."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(params=["sqlite", "postgres"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def where(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Say where the store is."""
    if kind == "sqlite":
        return str(tmp_path / "jobs.db")
    return str(request.getfixturevalue("dsn"))
