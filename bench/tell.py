"""How long does it take to send a message and have it handled, many in a row?"""

from __future__ import annotations

from collections.abc import AsyncIterator

from relight import Child, Ref, open_system

from . import floors
from ._counter import Add, Counter, Total
from .harness import MICROSECONDS, Figure, Stage, Target, clock, figure, in_turns

TELLS = 5000
"""Messages a round: the mailbox fills and drains several times."""
TARGETS = {"trio": Target(5.0)}


async def answer(stage: Stage) -> AsyncIterator[Figure]:
    """Tell one actor as fast as its mailbox takes it."""
    async with open_system() as system:
        counter = await system.spawn(Child("counter", Counter))
        measured = await in_turns(
            lambda: send(counter), lambda: floors.no_suspension(4 * TELLS), stage.seconds
        )
    yield figure(
        "tell",
        stage,
        measured.scaled(MICROSECONDS),
        floor_is="an await that never suspends",
        target=TARGETS.get(stage.backend),
    )


async def send(counter: Ref) -> float:
    """Tell an actor as fast as its mailbox takes it; seconds a message."""
    message = Add()
    began = clock()
    for _ in range(TELLS):
        await counter.tell(message)
    await counter.ask(Total())  # handled after all of them
    return (clock() - began) / TELLS
