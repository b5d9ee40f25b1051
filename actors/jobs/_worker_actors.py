"""The actors of a worker: they hold the store, beat, run jobs, rescue those of the dead, keep schedules."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from heapq import heapify, heapreplace
from typing import TYPE_CHECKING

import anyio

from ...runtime import Actor, ExitReason, cell_of
from ._desk import Desk
from ._errors import LeaseLostError, StoreError
from ._grouping import cause_of
from ._ids import id_of_moment
from ._records import Claimed, Failure
from ._run import Run

if TYPE_CHECKING:
    from ._queue import Queue

_LOOK = 30.0
"""Seconds without a word from the store after which a worker looks by itself."""
_CANCEL_LATENCY = 0.5
"""Seconds between two looks for jobs that are to be cancelled, while any run."""
_GAP = 0.002
"""Seconds between two claims that find nothing: steps of running jobs wake the claimer too."""
_GRACE = 5.0
"""Seconds for the step in hand, when the time to drain is up."""
_UNKNOWN = 15.0
"""Seconds that a job of an unknown kind waits for a worker that knows it; twice as long each time."""


class StoreKeeper(Actor):
    """Hold the store open."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def started(self) -> None:
        """Tell the desk which system it is in."""
        self._desk.kernel = cell_of(self.ref).kernel

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Open the store, close it in the end."""
        async with self._desk.store.opened():
            yield


class Heart(Actor):
    """Keep the worker's lease, and hear which of its jobs are to be cancelled."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def started(self) -> None:
        """Begin the lease."""
        await self._desk.insist(self._desk.register)

    async def stopping(self, reason: ExitReason) -> None:
        """End the lease, so that nobody waits for it to run out."""
        if reason.is_crash:
            self._desk.lose()  # nobody beats any more, and jobs may still be at hand
            return
        worker, self._desk.worker = self._desk.worker, None
        if worker is not None:
            await self._desk.store.retire(worker)

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Beat."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._beat_for_ever)
            yield
            group.cancel_scope.cancel()

    async def _beat_for_ever(self) -> None:
        desk = self._desk
        while True:
            interval = desk.lease / 3
            if not desk.runs:
                await desk.busy.wait(interval)
            if desk.runs:
                await anyio.sleep(min(_CANCEL_LATENCY, interval))
            await self._beat()

    async def _beat(self) -> None:
        desk = self._desk
        if desk.worker is None:
            await desk.insist(desk.register)
            return
        began = desk.kernel.now()
        asked: frozenset[str] | None = frozenset()
        is_beaten = False
        # A store that does not answer must not keep the jobs going beyond the lease.
        with anyio.move_on_after(max(0.0, desk.lease_ends - began)):
            try:
                asked = await desk.store.beat(desk.worker, desk.lease)
                is_beaten = True
            except StoreError as error:
                if not error.is_passing:
                    raise
                desk.store_failed(error)
        if asked is None or (not is_beaten and desk.kernel.now() >= desk.lease_ends):
            desk.lose()
        elif is_beaten:
            desk.store_answered()
            desk.lease_ends = began + desk.lease
            for job in asked:
                if job in desk.runs:
                    desk.runs[job].cancel()


class Runner(Actor):
    """Claim jobs and run them, so many at a time."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def started(self) -> None:
        """Begin to claim."""
        self._desk.open()

    async def stopping(self, reason: ExitReason) -> None:
        """Let the jobs at hand end, give back the others."""
        if not reason.is_crash:
            await self._desk.drain(self._desk.drain_time, _GRACE)

    def killed(self, reason: ExitReason) -> None:
        """Cancel the jobs at hand and give them back."""
        self._desk.close()
        for run in tuple(self._desk.runs.values()):
            run.release()

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Claim jobs."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._listen)
            group.start_soon(self._claim_for_ever)
            yield
            group.cancel_scope.cancel()

    async def _listen(self) -> None:
        while True:
            await self._desk.insist(lambda: self._desk.store.wait_change(_LOOK))
            self._desk.wake.ring()

    async def _claim_for_ever(self) -> None:
        desk = self._desk
        while True:
            room = desk.concurrency - len(desk.runs)
            if not desk.is_taking or desk.worker is None or room <= 0:
                await desk.wake.wait()
                continue
            worker = desk.worker
            claimed = await desk.insist(lambda: desk.store.claim(worker, desk.names, room))  # noqa: B023
            for each in claimed:
                await self._begin(each, worker)
            if len(claimed) < room:
                await self._wait_for_more(None if claimed else desk.kernel.now())

    async def _wait_for_more(self, found_nothing_at: float | None) -> None:
        desk = self._desk
        due = await desk.insist(lambda: desk.store.next_due(desk.names))
        await desk.wake.wait(_LOOK if due is None else min(_LOOK, max(_GAP, due)))
        if found_nothing_at is not None:
            await anyio.sleep(max(0.0, found_nothing_at + _GAP - desk.kernel.now()))

    async def _begin(self, claimed: Claimed, worker: str) -> None:
        desk, job = self._desk, claimed.job
        queue = desk.queues[job.queue]
        function = queue.functions.get(job.kind)
        if function is None:
            await self._put_off(claimed)
            return
        run = Run(desk, queue, function, claimed)
        run.start()
        if desk.worker != worker:
            run.lose()  # the lease was lost while the claim was on its way
        elif not desk.is_taking:
            run.release()

    async def _put_off(self, claimed: Claimed) -> None:
        """Leave a job to a worker whose code knows it: there is one, while a new version is rolled out."""
        desk, job = self._desk, claimed.job
        text = f"no job {job.kind!r} in queue {job.queue!r} here: is its module imported by the worker?"
        failure = Failure(
            error=text, error_type="UnknownJobError", cause=cause_of(None, "UnknownJobError", job.kind)
        )
        wait = min(_UNKNOWN * 2.0 ** min(job.runs - 1, 10), 3600.0)
        desk.kernel.events.error("job.unknown", job=job.id, kind=job.kind, queue=job.queue, delay_s=wait)
        with suppress(LeaseLostError):  # it is another worker's now
            await desk.insist(
                lambda: desk.store.fail(job.id, job.fence, failure, retry_in=wait, spends=False)
            )


class Reaper(Actor):
    """Rescue the jobs of workers that have died, and forget what ended long ago."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Look after dead workers."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._reap_for_ever)
            yield
            group.cancel_scope.cancel()

    async def _reap_for_ever(self) -> None:
        desk = self._desk
        while True:
            rescued = await desk.insist(desk.store.reap)
            if rescued:
                desk.kernel.events.warning("job.rescued", jobs=rescued[:100], count=len(rescued))
            # Jittered, so that many workers don't look at once.
            await anyio.sleep(desk.lease / 3 * desk.kernel.rng.uniform(0.75, 1.0))


class Scheduler(Actor):
    """Enqueue what is due by a schedule. Every worker does; the store keeps one of each moment."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Keep the schedules."""
        async with anyio.create_task_group() as group:
            for queue in self._desk.queues.values():
                if queue.schedules:
                    group.start_soon(self._keep, queue)
            yield
            group.cancel_scope.cancel()

    async def _keep(self, queue: Queue) -> None:
        desk = self._desk
        now = queue.clock()
        due = [(schedule.after(now), place) for place, (schedule, _) in enumerate(queue.schedules)]
        heapify(due)
        while True:
            moment, place = due[0]
            schedule, function = queue.schedules[place]
            await _wait_until(moment, queue)
            if desk.is_taking:
                name = id_of_moment(moment, queue.name, function.kind)
                await desk.insist(lambda: queue.enqueue(function, id=name))  # noqa: B023
            # After a clock that jumped, or a loop that stood still, only what comes next.
            heapreplace(due, (schedule.after(max(moment, queue.clock() - _LOOK)), place))


async def _wait_until(moment: float, queue: Queue) -> None:
    """Wait for a moment of the queue's clock, which people may set."""
    while True:
        left = moment - queue.clock()
        if left <= 0.0:
            return
        await anyio.sleep(min(left, _LOOK))
