"""Ties: all that binds one actor to others, in one object.

Most actors have none, so a cell holds None until the first tie is made and again after the last. Links,
monitors and the control lane are between incarnations: the end of one undoes them. Groups and traces
are the actor's, and last until it has ended for good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._control import Control
from ._links import Exited
from ._monitors import Down

if TYPE_CHECKING:
    from weakref import WeakSet

    from ._cell import Cell
    from ._exits import ExitReason
    from ._messages import Message
    from ._monitors import Monitor
    from ._trace import Tracer


class Ties:
    """What binds one actor to others."""

    __slots__ = ("_cell", "control", "groups", "links", "monitors", "tracer", "watchers", "watching")

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self.links: dict[Cell, None] = {}
        """The other ends of its links, each of which holds this one too."""
        self.monitors: WeakSet[Monitor] | None = None
        """Who waits for its end. Weak: who drops a monitor need not take it back."""
        self.watchers: dict[Monitor, None] = {}
        """Monitors that tell another actor of its end."""
        self.watching: dict[Monitor, None] = {}
        """Monitors that tell this one of others' ends."""
        self.control: Control | None = None
        """What goes before its messages."""
        self.groups: dict[str, None] = {}
        """Names of the groups it is in."""
        self.tracer: Tracer | None = None
        """Who reads along."""

    def put(self, message: Message) -> None:
        """Have the actor handle *message* before whatever is queued."""
        self.lane().put(message)

    def lane(self) -> Control:
        """Return the control lane, made at its first use."""
        if self.control is None:
            self.control = Control(self._cell)
        return self.control

    @property
    def is_urgent(self) -> bool:
        """Tell whether something waits that goes before messages."""
        return self.control is not None and self.control.is_urgent

    def advance(self) -> None:
        """Look what in the control lane can begin: a handler has ended, or the actor runs again."""
        if self.control is not None:
            self.control.advance()

    def end(self, reason: ExitReason) -> None:
        """Undo what tied the incarnation that has ended, then tell those at the other ends."""
        cell = self._cell
        links, self.links = self.links, {}
        monitors = [*(self.monitors or ()), *self.watchers]
        self.monitors, self.watchers = None, {}
        if self.control is not None:
            self.control.drop()
            self.control = None
        for monitor in tuple(self.watching):
            monitor.cancel()
        self.prune()
        for other in links:
            cell.kernel.links.forget(other, cell)
        for monitor in monitors:
            monitor.fire(Down(cell, cell.incarnation, reason))
        if links:
            cell.kernel.links.signal(links, Exited(cell, cell.incarnation, reason))

    def leave_groups(self) -> None:
        """Leave every group: the actor takes no more messages."""
        for name in self.groups:
            self._cell.kernel.groups.drop(name, self._cell)
        self.groups.clear()

    def finish(self, reason: ExitReason) -> None:
        """Undo what is left: the actor has ended for good, perhaps in a start that nobody was told of."""
        if self.tracer is not None:
            self.tracer.close()
        self.end(reason)

    def prune(self) -> None:
        """Let go of this object if nothing is tied any more."""
        if self._cell.ties is self and not self._is_needed():
            self._cell.ties = None

    def _is_needed(self) -> bool:
        if self.links or self.monitors or self.watchers or self.watching or self.groups:
            return True
        return self.tracer is not None or self.is_urgent
