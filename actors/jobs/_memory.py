"""A store in memory: for tests, for jobs that need not outlive the process, and as the others' model."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from math import inf

import anyio
import msgspec

from ._dead_message import DeadMessage
from ._errors import CursorExpiredError, LeaseLostError
from ._grouping import group_dead
from ._message_shelf import MessageShelf
from ._records import (
    Attempt,
    Claimed,
    DeadGroup,
    Event,
    Failure,
    Job,
    JobDetail,
    JobState,
    NewJob,
    Query,
    QueueState,
    Spending,
    Step,
)

_replace = msgspec.structs.replace
_WORKER_LOST = "the worker was lost"
_TOO_LATE = "its deadline passed"
_RETRIED = frozenset({JobState.DEAD, JobState.CANCELLED, JobState.DISCARDED})


class MemoryStore:
    """Keep jobs in this process, for as long as it lives.

    Args:
        clock: Seconds since 1970; a test's own, perhaps.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._jobs: dict[str, Job] = {}
        self._attempts: dict[str, list[Attempt]] = {}
        self._steps: dict[str, dict[str, Step]] = {}
        self._workers: dict[str, float] = {}
        """The moment each lease ends."""
        self._queues: dict[str, QueueState] = {}
        self._ledger: list[tuple[float, str, float]] = []
        """Moment, job, US dollars."""
        self._events: list[Event] = []
        self._pruned = 0
        """Events deleted: all of the oldest."""
        self._changed = anyio.Event()
        self._messages = MessageShelf()

    def __repr__(self) -> str:
        return f"<MemoryStore of {len(self._jobs)} jobs>"

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        """Do nothing: there is nothing to open."""
        yield

    # --- who enqueues -------------------------------------------------------------------------------

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[str]:
        """Store jobs; see `Store.enqueue`."""
        return [self._enqueue(job) for job in jobs]

    def _enqueue(self, new: NewJob) -> str:
        if new.id in self._jobs:
            return new.id
        holder = self._holder(new.unique_key)
        if holder is not None:
            return holder.id
        now = self._clock()
        job = Job(
            id=new.id,
            queue=new.queue,
            kind=new.kind,
            args=new.args,
            state=JobState.WAITING if new.delay > 0 else JobState.QUEUED,
            version=new.version,
            priority=new.priority,
            attempt=0,
            max_attempts=new.max_attempts,
            runs=0,
            service_retries=0,
            fence=0,
            worker=None,
            created_at=now,
            run_at=now + max(0.0, new.delay),
            started_at=None,
            finished_at=None,
            deadline=None if new.timeout is None else now + new.timeout,
            unique_key=new.unique_key,
            limit_key=new.limit_key,
            limit=new.limit,
            user=new.user,
            replay_of=new.replay_of,
            is_cancel_requested=False,
            progress=None,
            result=None,
            error=None,
            cause=None,
            cost_usd=0.0,
            budget_usd=new.budget_usd,
        )
        self._attempts[job.id], self._steps[job.id] = [], {}
        self._put(job, "enqueued", {"kind": job.kind})
        return job.id

    async def cancel(self, ids: Collection[str]) -> dict[str, JobState]:
        """Cancel jobs; see `Store.cancel`."""
        return {id_: self._cancel(self._jobs[id_]).state for id_ in ids if id_ in self._jobs}

    def _cancel(self, job: Job) -> Job:
        if job.state is JobState.RUNNING:
            job = self._jobs[job.id] = _replace(job, is_cancel_requested=True)
        elif not job.state.is_final:
            job = self._end(job, JobState.CANCELLED)
        return job

    # --- workers --------------------------------------------------------------------------------------

    async def register(self, worker: str, lease: float, facts: Mapping[str, str]) -> None:
        """Begin a worker's lease; see `Store.register`."""
        self._workers[worker] = self._clock() + lease

    async def beat(self, worker: str, lease: float) -> frozenset[str] | None:
        """Extend the lease; see `Store.beat`."""
        now = self._clock()
        if self._workers.get(worker, -inf) <= now:
            return None
        self._workers[worker] = now + lease
        return frozenset(
            job.id for job in self._running() if job.worker == worker and job.is_cancel_requested
        )

    async def retire(self, worker: str) -> None:
        """End the lease; see `Store.retire`."""
        self._workers.pop(worker, None)

    async def claim(self, worker: str, queues: Sequence[str], most: int) -> list[Claimed]:
        """Hand jobs to a worker; see `Store.claim`."""
        now = self._clock()
        for job in list(self._jobs.values()):
            if job.queue in queues:
                self._look(job, now)
        claimed: list[Claimed] = []
        if self._workers.get(worker, -inf) <= now:
            return claimed
        queued = [job for job in self._jobs.values() if job.state is JobState.QUEUED and job.queue in queues]
        for job in sorted(queued, key=lambda job: (-job.priority, job.id)):
            if len(claimed) == most:
                break
            if self._has_room(job):
                claimed.append(self._begin(job, worker, now))
        return claimed

    def _look(self, job: Job, now: float) -> None:
        """Let a waiting job become due, and one whose deadline has passed die."""
        if job.state not in (JobState.QUEUED, JobState.WAITING):
            return
        if job.deadline is not None and job.deadline <= now:
            self._die(job, _TOO_LATE)
        elif job.state is JobState.WAITING and job.run_at <= now:
            self._jobs[job.id] = _replace(job, state=JobState.QUEUED)

    def _has_room(self, job: Job) -> bool:
        queue = self._queue(job.queue)
        running = [other for other in self._running() if other.queue == job.queue]
        if queue.is_paused or (queue.max_running is not None and len(running) >= queue.max_running):
            return False
        if job.limit_key is None:
            return True
        return sum(1 for other in running if other.limit_key == job.limit_key) < job.limit

    def _begin(self, job: Job, worker: str, now: float) -> Claimed:
        begun = _replace(
            job,
            state=JobState.RUNNING,
            worker=worker,
            started_at=now,
            attempt=job.attempt + 1,
            runs=job.runs + 1,
            fence=job.fence + 1,
        )
        self._put(begun, "started", {"attempt": begun.attempt, "worker": worker})
        return Claimed(job=begun, steps=tuple(self._steps[job.id].values()))

    async def next_due(self, queues: Sequence[str]) -> float | None:
        """Return the seconds until the next waiting job is due; see `Store.next_due`."""
        waiting = [
            min(job.run_at, inf if job.deadline is None else job.deadline)
            for job in self._jobs.values()
            if job.state is JobState.WAITING and job.queue in queues
        ]
        return max(0.0, min(waiting) - self._clock()) if waiting else None

    async def save_step(self, job: str, fence: int, step: Step) -> None:
        """Store a finished step; see `Store.save_step`."""
        owned = self._owned(job, fence)
        if step.name in self._steps[job]:
            return
        self._steps[job][step.name] = _replace(step, at=self._clock())
        owned = self._charge(owned, step.cost_usd, step.service_retries)
        self._put(owned, "step", {"name": step.name, "seconds": step.seconds, "cost_usd": step.cost_usd})

    async def note(self, job: str, fence: int, kind: str, data: Mapping[str, object]) -> None:
        """Tell something of a running job; see `Store.note`."""
        owned = self._owned(job, fence)
        value = data.get("value")
        if kind == "progress" and isinstance(value, int | float):
            owned = _replace(owned, progress=float(value))
        self._put(owned, kind, data)

    async def succeed(self, job: str, fence: int, result: bytes, *, cost_usd: float, retries: int) -> None:
        """End a job well; see `Store.succeed`."""
        owned = self._charge(self._owned(job, fence), cost_usd, retries)
        self._end(_replace(owned, result=result, progress=1.0, error=None, cause=None), JobState.SUCCEEDED)

    async def fail(
        self, job: str, fence: int, failure: Failure, *, retry_in: float | None, spends: bool
    ) -> JobState:
        """End a run of a job that failed; see `Store.fail`."""
        owned = self._charge(self._owned(job, fence), failure.cost_usd, failure.service_retries)
        now = self._clock()
        self._attempts[job].append(
            Attempt(
                job=job,
                number=owned.runs,
                at=now,
                seconds=failure.seconds,
                error=failure.error,
                error_type=failure.error_type,
                traceback=failure.traceback,
                step=failure.step,
                retry_in=retry_in,
                is_spent=spends,
            )
        )
        owned = _replace(
            owned,
            error=failure.error,
            cause=failure.cause,
            worker=None,
            attempt=owned.attempt if spends else owned.attempt - 1,
        )
        if owned.is_cancel_requested:
            return self._end(owned, JobState.CANCELLED).state
        if retry_in is None:
            return self._end(owned, JobState.DEAD).state
        waiting = _replace(owned, state=JobState.WAITING, run_at=now + retry_in)
        data = {"error": failure.error, "attempt": owned.attempt, "delay": retry_in}
        self._put(waiting, "retrying" if spends else "waiting", data)
        return waiting.state

    async def release(self, job: str, fence: int) -> None:
        """Give a job back unfinished; see `Store.release`."""
        owned = self._owned(job, fence)
        self._put(
            _replace(owned, state=JobState.QUEUED, worker=None, attempt=owned.attempt - 1), "released", {}
        )

    async def end_cancelled(self, job: str, fence: int, *, cost_usd: float, retries: int) -> None:
        """End a job that was asked to end; see `Store.end_cancelled`."""
        self._end(self._charge(self._owned(job, fence), cost_usd, retries), JobState.CANCELLED)

    async def reap(self) -> list[str]:
        """Take the jobs of workers whose lease has ended; see `Store.reap`."""
        now = self._clock()
        self._workers = {worker: ends for worker, ends in self._workers.items() if ends > now}
        lost = [job for job in self._running() if job.worker not in self._workers]
        for job in lost:
            orphan = _replace(job, fence=job.fence + 1, worker=None)
            if job.is_cancel_requested:
                self._end(orphan, JobState.CANCELLED)
            elif job.attempt >= job.max_attempts:
                self._die(orphan, _WORKER_LOST)
            else:
                self._put(_replace(orphan, state=JobState.QUEUED, error=_WORKER_LOST), "rescued", {})
        return [job.id for job in lost]

    # --- people ---------------------------------------------------------------------------------------

    async def job(self, id: str) -> JobDetail | None:  # noqa: A002 - the name people know
        """Look at one job; see `Store.job`."""
        job = self._jobs.get(id)
        if job is None:
            return None
        return JobDetail(job=job, attempts=tuple(self._attempts[id]), steps=tuple(self._steps[id].values()))

    async def jobs(self, query: Query, *, after: str | None = None, most: int = 100) -> list[Job]:
        """List jobs, newest first; see `Store.jobs`."""
        found = (job for job in self._found(query) if after is None or job.id < after)
        return sorted(found, key=lambda job: job.id, reverse=True)[:most]

    async def dead_groups(self, query: Query) -> list[DeadGroup]:
        """Group dead jobs; see `Store.dead_groups`."""
        return group_dead(job for job in self._found(query) if job.state is JobState.DEAD)

    async def retry(self, ids: Collection[str]) -> list[str]:
        """Queue ended jobs again; see `Store.retry`."""
        jobs = [self._jobs[id_] for id_ in ids if id_ in self._jobs]
        return [job.id for job in jobs if self._retry(job)]

    def _retry(self, job: Job) -> bool:
        if job.state not in _RETRIED or self._holder(job.unique_key) is not None:
            return False
        again = _replace(
            job,
            state=JobState.QUEUED,
            attempt=0,
            fence=job.fence + 1,
            run_at=self._clock(),
            finished_at=None,
            deadline=None,
            is_cancel_requested=False,
        )
        self._put(again, "retried", {})
        return True

    async def discard(self, ids: Collection[str]) -> list[str]:
        """Put dead jobs aside; see `Store.discard`."""
        jobs = [self._jobs[id_] for id_ in ids if id_ in self._jobs]
        dead = [job for job in jobs if job.state is JobState.DEAD]
        for job in dead:
            self._end(job, JobState.DISCARDED)
        return [job.id for job in dead]

    async def queues(self) -> list[QueueState]:
        """Look at the queues; see `Store.queues`."""
        names = {job.queue for job in self._jobs.values()} | set(self._queues)
        return [
            _replace(self._queue(name), counts=self._counts(name), oldest_at=self._oldest(name))
            for name in sorted(names)
        ]

    def _oldest(self, queue: str) -> float | None:
        queued = (
            job.run_at for job in self._jobs.values() if job.queue == queue and job.state is JobState.QUEUED
        )
        return min(queued, default=None)

    def _counts(self, queue: str) -> dict[JobState, int]:
        counts = dict.fromkeys(JobState, 0)
        for job in self._jobs.values():
            counts[job.state] += job.queue == queue
        return counts

    async def set_queue(
        self, queue: str, *, paused: bool | None = None, max_running: int | None = None
    ) -> None:
        """Pause, resume or limit a queue; see `Store.set_queue`."""
        state = self._queue(queue)
        if paused is not None:
            state = _replace(state, is_paused=paused)
        if max_running is not None:
            state = _replace(state, max_running=max_running or None)
        self._queues[queue] = state
        self._wake()

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
        return sum(
            usd
            for at, id_, usd in self._ledger
            if at >= since and _is_of(self._jobs.get(id_), user=user, queue=queue)
        )

    async def sums(self, *, since: float, until: float) -> list[Spending]:
        """Return what was spent within some time; see `Store.sums`."""
        found: dict[tuple[str, str | None], float] = {}
        for at, id_, usd in self._ledger:
            job = self._jobs.get(id_)
            if since <= at < until and job is not None:
                found[job.queue, job.user] = found.get((job.queue, job.user), 0.0) + usd
        sums = [Spending(queue=queue, user=user, usd=usd) for (queue, user), usd in found.items()]
        return sorted(sums, key=lambda each: (-each.usd, each.queue, each.user or ""))

    # --- events ---------------------------------------------------------------------------------------

    async def first_cursor(self) -> str:
        """Return the cursor before the oldest event there is."""
        return str(self._pruned)

    async def last_cursor(self) -> str:
        """Return the cursor after the newest event."""
        return str(self._pruned + len(self._events))

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
        first = int(after) - self._pruned
        if first < 0:
            raise CursorExpiredError(after)
        found = (
            event
            for event in self._events[first:]
            if (job is None or event.job == job)
            and (user is None or event.user == user)
            and (queue is None or event.queue == queue)
        )
        return [event for event, _ in zip(found, range(most), strict=False)]

    async def wait_change(self, timeout: float) -> None:
        """Return when something was stored, or after *timeout* seconds."""
        with anyio.move_on_after(timeout):
            await self._changed.wait()

    async def prune(self, *, ended_before: float, most: int = 1000) -> int:
        """Delete old jobs, events and messages; see `Store.prune`."""
        self._messages.prune(ended_before)
        old = [
            job.id
            for job in self._jobs.values()
            if job.state.is_final and job.finished_at is not None and job.finished_at < ended_before
        ][:most]
        for id_ in old:
            del self._jobs[id_], self._attempts[id_], self._steps[id_]
        kept = [event for event in self._events if event.at >= ended_before]
        self._pruned += len(self._events) - len(kept)
        self._events = kept
        return len(old)

    # --- inside ---------------------------------------------------------------------------------------

    def _owned(self, id_: str, fence: int) -> Job:
        job = self._jobs.get(id_)
        if job is None or job.fence != fence or job.state is not JobState.RUNNING:
            raise LeaseLostError(id_, fence)
        return job

    def _charge(self, job: Job, usd: float, retries: int) -> Job:
        if usd:
            self._ledger.append((self._clock(), job.id, usd))
        return _replace(job, cost_usd=job.cost_usd + usd, service_retries=job.service_retries + retries)

    def _die(self, job: Job, why: str) -> None:
        self._end(_replace(job, error=why, cause=why), JobState.DEAD)

    def _end(self, job: Job, state: JobState) -> Job:
        ended = _replace(job, state=state, worker=None, finished_at=self._clock())
        data = {"error": job.error} if state is JobState.DEAD else {}
        self._put(ended, str(state), data)
        return ended

    def _put(self, job: Job, kind: str, data: Mapping[str, object]) -> None:
        self._jobs[job.id] = job
        cursor = str(self._pruned + len(self._events) + 1)
        self._events.append(
            Event(
                cursor=cursor,
                job=job.id,
                queue=job.queue,
                user=job.user,
                kind=kind,
                at=self._clock(),
                data=data,
            )
        )
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    def _running(self) -> list[Job]:
        return [job for job in self._jobs.values() if job.state is JobState.RUNNING]

    def _holder(self, unique_key: str | None) -> Job | None:
        if unique_key is None:
            return None
        held = (job for job in self._jobs.values() if job.unique_key == unique_key and not job.state.is_final)
        return next(held, None)

    def _queue(self, name: str) -> QueueState:
        return self._queues.get(name) or QueueState(name=name, is_paused=False, max_running=None, counts={})

    def _found(self, query: Query) -> Iterator[Job]:
        for job in self._jobs.values():
            if (
                (not query.states or job.state in query.states)
                and (not query.ids or job.id in query.ids)
                and query.queue in (None, job.queue)
                and query.kind in (None, job.kind)
                and query.user in (None, job.user)
                and query.cause in (None, job.cause)
            ):
                yield job


def _is_of(job: Job | None, *, user: str | None, queue: str | None) -> bool:
    if user is None and queue is None:
        return True
    return job is not None and user in (None, job.user) and queue in (None, job.queue)
