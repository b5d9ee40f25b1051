"""Scheduler: the actor that enqueues what is due."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from heapq import heapify, heapreplace
from typing import TYPE_CHECKING

import anyio

from ...runtime import Actor
from ._desk import Desk
from ._ids import id_of_moment

if TYPE_CHECKING:
    from ._queue import Queue

_LOOK = 30.0
"""Seconds between two looks at the clock, at the most: people may set it."""


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
