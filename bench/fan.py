"""How long does a call take when a thousand tasks ask a hundred actors at once?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from math import inf

import anyio

from relight import Child, Ref, open_system

from . import floors
from ._counter import Counter, Total
from .harness import MICROSECONDS, Figure, Stage, Target, clock, figure, in_turns

ASKERS = 1000
ACTORS = 100
TARGETS = {"trio": Target(0.9), "asyncio": Target(1.2), "uvloop": Target(2.1)}


async def answer(stage: Stage) -> AsyncIterator[Figure]:
    """Ask a hundred actors, ten tasks each, one question after another."""
    asks = 10 if stage.is_quick else 20
    async with open_system() as system:
        actors = [await system.spawn(Child(f"counter-{number}", Counter)) for number in range(ACTORS)]
        measured = await in_turns(
            lambda: fan(actors, asks),
            lambda: floors.handoff(ASKERS * asks, pairs=ACTORS),
            2 * stage.seconds,
        )
    yield figure(
        "fan",
        stage,
        measured.scaled(MICROSECONDS),
        floor_is=floors.HANDOFFS,
        target=TARGETS[stage.backend],
    )


async def fan(actors: Sequence[Ref], asks: int) -> float:
    """Ask from a thousand tasks, so many times each; seconds a call."""
    gate = anyio.Event()

    async def asker(actor: Ref) -> None:
        message = Total()
        await gate.wait()  # starting a task is not the question
        for _ in range(asks):
            await actor.ask(message)

    began = inf
    async with anyio.create_task_group() as group:
        for number in range(ASKERS):
            group.start_soon(asker, actors[number % ACTORS])
        await anyio.wait_all_tasks_blocked()
        began = clock()
        gate.set()
    return (clock() - began) / (ASKERS * asks)
