"""A hundred supervisors, one below the other: how long do a start, a stop and an escalation take?

Compared with a hundred side by side, and the escalation with as many crashes that go one level up.
What a level costs must not depend on how deep it lies.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal

from relight import Actor, Child, Message, Supervisor, System, handles, open_system

from .harness import MICROSECONDS, Figure, Stage, Target, Turns, clock, figure, settle

LEVELS = 100
TARGET = Target(2.0)


class Crash(Message, frozen=True):
    """Raise."""


class Fuse(Actor):
    """Crash on order."""

    @handles
    async def crash(self, message: Crash) -> None:
        """Raise."""
        raise RuntimeError("crashed on order")


async def answer(stage: Stage) -> AsyncIterator[Figure]:
    """Start, stop and blow deep trees and wide ones, in turns."""
    starts, stops, blows = Turns(), Turns(), Turns()
    async with open_system() as system:
        await _start_and_stop(system, _deep())
        settle()
        for _ in range(5 if stage.is_quick else 30):
            deep_start, deep_stop = await _start_and_stop(system, _deep())
            wide_start, wide_stop = await _start_and_stop(system, _wide())
            starts.add(deep_start, wide_start)
            stops.add(deep_stop, wide_stop)
            blows.add(await _blow_deep(system), await _blow_wide(system))
    for name, turns, floor_is in (
        ("depth_start", starts, f"{LEVELS} supervisors of one child side by side, each"),
        ("depth_stop", stops, f"{LEVELS} supervisors of one child side by side, each"),
        ("depth_escalation", blows, "a crash that ends one supervisor and no more"),
    ):
        measured = turns.best().scaled(MICROSECONDS)
        yield figure(name, stage, measured, floor_is=floor_is, target=TARGET)


def _fragile(
    name: str, child: Child | Supervisor, restart: Literal["permanent", "temporary"] = "temporary"
) -> Supervisor:
    """Describe a supervisor that gives up at the first exit of its child."""
    return Supervisor(name, intensity=0, restart=restart, children=[child])


def _deep() -> Supervisor:
    """Describe supervisors each of which goes down with the one below; nobody restarts the topmost."""
    lower: Child | Supervisor = Child("fuse", Fuse)
    for level in reversed(range(1, LEVELS)):
        lower = _fragile(f"level-{level}", lower, "permanent")
    return _fragile("level-0", lower)


def _wide() -> Supervisor:
    specs = [_fragile(f"side-{number}", Child("fuse", Fuse)) for number in range(LEVELS)]
    return Supervisor("wide", restart="temporary", children=specs)


def _bottom() -> str:
    return "/".join(f"level-{level}" for level in range(LEVELS)) + "/fuse"


async def _start_and_stop(system: System, tree: Supervisor) -> tuple[float, float]:
    """Start a tree of a hundred supervisors and stop it; seconds a supervisor for either."""
    began = clock()
    top = await system.spawn(tree)
    started = clock()
    await top.stop()
    return (started - began) / LEVELS, (clock() - started) / LEVELS


async def _blow_deep(system: System) -> float:
    """Crash at the bottom and wait for the end of the top; seconds a level."""
    top = await system.spawn(_deep())
    fuse = system.get(_bottom())
    monitor = system.monitor(top.ref)
    began = clock()
    fuse.tell_nowait(Crash())
    await monitor.wait()
    return (clock() - began) / LEVELS


async def _blow_wide(system: System) -> float:
    """Crash a hundred children, and wait for the end of the supervisor above each; seconds each."""
    top = await system.spawn(_wide())
    taken = 0.0
    for number in range(LEVELS):
        side = f"wide/side-{number}"
        fuse, monitor = system.get(f"{side}/fuse"), system.monitor(system.get(side))
        began = clock()
        fuse.tell_nowait(Crash())
        await monitor.wait()
        taken += clock() - began
    await top.stop()
    return taken / LEVELS
