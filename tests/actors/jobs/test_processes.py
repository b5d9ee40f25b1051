"""Several processes on one store: limits hold, keys are unique, nothing runs twice, no event is missed.

RELIGHT_CREW_JOBS sets how many jobs each process enqueues.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from relight.actors.jobs import Event, JobState, NewJob, Query, Store
from relight.bench.postgres import PostgresServer

from .conftest import Pool
from .crew import QUEUE, open_store
from .faults import until

JOBS = int(os.environ.get("RELIGHT_CREW_JOBS", "25"))
WORKERS = 4
LIMIT = 2
MOST_RUNNING = 5


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["trio"], indirect=True)
@pytest.mark.parametrize("kind", ["sqlite", "postgres", "transaction pooler"])
async def test_four_processes_share_a_store(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    where = str(tmp_path / "jobs.db")
    if kind == "postgres":
        where = request.getfixturevalue("dsn")
    if kind == "transaction pooler":  # 18 connections to it share 5 of the server
        server: PostgresServer = request.getfixturevalue("postgres")
        pool: Pool = request.getfixturevalue("pool")
        where = pool("transaction", default_pool_size=5).dsn(server.new_database())
    store = open_store(kind, where)
    async with store.opened():
        await store.set_queue(QUEUE, max_running=MOST_RUNNING)
        limited = [_limited(number) for number in range(JOBS * WORKERS)]
        await store.enqueue(limited)
        heard: list[Event] = []
        runs: list[tuple[str, float, float]] = []

        async def work(name: str) -> None:
            command = [sys.executable, str(Path(__file__).with_name("crew.py")), kind, where, name, str(JOBS)]
            done = await anyio.to_thread.run_sync(
                lambda: subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
            )
            assert done.returncode == 0, done.stderr
            runs.extend(json.loads(done.stdout))

        async with anyio.create_task_group() as group:
            group.start_soon(_subscribe, kind, where, heard)
            async with anyio.create_task_group() as crew:
                for number in range(WORKERS):
                    crew.start_soon(work, f"w{number}")
            last = await store.last_cursor()
            await until(lambda: bool(heard) and int(heard[-1].cursor) >= int(last))
            group.cancel_scope.cancel()

        jobs = {job.id: job for job in await store.jobs(Query(), most=1_000_000)}
        assert {job.state for job in jobs.values()} == {JobState.SUCCEEDED}
        assert sorted(id_ for id_, _, _ in runs) == sorted(jobs)
        assert _most_at_once(runs) <= MOST_RUNNING
        for key in {job.limit_key for job in jobs.values()} - {None}:
            of_key = [run for run in runs if jobs[run[0]].limit_key == key]
            assert _most_at_once(of_key) <= LIMIT
        for key in {job.unique_key for job in jobs.values()} - {None}:
            told = [event.kind for event in heard if jobs[event.job].unique_key == key]
            assert told == ["enqueued", "started", "succeeded"] * (len(told) // 3)
        assert heard == await _all_events(store)
        assert all(int(a.cursor) < int(b.cursor) for a, b in pairwise(heard))


def _limited(number: int) -> NewJob:
    return NewJob(
        id=f"l{number:05}", queue=QUEUE, kind="k", args=b"{}", limit_key=f"k{number % 3}", limit=LIMIT
    )


async def _subscribe(kind: str, where: str, heard: list[Event]) -> None:
    """Read events, and connect anew at random."""
    dice = random.Random(7)
    cursor = "0"
    while True:
        store = open_store(kind, where)
        async with store.opened():
            for _ in range(dice.randrange(1, 12)):
                found = await store.events(cursor, most=dice.randrange(1, 40))
                heard.extend(found)
                cursor = found[-1].cursor if found else cursor
                if not found:
                    await store.wait_change(0.02)


async def _all_events(store: Store) -> list[Event]:
    events: list[Event] = []
    while found := await store.events(events[-1].cursor if events else "0"):
        events.extend(found)
    return events


def _most_at_once(runs: list[tuple[str, float, float]]) -> int:
    edges = sorted([(began, 1) for _, began, _ in runs] + [(ended, -1) for _, _, ended in runs])
    now = most = 0
    for _, change in edges:
        now += change
        most = max(most, now)
    return most
