"""Actors stop in exact reverse order, whenever an outer scope is cancelled.

``RELIGHT_ORDER_RUNS=1000`` runs each moment a thousand times instead of a hundred.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Literal

import anyio
import pytest

from relight import (
    Actor,
    Child,
    ExitKind,
    ExitReason,
    Message,
    RelightError,
    Supervisor,
    System,
    handles,
    open_system,
)
from tests.runtime.desk import settle
from tests.support.cuts import Cut, Moment
from tests.support.rest import living_tasks

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

RUNS = int(os.environ.get("RELIGHT_ORDER_RUNS", "100"))

BELOW = ("a", "mid/b", "mid/low/c", "mid/low/d", "mid/e", "f", "side/g", "side/h")
LEAVES = tuple(f"top/{path}" for path in BELOW)
"""In start order."""

StrategyName = Literal["one_for_one", "one_for_all", "rest_for_one"]

ALONE: tuple[StrategyName, ...] = ("one_for_one",)
TOGETHER: tuple[StrategyName, ...] = ("one_for_all", "rest_for_one")


class Crash(Message, frozen=True):
    """Told: raises."""


@dataclass
class Chronicle:
    """Starts and stops of all incarnations, in order."""

    rng: Random
    strategies: tuple[StrategyName, ...]
    lines: list[tuple[str, str, ExitKind | None]] = field(
        default_factory=list[tuple[str, str, ExitKind | None]]
    )

    async def pause(self) -> None:
        """Wait as long as chance wills, often not at all."""
        if self.rng.random() < 0.7:
            await anyio.sleep(self.rng.random())

    def last_stops(self) -> list[str]:
        """List what was stopped by its supervisor, and for good."""
        last = {path: kind for _, path, kind in self.lines}
        order = list(reversed(dict.fromkeys(path for _, path, _ in reversed(self.lines))))
        return [path for path in order if last[path] is ExitKind.SHUTDOWN]


class Orderly(Actor):
    """Takes its time to start and to stop, and writes both down."""

    def __init__(self, chronicle: Chronicle, path: str) -> None:
        self.chronicle, self.of = chronicle, path

    async def started(self) -> None:
        await self.chronicle.pause()
        self.chronicle.lines.append(("start", self.of, None))

    async def stopping(self, reason: ExitReason) -> None:
        await self.chronicle.pause()
        self.chronicle.lines.append(("stop", self.of, reason.kind))

    @handles
    async def crash(self, message: Crash) -> None:
        await self.chronicle.pause()
        raise ValueError(self.of)


def children(chronicle: Chronicle) -> list[Child | Supervisor]:
    """Describe what stands below ``top``."""

    def leaf(path: str) -> Child:
        return Child(path.rpartition("/")[2], partial(Orderly, chronicle, path), shutdown=60.0)

    a, b, c, d, e, f, g, h = map(leaf, LEAVES)

    def supervisor(name: str, *below: Child | Supervisor) -> Supervisor:
        strategy = chronicle.rng.choice(chronicle.strategies)
        return Supervisor(name, strategy=strategy, intensity=1000, children=below)

    return [a, supervisor("mid", b, supervisor("low", c, d), e), f, supervisor("side", g, h)]


async def start(system: System, chronicle: Chronicle) -> None:
    """Start the tree, a branch at a time: a branch that has begun to start is not left half started."""
    top = await system.spawn(Supervisor("top", intensity=1000))
    for child in children(chronicle):
        if isinstance(child, Child):
            await top.start_child(child)
        else:
            await top.start_child(child)


Phase = Callable[[System, Chronicle], Awaitable[None]]
"""What is under way when the cancellation comes."""


async def run(system: System, chronicle: Chronicle) -> None:
    """Let the tree run."""
    await anyio.sleep(10)


async def restart(system: System, chronicle: Chronicle) -> None:
    """Crash some leaves and wait for what follows."""
    for path in chronicle.rng.sample(LEAVES, 3):
        with suppress(RelightError):  # it is being stopped with its group
            await system.get(path).tell(Crash())
        await chronicle.pause()
    await anyio.sleep(3)


async def stop(system: System, chronicle: Chronicle) -> None:
    """Stop the tree."""
    await system.get("top").stop()


async def leave(system: System, chronicle: Chronicle) -> None:
    """Leave: the stop of the whole system is what is cancelled."""


async def live(chronicle: Chronicle, phase: Phase, began: Callable[[], None]) -> None:
    """Start the tree and go through one phase; *began* is called when that begins."""
    if phase is start:
        began()
    async with open_system(shutdown_timeout=600) as system:
        await start(system, chronicle)
        if phase is not start:
            began()
            await phase(system, chronicle)


async def cancelled_at(seconds: float, procedure: Callable[[Callable[[], None]], Awaitable[None]]) -> None:
    """Run *procedure* and cancel it some seconds after it says that it has begun."""
    with anyio.CancelScope() as scope:

        def begin() -> None:
            scope.deadline = min(scope.deadline, anyio.current_time() + seconds)

        await procedure(begin)


async def cut_at(turn: int, procedure: Callable[[Callable[[], None]], Awaitable[None]]) -> None:
    """Run *procedure* and cancel it some turns of the event loop after it says that it has begun."""
    cut: Cut[None] = Cut(Moment.TURN, turn)
    await cut.run(lambda: procedure(cut.restart))
    if cut.error is not None:
        raise cut.error


def check(chronicle: Chronicle) -> None:
    stops = chronicle.last_stops()
    assert stops == [path for path in reversed(LEAVES) if path in stops], stops
    started = Counter(path for deed, path, _ in chronicle.lines if deed == "start")
    stopped = Counter(path for deed, path, _ in chronicle.lines if deed == "stop")
    assert started == stopped


@pytest.mark.parametrize(
    ("phase", "lasts", "strategies"),
    [
        (start, 5.0, ALONE),
        (run, 9.0, ALONE),
        (restart, 5.0, ALONE),
        (restart, 9.0, TOGETHER),
        (stop, 5.0, ALONE),
        (leave, 5.0, ALONE),
    ],
    ids=["start", "run", "restart", "group-restart", "stop", "leave"],
)
async def test_the_stop_is_in_exact_reverse_order(
    phase: Phase, lasts: float, strategies: tuple[StrategyName, ...]
) -> None:
    tasks, rng = living_tasks(), Random(phase.__name__)
    stopped: Counter[int] = Counter()
    for number in range(RUNS):
        chronicle = Chronicle(rng, strategies)
        life = partial(live, chronicle, phase)
        if number % 2:
            await cancelled_at(rng.random() * lasts, life)
        else:
            await cut_at(rng.randrange(1, 40), life)
        await settle()
        check(chronicle)
        assert living_tasks() == tasks
        stopped[len(chronicle.last_stops())] += 1
    assert stopped[len(LEAVES)] > 0
    assert phase is not start or len(stopped) > 3, "hardly ever cancelled in the middle"
