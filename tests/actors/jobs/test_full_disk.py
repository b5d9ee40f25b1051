"""A whole worker whose disk is full for longer than its lease: it lives, and pays for nothing twice."""

import json
import subprocess
import sys
from pathlib import Path

import anyio.to_thread
import pytest

from relight.actors.jobs import JobState, Query, SqliteStore

from .full_disk import JOBS, STEPS

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.mark.parametrize("anyio_backend", ["trio"], indirect=True)
@pytest.mark.parametrize("backend", ["trio", "asyncio"])
@pytest.mark.parametrize("how", ["file", "pages"])
async def test_a_worker_whose_disk_is_full_for_a_while_pays_for_nothing_twice(
    tmp_path: Path, how: str, backend: str
) -> None:
    path, script = tmp_path / "jobs.db", Path(__file__).with_name("full_disk.py")
    command = [sys.executable, str(script), str(path), how, backend]
    done = await anyio.to_thread.run_sync(
        lambda: subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["said"]["store.unavailable"] >= 1
    assert told["said"].get("worker.lease_lost", 0) == 0
    assert told["said"]["job.started"] == JOBS
    assert set(told["paid"].values()) == {1}
    assert told["paid_while_full"] < len(told["paid"]) == JOBS * STEPS
    store = SqliteStore(path)
    async with store.opened():
        jobs = await store.jobs(Query())
        assert [(job.state, job.runs) for job in jobs] == [(JobState.SUCCEEDED, 1)] * JOBS
        for job in jobs:
            detail = await store.job(job.id)
            assert detail is not None
            assert len(detail.steps) == STEPS
            assert sum(step.blob is not None for step in detail.steps) == 1
