"""What a supervisor can be asked, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..runtime import Actor, Cell, ExitReason, Notice, Ref, Request
from ._children import ChildRecord
from ._specs import Spec


class StartChild(Request[Ref], frozen=True):
    """Start a child at the end of the list."""

    spec: Spec
    token: object
    """Tells this request from any other."""


class TakeBack(Notice, frozen=True):
    """The asker of a start has left: nothing of it is to stay."""

    token: object


class TerminateChild(Request[None], frozen=True):
    """Stop a child; its spec stays, unless it is temporary."""

    id: str


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


class ChildExited(Notice, frozen=True):
    """An incarnation of a child has ended, not by its supervisor's will."""

    cell: Cell
    incarnation: int
    reason: ExitReason


class TerminateRef(Request[None], frozen=True):
    """Stop a child known by its ref; for supervisors whose children have no ids of their own."""

    ref: Ref


class StartNumbered(Request[Ref], frozen=True):
    """Start one more child from the template, with arguments of its own."""

    arguments: tuple[object, ...]
    named: dict[str, object]
    token: object


class Resize(Request[None], frozen=True):
    """Change how many members of a pool get messages."""

    size: int
    drain: float
    """Seconds that members which are too many have to handle what is queued for them."""


class Retire(Notice, frozen=True):
    """Look whether a member that gets no more messages has handled the last."""

    id: str
    due: float
    """The moment when it is stopped in any case."""


class ReplaceMember(Request[None], frozen=True):
    """Start a member of a pool afresh, perhaps of another make."""

    id: str
    start: Callable[[], Actor] | None


class StopRef(Request[None], frozen=True):
    """A child's ref was asked to stop it for good."""

    cell: Cell
    reason: ExitReason
    timeout: float | None


class TryRestart(Notice, frozen=True):
    """The wait before a restart is over."""

    record: ChildRecord
    """Not its id, which may be another child's by then."""
    turn: int
    is_counted: bool
    """Its restart window has counted it already."""


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
