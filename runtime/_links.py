"""Links and exit signals: actors that end together, after Erlang's.

A link is symmetric and between incarnations. When one end's incarnation ends the link is gone and the
other end gets an exit signal:

    reason normal     ignored
    any other         the actor ends with the same reason, and takes its own links along
    it traps exits    the signal becomes a message, `Exited`, that goes before what is queued

Signals act at once, in the stack of whoever caused them. A long chain of links would be a deep one, so
a signal that is caused by another waits in a queue until that one is done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ._errors import NoSuchActorError
from ._exits import ExitKind, ExitReason
from ._messages import Message
from ._ref import Ref
from ._statistics import ActorState

if TYPE_CHECKING:
    from ._actor import Actor
    from ._cell import Cell


class Exited(Message, frozen=True):
    """An exit signal, as an actor with ``traps_exits`` is told of it."""

    ref: Ref | None
    """The linked actor that has ended, or who sent the signal; None where that was no actor."""
    incarnation: int
    """Which incarnation of it, counted from 1; 0 where none had begun, or none has ended."""
    reason: ExitReason
    """Why it ended. For a link to what was dead before: a `NoSuchActorError`."""


class Links:
    """Make links and deliver exit signals."""

    __slots__ = ("_is_delivering", "_signals")

    def __init__(self) -> None:
        self._signals: deque[tuple[Cell, Actor, Exited]] = deque()
        self._is_delivering = False

    def link(self, one: Cell, other: Cell) -> None:
        """Link the incarnations that live now; where one is dead, the other gets its signal at once."""
        if one is other:
            return
        if one.has_life and other.has_life:
            one.tied().links[other] = None
            other.tied().links[one] = None
        elif other.has_life:
            self.signal([other], _no_such(one))
        elif one.has_life:
            self.signal([one], _no_such(other))

    def unlink(self, one: Cell, other: Cell) -> None:
        """Undo the link between two actors, if there is one."""
        self.forget(one, other)
        self.forget(other, one)

    def forget(self, one: Cell, other: Cell) -> None:
        """Take *other* from the links of *one*."""
        if one.ties is not None:
            one.ties.links.pop(other, None)
            one.ties.prune()

    def exit(self, cell: Cell, reason: ExitReason, sender: Cell | None) -> None:
        """Send an exit signal to an actor; one that says killed can't be trapped."""
        if reason.kind is ExitKind.KILLED:
            cell.kill(reason, final=False)
        else:
            self.signal([cell], Exited(sender, 0, reason))

    def signal(self, cells: Iterable[Cell], signal: Exited) -> None:
        """Deliver an exit signal to the incarnations that live now, whatever the first ones cause."""
        self._signals.extend((cell, cell.actor, signal) for cell in cells)
        if self._is_delivering:
            return
        self._is_delivering = True
        try:
            while self._signals:
                _deliver(*self._signals.popleft())
        finally:
            self._is_delivering = False


def _deliver(cell: Cell, actor: Actor, signal: Exited) -> None:
    if cell.actor is not actor or not cell.is_signallable:
        return  # it has ended meanwhile, or is ending
    if actor.traps_exits:
        cell.tied().put(signal)
    elif signal.reason.kind is ExitKind.NORMAL:
        pass
    elif cell.state is ActorState.STARTING:
        cell.kill(signal.reason, final=False)
    else:
        cell.depart(signal.reason, grace=0.0)


def _no_such(dead: Cell) -> Exited:
    """What OTP calls ``noproc``: whoever counts on a dead actor is told, however that one ended."""
    error = NoSuchActorError(dead.path)
    return Exited(dead, dead.incarnation, ExitReason(ExitKind.CRASHED, error, f"{dead.path} was dead before"))
