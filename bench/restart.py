"""How long is an actor gone when it crashes?

From the line that raises to the first line of the next handler, in the next incarnation. The report
of the crash, mostly the text of its traceback, is counted apart: none is made while nobody would see it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import AsyncIterator, Mapping
from functools import partial

from relight import Actor, Child, Message, Ref, Request, Supervisor, handles, open_system

from . import floors
from .harness import MICROSECONDS, Figure, Measured, Stage, Target, figure, in_turns

CRASHES = 50
"""Crashes a round."""
TARGET = Target(10.0, of="value")


class Crash(Message, frozen=True):
    """Raise."""


class Recover(Message, frozen=True):
    """Be the next message."""


class Sync(Request[None], frozen=True):
    """Answer when all before it was handled."""


class Oops(Exception):  # noqa: N818 - it stands for any error
    """Note when its text is asked for: that is the first thing a crash report does."""

    def __init__(self, watch: Stopwatch) -> None:
        super().__init__()
        self._watch = watch

    def __str__(self) -> str:
        self._watch.report_began()
        return "crashed on order"


class Stopwatch:
    """Time from a crash to the next handler, and the report in between where there is one."""

    def __init__(self) -> None:
        self.gaps: list[float] = []
        self.reports: list[float] = []
        self._crashed = 0.0
        self._report_began: float | None = None

    def crashed(self) -> None:
        """Start."""
        self._report_began = None
        self._crashed = time.perf_counter()

    def report_began(self) -> None:
        """Start timing the report: its text is asked for more than once, the first time counts."""
        if self._report_began is None:
            self._report_began = time.perf_counter()

    def heard(self, event: str, fields: Mapping[str, object]) -> None:
        """Stop timing the report: listeners are told when it is written."""
        if event == "actor.crashed" and self._report_began is not None:
            self.reports.append(time.perf_counter() - self._report_began)

    def recovered(self) -> None:
        """Stop."""
        self.gaps.append(time.perf_counter() - self._crashed)


class Fragile(Actor):
    """Crash on order."""

    def __init__(self, watch: Stopwatch) -> None:
        self._watch = watch

    @handles
    async def crash(self, message: Crash) -> None:
        """Raise."""
        error = Oops(self._watch)
        self._watch.crashed()
        raise error

    @handles
    async def recover(self, message: Recover) -> None:
        """Note that the actor is there again."""
        self._watch.recovered()

    @handles
    async def sync(self, message: Sync) -> None:
        """Answer."""


async def answer(stage: Stage) -> AsyncIterator[Figure]:
    """Crash a permanent child without backoff, again and again."""
    watch = Stopwatch()
    tree = Supervisor(
        "tree", intensity=1_000_000, period=1.0, children=[Child("fragile", partial(Fragile, watch))]
    )
    async with open_system() as system:
        await system.spawn(tree)
        fragile = system.get("tree/fragile")
        measured = await in_turns(
            lambda: crash(fragile, watch), lambda: floors.task(CRASHES * 10), stage.seconds
        )
        assert not watch.reports  # nobody listened and nothing is logged: no report was made
        system.events.listen(watch.heard)
        await crash(fragile, watch)
    yield figure(
        "restart",
        stage,
        measured.scaled(MICROSECONDS),
        floor_is="a bare task that does nothing",
        target=TARGET,
    )
    report = Measured(value=min(watch.reports), rounds=len(watch.reports))
    yield figure("crash_report", stage, report.scaled(MICROSECONDS))


async def crash(fragile: Ref, watch: Stopwatch) -> float:
    """Crash and go on, again and again; the middle gap in seconds."""
    watch.gaps.clear()
    for _ in range(CRASHES):
        await fragile.tell(Crash())
        await fragile.tell(Recover())
        await fragile.ask(Sync())
    return statistics.median(watch.gaps)
