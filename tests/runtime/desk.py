"""Actors, messages and helpers that the runtime's tests share."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from math import inf
from typing import Generic, TypeVar

import anyio
import anyio.abc

from relight import Actor, Child, Message, Ref, Request, System, handles, open_system
from relight.runtime import ActorCell
from relight.testing import jump as jump  # shared with the tests that import this module
from relight.testing import settle as settle

ReplyT = TypeVar("ReplyT")


class Note(Message, frozen=True):
    """Told: is written into the log."""

    text: object = "note"


class Echo(Request[int], frozen=True):
    """Asked: the number comes back, and is written into the log."""

    number: int = 0


class Hold(Request[int], frozen=True):
    """Asked: the number comes back when the gate opens."""

    number: int = 0


class Nap(Request[float], frozen=True):
    """Asked: the seconds come back after they have passed."""

    seconds: float = 1.0


class Dig(Request[int], frozen=True):
    """Asked: swallows its cancellation for some seconds."""

    seconds: float = 60.0


class Boom(Request[int], frozen=True):
    """Asked or told: raises."""

    why: str = "boom"


class Unknown(Request[int], frozen=True):
    """Nobody handles it."""


class Log(list[object]):
    """What actors did, in order, over all incarnations; and the gate that `Hold` waits at."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = anyio.Event()
        self.storm = anyio.Event()
        """Ends what a test wants to end at its moment."""
        self.made = 0
        """Incarnations made so far."""
        self.far: Ref
        """Whom actors ask in their turn, where a test needs it."""

    def open(self) -> None:
        """Let everybody through who waits at the gate."""
        self.gate.set()
        self.gate = anyio.Event()


class Desk(Actor):
    """Do what is asked, and log it."""

    def __init__(self, log: Log) -> None:
        self.log = log
        log.made += 1
        self.number = log.made

    @handles
    async def note(self, message: Note) -> None:
        self.log.append(message.text)

    @handles
    async def echo(self, message: Echo) -> int:
        self.log.append(message.number)
        return message.number

    @handles
    async def hold(self, message: Hold) -> int:
        gate = self.log.gate
        self.log.append(("holds", message.number))
        try:
            await gate.wait()
        except BaseException:
            self.log.append(("cancelled", message.number))
            raise
        self.log.append(("held", message.number))
        return message.number

    @handles
    async def nap(self, message: Nap) -> float:
        await anyio.sleep(message.seconds)
        return message.seconds

    @handles
    async def dig(self, message: Dig) -> int:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(message.seconds)
        self.log.append("dug")
        return 1

    @handles
    async def boom(self, message: Boom) -> int:
        raise ValueError(message.why)


class Crowd(Desk):
    """A desk for three at once."""

    concurrency = 3


class Narrow(Desk):
    """A desk with a mailbox for one."""

    mailbox = 1


class Answer(Generic[ReplyT]):
    """What became of an ask made in another task."""

    def __init__(self) -> None:
        self.value: ReplyT | None = None
        self.error: Exception | None = None
        self.at: float | None = None
        """The moment it came."""
        self.scope = anyio.CancelScope()

    @property
    def is_in(self) -> bool:
        return self.at is not None

    async def run(self, ref: Ref, message: Request[ReplyT], timeout: float | None) -> None:
        with self.scope:
            try:
                self.value = await ref.ask(message, timeout=timeout)
            except Exception as error:  # noqa: BLE001 - whatever the asker gets
                self.error = error
            self.at = anyio.current_time()


async def asking(
    group: anyio.abc.TaskGroup, ref: Ref, message: Request[ReplyT], timeout: float | None = inf
) -> Answer[ReplyT]:
    """Ask in a task of *group*, let everybody run until all wait, and return what will hold the answer."""
    answer: Answer[ReplyT] = Answer()
    group.start_soon(answer.run, ref, message, timeout)
    await settle()
    return answer


async def telling(group: anyio.abc.TaskGroup, ref: Ref, message: Message) -> Answer[None]:
    """Tell in a task of *group*, let everybody run until all wait, and return what will hold the outcome."""
    answer: Answer[None] = Answer()

    async def run() -> None:
        with answer.scope:
            try:
                await ref.tell(message)
            except Exception as error:  # noqa: BLE001
                answer.error = error
            answer.at = anyio.current_time()

    group.start_soon(run)
    await settle()
    return answer


@asynccontextmanager
async def open_desk(
    actor: Callable[[Log], Actor] = Desk, *, shutdown: float = 5.0
) -> AsyncGenerator[tuple[System, Ref, Log], None]:
    """Open a system with one actor, ``desk``."""
    log = Log()
    async with open_system() as system:
        ref = await system.spawn(Child("desk", partial(actor, log), shutdown=shutdown))
        yield system, ref, log


def heard(system: System) -> list[tuple[str, Mapping[str, object]]]:
    """Collect the events of a system."""
    events: list[tuple[str, Mapping[str, object]]] = []
    system.events.listen(lambda name, fields: events.append((name, fields)))
    return events


def cell_of(ref: Ref) -> ActorCell:
    """Look behind a ref, where a test needs what has no face."""
    assert isinstance(ref, ActorCell)
    return ref
