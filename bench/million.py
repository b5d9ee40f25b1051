"""What does an idle actor take when there are a million of them, and what does a full collection then?

Asked in a process of its own. Compared with parked tasks: an actor that had a task of its own could
not take less.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from ._crowd import IS_POSSIBLE, look
from .harness import MICROSECONDS, Figure, Measured, Stage, Target, figure

ACTORS = 1_000_000
QUICK_ACTORS = 50_000
TASKS = 50_000
"""Parked tasks to compare with."""
BYTES_TARGET = Target(1600.0, of="value")
"""The 1,500 B of an idle actor, and what hash tables that double leave empty."""


async def answer(stage: Stage) -> AsyncIterator[Figure]:
    """Have another process start a million actors, and let them idle."""
    if not IS_POSSIBLE:
        return
    count = QUICK_ACTORS if stage.is_quick else ACTORS
    actors, tasks = look(stage.backend, "actors", count), look(stage.backend, "tasks", TASKS)
    yield figure(
        "million_bytes",
        stage,
        _measured(actors.bytes, tasks.bytes),
        unit="B",
        floor_is="a parked task",
        target=BYTES_TARGET,
    )
    yield figure(
        "million_spawn",
        stage,
        _measured(actors.start, tasks.start).scaled(MICROSECONDS),
        floor_is="starting and parking a task",
    )
    yield figure(
        "million_collection",
        stage,
        _measured(actors.collection, tasks.collection).scaled(count),
        unit="s",
        floor_is="a full collection with as many parked tasks, told from fewer",
    )


def _measured(value: float, floor: float) -> Measured:
    return Measured(value=value, floor=floor, ratio=value / floor)
