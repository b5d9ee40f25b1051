"""The mailbox against a model of plain lists: who is taken, in which order, and to what end.

Hypothesis writes a list of operations. Each is carried out on a real actor in virtual time, and once
more in the model; whenever all wait, the two must agree on everything that can be seen.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from math import inf

import anyio
import anyio.abc
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from relight import Actor, Child, Message, Overflow, Ref, Request, Supervisor, handles, open_system
from relight.runtime import ActorStatistics
from tests.runtime.desk import settle

pytestmark = pytest.mark.anyio

STOP = 3.71
"""Seconds a stop may take; no sum of the waits below."""


class Told(Message, frozen=True):
    number: int


class Asked(Request[int], frozen=True):
    number: int


# --- operations -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tell:
    patient: bool


@dataclass(frozen=True)
class Ask:
    timeout: float


@dataclass(frozen=True)
class Leave:
    """Cancel one of those who wait."""

    which: int


@dataclass(frozen=True)
class End:
    """Let the handler of one message in hand return, or raise."""

    which: int
    crash: bool


@dataclass(frozen=True)
class Wait:
    seconds: float


@dataclass(frozen=True)
class Stop:
    """Stop the actor for good."""


Operation = Tell | Ask | Leave | End | Wait | Stop

operations = st.lists(
    st.one_of(
        st.builds(Tell, st.booleans()),
        st.builds(Tell, st.booleans()),
        st.builds(Ask, st.sampled_from([inf, 1.1, 7.3])),
        st.builds(Ask, st.sampled_from([inf, 1.1, 7.3])),
        st.builds(Leave, st.integers(0, 9)),
        st.builds(End, st.integers(0, 1), st.just(False)),
        st.builds(End, st.integers(0, 1), st.booleans()),
        st.builds(Wait, st.sampled_from([0.6, 2.0, 5.0])),
    ),
    min_size=3,
    max_size=40,
)


# --- the model ------------------------------------------------------------------------------------


@dataclass(eq=False)
class Entry:
    number: int
    asked: bool
    due: float = inf
    gone: bool = False
    """Its asker has left or was told that its time is up."""


@dataclass
class Model:
    """An actor's mailbox, as its documentation describes it."""

    capacity: int
    concurrency: int
    overflow: Overflow
    now: float = 0.0
    queue: list[Entry] = field(default_factory=list[Entry])
    line: list[Entry] = field(default_factory=list[Entry])
    hands: list[Entry] = field(default_factory=list[Entry])
    outcomes: dict[int, str] = field(default_factory=dict[int, str])
    begun: list[int] = field(default_factory=list[int])
    stopped_by: float | None = None
    accepted: int = 0
    handled: int = 0
    crashed: int = 0
    dead: int = 0
    abandoned: int = 0
    late: int = 0

    # what is sent

    def send(self, entry: Entry, *, patient: bool = True) -> None:
        if self.stopped_by is not None:
            self.outcomes[entry.number] = "MailboxClosedError"
        elif len(self.queue) < self.capacity:
            self._take(entry)
        elif not entry.asked and self.overflow is Overflow.DROP_NEWEST:
            self.accepted += 1
            self.dead += 1
            self.outcomes[entry.number] = "taken"
        elif not entry.asked and self.overflow is Overflow.DROP_OLDEST and self._oldest_told():
            self.queue.remove(self._oldest_told()[0])
            self.dead += 1
            self._take(entry)
        elif patient:
            self.outcomes[entry.number] = "pending"
            self.line.append(entry)
        else:
            self.outcomes[entry.number] = "MailboxFullError"
        self._pump()

    def _take(self, entry: Entry) -> None:
        self.accepted += 1
        self.outcomes[entry.number] = "pending" if entry.asked else "taken"
        self.queue.append(entry)

    def _oldest_told(self) -> list[Entry]:
        return [queued for queued in self.queue if not queued.asked][:1]

    def _pump(self) -> None:
        while self.stopped_by is None and self.queue and len(self.hands) < self.concurrency:
            entry = self.queue.pop(0)
            while self.line and len(self.queue) < self.capacity:
                self._take(self.line.pop(0))
            if entry.gone:
                self.abandoned += 1
            else:
                self.hands.append(entry)
                self.begun.append(entry.number)

    # what becomes of it

    def leave(self, entry: Entry, outcome: str) -> None:
        """Let a sender go, of its own will or because its time is up."""
        self.outcomes[entry.number] = outcome
        entry.gone = True
        if entry in self.line:
            self.line.remove(entry)

    def end(self, entry: Entry, *, crash: bool) -> None:
        if not crash:
            self.hands.remove(entry)
            self.handled += 1
            if entry.asked and entry.gone:
                self.late += 1
            elif entry.asked:
                self.outcomes[entry.number] = f"answer {entry.number}"
        else:
            ends = [entry] if self.stopped_by is not None else list(self.hands)  # the others go with it
            for hand in ends:
                self._cut(hand, "ActorCrashedError")
        self._pump()

    def _cut(self, entry: Entry, outcome: str) -> None:
        self.hands.remove(entry)
        self.handled += 1
        self.crashed += 1
        if entry.asked and not entry.gone:
            self.outcomes[entry.number] = outcome

    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        while True:
            timed = [entry for entry in self.line + self.queue + self.hands if not entry.gone]
            moments = [entry.due for entry in timed] + ([self.stopped_by] if self.stopped_by else [])
            due = min((moment for moment in moments if moment > self.now), default=inf)
            if due > until:
                break
            self.now = due
            for entry in timed:
                if entry.due == due:
                    self.leave(entry, "AskTimeoutError" if entry in self.hands else "DeadlineExceededError")
            if self.stopped_by == due:
                for entry in list(self.hands):
                    self._cut(entry, "ActorStoppedError")
        self.now = until

    def stop(self) -> None:
        if self.stopped_by is not None:
            return
        self.stopped_by = self.now + STOP
        for entry in self.queue:
            if entry.gone:
                self.abandoned += 1
            else:
                self.dead += 1
                if entry.asked:
                    self.outcomes[entry.number] = "ActorStoppedError"
        for entry in self.line:
            self.outcomes[entry.number] = "MailboxClosedError"
        self.queue, self.line = [], []

    def pending(self) -> list[Entry]:
        entries = self.line + self.queue + self.hands
        waiting = [entry for entry in entries if self.outcomes[entry.number] == "pending"]
        return sorted(waiting, key=lambda entry: entry.number)

    def counts(self) -> dict[str, int]:
        return {
            "accepted": self.accepted,
            "handled": self.handled,
            "crashed": self.crashed,
            "dead_letters": self.dead,
            "abandoned": self.abandoned,
            "late_replies": self.late,
            "queued": len(self.queue),
            "waiting": len(self.line),
            "in_hand": len(self.hands),
        }


# --- the real thing ---------------------------------------------------------------------------------


class Book:
    """What senders and handlers saw."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.hands: dict[int, tuple[anyio.Event, list[bool]]] = {}
        self.outcomes: dict[int, str] = {}
        self.scopes: dict[int, anyio.CancelScope] = {}


class Turnstile(Actor):
    """Holds each message until it is told how to end it."""

    def __init__(self, book: Book) -> None:
        self.book = book

    async def hold(self, number: int) -> int:
        ended, crash = anyio.Event(), list[bool]()
        self.book.begun.append(number)
        self.book.hands[number] = ended, crash
        try:
            await ended.wait()
        finally:
            del self.book.hands[number]
        if crash:
            raise ValueError(number)
        return number

    @handles
    async def told(self, message: Told) -> None:
        await self.hold(message.number)

    @handles
    async def asked(self, message: Asked) -> int:
        return await self.hold(message.number)


class Player:
    """Carries out operations on an actor and on the model."""

    def __init__(self, group: anyio.abc.TaskGroup, ref: Ref, book: Book, model: Model) -> None:
        self.group, self.ref, self.book, self.model = group, ref, book, model
        self.number = 0

    async def play(self, operation: Operation) -> None:
        model, hands = self.model, self.model.hands
        match operation:
            case Tell(patient):
                entry = self._entry(asked=False)
                self._send(entry, partial(self._tell, entry.number, patient=patient))
                model.send(entry, patient=patient)
            case Ask(timeout):
                entry = self._entry(asked=True, due=model.now + timeout)
                self._send(entry, partial(self._ask, entry.number, timeout))
                model.send(entry)
            case Leave(which) if pending := model.pending():
                entry = pending[which % len(pending)]
                self.book.scopes[entry.number].cancel()
                model.leave(entry, "left")
            case End(which, crash) if hands:
                entry = hands[which % len(hands)]
                ended, verdict = self.book.hands[entry.number]
                if crash:
                    verdict.append(crash)
                ended.set()
                model.end(entry, crash=crash)
            case Wait(seconds):
                await anyio.sleep(seconds)
                model.wait(seconds)
            case Stop():
                self.group.start_soon(partial(self.ref.stop, timeout=STOP))
                model.stop()
            case _:
                event("idle operation")
        await settle()

    def _entry(self, *, asked: bool, due: float = inf) -> Entry:
        self.number += 1
        return Entry(self.number, asked, due)

    def _send(self, entry: Entry, send: Callable[[], Awaitable[str]]) -> None:
        outcomes, number = self.book.outcomes, entry.number
        scope = self.book.scopes[number] = anyio.CancelScope()

        async def run() -> None:
            outcomes[number] = "left"
            with scope:
                outcomes[number] = "pending"
                try:
                    outcomes[number] = await send()
                except Exception as error:  # noqa: BLE001 - whatever the sender gets
                    outcomes[number] = type(error).__name__
            if scope.cancelled_caught:
                outcomes[number] = "left"

        self.group.start_soon(run)

    async def _tell(self, number: int, *, patient: bool) -> str:
        if patient:
            await self.ref.tell(Told(number))
        else:
            self.ref.tell_nowait(Told(number))
        return "taken"

    async def _ask(self, number: int, timeout: float) -> str:
        return f"answer {await self.ref.ask(Asked(number), timeout=timeout)}"

    def compare(self) -> None:
        found, model, book = self.ref.statistics(), self.model, self.book
        assert book.begun == model.begun
        assert book.outcomes == model.outcomes
        assert _counts(found) == model.counts()


def _counts(found: ActorStatistics) -> dict[str, int]:
    names = ("accepted", "handled", "crashed", "dead_letters", "abandoned", "late_replies")
    return {name: getattr(found, name) for name in (*names, "queued", "waiting", "in_hand")}


@given(
    script=operations,
    stop_at=st.integers(0, 60),
    capacity=st.integers(1, 3),
    concurrency=st.integers(1, 2),
    overflow=st.sampled_from(Overflow),
)
@settings(max_examples=100)
async def test_a_mailbox_does_what_its_model_does(
    script: list[Operation], stop_at: int, capacity: int, concurrency: int, overflow: Overflow
) -> None:
    traits = {"mailbox": capacity, "concurrency": concurrency, "overflow": overflow}
    actor: type[Turnstile] = type("Turnstile", (Turnstile,), traits)
    book, model = Book(), Model(capacity, concurrency, overflow)
    async with open_system() as system, anyio.create_task_group() as group:
        child = Child("turnstile", partial(actor, book))
        await system.spawn(Supervisor("tree", intensity=1000, children=[child]))
        player = Player(group, system.get("tree/turnstile"), book, model)
        for operation in [*script[:stop_at], Stop(), *script[stop_at:]]:
            await player.play(operation)
            player.compare()
        while model.hands:
            await player.play(End(0, crash=False))
            player.compare()
        assert "pending" not in book.outcomes.values()
