"""Floors: what the event loop itself takes for the work an actor does.

Only public calls of trio and asyncio, in the plainest loop there is: no runtime that is built on
them can be expected to go far below.
"""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from math import inf
from typing import Protocol

import anyio
import trio

from .harness import clock

HANDOFF = "two tasks that wake each other in turn, a round trip"
HANDOFFS = "the same in 100 pairs of tasks"


class _Pair(Protocol):
    """Two tasks that wake each other in turn."""

    async def lead(self, round_trips: int) -> None: ...
    async def follow(self, round_trips: int) -> None: ...


class _TrioPair:
    leader: trio.lowlevel.Task
    follower: trio.lowlevel.Task

    async def lead(self, round_trips: int) -> None:
        current_task, reschedule = trio.lowlevel.current_task, trio.lowlevel.reschedule
        park = trio.lowlevel.wait_task_rescheduled
        for _ in range(round_trips):
            self.leader = current_task()
            reschedule(self.follower)
            await park(_abort)

    async def follow(self, round_trips: int) -> None:
        current_task, reschedule = trio.lowlevel.current_task, trio.lowlevel.reschedule
        park = trio.lowlevel.wait_task_rescheduled
        for _ in range(round_trips):
            self.follower = current_task()
            await park(_abort)
            reschedule(self.leader)


class _AsyncioPair:
    leader: asyncio.Future[None]
    follower: asyncio.Future[None]

    async def lead(self, round_trips: int) -> None:
        create_future = asyncio.get_running_loop().create_future
        for _ in range(round_trips):
            self.leader = create_future()
            self.follower.set_result(None)
            await self.leader

    async def follow(self, round_trips: int) -> None:
        create_future = asyncio.get_running_loop().create_future
        for _ in range(round_trips):
            self.follower = create_future()
            await self.follower
            self.leader.set_result(None)


async def no_suspension(calls: int) -> float:
    """Await a coroutine that never suspends; seconds a call."""
    began = clock()
    for _ in range(calls):
        await _nothing()
    return (clock() - began) / calls


async def handoff(round_trips: int, *, pairs: int = 1) -> float:
    """Park and wake, park and wake; seconds a round trip."""
    make_pair: Callable[[], _Pair] = _TrioPair if trio.lowlevel.in_trio_run() else _AsyncioPair
    gate = anyio.Event()
    each = round_trips // pairs

    async def lead(pair: _Pair) -> None:
        await gate.wait()
        await pair.lead(each)

    began = inf
    async with anyio.create_task_group() as group:
        for _ in range(pairs):
            pair = make_pair()
            group.start_soon(pair.follow, each)
            group.start_soon(lead, pair)
        await anyio.wait_all_tasks_blocked()
        began = clock()
        gate.set()
    return (clock() - began) / (each * pairs)


async def task(tasks: int) -> float:
    """Start tasks that do nothing and wait for them; seconds a task."""
    began = clock()
    if trio.lowlevel.in_trio_run():
        async with trio.open_nursery() as nursery:
            for _ in range(tasks):
                nursery.start_soon(_nothing)
    else:
        async with asyncio.TaskGroup() as group:
            for _ in range(tasks):
                group.create_task(_nothing())
    return (clock() - began) / tasks


@asynccontextmanager
async def parked(tasks: int) -> AsyncGenerator[None]:
    """Park tasks that wait for good; on the way out they are cancelled."""
    if trio.lowlevel.in_trio_run():
        async with trio.open_nursery() as nursery:
            for _ in range(tasks):
                nursery.start_soon(trio.sleep_forever)
            await anyio.wait_all_tasks_blocked()
            yield
            nursery.cancel_scope.cancel()
    else:
        waiting = [asyncio.create_task(_park()) for _ in range(tasks)]
        await asyncio.sleep(0)
        yield
        for each in waiting:
            each.cancel()
        await asyncio.wait(waiting)


async def idle_task_bytes(tasks: int) -> float:
    """Park tasks; bytes a task. Memory has to be traced already."""
    before, _ = tracemalloc.get_traced_memory()
    async with parked(tasks):
        after, _ = tracemalloc.get_traced_memory()
    return (after - before) / tasks


async def _nothing() -> None:
    pass


async def _park() -> None:
    await asyncio.get_running_loop().create_future()


def _abort(_raise_cancel: object) -> trio.lowlevel.Abort:
    return trio.lowlevel.Abort.SUCCEEDED
