"""Does a supervisor of ten thousand children cost more a child than one of a thousand?

Nothing a supervisor does for one child may depend on how many there are. Both sizes start the same
number of children in a round: one supervisor of ten thousand, then ten of a thousand.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from relight import Actor, Child, Supervisor, System, open_system

from ._counter import Counter
from .harness import MICROSECONDS, Figure, Stage, Target, Turns, clock, figure, settle
from .spawn import Hooked

MANY, FEW = 10_000, 1_000
QUICK_MANY, QUICK_FEW = 2_000, 200
TARGET = Target(1.3)


async def answer(stage: Stage) -> AsyncIterator[Figure]:
    """Start and stop supervisors with many children and with few, in turns."""
    many, few = (QUICK_MANY, QUICK_FEW) if stage.is_quick else (MANY, FEW)
    for name, actor in (("children", Counter), ("children_hooks", Hooked)):
        starts, stops = Turns(), Turns()
        large, small = describe(many, actor), describe(few, actor)
        async with open_system() as system:
            for number in range(_rounds(stage)):
                many_start, many_stop = await start_and_stop(system, large, 1)
                few_start, few_stop = await start_and_stop(system, small, many // few)
                if not number:
                    settle()  # the first round was the warm-up
                    continue
                starts.add(many_start, few_start)
                stops.add(many_stop, few_stop)
        for verb, turns in (("start", starts), ("stop", stops)):
            yield figure(
                f"{name}_{verb}",
                stage,
                turns.best().scaled(MICROSECONDS),
                floor_is=f"the same, a child, with {few:,} children instead of {many:,}",
                target=TARGET,
            )


def _rounds(stage: Stage) -> int:
    return 3 if stage.is_quick else 8


def describe(children: int, actor: type[Actor]) -> Supervisor:
    """Describe a supervisor of so many children."""
    return Supervisor("tree", children=[Child(f"child-{number}", actor) for number in range(children)])


async def start_and_stop(system: System, tree: Supervisor, times: int) -> tuple[float, float]:
    """Start and stop a tree some times; returns seconds a child for either."""
    starting = stopping = 0.0
    for _ in range(times):
        began = clock()
        supervisor = await system.spawn(tree)
        started = clock()
        await supervisor.stop()
        starting += started - began
        stopping += clock() - started
    children = times * len(tree.children)
    return starting / children, stopping / children
