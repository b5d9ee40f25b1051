"""Does a supervisor of ten thousand children cost more a child than one of a thousand?

Nothing a supervisor does for one child may depend on how many there are. Both sizes start the same
number of children in a round: one supervisor of ten thousand, then ten of a thousand.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

from relight import Actor, Child, DynamicSupervisor, Supervisor, System, open_system

from ._counter import Counter
from .harness import MICROSECONDS, Figure, Stage, Target, Turns, clock, figure, settle
from .spawn import Hooked

MANY, FEW = 10_000, 1_000
QUICK_MANY, QUICK_FEW = 2_000, 200
ROUNDS, QUICK_ROUNDS = 8, 3
TARGET = Target(1.3)

Life = Callable[[System, int], Awaitable[tuple[float, float]]]
"""Starts a supervisor with so many children and stops it; returns the seconds either took."""


async def answer(stage: Stage) -> AsyncIterator[Figure]:
    """Start and stop supervisors with many children and with few, in turns."""
    lives: dict[str, Life] = {
        "children": partial(live, actor=Counter),
        "children_hooks": partial(live, actor=Hooked),
        "dynamic": partial(live_dynamic, actor=Counter),
        "dynamic_hooks": partial(live_dynamic, actor=Hooked),
    }
    many, few = (QUICK_MANY, QUICK_FEW) if stage.is_quick else (MANY, FEW)
    for name, life in lives.items():
        async with open_system() as system:
            starts, stops = await _measure(
                system, life, many, few, QUICK_ROUNDS if stage.is_quick else ROUNDS
            )
        for verb, turns in (("start", starts), ("stop", stops)):
            yield figure(
                f"{name}_{verb}",
                stage,
                turns.best().scaled(MICROSECONDS),
                floor_is=f"the same, a child, with {few:,} children instead of {many:,}",
                target=TARGET,
            )


async def _measure(system: System, life: Life, many: int, few: int, rounds: int) -> tuple[Turns, Turns]:
    """Take turns; returns starts and stops, in seconds a child."""
    starts, stops = Turns(), Turns()
    await life(system, many)
    settle()
    for _ in range(rounds):
        many_start, many_stop = await life(system, many)
        few_start = few_stop = 0.0
        for _ in range(many // few):
            start, stop = await life(system, few)
            few_start += start
            few_stop += stop
        starts.add(many_start / many, few_start / many)
        stops.add(many_stop / many, few_stop / many)
    return starts, stops


async def live(system: System, children: int, *, actor: type[Actor]) -> tuple[float, float]:
    """Start a supervisor whose children are in its description."""
    specs = [Child(f"child-{number}", actor) for number in range(children)]
    tree = Supervisor("tree", children=specs)
    began = clock()
    supervisor = await system.spawn(tree)
    started = clock()
    await supervisor.stop()
    return started - began, clock() - started


async def live_dynamic(system: System, children: int, *, actor: type[Actor]) -> tuple[float, float]:
    """Start children of a dynamic supervisor one by one, and stop it."""
    template = Child("child", actor, restart="temporary")
    supervisor = await system.spawn(DynamicSupervisor("crowd", template=template))
    began = clock()
    for _ in range(children):
        await supervisor.start()
    started = clock()
    await supervisor.stop()
    return started - began, clock() - started
