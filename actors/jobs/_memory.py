"""A store in memory: for tests, for jobs that need not outlive the process, and as the others' model."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import chain
from math import inf
from typing import NamedTuple

import msgspec

from ._checks import check_callable
from ._dead_message import DeadMessage
from ._grouping import group_dead
from ._memory_course import MemoryCourse
from ._memory_events import MemoryEvents
from ._memory_jobs import MemoryJobs
from ._memory_ledger import MemoryLedger
from ._memory_messages import MemoryMessages
from ._memory_queues import MemoryQueues
from ._records import (
    Claimed,
    DeadGroup,
    Event,
    Failure,
    Job,
    JobDetail,
    JobState,
    NewJob,
    Prunable,
    Query,
    QueueState,
    Spending,
    Step,
)

_EVENTS_PRUNED = 10
"""Events deleted at a time for each job that is."""


class _Lease(NamedTuple):
    """A worker's."""

    ends: float
    queues: frozenset[str]


_NO_LEASE = _Lease(-inf, frozenset())


class MemoryStore:
    """Keep jobs in this process, for as long as it lives.

    Args:
        clock: Seconds since 1970; a test's own, perhaps.

    Raises:
        JobSpecError: *clock* is no function.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        check_callable("MemoryStore.clock", clock, "a function that returns seconds since 1970")
        self._clock = clock
        self._jobs = MemoryJobs()
        self._queues = MemoryQueues(self._jobs)
        self._ledger = MemoryLedger()
        self._events = MemoryEvents(clock)
        self._course = MemoryCourse(self._jobs, self._events, self._ledger, clock)
        self._workers: dict[str, _Lease] = {}
        """By worker."""
        self._messages = MemoryMessages()

    def __repr__(self) -> str:
        return f"<MemoryStore of {len(self._jobs)} jobs>"

    @asynccontextmanager
    async def opened(self, *, migrate: bool = True) -> AsyncGenerator[None]:
        """Do nothing: there is nothing to open."""
        yield

    # --- who enqueues -------------------------------------------------------------------------------

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[str]:
        """Store jobs; see `Store.enqueue`."""
        return [self._course.add(job) for job in jobs]

    async def cancel(self, ids: Collection[str]) -> dict[str, JobState]:
        """Cancel jobs; see `Store.cancel`."""
        return {job.id: self._course.cancel(job) for job in self._jobs.known(ids)}

    # --- workers --------------------------------------------------------------------------------------

    async def register(
        self, worker: str, lease: float, facts: Mapping[str, str], queues: Collection[str] = ()
    ) -> None:
        """Begin a worker's lease; see `Store.register`."""
        self._workers[worker] = _Lease(self._clock() + lease, frozenset(queues))
        for queue in queues:
            self._queues.know(queue)

    async def beat(self, worker: str, lease: float) -> frozenset[str] | None:
        """Extend the lease; see `Store.beat`."""
        held = self._workers.get(worker)
        if held is None:
            return None
        self._workers[worker] = held._replace(ends=self._clock() + lease)
        running = self._jobs.in_state(JobState.RUNNING)
        return frozenset(job.id for job in running if job.worker == worker and job.is_cancel_requested)

    async def retire(self, worker: str) -> None:
        """End the lease; see `Store.retire`."""
        self._workers.pop(worker, None)

    async def claim(self, worker: str, queues: Sequence[str], most: int) -> list[Claimed]:
        """Hand jobs to a worker; see `Store.claim`."""
        now = self._clock()
        for job in self._jobs.in_state(JobState.QUEUED, JobState.WAITING, queues=queues):
            self._course.look(job, now)
        claimed: list[Claimed] = []
        if self._workers.get(worker, _NO_LEASE).ends <= now:
            return claimed
        queued = self._jobs.in_state(JobState.QUEUED, queues=queues)
        for job in sorted(queued, key=lambda job: (-job.priority, job.id)):
            if len(claimed) == most:
                break
            if self._queues.has_room(job):
                claimed.append(self._course.begin(job, worker, now))
        return claimed

    async def next_due(self, queues: Sequence[str]) -> float | None:
        """Return the seconds until the next waiting job is due; see `Store.next_due`."""
        waiting = [
            min(job.run_at, inf if job.deadline is None else job.deadline)
            for job in self._jobs.in_state(JobState.WAITING, queues=queues)
        ]
        return max(0.0, min(waiting) - self._clock()) if waiting else None

    async def save_step(self, job: str, fence: int, step: Step) -> None:
        """Store a finished step; see `Store.save_step`."""
        self._course.save_step(self._jobs.owned(job, fence), step)

    async def save_late(self, job: str, run: int, step: Step) -> bool:
        """Store a step of a run that has lost its job; see `Store.save_late`."""
        return any(self._course.save_late(known, run, step) for known in self._jobs.known([job]))

    async def note(self, job: str, fence: int, kind: str, data: Mapping[str, object]) -> None:
        """Tell something of a running job; see `Store.note`."""
        self._course.note(self._jobs.owned(job, fence), kind, data)

    async def succeed(self, job: str, fence: int, result: bytes, *, cost_usd: float, retries: int) -> None:
        """End a job well; see `Store.succeed`."""
        owned = self._course.charged(self._jobs.owned(job, fence), cost_usd, retries)
        done = msgspec.structs.replace(owned, result=result, progress=1.0, error=None, cause=None)
        self._course.end(done, JobState.SUCCEEDED)

    async def fail(
        self, job: str, fence: int, failure: Failure, *, retry_in: float | None, spends: bool
    ) -> JobState:
        """End a run of a job that failed; see `Store.fail`."""
        return self._course.fail(self._jobs.owned(job, fence), failure, retry_in, spends=spends)

    async def release(self, job: str, fence: int, *, cost_usd: float, retries: int) -> JobState:
        """Give a job back unfinished; see `Store.release`."""
        return self._course.release(self._course.charged(self._jobs.owned(job, fence), cost_usd, retries))

    async def end_cancelled(self, job: str, fence: int, *, cost_usd: float, retries: int) -> None:
        """End a job that was asked to end; see `Store.end_cancelled`."""
        owned = self._course.charged(self._jobs.owned(job, fence), cost_usd, retries)
        self._course.end(owned, JobState.CANCELLED)

    async def overdue(self) -> dict[str, float]:
        """Return the workers whose lease has ended; see `Store.overdue`."""
        now = self._clock()
        return {worker: lease.ends for worker, lease in self._workers.items() if lease.ends <= now}

    async def reap(self, overdue: Mapping[str, float] | None = None) -> list[str]:
        """Take the jobs of workers whose lease has ended; see `Store.reap`."""
        for worker, ended in (await self.overdue()).items():
            if overdue is None or overdue.get(worker) == ended:
                del self._workers[worker]
        lost = [job for job in self._jobs.in_state(JobState.RUNNING) if job.worker not in self._workers]
        for job in lost:
            self._course.rescue(job)
        return [job.id for job in lost]

    # --- people ---------------------------------------------------------------------------------------

    async def job(self, id: str) -> JobDetail | None:  # noqa: A002 - the name people know
        """Look at one job; see `Store.job`."""
        return self._jobs.detail(id)

    async def jobs(self, query: Query, *, after: str | None = None, most: int = 100) -> list[Job]:
        """List jobs, newest first; see `Store.jobs`."""
        found = [job for job in self._jobs.found(query) if after is None or job.id < after]
        return sorted(found, key=lambda job: job.id, reverse=True)[:most]

    async def dead_groups(self, query: Query) -> list[DeadGroup]:
        """Group dead jobs; see `Store.dead_groups`."""
        return group_dead(job for job in self._jobs.found(query) if job.state is JobState.DEAD)

    async def retry(self, ids: Collection[str]) -> list[str]:
        """Queue ended jobs again; see `Store.retry`."""
        return [job.id for job in self._jobs.known(ids) if self._course.retry(job)]

    async def discard(self, ids: Collection[str]) -> list[str]:
        """Put dead jobs aside; see `Store.discard`."""
        dead = [job for job in self._jobs.known(ids) if job.state is JobState.DEAD]
        for job in dead:
            self._course.end(job, JobState.DISCARDED)
        return [job.id for job in dead]

    async def queues(self, *, ended: bool = False) -> list[QueueState]:
        """Look at the queues; see `Store.queues`."""
        now = self._clock()
        living = [lease.queues for lease in self._workers.values() if lease.ends > now]
        return self._queues.states(Counter(chain.from_iterable(living)), ended=ended)

    async def set_queue(
        self, queue: str, *, paused: bool | None = None, max_running: int | None = None
    ) -> None:
        """Pause, resume or limit a queue; see `Store.set_queue`."""
        self._queues.set(queue, paused=paused, max_running=max_running)
        self._events.wake()

    # --- undeliverable messages -----------------------------------------------------------------------

    async def keep_messages(self, messages: Sequence[DeadMessage], *, most: int) -> None:
        """Store messages that could not be delivered; see `Store.keep_messages`."""
        self._messages.keep(messages, most)

    async def dead_messages(self, query: Query, *, most: int = 100) -> list[DeadMessage]:
        """List undeliverable messages, newest first; see `Store.dead_messages`."""
        return self._messages.read(query, most)

    async def forget_messages(self, ids: Collection[str]) -> int:
        """Delete undeliverable messages; see `Store.forget_messages`."""
        return self._messages.forget(ids)

    # --- money ----------------------------------------------------------------------------------------

    async def spent(self, *, since: float, user: str | None = None, queue: str | None = None) -> float:
        """Return the US dollars in the ledger since a moment; see `Store.spent`."""
        return self._ledger.spent(since, user=user, queue=queue)

    async def sums(self, *, since: float, until: float) -> list[Spending]:
        """Return what was spent within some time; see `Store.sums`."""
        return self._ledger.sums(since, until)

    # --- events ---------------------------------------------------------------------------------------

    async def first_cursor(self) -> str:
        """Return the cursor before the oldest event there is."""
        return self._events.first_cursor()

    async def last_cursor(self) -> str:
        """Return the cursor after the newest event."""
        return self._events.last_cursor()

    async def events(
        self,
        after: str,
        *,
        most: int = 500,
        job: str | None = None,
        user: str | None = None,
        queue: str | None = None,
    ) -> list[Event]:
        """Return events after a cursor; see `Store.events`."""
        return self._events.read(after, most, job=job, user=user, queue=queue)

    async def wait_change(self, timeout: float) -> None:
        """Return when something was stored, or after *timeout* seconds."""
        await self._events.wait_change(timeout)

    async def prune(self, *, ended_before: float, most: int = 1000) -> int:
        """Delete old jobs, events and messages; see `Store.prune`."""
        self._messages.prune(ended_before)
        self._events.prune(ended_before, _EVENTS_PRUNED * most)
        return self._jobs.prune(ended_before, most)

    async def prune_ledger(self, *, before: float, most: int = 1000) -> int:
        """Delete old entries of the ledger; see `Store.prune_ledger`."""
        return self._ledger.prune(before, most)

    async def prunable(self, *, ended_before: float, ledger_before: float) -> Prunable:
        """Count what is old enough to be deleted; see `Store.prunable`."""
        return Prunable(
            jobs=len(self._jobs.ended(ended_before)),
            events=self._events.count_before(ended_before),
            messages=self._messages.count_before(ended_before),
            ledger=self._ledger.count_before(ledger_before),
        )

    async def blobs_in_use(self, names: Collection[str]) -> frozenset[str]:
        """Return which files some step refers to; see `Store.blobs_in_use`."""
        return self._jobs.blobs().intersection(names)
