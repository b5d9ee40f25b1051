"""A store on a SQL database: operations go to the writer's thread, questions to the reader's."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Protocol

import anyio
import anyio.lowlevel

from . import _sql_claims as claims
from . import _sql_late as late
from . import _sql_messages as letters
from . import _sql_reads as reads
from . import _sql_writes as writes
from ._bulk import Bulk, NoteWrite, StepWrite, Success
from ._dead_message import DeadMessage
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
from ._sql_session import SqlSession
from ._writer import Together, Writer

_LOOKED: ContextVar[tuple[SqlStore, int] | None] = ContextVar("_LOOKED", default=None)
"""At which store a task looked last for something to do, and what its count of news was when it began."""


class Connect(Protocol):
    """How a dialect opens a connection."""

    def __call__(self, *, is_writer: bool, migrates: bool) -> SqlSession:
        """Open one; the writer's migrates the tables, or sees that they need not be."""
        ...


class SqlStore:
    """What the stores on SQL databases have in common; see `Store`.

    Args:
        name: What it is called in errors; without a password.
        bulk: How its dialect makes many writes in one go.
        connect: Opens the connection that writes, and after it the one that reads.
    """

    def __init__(
        self,
        name: str,
        bulk: Bulk,
        connect: Connect,
    ) -> None:
        self._bulk = bulk
        self._changed = anyio.Event()
        self._news = 0
        """How often there was something new."""
        self._migrates = True
        """When it is opened next, its tables are migrated."""
        self._writer = Writer(name, lambda: connect(is_writer=True, migrates=self._migrates), self._notice)
        self._reader = Writer(name, lambda: connect(is_writer=False, migrates=self._migrates))

    @asynccontextmanager
    async def opened(self, *, migrate: bool = True) -> AsyncGenerator[None]:
        """Open it and migrate its tables; close it when the block ends.

        Args:
            migrate: False: use it as it is; see `Store.opened`.

        Raises:
            SchemaError: Its tables are of another version.
            StoreError: It can't be opened.
        """
        self._migrates = migrate
        async with self._writer.running(), self._reader.running():
            yield

    # --- who enqueues -------------------------------------------------------------------------------

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[str]:
        """Store jobs; see `Store.enqueue`."""
        return await self._writer.do(Together(self._bulk.enqueue, jobs))

    async def cancel(self, ids: Collection[str]) -> dict[str, JobState]:
        """Cancel jobs; see `Store.cancel`."""
        return await self._writer.do(lambda session: writes.cancel(session, ids))

    # --- workers --------------------------------------------------------------------------------------

    async def register(
        self, worker: str, lease: float, facts: Mapping[str, str], queues: Collection[str] = ()
    ) -> None:
        """Begin a worker's lease; see `Store.register`."""
        await self._writer.do(lambda session: writes.register(session, worker, lease, facts, queues))

    async def beat(self, worker: str, lease: float) -> frozenset[str] | None:
        """Extend the lease; see `Store.beat`."""
        return await self._writer.do(lambda session: writes.beat(session, worker, lease))

    async def retire(self, worker: str) -> None:
        """End the lease; see `Store.retire`."""
        await self._writer.do(lambda session: writes.retire(session, worker))

    async def claim(self, worker: str, queues: Sequence[str], most: int) -> list[Claimed]:
        """Hand jobs to a worker; see `Store.claim`."""
        self._remember()
        return await self._writer.do(lambda session: claims.claim(session, worker, queues, most))

    async def next_due(self, queues: Sequence[str]) -> float | None:
        """Return the seconds until the next waiting job is due; see `Store.next_due`."""
        return await self._reader.do(lambda session: reads.next_due(session, queues))

    async def save_step(self, job: str, fence: int, step: Step) -> None:
        """Store a finished step; see `Store.save_step`."""
        await self._writer.do(Together(self._bulk.save_steps, StepWrite(job, fence, step)))

    async def save_late(self, job: str, run: int, step: Step) -> bool:
        """Store a step of a run that has lost its job; see `Store.save_late`."""
        return await self._writer.do(lambda session: late.save_late(session, job, run, step))

    async def note(self, job: str, fence: int, kind: str, data: Mapping[str, object]) -> None:
        """Tell something of a running job; see `Store.note`."""
        await self._writer.do(Together(self._bulk.note, NoteWrite(job, fence, kind, data)))

    async def succeed(self, job: str, fence: int, result: bytes, *, cost_usd: float, retries: int) -> None:
        """End a job well; see `Store.succeed`."""
        await self._writer.do(Together(self._bulk.succeed, Success(job, fence, result, cost_usd, retries)))

    async def fail(
        self, job: str, fence: int, failure: Failure, *, retry_in: float | None, spends: bool
    ) -> JobState:
        """End a run of a job that failed; see `Store.fail`."""
        return await self._writer.do(
            lambda session: writes.fail(session, job, fence, failure, retry_in, spends=spends)
        )

    async def release(self, job: str, fence: int, *, cost_usd: float, retries: int) -> JobState:
        """Give a job back unfinished; see `Store.release`."""
        return await self._writer.do(lambda session: writes.release(session, job, fence, cost_usd, retries))

    async def end_cancelled(self, job: str, fence: int, *, cost_usd: float, retries: int) -> None:
        """End a job that was asked to end; see `Store.end_cancelled`."""
        await self._writer.do(lambda session: writes.end_cancelled(session, job, fence, cost_usd, retries))

    async def overdue(self) -> dict[str, float]:
        """Return the workers whose lease has ended; see `Store.overdue`."""
        return await self._writer.do(writes.overdue)

    async def reap(self, overdue: Mapping[str, float] | None = None) -> list[str]:
        """Take the jobs of workers whose lease has ended; see `Store.reap`."""
        return await self._writer.do(lambda session: writes.reap(session, overdue))

    # --- people ---------------------------------------------------------------------------------------

    async def job(self, id: str) -> JobDetail | None:  # noqa: A002 - the name people know
        """Look at one job; see `Store.job`."""
        return await self._reader.do(lambda session: reads.job_detail(session, id))

    async def jobs(self, query: Query, *, after: str | None = None, most: int = 100) -> list[Job]:
        """List jobs, newest first; see `Store.jobs`."""
        return await self._reader.do(lambda session: reads.list_jobs(session, query, after, most))

    async def dead_groups(self, query: Query) -> list[DeadGroup]:
        """Group dead jobs; see `Store.dead_groups`."""
        return await self._reader.do(lambda session: reads.dead_groups(session, query))

    async def retry(self, ids: Collection[str]) -> list[str]:
        """Queue ended jobs again; see `Store.retry`."""
        return await self._writer.do(lambda session: writes.retry(session, ids))

    async def discard(self, ids: Collection[str]) -> list[str]:
        """Put dead jobs aside; see `Store.discard`."""
        return await self._writer.do(lambda session: writes.discard(session, ids))

    async def queues(self, *, ended: bool = False) -> list[QueueState]:
        """Look at the queues; see `Store.queues`."""
        return await self._reader.do(lambda session: reads.queues(session, ended=ended))

    async def set_queue(
        self, queue: str, *, paused: bool | None = None, max_running: int | None = None
    ) -> None:
        """Pause, resume or limit a queue; see `Store.set_queue`."""
        await self._writer.do(
            lambda session: writes.set_queue(session, queue, paused=paused, max_running=max_running)
        )

    # --- undeliverable messages -----------------------------------------------------------------------

    async def keep_messages(self, messages: Sequence[DeadMessage], *, most: int) -> None:
        """Store messages that could not be delivered; see `Store.keep_messages`."""
        await self._writer.do(lambda session: letters.keep(session, messages, most))

    async def dead_messages(self, query: Query, *, most: int = 100) -> list[DeadMessage]:
        """List undeliverable messages, newest first; see `Store.dead_messages`."""
        return await self._reader.do(lambda session: letters.read(session, query, most))

    async def forget_messages(self, ids: Collection[str]) -> int:
        """Delete undeliverable messages; see `Store.forget_messages`."""
        return await self._writer.do(lambda session: letters.forget(session, ids))

    # --- money ----------------------------------------------------------------------------------------

    async def spent(self, *, since: float, user: str | None = None, queue: str | None = None) -> float:
        """Return the US dollars in the ledger since a moment; see `Store.spent`."""
        return await self._reader.do(lambda session: reads.spent(session, since, user, queue))

    async def sums(self, *, since: float, until: float) -> list[Spending]:
        """Return what was spent within some time; see `Store.sums`."""
        return await self._reader.do(lambda session: reads.sums(session, since, until))

    # --- events ---------------------------------------------------------------------------------------

    async def first_cursor(self) -> str:
        """Return the cursor before the oldest event there is."""
        return await self._reader.do(lambda session: session.first_cursor())

    async def last_cursor(self) -> str:
        """Return the cursor after the newest event."""
        return await self._reader.do(reads.last_cursor)

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
        self._remember()
        return await self._reader.do(lambda session: reads.events(session, after, most, job, user, queue))

    async def wait_change(self, timeout: float) -> None:
        """Return when something may have been stored, or after *timeout* seconds; see `Store.wait_change`."""
        looked = _LOOKED.get()
        if looked is not None and looked[0] is self and looked[1] != self._news:
            # Something was stored after this task began to look, so perhaps it has not seen it.
            await anyio.lowlevel.checkpoint()
        else:
            changed = self._changed
            with anyio.move_on_after(timeout):
                await self._wait_elsewhere(changed)
        self._remember()

    async def prune(self, *, ended_before: float, most: int = 1000) -> int:
        """Delete old jobs, events and messages; see `Store.prune`."""

        def prune(session: SqlSession) -> int:
            letters.prune(session, ended_before)
            return writes.prune(session, ended_before, most)

        return await self._writer.do(prune)

    async def prune_ledger(self, *, before: float, most: int = 1000) -> int:
        """Delete old entries of the ledger; see `Store.prune_ledger`."""
        return await self._writer.do(lambda session: session.prune_ledger(before, most))

    async def prunable(self, *, ended_before: float, ledger_before: float) -> Prunable:
        """Count what is old enough to be deleted; see `Store.prunable`."""
        return await self._reader.do(lambda session: reads.prunable(session, ended_before, ledger_before))

    async def blobs_in_use(self, names: Collection[str]) -> frozenset[str]:
        """Return which files some step refers to; see `Store.blobs_in_use`."""
        return await self._reader.do(lambda session: reads.blobs_in_use(session, names))

    # --- inside ---------------------------------------------------------------------------------------

    def _remember(self) -> None:
        _LOOKED.set((self, self._news))

    def _notice(self) -> None:
        self._news += 1
        self._changed.set()
        self._changed = anyio.Event()

    async def _wait_elsewhere(self, changed: anyio.Event) -> None:
        """Wait for *changed*, set by a commit here, or for one of another process."""
        await changed.wait()
