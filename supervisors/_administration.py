"""What a supervisor can be asked, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass

from ..runtime import NORMAL, Cell, ExitReason, Message, Ref, Request
from ._child import Child, Supervisor


class StartChild(Request[Ref], frozen=True):
    """Start a child at the end of the list."""

    spec: Child | Supervisor


class TakeBack(Message, frozen=True):
    """The asker of a start has left: nothing of it is to stay."""

    request: StartChild


class TerminateChild(Request[None], frozen=True):
    """Stop a child; its spec stays, unless it is temporary."""

    id: str
    reason: ExitReason = NORMAL
    timeout: float | None = None


class RestartChild(Request[Ref], frozen=True):
    """Start a child that is known but not running."""

    id: str


class DeleteChild(Request[None], frozen=True):
    """Forget a child that is not running."""

    id: str


class WhichChildren(Request["list[ChildStatus]"], frozen=True):
    """List the children, newest first."""


class CountChildren(Request["ChildCounts"], frozen=True):
    """Count the children."""


class ChildExited(Message, frozen=True):
    """An incarnation of a child has ended, not by its supervisor's will."""

    cell: Cell
    reason: ExitReason


class StopRef(Request[None], frozen=True):
    """A child's ref was asked to stop it for good."""

    cell: Cell
    reason: ExitReason
    timeout: float | None


class TryRestart(Message, frozen=True):
    """The wait before a restart is over."""

    id: str
    turn: int


@dataclass(frozen=True, slots=True)
class ChildStatus:
    """One child, as its supervisor knows it."""

    id: str
    """Its id."""
    ref: Ref | None
    """Its ref; None when it is not running."""
    is_restarting: bool
    """It is between two incarnations."""
    is_supervisor: bool
    """It supervises children of its own."""
    restarts: int
    """How often it was started again."""


@dataclass(frozen=True, slots=True)
class ChildCounts:
    """How many children a supervisor has."""

    specs: int
    """Children known."""
    active: int
    """Children running; restarting ones are not."""
    supervisors: int
    """Known children that are supervisors."""
    workers: int
    """Known children that are not."""
