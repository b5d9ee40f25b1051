"""How long does it take to start an actor and to stop it, and how big is an idle one?"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import AsyncIterator
from functools import partial

from relight import Actor, Child, ExitReason, Ref, System, open_system

from . import floors
from ._counter import Add, Counter, Total
from .harness import MICROSECONDS, Figure, Measured, Stage, Target, clock, figure, in_turns, settle

SPAWNS = 200
"""Actors a round."""
IDLE = 2000
"""Actors whose memory is measured."""
TARGET = Target(4.0, of="value")
IDLE_TARGET = Target(1500.0, of="value")


class Hooked(Actor):
    """Something to do at the start and at the end."""

    async def started(self) -> None:
        """Begin."""

    async def stopping(self, reason: ExitReason) -> None:
        """End."""


async def answer(stage: Stage) -> AsyncIterator[Figure]:
    """Start actors from a child spec under the root, and stop them by their refs."""
    for name, actor, target in (("spawn", Counter, TARGET), ("spawn_with_hooks", Hooked, None)):
        spec = Child("actor", actor)
        async with open_system() as system:
            measured = await in_turns(
                partial(spawn, system, spec), partial(floors.task, SPAWNS), stage.seconds
            )
        yield figure(
            name,
            stage,
            measured.scaled(MICROSECONDS),
            floor_is="a bare task that does nothing",
            target=target,
        )
    yield await idle(stage)


async def spawn(system: System, spec: Child) -> float:
    """Start an actor and stop it, one after another; seconds each."""
    began = clock()
    for _ in range(SPAWNS):
        actor = await system.spawn(spec)
        await actor.stop()
    return (clock() - began) / SPAWNS


async def idle(stage: Stage) -> Figure:
    """Trace what actors take that have handled a message, their specs and names included."""
    async with open_system() as system:
        await _use(await system.spawn(Child("first", Counter)))
        async with floors.parked(1):  # what is loaded at the first use is not an idle task's
            settle()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        actors = [await system.spawn(Child(f"actor-{number}", Counter)) for number in range(IDLE)]
        for actor in actors:
            await _use(actor)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        floor = await floors.idle_task_bytes(IDLE)
        tracemalloc.stop()
    size = (after - before) / IDLE
    measured = Measured(value=size, floor=floor, ratio=size / floor)
    return figure("idle_actor", stage, measured, unit="B", floor_is="a parked task", target=IDLE_TARGET)


async def _use(actor: Ref) -> None:
    await actor.tell(Add())
    await actor.ask(Total())
