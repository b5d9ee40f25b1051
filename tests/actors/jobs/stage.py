"""A worker on a store in memory, in a system of its own: what tests of jobs begin with."""

from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from random import Random

import anyio

from relight.actors.jobs import (
    Claimed,
    DeadMessage,
    Event,
    Failure,
    Job,
    JobDetail,
    JobState,
    MemoryStore,
    NewJob,
    Queue,
    Step,
    StoreError,
    Worker,
)
from relight.supervisors import System, open_system


class Stage:
    """A queue, its store, and what the system says."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self.store = store or MemoryStore(anyio.current_time)
        self.queue = Queue(self.store, clock=anyio.current_time)
        self.said: list[tuple[str, Mapping[str, object]]] = []

    def words(self) -> list[str]:
        return [name for name, _ in self.said]

    def facts(self, name: str) -> list[Mapping[str, object]]:
        return [facts for said, facts in self.said if said == name]

    @asynccontextmanager
    async def system(self) -> AsyncGenerator[System]:
        """Open a system without a worker."""
        async with open_system(rng=Random(1)) as system:
            system.events.listen(lambda name, facts: self.said.append((name, facts)))
            yield system

    @asynccontextmanager
    async def working(
        self, *, concurrency: int = 10, lease: float = 15.0, drain: float = 20.0
    ) -> AsyncGenerator[System]:
        """Open a system with a worker. What hangs fails after some hours of virtual time."""
        async with self.system() as system:
            worker = Worker(self.queue, concurrency=concurrency, lease=lease, drain=drain)
            await worker.start(system)
            with anyio.fail_after(20_000.0):
                yield system

    async def detail(self, id: str) -> JobDetail:  # noqa: A002
        detail = await self.store.job(id)
        assert detail is not None
        return detail

    async def job(self, id: str) -> Job:  # noqa: A002
        return (await self.detail(id)).job

    async def events(self, id: str) -> list[Event]:  # noqa: A002
        return await self.store.events("0", job=id)

    async def kinds(self, id: str) -> list[str]:  # noqa: A002
        return [event.kind for event in await self.events(id)]


class FlakyStore(MemoryStore):
    """A store that is away as long as it is told to be."""

    def __init__(self, clock: Callable[[], float] = anyio.current_time) -> None:
        super().__init__(clock)
        self.is_away = False
        self.is_passing = True
        self.refused = 0

    def check(self) -> None:
        if self.is_away:
            self.refused += 1
            raise StoreError("a store", "the disk is full, make room", is_passing=self.is_passing)

    async def register(
        self, worker: str, lease: float, facts: Mapping[str, str], queues: Collection[str] = ()
    ) -> None:
        self.check()
        return await super().register(worker, lease, facts, queues)

    async def beat(self, worker: str, lease: float) -> frozenset[str] | None:
        self.check()
        return await super().beat(worker, lease)

    async def claim(self, worker: str, queues: Sequence[str], most: int) -> list[Claimed]:
        self.check()
        return await super().claim(worker, queues, most)

    async def next_due(self, queues: Sequence[str]) -> float | None:
        self.check()
        return await super().next_due(queues)

    async def save_step(self, job: str, fence: int, step: Step) -> None:
        self.check()
        return await super().save_step(job, fence, step)

    async def note(self, job: str, fence: int, kind: str, data: Mapping[str, object]) -> None:
        self.check()
        return await super().note(job, fence, kind, data)

    async def succeed(self, job: str, fence: int, result: bytes, *, cost_usd: float, retries: int) -> None:
        self.check()
        return await super().succeed(job, fence, result, cost_usd=cost_usd, retries=retries)

    async def fail(
        self, job: str, fence: int, failure: Failure, *, retry_in: float | None, spends: bool
    ) -> JobState:
        self.check()
        return await super().fail(job, fence, failure, retry_in=retry_in, spends=spends)

    async def release(self, job: str, fence: int, *, cost_usd: float, retries: int) -> JobState:
        self.check()
        return await super().release(job, fence, cost_usd=cost_usd, retries=retries)

    async def end_cancelled(self, job: str, fence: int, *, cost_usd: float, retries: int) -> None:
        self.check()
        return await super().end_cancelled(job, fence, cost_usd=cost_usd, retries=retries)

    async def save_late(self, job: str, run: int, step: Step) -> bool:
        self.check()
        return await super().save_late(job, run, step)

    async def overdue(self) -> dict[str, float]:
        self.check()
        return await super().overdue()

    async def reap(self, overdue: Mapping[str, float] | None = None) -> list[str]:
        self.check()
        return await super().reap(overdue)

    async def keep_messages(self, messages: Sequence[DeadMessage], *, most: int) -> None:
        self.check()
        return await super().keep_messages(messages, most=most)

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[str]:
        self.check()
        return await super().enqueue(jobs)
