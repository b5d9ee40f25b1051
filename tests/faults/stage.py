"""A system to be disturbed, and the look at it afterwards."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial

import anyio

from relight import Actor, Child, ExitReason, Ref, Request, System, handles, open_system
from tests.runtime.desk import Desk, Log, settle
from tests.support.rest import Baseline, living_tasks


class Hooked(Desk):
    """A desk whose start and stop take a second each, and are logged."""

    async def started(self) -> None:
        self.log.append("enters")
        try:
            await anyio.sleep(1)
        except BaseException:
            self.log.append("left")  # nothing else will say so
            raise

    async def stopping(self, reason: ExitReason) -> None:
        await anyio.sleep(1)
        self.log.append("left")


class Housed(Desk):
    """A desk in a lifespan that takes a second to enter and one to leave."""

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None, None]:
        self.log.append("enters")
        try:
            await anyio.sleep(1)
            yield
            await anyio.sleep(1)
        finally:
            self.log.append("left")


class Stage:
    """One actor in a system, and what it looked like before the play."""

    def __init__(self, system: System, ref: Ref, log: Log) -> None:
        self.system, self.ref, self.log = system, ref, log
        self.baseline = Baseline(system)

    async def empty(self) -> None:
        """Let everybody through the gate, and all timers run out."""
        for _ in range(20):
            self.log.open()
            await settle()
        await anyio.sleep(100)
        await settle()


@asynccontextmanager
async def open_stage(actor: Callable[[Log], Actor] = Desk) -> AsyncGenerator[Stage, None]:
    """Open a system with one actor; afterwards no task is left of it."""
    tasks = living_tasks()
    log = Log()
    async with open_system() as system:
        ref = await system.spawn(Child("desk", partial(actor, log)))
        await settle()
        yield Stage(system, ref, log)
    await settle()
    assert living_tasks() == tasks, "a task outlived its system"


class Relay(Request[int], frozen=True):
    """Asked: is passed on to the desk in the log's ``far``."""

    message: Request[int]


class Relayer(Desk):
    """Asks another in its turn."""

    @handles
    async def relay(self, message: Relay) -> int:
        return await self.log.far.ask(message.message)


def balanced(log: Log) -> bool:
    """Tell whether what was entered has been left."""
    return log.count("enters") == log.count("left")
