"""What does a long queue cost those who queue in it, and those who do not?

Asks that should not notice it: of an actor whose own mailbox is long while it asks (OTP's suite does
the same to ``gen_server:call`` and allows ten times), of another actor, and of the supervisor above.
Messages that should not: those in it. And somebody who has to share the event loop with its end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import anyio

from relight import Actor, Child, Message, Ref, Request, Supervisor, SupervisorRef, handles, open_system

from ._counter import Counter, Total
from .harness import MICROSECONDS, Figure, Stage, Target, Turns, clock, figure, percentile, settle

QUEUE = 500_000
"""Messages in the mailbox while others are asked, as in OTP's suite."""
LONG, SHORT = 100_000, 100
"""Messages that are drained."""
QUICK = 10
"""A quick look takes long queues shorter by so much."""
ROUNDS, QUICK_ROUNDS = 12, 3
ASKS = 200
CALLER_TARGET = Target(10.0)
OTHERS_TARGET = Target(1.2)
DRAIN_TARGET = Target(1.3)


class Note(Message, frozen=True):
    """Be counted."""


class Mark(Message, frozen=True):
    """Note the time."""

    times: list[float]


class Block(Message, frozen=True):
    """Keep the actor busy until it is let go."""

    release: anyio.Event


class AskAround(Request[float], frozen=True):
    """Ask another actor, from within this one's handler."""

    other: Ref


class Sync(Request[None], frozen=True):
    """Answer when all before it was handled."""


class Reader(Actor):
    """Read a mailbox that may be very long."""

    mailbox = QUEUE + 10

    @handles
    async def note(self, message: Note) -> None:
        """Do nothing: the least a handler can do."""

    @handles
    async def mark(self, message: Mark) -> None:
        """Note when it was this message's turn."""
        message.times.append(clock())

    @handles
    async def block(self, message: Block) -> None:
        """Stay in hand."""
        await message.release.wait()

    @handles
    async def ask_around(self, message: AskAround) -> float:
        """Say how many seconds an ask of another actor takes."""
        return await _asks(message.other)

    @handles
    async def sync(self, message: Sync) -> None:
        """Answer."""


async def answer(stage: Stage) -> AsyncIterator[Figure]:
    """Let a queue grow, ask around, and drain it."""
    queue, long = (QUEUE // QUICK, LONG // QUICK) if stage.is_quick else (QUEUE, LONG)
    rounds = QUICK_ROUNDS if stage.is_quick else ROUNDS
    async with open_system() as system:
        tree = await system.spawn(Supervisor("tree", children=[Child("reader", Reader)]))
        reader = system.get("tree/reader")
        other = await system.spawn(Child("other", Counter))
        await ask_around(reader, other, queue)
        settle()
        yield await _of_the_caller(stage, reader, other, queue, rounds)
        yield await _of_others(stage, "backlog_other", reader, lambda: _asks(other), queue, rounds)
        yield await _of_others(stage, "backlog_supervisor", reader, lambda: _administers(tree), queue, rounds)
        yield await _drains(stage, reader, long, rounds)
        yield await _bystander(stage, reader, other, long, rounds)


async def _of_the_caller(stage: Stage, reader: Ref, other: Ref, queue: int, rounds: int) -> Figure:
    """Have an actor ask while its own mailbox is long, and while it is empty."""
    turns = Turns()
    for _ in range(rounds):
        turns.add(await ask_around(reader, other, queue), await ask_around(reader, other, 0))
    return figure(
        "backlog_caller",
        stage,
        turns.best().scaled(MICROSECONDS),
        floor_is="an ask by an actor with an empty mailbox",
        target=CALLER_TARGET,
    )


async def ask_around(reader: Ref, other: Ref, queue: int) -> float:
    """Have *reader* ask *other* while so many messages wait behind; seconds an ask."""
    took: list[float] = []

    async def ask() -> None:
        took.append(await reader.ask(AskAround(other)))

    async with anyio.create_task_group() as group:
        release = anyio.Event()
        reader.tell_nowait(Block(release))
        group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()  # now the question is next in the queue
        _fill(reader, queue)
        release.set()
    await reader.ask(Sync())
    return took[0]


async def _of_others(
    stage: Stage, name: str, reader: Ref, ask: Callable[[], Awaitable[float]], queue: int, rounds: int
) -> Figure:
    """Ask others than the reader while its mailbox is long and it stands still, and while it is empty."""
    turns = Turns()
    for _ in range(rounds):
        release = anyio.Event()
        reader.tell_nowait(Block(release))
        await anyio.wait_all_tasks_blocked()
        empty = [await ask() for _ in range(5)]
        _fill(reader, queue)
        turns.add(min([await ask() for _ in range(5)]), min(empty))
        release.set()
        await reader.ask(Sync())
    return figure(
        name,
        stage,
        turns.best().scaled(MICROSECONDS),
        floor_is="the same ask while the mailbox is empty",
        target=OTHERS_TARGET,
    )


async def _drains(stage: Stage, reader: Ref, long: int, rounds: int) -> Figure:
    """Time the messages of a long queue and of short ones, from the first's turn to the last's."""
    turns = Turns()
    for _ in range(rounds):
        short = [await drain(reader, SHORT) for _ in range(20)]
        turns.add(await drain(reader, long), min(short))
    return figure(
        "backlog_drain",
        stage,
        turns.best().scaled(MICROSECONDS),
        floor_is=f"a message of a queue of {SHORT}",
        target=DRAIN_TARGET,
    )


async def drain(reader: Ref, queue: int) -> float:
    """Have a queue handled; seconds a message, from the turn of the first to that of the last."""
    times: list[float] = []
    mark = Mark(times)
    reader.tell_nowait(mark)
    _fill(reader, queue)
    reader.tell_nowait(mark)
    await reader.ask(Sync())
    first, last = times
    return (last - first) / queue


async def _bystander(stage: Stage, reader: Ref, other: Ref, long: int, rounds: int) -> Figure:
    """Ask another actor while the reader handles one message after the other."""
    turns = Turns()
    for _ in range(rounds):
        quiet = [await _ask(other) for _ in range(1000)]
        _fill(reader, long)
        beside: list[float] = []
        while reader.statistics().queued:
            beside.append(await _ask(other))
        turns.add(percentile(beside, 0.99), percentile(quiet, 0.99))
    return figure(
        "backlog_bystander",
        stage,
        turns.medians().scaled(MICROSECONDS),
        floor_is="p99 of an ask while nothing else happens",
    )


def _fill(reader: Ref, queue: int) -> None:
    message = Note()
    for _ in range(queue):
        reader.tell_nowait(message)


async def _ask(other: Ref) -> float:
    began = clock()
    await other.ask(Total())
    return clock() - began


async def _asks(other: Ref) -> float:
    message = Total()
    began = clock()
    for _ in range(ASKS):
        await other.ask(message)
    return (clock() - began) / ASKS


async def _administers(tree: SupervisorRef) -> float:
    began = clock()
    for _ in range(ASKS):
        await tree.count_children()
    return (clock() - began) / ASKS
