"""What a supervisor remembers of each child."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from ..runtime import Actor, Cell, Ref, Timer
from ._child import Child


class ChildState(enum.Enum):
    """Where a child is, in its supervisor's eyes."""

    RUNNING = enum.auto()
    RESTARTING = enum.auto()
    """Its last incarnation has ended or failed to start, and the next try is due."""
    UNDEFINED = enum.auto()
    """Known and not running. With a cell it waits for the restart of its group, without it for nothing."""


# An enum member costs 70 ns on Python 3.11, and a spawn or a restart asks for several.
RUNNING: Final = ChildState.RUNNING
RESTARTING: Final = ChildState.RESTARTING
UNDEFINED: Final = ChildState.UNDEFINED


@dataclass(slots=True, eq=False)
class ChildRecord:
    """One child of one supervisor."""

    spec: Child
    """How to start it; for a child supervisor, made from its description."""
    is_supervisor: bool
    cell: Cell | None = None
    """Its place while it runs, restarts, or waits for the restart of its group."""
    state: ChildState = UNDEFINED
    failures: int = 0
    """Exits in a row that came too soon after the start; the backoff counts them."""
    began: float = 0.0
    """The moment its newest incarnation began."""
    turn: int = 0
    """Counts decisions, so that a restart that was overtaken does nothing."""
    timer: Timer | None = field(default=None)
    """The wait before its restart."""
    request: object = None
    """The token of the request that started it, so that the request can be taken back."""

    @property
    def id(self) -> str:
        """Its id."""
        return self.spec.id

    @property
    def restart_due(self) -> float | None:
        """The moment of its next restart, where it waits for one."""
        return None if self.timer is None or self.timer.done else self.timer.due

    @property
    def ref(self) -> Ref:
        """The ref others use: for a service its own, not its supervisor's."""
        assert self.cell is not None
        front = getattr(self.cell.actor, "front", None)
        return front if isinstance(front, Ref) else self.cell

    @property
    def front_or_cell(self) -> Ref | None:
        """The ref others use; None while it has no cell."""
        return None if self.cell is None else self.ref

    @property
    def is_held(self) -> bool:
        """Tell whether it was stopped with its group, and waits to be started with it again."""
        return self.state is ChildState.UNDEFINED and self.cell is not None

    @property
    def is_active(self) -> bool:
        """Tell whether it is really alive: an exit its supervisor has not come to yet is one."""
        return self.state is RUNNING and self.cell is not None and self.cell.is_running

    def overtake(self) -> int:
        """Take back a restart that waits, and number the next decision."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self.turn += 1
        return self.turn


def factory_class(start: object) -> type[Actor] | None:
    """Tell the actor class a factory makes, where that can be known without calling it."""
    while isinstance(start, partial):
        start = start.func
    if not (isinstance(start, type) and issubclass(start, Actor)):
        return None
    return start if start.__new__ is object.__new__ else None


def has_start_hooks(made: type[Actor]) -> bool:
    """Tell whether an actor of this class has something to wait for on its way in."""
    return made.started is not Actor.started or made.lifespan is not Actor.lifespan
