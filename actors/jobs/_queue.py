"""Queue: where jobs are declared, enqueued, waited for and cancelled."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from math import inf
from pathlib import Path
from types import FrameType
from typing import TypeVar, TypeVarTuple, Unpack, cast

import anyio
import msgspec

from ...supervisors import FailureKind
from ...supervisors.policies import Backoff, Exponential
from ._blobs import Blobs
from ._budget import JobBudget, Purse
from ._context import JobContext
from ._counters import JobCounters
from ._errors import JobFailedError, ResultTooLargeError, UnknownJobError
from ._feed import Feed
from ._function import AnyJobFunction, JobFunction, JobOptions
from ._ids import IdMaker
from ._options import check_new, check_options
from ._records import Job, JobState, NewJob
from ._schedule import Cron, Every, Schedule
from ._signature import Codecs
from ._store import Store
from ._subscription import Subscription
from ._verdict import Patience

ArgsT = TypeVarTuple("ArgsT")
ResultT = TypeVar("ResultT")

_NO_BUDGET = JobBudget()
_LOOK = 1.0
"""Seconds between two looks for a result that nobody announced: one stored by another process."""
_BACKOFF = Exponential(2.0, cap=600.0, base=4.0, jitter="equal")


class Queue:
    """Declare jobs and enqueue them. Workers of any process that use the same store run them.

        queue = Queue(store)

        @queue.job(attempts=5)
        async def make_comic(job: JobContext, order: Order) -> Comic: ...

        id = await queue.enqueue(make_comic, Order("..."))

    Args:
        store: Where jobs are kept. Open it (``async with store.opened()``), or run a worker, which does.
        name: Of the queue; workers say which ones they take jobs from.
        blobs: A folder for results larger than *max_inline*, shared by all workers. None: beside the store
            where that is a file (``jobs.db.results``), else such a result is an error.
        max_inline: Bytes of a result that the store itself keeps.
        max_result: Bytes of the largest result there may be.
        budget: What its jobs, their users, it and everybody may spend.
        feed: Of the store, to be shared by all queues and whoever else subscribes in this process.
        clock: Seconds since 1970, for ids, schedules, budgets and retention; what is due the store decides.
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
        self.store = store
        self.name = name
        self.max_inline = max_inline
        self.max_result = max_result
        self.clock = clock
        self.functions: dict[str, AnyJobFunction] = {}
        """The job functions, by kind."""
        self.schedules: list[tuple[Schedule, AnyJobFunction]] = []
        path = getattr(store, "path", None)
        if blobs is None and isinstance(path, Path):
            blobs = path.with_name(f"{path.name}.results")
        self._blobs = None if blobs is None else Blobs(blobs)
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

    # --- declaring jobs -------------------------------------------------------------------------------

    def job(
        self,
        *,
        name: str | None = None,
        attempts: int = 5,
        backoff: Backoff = _BACKOFF,
        backoff_by_error: Mapping[type[Exception] | FailureKind, Backoff] | None = None,
        timeout: float | None = None,
        attempt_timeout: float | None = None,
        version: str = "",
        unique: Callable[..., str | None] | None = None,
        limit_key: Callable[..., str | None] | None = None,
        limit: int = 1,
        priority: int = 0,
        user: Callable[..., str | None] | None = None,
        budget_usd: float | None = None,
    ) -> Callable[[Callable[[JobContext, Unpack[ArgsT]], Awaitable[ResultT]]], JobFunction[*ArgsT, ResultT]]:
        """Make an ``async def`` a job: its calls are enqueued, stored, and run by workers.

        It takes the `JobContext` first. Its arguments and its result are JSON values as msgspec knows them
        (Structs, dataclasses, lists, dates ...), checked by the annotations when it is enqueued and again
        when it runs. It may be run several times, so what must happen once belongs in `JobContext.step`.

        Args:
            name: Its name in the store; the function's own by default. Jobs that wait in the store are
                found by it, so it should stay.
            attempts: Tries in all, the first one included; then the job is dead.
            backoff: Waits between them; by default about 2, 8, 32 and 128 seconds.
            backoff_by_error: Other waits for some classes of errors or kinds of services' failures.
            timeout: Seconds from the moment it is enqueued until it is given up, waits included.
            attempt_timeout: Seconds one attempt may take.
            version: Of the code. A job with finished steps of another version is dead until that version is
                back or a person replays it.
            unique: Returns a key from the arguments. While a job of this function with the key is
                unfinished, another is not stored: enqueueing returns the first one's id.
            limit_key: Returns a key from the arguments. Jobs of the queue that share it are limited together.
            limit: So many of them run at a time, over all workers.
            priority: Higher ones go first.
            user: Returns from the arguments whose job it is.
            budget_usd: What it may spend; when it has, its next step fails and it is dead.

        Raises:
            TypeError: The function can't be a job.
            ValueError: An option is out of range, or the queue has a job of this name.
        """
        waits: Mapping[type[Exception] | FailureKind, Backoff] = backoff_by_error or {}
        options = JobOptions(
            patience=Patience(attempts=attempts, backoff=backoff, backoff_by_error=waits),
            timeout=timeout,
            attempt_timeout=attempt_timeout,
            version=version,
            unique=unique,
            limit_key=limit_key,
            limit=limit,
            priority=priority,
            user=user,
            budget_usd=budget_usd,
        )
        check_options(options)

        def declare(
            function: Callable[[JobContext, Unpack[ArgsT]], Awaitable[ResultT]],
        ) -> JobFunction[*ArgsT, ResultT]:
            kind = name or cast("str", getattr(function, "__name__", "job"))
            if kind in self.functions:
                raise ValueError(f"queue {self.name!r} has a job {kind!r} already: give this one a name=")
            # Classes local to the function that declares the job are in no module.
            names = _locals_of(sys._getframe(1))
            made = JobFunction(self.name, kind, function, options, names)
            self.functions[kind] = cast("AnyJobFunction", made)
            return made

        return declare

    def every(
        self, seconds: float, *, offset: float = 0.0
    ) -> Callable[[JobFunction[ResultT]], JobFunction[ResultT]]:
        """Enqueue a job without arguments again and again; stands above `job`.

        Once at each moment, however many workers run. Moments while none runs are left out.

        Args:
            seconds: Between two moments, counted from 1970; at least 1.
            offset: Seconds after each of them.

        Raises:
            ValueError: Less than a second, or the job could not be enqueued.
        """
        return self._scheduled(Every(seconds, offset))

    def cron(
        self, text: str, *, timezone: str = "UTC"
    ) -> Callable[[JobFunction[ResultT]], JobFunction[ResultT]]:
        """Enqueue a job without arguments by a schedule of cron's five fields; stands above `job`.

        Args:
            text: Minute, hour, day of month, month, day of week: ``"30 3 * * mon-fri"``. See `Cron`.
            timezone: Where the clock hangs.

        Raises:
            ValueError: It is no schedule, or the job could not be enqueued.
            zoneinfo.ZoneInfoNotFoundError: There is no such time zone.
        """
        return self._scheduled(Cron(text, timezone=timezone))

    def _scheduled(self, schedule: Schedule) -> Callable[[JobFunction[ResultT]], JobFunction[ResultT]]:
        def declare(function: JobFunction[ResultT]) -> JobFunction[ResultT]:
            # What can't be enqueued is refused here: at its moment it would end the scheduler, each time.
            check_new(self._new(function, (), delay=0.0, user=None, priority=None, id="scheduled"))
            self.schedules.append((schedule, cast("AnyJobFunction", function)))
            return function

        return declare

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
            ValueError: An option is out of range, or a key or a name can't be stored.
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
            ValueError: An option is out of range, or a key or a name can't be stored.
            StoreError: The store can't be used now; nothing was stored.
        """
        jobs = [self._new(function, each, delay=delay, user=user, priority=priority) for each in arguments]
        for job in jobs:
            check_new(job)
        return await self.store.enqueue(jobs)

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
        if self.functions.get(function.kind) is not function:
            raise UnknownJobError(
                f"queue {self.name!r} has no job {function.kind!r}: it is of {function.queue!r}"
            )
        options = function.options
        unique = None if options.unique is None else options.unique(*arguments)
        limit_key = None if options.limit_key is None else options.limit_key(*arguments)
        if user is None and options.user is not None:
            user = options.user(*arguments)
        return NewJob(
            id=id or self.new_id(),
            queue=self.name,
            kind=function.kind,
            args=function.signature.encode(cast("tuple[object, ...]", arguments)),
            version=options.version,
            priority=options.priority if priority is None else priority,
            delay=delay,
            max_attempts=options.patience.attempts,
            timeout=options.timeout,
            unique_key=None if unique is None else f"{self.name}/{function.kind}/{unique}",
            limit_key=limit_key,
            limit=options.limit,
            user=user,
            budget_usd=options.budget_usd,
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
        """
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
            ValueError: Less than one; `pause` lets none begin.
        """
        if most is not None and most < 1:
            raise ValueError(f"Queue.limit must be at least 1, got {most!r}: pause() lets no job begin")
        await self.store.set_queue(self.name, max_running=most or 0)

    # --- large results --------------------------------------------------------------------------------

    async def write_blob(self, where: str, data: bytes) -> str | None:
        """Put a large result into a file; returns its name, or None for one that is not large.

        Raises:
            ResultTooLargeError: It is large and there is no folder for it.
            BlobError: It can't be written.
        """
        if len(data) <= self.max_inline:
            return None
        if self._blobs is None:
            remedy = "give the queue a folder for such results (blobs=)"
            raise ResultTooLargeError(where, len(data), self.max_inline, remedy)
        return await self._blobs.put(data)

    async def read_blob(self, name: str) -> bytes:
        """Read a large result back.

        Raises:
            BlobError: It is gone or damaged, or this queue has no folder for such.
        """
        return await (self._blobs or Blobs("no folder (give the queue blobs=)")).get(name)


def _locals_of(frame: FrameType) -> dict[str, object]:
    return {} if frame.f_code.co_name == "<module>" else dict(frame.f_locals)
