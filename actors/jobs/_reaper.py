"""Reaper: the actor that rescues the jobs of workers that have died."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from math import inf

import anyio

from ...runtime import Actor
from ._desk import Desk
from ._errors import BlobError
from ._retention import Retention, forget

_SWEEP = 3600.0
"""Seconds between two sweeps of the files of large results."""


class Reaper(Actor):
    """Rescue the jobs of workers that have died, and forget what ended long ago.

    Args:
        desk: The worker's.
        retention: How long things are kept.
    """

    def __init__(self, desk: Desk, retention: Retention) -> None:
        self._desk = desk
        self._retention = retention
        self._next_sweep = -inf
        """On the system's clock."""

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
            if not self._retention.is_for_ever:
                await desk.insist(self._forget)
            if self._retention.jobs is not None:
                await desk.insist(self._sweep)
            # Jittered, so that many workers don't look at once.
            await anyio.sleep(desk.lease / 3 * desk.kernel.rng.uniform(0.75, 1.0))

    async def _forget(self) -> None:
        desk = self._desk
        now = next(iter(desk.queues.values())).clock()
        await forget(desk.store, self._retention, now)

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
