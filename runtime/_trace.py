"""Traces: read along what one actor handles.

A traced cell has a table of handlers of its own, whose entries wrap those of the class; every other
actor, and this one when nobody reads along any more, has the class's table. So a trace that is off
costs nothing, and one that is on costs the traced actor alone.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ._exits import text_of
from ._redaction import redact

if TYPE_CHECKING:
    from ._cell import Cell
    from ._handlers import Handler
    from ._messages import Message
    from ._parking import Slot

TEXT = 200
"""Characters kept of a message, a reply or an error."""


class TracePhase(enum.StrEnum):
    """What a trace saw."""

    RECEIVED = "received"
    """A handler begins."""
    HANDLED = "handled"
    """It returned."""
    CRASHED = "crashed"
    """It raised, or was cancelled."""


@dataclass(frozen=True, slots=True)
class TraceEntry:
    """One thing a trace saw. Texts are cleared of secrets and at most 200 characters long."""

    at: float
    """The moment, on the system's clock, in seconds."""
    incarnation: int
    """Which incarnation handles the message, counted from 1."""
    phase: TracePhase
    """What happened."""
    kind: str
    """The message's type."""
    message: str
    """Its ``repr``."""
    seconds: float | None = None
    """How long the handler took; None when it begins."""
    outcome: str = ""
    """The ``repr`` of what it returned, or the error."""


class Trace:
    """What one actor handles, from now on. A context manager, and an asynchronous iterator.

    Iterating waits for more and ends when the trace is closed or the actor has ended for good. It goes on
    over restarts. The buffer is bounded: when it is full, the oldest entry goes and is counted.
    """

    __slots__ = ("_entries", "_is_closed", "_make_slot", "_on_close", "_waiters", "dropped")

    def __init__(self, make_slot: Callable[[], Slot], size: int, on_close: Callable[[Trace], None]) -> None:
        self._entries: deque[TraceEntry] = deque(maxlen=size)
        self._make_slot = make_slot
        self._on_close = on_close
        self._waiters: list[Slot] = []
        self._is_closed = False
        self.dropped = 0
        """Entries that nobody read in time."""

    def read(self) -> list[TraceEntry]:
        """Take what has been seen and not been read yet; never waits."""
        entries = list(self._entries)
        self._entries.clear()
        return entries

    def close(self) -> None:
        """Read along no longer. What is in the buffer can still be read."""
        if not self._is_closed:
            self._is_closed = True
            self._on_close(self)
            self._wake()

    def add(self, entry: TraceEntry) -> None:
        """Take an entry in."""
        if len(self._entries) == self._entries.maxlen:
            self.dropped += 1
        self._entries.append(entry)
        self._wake()

    def _wake(self) -> None:
        for waiter in self._waiters:
            waiter.resolve()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> TraceEntry:
        while not self._entries:
            if self._is_closed:
                raise StopAsyncIteration
            turn = self._make_slot()
            self._waiters.append(turn)
            try:
                await turn
            finally:
                self._waiters.remove(turn)
        return self._entries.popleft()


class Tracer:
    """Who reads along with one actor."""

    __slots__ = ("_cell", "_traces")

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._traces: list[Trace] = []

    def open(self, size: int) -> Trace:
        """Begin one more trace."""
        trace = Trace(self._cell.kernel.slot, size, self._remove)
        self._traces.append(trace)
        if len(self._traces) == 1:
            self.attach()
        return trace

    def close(self) -> None:
        """End them all: the actor has ended."""
        for trace in tuple(self._traces):
            trace.close()

    def attach(self) -> None:
        """Give the actor a table of handlers of its own."""
        self._cell.handlers = TracedHandlers(self._cell, self)
        self._refresh()

    def _remove(self, trace: Trace) -> None:
        self._traces.remove(trace)
        if self._traces:
            return
        self._cell.handlers = self._cell.plan.handlers
        self._refresh()
        ties = self._cell.tied()
        ties.tracer = None
        ties.prune()

    def _refresh(self) -> None:
        """Have workers in the middle of a batch come back after the message in hand, for the new table."""
        for worker in self._cell.workers:
            worker.spent = True

    def say(
        self, phase: TracePhase, message: Message, began: float | None = None, outcome: object = None
    ) -> None:
        """Write one entry into every trace."""
        now = self._cell.kernel.now()
        entry = TraceEntry(
            now,
            self._cell.incarnation,
            phase,
            type(message).__name__,
            _text(message),
            None if began is None else now - began,
            "" if began is None else _text(outcome),
        )
        for trace in tuple(self._traces):
            trace.add(entry)


class TracedHandlers(dict[type["Message"], "Handler"]):
    """A table of handlers that fills itself with wrapped ones."""

    def __init__(self, cell: Cell, tracer: Tracer) -> None:
        super().__init__()
        self._cell = cell
        self._tracer = tracer

    def __missing__(self, kind: type[Message]) -> Handler:
        plan = self._cell.plan
        handler = plan.handlers.get(kind) or plan.find(kind)
        if handler is None:
            raise KeyError(kind)
        traced = self[kind] = _traced(handler, self._tracer, self._cell.kernel.now)
        return traced


def _traced(handler: Handler, tracer: Tracer, now: Callable[[], float]) -> Handler:
    @wraps(handler)
    async def handle(actor: object, message: Message) -> object:
        began = now()
        tracer.say(TracePhase.RECEIVED, message)
        try:
            reply = await handler(actor, message)
        except BaseException as error:
            tracer.say(TracePhase.CRASHED, message, began, error)
            raise
        tracer.say(TracePhase.HANDLED, message, began, reply)
        return reply

    return handle


def _text(value: object) -> str:
    """Show a value, whatever its ``repr`` does: reading along must not crash what is read."""
    try:
        shown = (
            f"{type(value).__name__}: {text_of(value)}" if isinstance(value, BaseException) else repr(value)
        )
    except Exception as problem:  # noqa: BLE001 - a user's code
        shown = f"<no text: its repr raised {type(problem).__name__}>"
    shown = redact(shown)
    return shown if len(shown) <= TEXT else f"{shown[: TEXT - 3]}..."
