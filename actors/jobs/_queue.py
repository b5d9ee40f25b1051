"""Queue: where jobs are declared, enqueued, waited for and cancelled."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from math import inf
from pathlib import Path
from typing import TypeVar, TypeVarTuple, cast

import anyio
import msgspec

from ._budget import JobBudget, Purse
from ._catalogue import Catalogue
from ._checks import (
    check_callable,
    check_each,
    check_ids,
    check_kind,
    check_store,
    check_timeout,
    check_whole,
)
from ._counters import JobCounters
from ._errors import JobArgumentsError, JobFailedError, UnknownJobError
from ._feed import Feed
from ._function import AnyJobFunction, JobFunction
from ._ids import IdMaker
from ._large_results import LargeResults
from ._options import check_new, check_tuple
from ._records import Job, JobState, NewJob
from ._signature import Codecs
from ._store import Store
from ._subscription import Subscription

ArgsT = TypeVarTuple("ArgsT")
ResultT = TypeVar("ResultT")

_NO_BUDGET = JobBudget()
_LOOK = 1.0
"""Seconds between two looks for a result that nobody announced: one stored by another process."""


class Queue(Catalogue):
    """Declare jobs and enqueue them. Workers of any process that use the same store run them.

        queue = Queue(store)

        @queue.job(attempts=5)
        async def make_comic(job: JobContext, order: Order) -> Comic: ...

        id = await queue.enqueue(make_comic, Order("..."))

    Args:
        store: Where jobs are kept. Open it (``async with store.opened()``), or run a worker, which does.
        name: Of the queue; workers say which ones they take jobs from.
        blobs: A folder for results larger than *max_inline*, shared by all workers of the store, and by no
            other store: what no step of this one refers to is removed. None: beside the store where that is
            a file (``jobs.db.results``), else such a result is an error.
        max_inline: Bytes of a result that the store itself keeps.
        max_result: Bytes of the largest result there may be.
        budget: What its jobs, their users, it and everybody may spend.
        feed: Of the store, to be shared by all queues and whoever else subscribes in this process.
        clock: Seconds since 1970, for ids, schedules, budgets and retention; what is due the store decides.

    Raises:
        JobSpecError: *store* is none, *name* is no name, or an option is out of range.
    """

    def __init__(
        self,
        store: Store,
        name: str = "default",
        *,
        blobs: str | os.PathLike[str] | None = None,
        max_inline: int = 256 * 1024,
        max_result: int = 64 * 1024 * 1024,
        budget: JobBudget = _NO_BUDGET,
        feed: Feed | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(name)
        check_store("Queue.store", store)
        check_kind("Queue.budget", budget, JobBudget, "a budget", "write JobBudget(per_day=...)")
        check_callable("Queue.clock", clock, "a function that returns seconds since 1970")
        if feed is not None:
            check_kind("Queue.feed", feed, Feed, "a feed", "write Feed(store)")
        self.store = store
        self.clock = clock
        path = getattr(store, "path", None)
        if blobs is None and isinstance(path, Path):
            blobs = path.with_name(f"{path.name}.results")
        self.large_results = LargeResults(blobs, max_inline, max_result)
        self.codecs = Codecs()
        self._ids = IdMaker(clock)
        self.purse = Purse(budget, store, clock=clock)
        """Asked before each step."""
        self.counters = JobCounters()
        """What workers of this process did for it."""
        self.feed = Feed(store) if feed is None else feed
        """What `events` subscribes to."""

    def __repr__(self) -> str:
        return f"<Queue {self.name} in {self.store!r}>"

    # --- enqueueing -----------------------------------------------------------------------------------

    async def enqueue(
        self,
        function: JobFunction[*ArgsT, ResultT],
        *arguments: *ArgsT,
        delay: float = 0.0,
        unique_key: str | None = None,
        user: str | None = None,
        priority: int | None = None,
        id: str | None = None,  # noqa: A002 - the name people know
    ) -> str:
        """Store a job; when this returns it will be run, whatever dies. Returns its id.

        Args:
            function: What to run.
            arguments: Its arguments, without the context.
            delay: Seconds until it may begin.
            unique_key: Instead of what the function's ``unique`` says. Where an unfinished job has the key,
                nothing is stored and the id is that one's.
            user: Whose job it is, instead of what the function's ``user`` says.
            priority: Instead of the function's.
            id: From `new_id`, for one who may enqueue the same job twice: the second time nothing is stored.

        Raises:
            JobArgumentsError: The arguments don't fit.
            JobSpecError: An option is out of range, or a key or a name can't be stored.
            StoreError: The store can't be used now; nothing was stored.
        """
        job = self._new(function, arguments, delay=delay, user=user, priority=priority, id=id)
        if unique_key is not None:
            job = msgspec.structs.replace(job, unique_key=unique_key)
        check_new(job)
        return (await self.store.enqueue([job]))[0]

    async def enqueue_many(
        self,
        function: JobFunction[*ArgsT, ResultT],
        arguments: Iterable[tuple[*ArgsT]],
        *,
        delay: float = 0.0,
        user: str | None = None,
        priority: int | None = None,
    ) -> list[str]:
        """Store many jobs of one function, all or none; returns their ids in order.

        Args:
            function: What to run.
            arguments: The arguments of each, as tuples.
            delay: Seconds until they may begin.
            user: Whose jobs they are.
            priority: Instead of the function's.

        Raises:
            JobArgumentsError: Arguments don't fit.
            JobSpecError: An option is out of range, or a key or a name can't be stored.
            StoreError: The store can't be used now; nothing was stored.
        """
        check_each("enqueue_many: arguments", arguments, "give a tuple of arguments for each job")
        jobs: list[NewJob] = []
        for each in arguments:
            check_tuple(function, each)
            jobs.append(self._new(function, each, delay=delay, user=user, priority=priority))
        for job in jobs:
            check_new(job)
        return await self.store.enqueue(jobs)

    def check_schedulable(self, function: AnyJobFunction) -> None:
        """Refuse what can't be enqueued without arguments.

        Raises:
            JobArgumentsError: It takes some.
            UnknownJobError: It is of another queue.
            JobSpecError: A key of it can't be stored.
        """
        try:
            job = self._new(function, (), delay=0.0, user=None, priority=None, id="scheduled")
        except JobArgumentsError as error:
            problem = f"{error.problem}; a schedule gives none: give them defaults"
            raise JobArgumentsError(error.kind, problem) from error
        check_new(job)

    def new_id(self) -> str:
        """Make the id of a job to be enqueued: 26 characters, greater than any this queue has made."""
        return self._ids.new()

    def _new(
        self,
        function: JobFunction[*ArgsT, ResultT],
        arguments: tuple[*ArgsT],
        *,
        delay: float,
        user: str | None,
        priority: int | None,
        id: str | None = None,  # noqa: A002 - the name people know
    ) -> NewJob:
        if not hasattr(function, "kind"):
            name = getattr(function, "__name__", function)
            raise UnknownJobError(
                f"queue {self.name!r}: {name!r} is no job: declare it with @queue.job(), which stands below "
                "a schedule, and name the function itself"
            )
        is_ours = self.functions.get(function.kind) is function
        if not is_ours:
            raise UnknownJobError(
                f"queue {self.name!r} has no job {function.kind!r}: it is of {function.queue!r}"
            )
        return function.new_job(
            self.new_id() if id is None else id, *arguments, delay=delay, user=user, priority=priority
        )

    # --- what becomes of them -------------------------------------------------------------------------

    async def result(self, id: str, timeout: float = inf) -> object:  # noqa: A002 - the name people know
        """Wait for the end of a job of this queue and return its result.

        Args:
            id: The job's.
            timeout: Seconds.

        Raises:
            JobFailedError: It ended without a result.
            UnknownJobError: There is no such job, or its function is not declared here.
            TimeoutError: It has not ended in time; it goes on.
        """
        job = await self.wait(id, timeout)
        if job.state is not JobState.SUCCEEDED:
            raise JobFailedError(id, str(job.state), job.error)
        function = self.functions.get(job.kind)
        if function is None:
            raise UnknownJobError(
                f"queue {self.name!r} has no job {job.kind!r}: import the module that declares it"
            )
        return function.signature.result.decode(job.result or b"null")

    async def result_of(
        self,
        function: JobFunction[*ArgsT, ResultT],
        id: str,  # noqa: A002 - the name people know
        timeout: float = inf,
    ) -> ResultT:
        """Do as `result`, for a job of *function*, so that a type checker knows what comes back."""
        return cast("ResultT", await self.result(id, timeout))

    async def wait(self, id: str, timeout: float = inf) -> Job:  # noqa: A002 - the name people know
        """Wait for the end of a job, whatever it is.

        Args:
            id: The job's.
            timeout: Seconds.

        Raises:
            UnknownJobError: There is no such job.
            TimeoutError: It has not ended in time; it goes on.
        """
        check_ids("Queue.wait: id", [id], "it is what enqueue returned")
        check_timeout("Queue.wait: timeout", timeout)
        due = anyio.current_time() + timeout
        while True:
            detail = await self.store.job(id)
            if detail is None:
                raise UnknownJobError(f"there is no job {id}")
            if detail.job.state.is_final:
                return detail.job
            left = due - anyio.current_time()
            if left <= 0.0:
                raise TimeoutError(f"job {id} is still {detail.job.state} after {timeout:g} s")
            await self.store.wait_change(min(left, _LOOK))

    def events(
        self,
        *,
        after: str | None = None,
        job: str | None = None,
        user: str | None = None,
    ) -> Subscription:
        """Subscribe to what happens to jobs of this queue: ``async for event in queue.events():``.

        Args:
            after: Go on after this cursor, an earlier event's; None: begin with what happens from now on.
            job: Only of this job.
            user: Only of this user's jobs.
        """
        return self.feed.subscribe(after=after, job=job, user=user, queue=self.name)

    async def cancel(self, *ids: str) -> dict[str, JobState]:
        """Cancel jobs; returns where each known one is now. A running one ends within a second.

        Args:
            ids: Theirs.

        Raises:
            JobSpecError: They are none.
        """
        check_ids("Queue.cancel", ids, "write cancel(*ids)")
        return await self.store.cancel(ids)

    async def pause(self) -> None:
        """Begin no more jobs of this queue, on any worker. Those that run go on."""
        await self.store.set_queue(self.name, paused=True)

    async def resume(self) -> None:
        """Begin jobs again."""
        await self.store.set_queue(self.name, paused=False)

    async def limit(self, most: int | None) -> None:
        """Let so many jobs of this queue run at a time, over all workers; None: no limit.

        Raises:
            JobSpecError: Less than one; `pause` lets none begin.
        """
        if most is not None:
            check_whole("Queue.limit", most, 1, remedy="pause() lets no job begin")
        await self.store.set_queue(self.name, max_running=most or 0)

    async def sweep_results(self) -> int:
        """Remove files of large results that no job refers to any more; returns how many.

        A worker with ``retention=`` does it by itself. Files wanted within the last hour stay.

        Raises:
            BlobError: The folder can't be read or changed.
            StoreError: The store can't be used now.
        """
        await self.store.reap()
        return await self.large_results.sweep(self.store)
