"""Reaper: the actor that rescues the jobs of workers that have died."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio

from ...runtime import Actor
from ._desk import Desk


class Reaper(Actor):
    """Rescue the jobs of workers that have died."""

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
