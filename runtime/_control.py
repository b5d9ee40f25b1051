"""The control lane of one actor: what goes before its messages, whatever is queued.

Two kinds of things wait here. *Signals* are messages of the runtime to an actor: `Exited`, `Down`.
*Turns* are given to who wants the actor for a moment while nothing of it is in hand.

Neither is in the mailbox, so neither counts against its bound. While something waits here the cell is
*held*: its state is ``running`` and its ``active`` None, which every worker notices before its next
message. So nothing is asked of the path a message takes, and an actor without signals pays nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ._errors import NotRunningError
from ._statistics import ActorState

if TYPE_CHECKING:
    from ._cell import Cell
    from ._dispatch import Worker
    from ._messages import Message
    from ._parking import Slot


class Control:
    """What goes before the messages of one incarnation. Work for the dispatcher: one signal a drain."""

    __slots__ = ("_cell", "_scheduled", "_signals", "_turns")

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._signals: deque[Message] = deque()
        self._scheduled = 0
        """Drains on their way to a worker; each holds one of the cell's permits."""
        self._turns: deque[Slot] = deque()
        """Who wants the actor to itself; the first has it once its slot is done."""

    @property
    def is_urgent(self) -> bool:
        """Tell whether something waits."""
        return bool(self._signals or self._turns)

    def put(self, signal: Message) -> None:
        """Have *signal* handled after those put before it and before any message."""
        self._signals.append(signal)
        self._hold()
        self.advance()

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None, None]:
        """Hold the actor between two messages, with nothing of it in hand, for the length of the block.

        Raises:
            NotRunningError: The incarnation ended first.
        """
        turn = self._cell.kernel.slot()
        self._turns.append(turn)
        self._hold()
        self.advance()
        try:
            await turn
            if turn not in self._turns:
                raise NotRunningError(self._cell)
            yield
        finally:
            if turn in self._turns:
                self._turns.remove(turn)
                self.advance()
            self._prune()

    def advance(self) -> None:
        """Begin what can begin; let messages through when nothing waits any more."""
        cell = self._cell
        if self._turns:
            if self._is_quiet():
                self._turns[0].resolve()
        elif cell.state is not ActorState.RUNNING:
            pass  # a suspended actor handles no signals either
        elif not self._signals:
            cell.resume()
        else:
            while cell.busy < cell.concurrency and self._scheduled < len(self._signals):
                cell.busy += 1
                self._scheduled += 1
                cell.kernel.schedule(self)

    def drop(self) -> None:
        """Forget what waits: the incarnation it was for has ended."""
        self._signals.clear()
        turns, self._turns = self._turns, deque()
        for turn in turns:
            turn.resolve()

    async def drain(self, worker: Worker, left: int, /) -> int:
        """Handle one signal. A permit of the cell came with the scheduling."""
        cell = self._cell
        self._scheduled -= 1
        if self._turns or not self._signals or cell.state is not ActorState.RUNNING:
            cell.permit_back()
            return left
        signal = self._signals.popleft()
        if not self.is_urgent:
            cell.resume()  # with one permit there is none for a message yet; with more, the others go on
        await cell.handle_signal(worker, signal)
        self._prune()
        return left - 1

    def _prune(self) -> None:
        if self._cell.ties is not None:
            self._cell.ties.prune()

    def _hold(self) -> None:
        if self._cell.state is ActorState.RUNNING:
            self._cell.hold(ActorState.RUNNING)

    def _is_quiet(self) -> bool:
        cell = self._cell
        return not any(worker.actor is cell.actor for worker in cell.workers)
