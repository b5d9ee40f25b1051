"""A thousand children crash at once: how long until all answer, and who else notices?

The storm is compared with the same crashes one after another: a child should not be gone for longer
because others are gone too. Meanwhile somebody asks an actor under another supervisor; the slowest
asks in a hundred are compared with those of quiet times.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import anyio

from relight import Actor, Child, Message, Ref, Supervisor, System, handles, open_system

from ._counter import Counter, Total
from .harness import MICROSECONDS, Figure, Stage, Target, Turns, clock, figure, percentile, settle

CHILDREN = 1000
QUICK_CHILDREN = 200
QUIET_ASKS = 1000
TARGET = Target(1.3)

_ENDLESS = 1_000_000_000


class Crash(Message, frozen=True):
    """Raise."""


class Answer(Message, frozen=True):
    """Say that the actor is there again."""

    roll: Roll


class Roll:
    """Who has yet to answer."""

    def __init__(self, missing: int) -> None:
        self._missing = missing
        self._complete = anyio.Event()

    def here(self) -> None:
        """Tick off one."""
        self._missing -= 1
        if not self._missing:
            self._complete.set()

    async def wait(self) -> None:
        """Wait until all have answered."""
        await self._complete.wait()


class Oops(Exception):  # noqa: N818 - it stands for any error
    """What a child raises."""


class Fragile(Actor):
    """Crash on order."""

    @handles
    async def crash(self, message: Crash) -> None:
        """Raise."""
        raise Oops

    @handles
    async def answer(self, message: Answer) -> None:
        """Answer."""
        message.roll.here()


async def answer(stage: Stage) -> AsyncIterator[Figure]:
    """Crash all children of a supervisor, again and again."""
    count = QUICK_CHILDREN if stage.is_quick else CHILDREN
    storms, bystanders = Turns(), Turns()
    async with open_system() as system:
        children = await start_children(system, count)
        calm = Supervisor("calm", children=[Child("bystander", Counter)])
        await system.spawn(calm)
        bystander = system.get("calm/bystander")
        await storm(children)
        settle()
        for _ in range(3 if stage.is_quick else 15):
            storms.add(await storm(children), await _one_by_one(children))
            beside = await _latencies_in_a_storm(children, bystander)
            bystanders.add(percentile(beside, 0.99), percentile(await _quiet(bystander), 0.99))
    yield figure(
        "restart_storm",
        stage,
        storms.best().scaled(MICROSECONDS),
        floor_is="the same crashes, one after another",
        target=TARGET,
    )
    yield figure(
        "storm_bystander",
        stage,
        bystanders.medians().scaled(MICROSECONDS),
        floor_is="p99 of an ask while nothing crashes",
    )


async def start_children(system: System, count: int) -> list[Ref]:
    """Start so many children of one supervisor that do what `storm` needs."""
    specs = [Child(f"child-{number}", Fragile) for number in range(count)]
    await system.spawn(Supervisor("storm", intensity=_ENDLESS, period=1.0, children=specs))
    return [system.get(f"storm/{spec.id}") for spec in specs]


async def storm(children: Sequence[Ref]) -> float:
    """Crash all, and wait until the next incarnation of each has answered; seconds a child."""
    began = clock()
    await _crash(children)
    return (clock() - began) / len(children)


async def _one_by_one(children: Sequence[Ref]) -> float:
    began = clock()
    for child in children:
        await _crash([child])
    return (clock() - began) / len(children)


async def _crash(children: Sequence[Ref]) -> None:
    crash, answer = Crash(), Answer(Roll(len(children)))
    for child in children:
        child.tell_nowait(crash)
        child.tell_nowait(answer)
    await answer.roll.wait()


async def _latencies_in_a_storm(children: Sequence[Ref], bystander: Ref) -> list[float]:
    """Ask the bystander until all children answer again; returns the seconds each ask took."""
    took: list[float] = []
    async with anyio.create_task_group() as group:
        group.start_soon(_ask_for_ever, bystander, took)
        await storm(children)
        group.cancel_scope.cancel()
    return took


async def _ask_for_ever(bystander: Ref, took: list[float]) -> None:
    while True:
        took.append(await _ask(bystander))


async def _quiet(bystander: Ref) -> list[float]:
    return [await _ask(bystander) for _ in range(QUIET_ASKS)]


async def _ask(bystander: Ref) -> float:
    began = clock()
    await bystander.ask(Total())
    return clock() - began
