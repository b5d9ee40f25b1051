"""Runner: the actor that claims jobs and runs them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from functools import partial

import anyio

from ...runtime import Actor, ExitReason
from ._desk import Desk
from ._errors import LeaseLostError
from ._grouping import cause_of
from ._records import Claimed, Failure, JobState, Query
from ._run import Run

_LOOK = 30.0
"""Seconds without a word from the store after which a worker looks by itself."""
_MOST_RUNNING = 10_000
"""Running jobs that are looked through for orphans."""
_SHORTLY = 0.05
"""Seconds after which one who found fewer jobs than there is room for looks whether another is due."""
_GAP = 0.002
"""Seconds between two claims that find nothing while jobs run: their steps wake the claimer too."""
_UNKNOWN = 15.0
"""Seconds that a job of an unknown kind waits for a worker that knows it; twice as long each time."""


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
            await self._desk.drain()

    def killed(self, reason: ExitReason) -> None:
        """Cancel the jobs at hand. The store may go too, so the next runner or the reaper gives them back."""
        self._desk.close()
        self._desk.may_have_orphans = True
        for run in tuple(self._desk.runs.values()):
            run.lose()

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
            # That the time is up is no word of a store that is away.
            await self._desk.insist(lambda: self._desk.store.wait_change(_LOOK), is_answer=False)
            self._desk.wake.ring()

    async def _claim_for_ever(self) -> None:
        desk = self._desk
        while True:
            room = desk.room
            if not desk.is_taking or desk.worker is None or desk.late or room <= 0:
                await desk.wake.wait()
                continue
            worker = desk.worker
            claimed = await desk.insist(partial(self._claim, worker, room))
            if not claimed:
                await self._wait_for_due()
            elif claimed < room:
                await desk.wake.wait(_SHORTLY)

    async def _claim(self, worker: str, room: int) -> int:
        """Claim jobs and begin them; returns how many."""
        desk = self._desk
        try:
            claimed = await desk.store.claim(worker, desk.names, room)
            for each in claimed:
                await self._begin(each, worker)
        except BaseException:
            desk.may_have_orphans = True  # it may have been made, or is made yet: its answer got lost
            raise
        if desk.may_have_orphans:
            await self._give_back_orphans(worker)  # not before: an earlier claim may have been on its way
        return len(claimed)

    async def _give_back_orphans(self, worker: str) -> None:
        """Give back what the store has handed to this worker and nobody here runs."""
        desk = self._desk
        desk.may_have_orphans = False  # now: a run may be lost meanwhile
        try:
            running = await desk.store.jobs(Query(states=frozenset({JobState.RUNNING})), most=_MOST_RUNNING)
            for job in running:
                if job.worker == worker and job.id not in desk.runs:
                    with suppress(LeaseLostError):
                        await desk.store.release(job.id, job.fence, cost_usd=0.0, retries=0)
        except BaseException:
            desk.may_have_orphans = True
            raise

    async def _wait_for_due(self) -> None:
        desk, looked_at = self._desk, self._desk.kernel.now()
        due = await desk.insist(lambda: desk.store.next_due(desk.names))
        await desk.wake.wait(_LOOK if due is None else min(_LOOK, max(_GAP, due)))
        if desk.runs:
            await anyio.sleep(max(0.0, looked_at + _GAP - desk.kernel.now()))

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
