"""Whatever is cut off, cancelled or raised, every job ends, and no finished step is done again."""

from collections.abc import Awaitable, Callable
from random import Random
from typing import cast

import anyio
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from relight.actors.jobs import (
    Fail,
    JobContext,
    JobState,
    MemoryStore,
    Queue,
    Retry,
    Store,
    StoreError,
    Worker,
)
from relight.supervisors import CircuitBreakerOpenError, Settings, open_system
from relight.supervisors.policies import Fixed
from relight.testing import assert_no_leaks, run_virtual

JOBS = 12
STEPS = 4


class Line:
    """A worker's line to a store that others share. It can be cut, as between two machines."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.is_cut = False

    def __getattr__(self, name: str) -> object:
        method = getattr(self._store, name)
        if name in ("opened", "wait_change"):
            return method

        async def call(*arguments: object, **options: object) -> object:
            if self.is_cut:
                raise StoreError("a store", "it is away", is_passing=True)
            answer = await cast("Callable[..., Awaitable[object]]", method)(*arguments, **options)
            await anyio.sleep(0.01)
            if self.is_cut:
                raise StoreError("a store", "it was cut off before it answered", is_passing=True)
            return answer

        return call


class World:
    """Some workers, each with a line of its own, and jobs whose steps go wrong at random."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.store = MemoryStore(anyio.current_time)
        self.lines = [Line(self.store) for _ in range(3)]
        self.queues = [self._queue(line) for line in self.lines]
        self.repeated: list[str] = []
        self.watching = Queue(self.store, clock=anyio.current_time)

    def _queue(self, line: Line) -> Queue:
        queue = Queue(cast("Store", line), clock=anyio.current_time)

        @queue.job(attempts=4, backoff=Fixed(2.0, jitter=1.0), limit_key=str, limit=2)
        async def work(job: JobContext, key: int) -> list[int]:
            results = [await job.step(f"s{number}", self.do, job.id, number) for number in range(STEPS // 2)]
            if self.random.random() < 0.3:
                await job.sleep(self.random.uniform(1.5, 30.0))

            async def branch(number: int) -> None:
                results.append(await job.step(f"s{number}", self.do, job.id, number))

            async with anyio.create_task_group() as group:
                for number in range(STEPS // 2, STEPS):
                    group.start_soon(branch, number)
            return sorted(results)

        return queue

    async def do(self, job: str, number: int) -> int:
        detail = await self.store.job(job)
        assert detail is not None
        if f"s{number}" in {step.name for step in detail.steps}:
            self.repeated.append(f"{job} {number}")
        await anyio.sleep(self.random.choice((0.0, 0.1, 5.0)))
        match self.random.randrange(20):
            case 0:
                raise ValueError("broken")
            case 1:
                raise Retry(after=1.0)
            case 2:
                raise CircuitBreakerOpenError("service", retry_after=10.0)
            case 3 if self.random.random() < 0.2:
                raise Fail("of no use")
            case _:
                return number

    async def play(self) -> None:
        async with open_system(settings=Settings(log_level="error"), rng=self.random) as system:
            for number, queue in enumerate(self.queues):
                worker = Worker(queue, concurrency=4, lease=6.0, drain=5.0, id=f"worker-{number}")
                await worker.start(system)
            first = self.queues[0]
            work = first.functions["work"]
            ids = await first.enqueue_many(work, [(number % 3,) for number in range(JOBS)])
            async with anyio.create_task_group() as group:
                group.start_soon(self._disturb, ids)
                for id_ in ids:
                    await self._end_of(id_)
                group.cancel_scope.cancel()
            for line in self.lines:
                line.is_cut = False
            await anyio.sleep(60.0)
            await assert_no_leaks(system)
            await self._check(ids)

    async def _end_of(self, id_: str) -> None:
        with anyio.fail_after(3600.0):
            await self.watching.wait(id_)

    async def _disturb(self, ids: list[str]) -> None:
        while True:
            await anyio.sleep(self.random.uniform(0.0, 4.0))
            line = self.random.choice(self.lines)
            match self.random.randrange(4):
                case 0:
                    line.is_cut = True
                case 1 | 2:
                    line.is_cut = False
                case _ if self.random.random() < 0.2:
                    await self.store.cancel([self.random.choice(ids)])
                case _:
                    pass

    async def _check(self, ids: list[str]) -> None:
        assert self.repeated == []
        for id_ in ids:
            detail = await self.store.job(id_)
            assert detail is not None
            job = detail.job
            kinds = [event.kind for event in await self.store.events("0", job=id_)]
            assert job.state in (JobState.SUCCEEDED, JobState.DEAD, JobState.CANCELLED)
            if job.state is JobState.SUCCEEDED:
                assert job.result == b"[0,1,2,3]"
            assert kinds.count("started") == job.runs
            assert sum(kinds.count(kind) for kind in ("succeeded", "dead", "cancelled")) == 1
            assert kinds.count("step") == len({step.name for step in detail.steps})
            assert job.attempt <= job.max_attempts


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["trio", "asyncio"])
@settings(max_examples=10, phases=(Phase.reuse, Phase.generate))  # a seed has no simpler one
@given(seed=st.integers(0, 2**32))
def test_every_job_ends_and_no_finished_step_is_done_again(backend: str, seed: int) -> None:
    async def main() -> None:
        await World(seed).play()

    run_virtual(main, backend="trio" if backend == "trio" else "asyncio")
