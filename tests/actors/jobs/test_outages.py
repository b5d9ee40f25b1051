"""Real stores that are away for longer than the lease: whole workers lose nothing they paid for."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec
import pytest

from relight.actors import Usage
from relight.actors.jobs import JobContext, JobState, PostgresStore, Query, Queue, SqliteStore, Store, Worker
from relight.bench.postgres import PostgresServer
from relight.runtime import Request, handles
from relight.supervisors import Child, GuardedActor, open_system

from .faults import until

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
LEASE = 1.0
OUTAGE = 3.0
"""Seconds of real time: of a lease that has ended, nobody can say so in virtual time."""
JOBS = 12
STEPS = 6


class Picture(msgspec.Struct):
    name: str
    usage: Usage = Usage(usd=0.5)


class Draw(Request[Picture], frozen=True):
    name: str


class Painter(GuardedActor):
    """Draws, and writes down what it was paid for."""

    def __init__(self, paid: Counter[str]) -> None:
        self.paid = paid

    @handles
    async def draw(self, message: Draw) -> Picture:
        self.paid[message.name] += 1
        await anyio.sleep(0.1)
        return Picture(message.name)


@asynccontextmanager
async def at_work(stores: list[Store], paid: Counter[str]) -> AsyncGenerator[Queue]:
    """Have a worker on each store, and jobs that draw: some pictures one by one, some side by side."""
    queues = [Queue(store) for store in stores]

    async def comic(job: JobContext, number: int) -> list[str]:
        drawn: list[str] = []

        async def draw(panel: int) -> None:
            name = f"{number}-{panel}"
            drawn.append((await job.ask("painter", Draw(name), name=name)).name)

        for panel in range(STEPS - 3):
            await draw(panel)
        async with anyio.create_task_group() as group:
            for panel in range(STEPS - 3, STEPS):
                group.start_soon(draw, panel)
        return sorted(drawn)

    functions = [queue.job(attempts=1)(comic) for queue in queues]
    async with open_system() as system:
        await system.spawn(Child("painter", lambda: Painter(paid)))
        for number, queue in enumerate(queues):
            await Worker(queue, concurrency=JOBS, lease=LEASE, id=f"worker-{number}").start(system)
        await queues[0].enqueue_many(functions[0], [(number,) for number in range(JOBS)])
        yield queues[0]


async def check_books(queue: Queue, paid: Counter[str]) -> None:
    """See that all jobs have ended well in one run each, and every picture was paid for once and is there."""
    names = {f"{number}-{panel}" for number in range(JOBS) for panel in range(STEPS)}
    await until(lambda: set(paid) == names)
    jobs = await queue.store.jobs(Query())
    for job in jobs:
        assert (await queue.wait(job.id, timeout=60.0)).state is JobState.SUCCEEDED
    details = [await queue.store.job(job.id) for job in jobs]
    steps = [step.name for detail in details if detail is not None for step in detail.steps]
    assert sorted(steps) == sorted(names)
    assert paid == dict.fromkeys(names, 1)
    assert {detail.job.runs for detail in details if detail is not None} == {1}
    assert await queue.store.spent(since=0.0) == pytest.approx(0.5 * len(names))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
async def test_a_server_that_is_stopped_for_longer_than_the_lease_costs_nothing(
    postgres: PostgresServer, dsn: str, how: signal.Signals
) -> None:
    paid = Counter[str]()
    async with at_work([PostgresStore(dsn), PostgresStore(dsn)], paid) as queue:
        await until(lambda: len(paid) > JOBS)
        await anyio.to_thread.run_sync(postgres.stop, how)
        try:
            await anyio.sleep(OUTAGE)
        finally:
            await anyio.to_thread.run_sync(postgres.start)
        await check_books(queue, paid)


_LOCKS = """
import sqlite3, sys
other = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30.0)
other.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
other.execute("COMMIT")
"""


@asynccontextmanager
async def locked(path: Path) -> AsyncGenerator[None]:
    """Have another process hold the lock of a file."""
    command = [sys.executable, "-c", _LOCKS, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:  # noqa: ASYNC220
        assert other.stdin is not None
        assert other.stdout is not None
        try:
            assert await anyio.to_thread.run_sync(other.stdout.readline) == b"locked\n"
            yield
        finally:
            other.stdin.close()


@pytest.mark.parametrize("busy_timeout", [0.2, 30.0])
async def test_a_file_that_is_locked_for_longer_than_the_lease_costs_nothing(
    tmp_path: Path, busy_timeout: float
) -> None:
    path, paid = tmp_path / "jobs.db", Counter[str]()
    stores: list[Store] = [SqliteStore(path, busy_timeout=busy_timeout) for _ in range(2)]
    async with at_work(stores, paid) as queue:
        await until(lambda: len(paid) > JOBS)
        async with locked(path):
            await anyio.sleep(OUTAGE)
        await check_books(queue, paid)
