"""Reaper: the actor that rescues the jobs of workers that have died."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from math import inf

import anyio

from ...runtime import Actor
from ._desk import Desk
from ._errors import BlobError
from ._retention import Retention, forget

_SECOND_LOOK = 1.0
"""Seconds, at least, that a worker has to give a sign of life before another takes its jobs."""
_SWEEP = 3600.0
"""Seconds between two sweeps of the files of large results."""


_LOOK = 60.0
"""Seconds between two looks for queues that no worker serves; whose worker is just started anew is none."""


class Reaper(Actor):
    """Rescue the jobs of workers that have died, forget what ended long ago, and say what nobody does.

    Args:
        desk: The worker's.
        retention: How long things are kept.
    """

    def __init__(self, desk: Desk, retention: Retention) -> None:
        self._desk = desk
        self._retention = retention
        self._next_sweep = -inf
        """On the system's clock."""
        self._next_look = -inf
        """On the system's clock."""
        self._unserved: frozenset[str] = frozenset()
        """Queues whose jobs had no worker at the last look."""
        self._told: frozenset[str] = frozenset()
        """Those of them that were told of."""

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Look after dead workers."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._reap_for_ever)
            yield
            group.cancel_scope.cancel()

    async def _reap_for_ever(self) -> None:
        desk = self._desk
        overdue: Mapping[str, float] = {}
        while True:
            rescued = await desk.insist(partial(desk.store.reap, overdue))
            # Taken only if they are still overdue at the next look: after a store was away for longer than
            # a lease they all are, and whoever comes first must not take the jobs of those who live.
            overdue = await desk.insist(desk.store.overdue)
            if rescued:
                desk.kernel.events.warning("job.rescued", jobs=rescued[:100], count=len(rescued))
            if not self._retention.is_for_ever:
                await desk.insist(self._forget)
            # Who may still live may still store a step with a file of long ago.
            if self._retention.jobs is not None and not overdue:
                await desk.insist(self._sweep, is_answer=False)
            await desk.insist(self._look_for_unserved, is_answer=False)
            # Jittered, so that many workers don't look at once.
            wait = max(_SECOND_LOOK, desk.lease / 6) * 1.25 if overdue else desk.lease / 3
            await anyio.sleep(wait * desk.kernel.rng.uniform(0.8, 1.0))

    async def _forget(self) -> None:
        desk = self._desk
        now = next(iter(desk.queues.values())).clock()
        await forget(desk.store, self._retention, now)

    async def _look_for_unserved(self) -> None:
        """Say, once, that jobs wait in a queue of the store that no worker serves."""
        desk = self._desk
        now = desk.kernel.now()
        if now < self._next_look:
            return
        found = {queue.name: queue for queue in await desk.store.queues() if queue.is_unserved}
        for name in sorted(self._unserved.intersection(found) - self._told):
            desk.kernel.events.warning("worker.missing", queue=name, jobs=found[name].pending)
        self._told = self._unserved.intersection(found)
        self._unserved = frozenset(found)
        self._next_look = now + _LOOK

    async def _sweep(self) -> None:
        """Remove the files of what is forgotten."""
        desk = self._desk
        now = desk.kernel.now()
        if now < self._next_sweep:
            return
        folders = {queue.large_results.folder: queue.large_results for queue in desk.queues.values()}
        for results in folders.values():
            try:
                removed = await results.sweep(desk.store)
            except BlobError as error:  # no reason to stop rescuing jobs
                desk.kernel.events.warning("job.results_not_swept", error=str(error))
            else:
                if removed:
                    desk.kernel.events.info("job.results_swept", files=removed)
        self._next_sweep = now + _SWEEP
