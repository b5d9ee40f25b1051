"""How long does a question and its answer take, and what does its deadline cost?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from math import inf

from relight import Child, Ref, open_system

from . import floors
from ._counter import Counter, Total
from .harness import MICROSECONDS, Figure, Stage, Target, clock, figure, in_turns

ASKS = 200
"""Asks a round."""
DISTINCT = 20_000
"""Timeouts no two of which are equal, as inherited deadlines are."""
TARGETS = {"trio": Target(1.2), "asyncio": Target(1.5), "uvloop": Target(2.1)}
SURCHARGE = Target(1.25)

_ENDLESS = [inf] * ASKS
_EQUAL = [3.0] * ASKS


async def answer(stage: Stage) -> AsyncIterator[Figure]:
    """Ask one actor, one question after another."""
    async with open_system() as system:
        counter = await system.spawn(Child("counter", Counter))
        measured = await in_turns(lambda: ask(counter), lambda: floors.handoff(ASKS), stage.seconds)
        yield figure(
            "ask",
            stage,
            measured.scaled(MICROSECONDS),
            floor_is=floors.HANDOFF,
            target=TARGETS[stage.backend],
        )
        yield await _surcharge(stage, counter, "ask_timeout", [_EQUAL])
        yield await _surcharge(stage, counter, "ask_timeouts_20000", _distinct())


async def _surcharge(stage: Stage, counter: Ref, name: str, rounds: Sequence[Sequence[float]]) -> Figure:
    """Compare asks with deadlines to asks without; one of *rounds* after the other, and over again."""
    if len(rounds) > 1:
        for timeouts in rounds:  # so that all of them have been seen before the first is measured
            await _ask_within(counter, timeouts)
    number = 0

    async def within() -> float:
        nonlocal number
        number += 1
        return await _ask_within(counter, rounds[number % len(rounds)])

    measured = await in_turns(within, lambda: _ask_within(counter, _ENDLESS), stage.seconds)
    return figure(
        name,
        stage,
        measured.scaled(MICROSECONDS),
        floor_is="an ask without a deadline",
        target=SURCHARGE,
    )


def _distinct() -> list[list[float]]:
    timeouts = [3.0 + number * 1e-4 for number in range(DISTINCT)]
    return [timeouts[first : first + ASKS] for first in range(0, DISTINCT, ASKS)]


async def ask(counter: Ref) -> float:
    """Ask one question after another; seconds each."""
    message = Total()
    began = clock()
    for _ in range(ASKS):
        await counter.ask(message)
    return (clock() - began) / ASKS


async def _ask_within(counter: Ref, timeouts: Sequence[float]) -> float:
    message = Total()
    began = clock()
    for timeout in timeouts:
        await counter.ask(message, timeout=timeout)
    return (clock() - began) / len(timeouts)
