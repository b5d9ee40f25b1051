"""The comics of a run, as the store of jobs has them."""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio
import msgspec

from ...jobs import Job, JobFunction, JobState, Query, Queue, Store, StoreError
from ._scenes import Scene

QUEUE = "demo"
_LOOK = 0.2
"""Seconds between two looks."""
_MOST = 20_000


class Order(msgspec.Struct, frozen=True):
    """One comic to be made."""

    comic: str
    """Its name, and its folder's."""
    scene: Scene
    folder: str
    """The run's, where the comic's is made."""


@dataclass(frozen=True, slots=True)
class JobStatistics:
    """Counts of all jobs of a run."""

    submitted: int
    """All that were ever taken."""
    running: int
    """With an attempt under way."""
    waiting: int
    """Between two attempts."""
    succeeded: int
    """Ended well."""
    dead: int
    """Given up, with a reason."""


@dataclass(slots=True)
class JobBoard:
    """Know where each job of a run is.

    Args:
        store: Where they are kept, opened; `look` and `read` ask it.
    """

    store: Store
    statistics: JobStatistics = JobStatistics(0, 0, 0, 0, 0)
    """As of the last look."""
    jobs: list[Job] = field(default_factory=list[Job])
    """As last read, in the order in which they were taken."""
    taken: set[str] = field(default_factory=set[str])
    """Ids of all jobs that were ever seen here."""
    before: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    """Steps that an earlier process had finished: job and name."""
    paid: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Steps carried out by this process."""

    async def take_over(self) -> bool:
        """Read what an earlier process has left; tells whether there is anything."""
        await self.read()
        for job in self.jobs:
            detail = await self.store.job(job.id)
            if detail is not None:
                self.before.update((job.id, step.name) for step in detail.steps)
        return bool(self.jobs)

    def submitted(self, ids: list[str]) -> None:
        """Take note of jobs that are stored."""
        self.taken.update(ids)

    def pay(self, job: str, step: str) -> None:
        """Take note of a step that was carried out."""
        self.paid.append((job, step))

    @property
    def paid_again(self) -> int:
        """Count the steps carried out by this process that had been finished before: there must be none."""
        return sum(step in self.before for step in self.paid)

    async def look(self) -> None:
        """Count the jobs by where they are. While the store is away, the last counts stay."""
        try:
            queues = await self.store.queues(ended=True)
        except StoreError as error:
            if not error.is_passing:
                raise
            return
        for queue in queues:
            if queue.name == QUEUE:
                counts = {state: queue.counts.get(state, 0) for state in JobState}
                self.statistics = JobStatistics(
                    submitted=sum(counts.values()),
                    running=counts[JobState.RUNNING],
                    waiting=counts[JobState.WAITING],
                    succeeded=counts[JobState.SUCCEEDED],
                    dead=sum(count for state, count in counts.items() if _is_dead(state)),
                )

    async def wait_all(self) -> None:
        """Return when every job has ended."""
        while True:
            await self.look()
            now = self.statistics
            if now.submitted == now.succeeded + now.dead:
                return
            await anyio.sleep(_LOOK)

    async def read(self) -> None:
        """Read all jobs."""
        await self.look()
        self.jobs = list(reversed(await self.store.jobs(Query(queue=QUEUE), most=_MOST)))
        self.taken.update(job.id for job in self.jobs)

    @property
    def dead(self) -> list[Job]:
        """The jobs that were given up."""
        return [job for job in self.jobs if _is_dead(job.state)]

    @property
    def unfinished(self) -> list[str]:
        """Names of the comics that have not ended."""
        return [order_of(job).comic for job in self.jobs if not job.state.is_final]


async def submit(queue: Queue, make_comic: JobFunction[Order, str], orders: list[Order]) -> list[str]:
    """Store a job for each order, all or none; returns their ids."""
    return await queue.enqueue_many(make_comic, [(order,) for order in orders])


def order_of(job: Job) -> Order:
    """Return what a job is to make."""
    return msgspec.json.decode(job.args, type=tuple[Order])[0]


def _is_dead(state: JobState) -> bool:
    return state.is_final and state is not JobState.SUCCEEDED
