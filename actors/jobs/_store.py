"""What a job store can do. One contract suite tests all of them.

Every write that a worker makes for a job carries the job's fence. A store refuses it with
`LeaseLostError` when another owner has the job, so a worker that was away can't undo what happened
meanwhile. What a method has returned is stored: on SQLite and PostgreSQL through a power loss.

A write that was cancelled while it waited may have happened or not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

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


class Store(Protocol):
    """Keep jobs. Open it with ``async with store.opened():``; every other method needs that.

    Raises:
        StoreError: The store can't be used now: unreachable, locked, full, read-only, corrupt, or of a
            newer schema. ``is_passing`` says whether waiting may help. Nothing was changed.
    """

    def opened(self, *, migrate: bool = True) -> AbstractAsyncContextManager[None]:
        """Open it, and migrate its tables to this version; close it when the block ends.

        Args:
            migrate: False: use it only as it is, for one who looks at a store that belongs to others.
                Nothing is made or changed by opening it.

        Raises:
            SchemaError: It is of a newer version; or it is of an older one, or not there, and is not to be
                migrated.
        """
        ...

    # --- who enqueues -------------------------------------------------------------------------------

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[str]:
        """Store jobs; returns their ids, in the same order.

        A job whose id is there already is not stored again. One whose unique key is held by an
        unfinished job is not stored: the id returned is that job's.
        """
        ...

    async def cancel(self, ids: Collection[str]) -> dict[str, JobState]:
        """Cancel jobs; returns where each one known is now. A running one is asked to end."""
        ...

    # --- workers --------------------------------------------------------------------------------------

    async def register(
        self, worker: str, lease: float, facts: Mapping[str, str], queues: Collection[str] = ()
    ) -> None:
        """Begin a worker's lease of *lease* seconds.

        Args:
            worker: Its id.
            lease: Seconds.
            facts: Host, process id and such, for people.
            queues: What it takes jobs from.
        """
        ...

    async def beat(self, worker: str, lease: float) -> frozenset[str] | None:
        """Extend the lease; returns ids of its jobs that are to be cancelled.

        Also one that has ended, as long as nobody has taken its jobs. None: they were taken.
        """
        ...

    async def retire(self, worker: str) -> None:
        """End the lease. Jobs it still has are rescued like those of a worker that died."""
        ...

    async def claim(self, worker: str, queues: Sequence[str], most: int) -> list[Claimed]:
        """Hand up to *most* jobs to *worker*: due ones, by priority, then age.

        Not of paused queues, not beyond a queue's ``max_running`` or a key's limit, each counted over
        the jobs that run now, whoever runs them. Jobs past their deadline die instead.
        """
        ...

    async def next_due(self, queues: Sequence[str]) -> float | None:
        """Return the seconds until the next waiting job of *queues* is due; None: there is none."""
        ...

    async def save_step(self, job: str, fence: int, step: Step) -> None:
        """Store a finished step. One that is stored already stays as it is, and is not charged again.

        So a worker that did not hear whether it was stored may ask once more.

        Raises:
            LeaseLostError: Another owner has the job.
        """
        ...

    async def save_late(self, job: str, run: int, step: Step) -> bool:
        """Store a step that a run finished which has lost its job, if no run has begun since.

        If one has, the step is dropped: the other run may have done it itself, or gone another way. Its
        cost is noted all the same, and an event ``step_dropped`` tells of it. May be asked more than once.

        Args:
            job: Its id.
            run: Number of the run (`Job.runs`).
            step: What it has finished.

        Returns:
            Whether it is stored.
        """
        ...

    async def note(self, job: str, fence: int, kind: str, data: Mapping[str, object]) -> None:
        """Tell something of a running job: ``progress`` (``{"value": 0.5}`` sets it) or ``log``.

        Raises:
            LeaseLostError: Another owner has the job.
        """
        ...

    async def succeed(self, job: str, fence: int, result: bytes, *, cost_usd: float, retries: int) -> None:
        """End a job well; *cost_usd* and service *retries* are those outside its steps.

        Raises:
            LeaseLostError: Another owner has the job.
        """
        ...

    async def fail(
        self, job: str, fence: int, failure: Failure, *, retry_in: float | None, spends: bool
    ) -> JobState:
        """End a run of a job that failed; returns where the job is now.

        It is in the job's history from now on; one that spends nothing for the next `WAITS_KEPT` runs.

        Args:
            job: Its id.
            fence: The worker's.
            failure: What went wrong.
            retry_in: Seconds until it may begin again; None: it is dead.
            spends: It counts against the attempts. One that doesn't is given back its number.

        Raises:
            LeaseLostError: Another owner has the job.
        """
        ...

    async def release(self, job: str, fence: int, *, cost_usd: float, retries: int) -> JobState:
        """Give a job back unfinished, to begin again at once; no attempt is spent.

        Returns where the job is now: one that was asked to end is cancelled.

        Args:
            job: Its id.
            fence: The worker's.
            cost_usd: What it spent outside its steps.
            retries: Service retries outside its steps.

        Raises:
            LeaseLostError: Another owner has the job.
        """
        ...

    async def end_cancelled(self, job: str, fence: int, *, cost_usd: float, retries: int) -> None:
        """End a job that was asked to end.

        Raises:
            LeaseLostError: Another owner has the job.
        """
        ...

    async def overdue(self) -> dict[str, float]:
        """Return the workers whose lease has ended, and when. A write: after what was being written."""
        ...

    async def reap(self, overdue: Mapping[str, float] | None = None) -> list[str]:
        """Take the jobs of workers whose lease has ended; returns their ids.

        They are queued again with their steps, or dead where their attempts are used up. One that has
        finished a step since it was claimed is given its attempt back: it is not what kills its worker.

        Args:
            overdue: Only of these, from `overdue`, where they have given no sign of life since; and of
                those that have no lease at all. None: of all.
        """
        ...

    # --- people ---------------------------------------------------------------------------------------

    async def job(self, id: str) -> JobDetail | None:  # noqa: A002 - the name people know
        """Look at one job; None: there is none."""
        ...

    async def jobs(self, query: Query, *, after: str | None = None, most: int = 100) -> list[Job]:
        """List jobs, newest first; *after*: only those older than this id."""
        ...

    async def dead_groups(self, query: Query) -> list[DeadGroup]:
        """Group dead jobs by kind and cause, the largest group first."""
        ...

    async def retry(self, ids: Collection[str]) -> list[str]:
        """Queue dead or cancelled jobs again, with their steps and all their attempts; returns which.

        A deadline that lies ahead stays. One that has passed is removed: it would end the job at once.
        """
        ...

    async def discard(self, ids: Collection[str]) -> list[str]:
        """Put dead jobs aside; returns which."""
        ...

    async def queues(self, *, ended: bool = False) -> list[QueueState]:
        """Look at the queues: those that have unfinished or dead jobs, were set, or had a worker.

        What it costs goes by the jobs it counts, not by those that ended long ago.

        Args:
            ended: Count the jobs that have ended well, were cancelled or put aside, too. That reads the whole
                table of jobs: seconds, where there are millions.
        """
        ...

    async def set_queue(
        self, queue: str, *, paused: bool | None = None, max_running: int | None = None
    ) -> None:
        """Pause or resume a queue, or limit how many of its jobs run (0: no limit); None changes nothing."""
        ...

    # --- undeliverable messages -----------------------------------------------------------------------

    async def keep_messages(self, messages: Sequence[DeadMessage], *, most: int) -> None:
        """Store messages that could not be delivered. One that is stored already stays as it is.

        Of all that are stored the *most* newest stay, whoever stored them.
        """
        ...

    async def dead_messages(self, query: Query, *, most: int = 100) -> list[DeadMessage]:
        """List undeliverable messages, newest first; *queue* stands for the actor's path."""
        ...

    async def forget_messages(self, ids: Collection[str]) -> int:
        """Delete undeliverable messages; returns how many."""
        ...

    # --- money ----------------------------------------------------------------------------------------

    async def spent(self, *, since: float, user: str | None = None, queue: str | None = None) -> float:
        """Return the US dollars in the ledger since a moment."""
        ...

    async def sums(self, *, since: float, until: float) -> list[Spending]:
        """Return what was spent from *since* up to *until*, by queue and user, the dearest first."""
        ...

    # --- events ---------------------------------------------------------------------------------------

    async def first_cursor(self) -> str:
        """Return the cursor before the oldest event there is: to read all that have not been pruned."""
        ...

    async def last_cursor(self) -> str:
        """Return the cursor after the newest event."""
        ...

    async def events(
        self,
        after: str,
        *,
        most: int = 500,
        job: str | None = None,
        user: str | None = None,
        queue: str | None = None,
    ) -> list[Event]:
        """Return events after a cursor, none missed and none twice, in one order for everybody.

        Raises:
            JobSpecError: *after* is no cursor.
            CursorExpiredError: Events after it have been pruned: look at the jobs, and read on from
                ``last_cursor``.
        """
        ...

    async def wait_change(self, timeout: float) -> None:
        """Return when something may have been stored, by whichever process, or after *timeout* seconds."""
        ...

    async def prune(self, *, ended_before: float, most: int = 1000) -> int:
        """Delete jobs that ended before a moment, events and messages before it; returns how many jobs.

        Up to *most* jobs and ten times as many events, the oldest: whoever else writes waits meanwhile.
        Unfinished jobs stay, however old.
        """
        ...

    async def prune_ledger(self, *, before: float, most: int = 1000) -> int:
        """Delete up to *most* entries of the ledger from before a moment, the oldest; returns how many.

        Sums of days that it reached become too small: keep at least the day in hand for budgets.
        """
        ...

    async def prunable(self, *, ended_before: float, ledger_before: float) -> Prunable:
        """Count what `prune` and `prune_ledger` would delete in all."""
        ...

    async def blobs_in_use(self, names: Collection[str]) -> frozenset[str]:
        """Return which of these files of large results some step refers to."""
        ...
