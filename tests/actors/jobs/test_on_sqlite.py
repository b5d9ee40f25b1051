"""A worker on a real store, in real time: what is in the file is enough to go on."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from relight.actors.jobs import Claimed, JobContext, JobState, Queue, SqliteStore, Worker
from relight.supervisors import open_system
from relight.supervisors.policies import Fixed

pytestmark = pytest.mark.anyio


class World:
    """What outlives the process: a file, and what was paid for."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "jobs.db"
        self.paid: list[str] = []
        self.is_broken = True

    async def paint(self, scene: str) -> str:
        self.paid.append(scene)
        return scene * 1000

    def process(self) -> Queue:
        """Begin as a new process would: with the file and the code."""
        queue = Queue(SqliteStore(self.file), max_inline=4000)

        @queue.job(attempts=5, backoff=Fixed(0.01))
        async def comic(job: JobContext, scenes: list[str]) -> int:
            panels = [
                await job.step(f"panel {scene[:1]}", self.paint, scene) for scene in scenes[: job.attempt]
            ]
            if job.attempt <= 3:
                raise ConnectionError(f"attempt {job.attempt}")
            await job.step("wait", self.wait)
            return sum(map(len, panels))

        return queue

    async def wait(self) -> None:
        if self.is_broken:
            await anyio.sleep_forever()


async def test_a_job_goes_on_in_another_process_where_it_was(tmp_path: Path) -> None:
    world = World(tmp_path)
    scenes = ["a", "b", "ccccccccc", "d"]
    first = world.process()
    async with open_system() as system:
        await Worker(first, drain=0.0, lease=1.0).start(system)
        id_ = await first.enqueue(first.functions["comic"], scenes)
        with anyio.fail_after(60.0):
            while (made := await first.store.job(id_)) is None or len(made.steps) < 4:
                await first.store.wait_change(0.1)
        system.kill(system.get("jobs"))
    world.is_broken = False
    second = world.process()
    async with open_system() as system:
        await Worker(second).start(system)
        assert await second.result(id_, timeout=60.0) == 12_000
        detail = await second.store.job(id_)
    assert detail is not None
    assert world.paid == scenes
    assert detail.job.state is JobState.SUCCEEDED
    assert [attempt.error for attempt in detail.attempts if attempt.is_spent] == [
        "attempt 1",
        "attempt 2",
        "attempt 3",
    ]
    assert [step.blob is not None for step in detail.steps] == [False, False, True, False, False]
    assert (tmp_path / "jobs.db.results").is_dir()


async def test_a_running_job_is_cancelled_long_before_its_lease_is_renewed(tmp_path: Path) -> None:
    queue = Queue(SqliteStore(tmp_path / "jobs.db"))
    begun = anyio.Event()

    @queue.job()
    async def endless(job: JobContext) -> None:
        begun.set()
        await anyio.sleep_forever()

    async with open_system() as system:
        await Worker(queue, lease=600.0).start(system)
        id_ = await queue.enqueue(endless)
        await begun.wait()
        with anyio.fail_after(30.0):  # it takes a second
            await queue.cancel(id_)
            assert (await queue.wait(id_)).state is JobState.CANCELLED


class HeldUpStore(SqliteStore):
    """A store whose file another process writes to while jobs are claimed for the first time."""

    def __init__(self, path: Path, other: sqlite3.Connection) -> None:
        super().__init__(path, busy_timeout=60.0)
        self._other = other
        self.is_claiming = anyio.Event()
        self.is_claimed_again = anyio.Event()

    async def claim(self, worker: str, queues: Sequence[str], most: int) -> list[Claimed]:
        if self.is_claiming.is_set():
            self.is_claimed_again.set()
        else:
            self._other.execute("BEGIN IMMEDIATE")
            self.is_claiming.set()
        return await super().claim(worker, queues, most)


async def test_a_claim_on_its_way_when_its_runner_dies_loses_no_job(tmp_path: Path) -> None:
    """What it hands out is not there yet when the next runner begins: it is stored later."""
    path = tmp_path / "jobs.db"
    async with SqliteStore(path).opened():
        pass
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        queue = Queue(store := HeldUpStore(path, other))

        @queue.job()
        async def work(job: JobContext) -> int:
            return job.runs

        async with store.opened():
            id_ = await queue.enqueue(work)
        async with open_system() as system:
            await Worker(queue).start(system)
            with anyio.fail_after(60.0):
                await store.is_claiming.wait()
                system.kill(system.get("jobs/runner"))
                await store.is_claimed_again.wait()
                other.execute("COMMIT")
                assert await queue.result_of(work, id_) == 2
