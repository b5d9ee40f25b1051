"""What a supervisor can be asked, and the handle that asks it."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from ..runtime import NORMAL, Cell, ExitReason, Message, Ref, Request
from ._child import Child, Supervisor

if TYPE_CHECKING:
    from ._supervisor import SupervisorActor


class StartChild(Request[Ref], frozen=True):
    """Start a child at the end of the list."""

    spec: Child | Supervisor


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


class SupervisorRef:
    """Administer a running supervisor.

    Requests are handled one after another, and behind restarts that are due; while a child starts,
    its supervisor is busy. All of them raise ``MailboxClosedError`` or ``ActorStoppedError`` when
    the supervisor has ended, at once.
    """

    __slots__ = ("_cell",)

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    def __repr__(self) -> str:
        return f"<SupervisorRef {self._cell.path}>"

    @property
    def ref(self) -> Ref:
        """The supervisor as an actor."""
        return self._cell

    @property
    def path(self) -> str:
        """Where the supervisor stands in the tree."""
        return self._cell.path

    async def start_child(self, child: Child) -> Ref:
        """Start a child after the others and return its ref.

        Cancelled meanwhile, the child is stopped again.

        Raises:
            StartError: Its factory, start hook or lifespan raised. No spec is kept.
            AlreadyStartedError: A child of this id runs; carries its ref.
            AlreadyPresentError: A child of this id is known but does not run.
        """
        supervisor = self._idle_supervisor()
        if supervisor is not None:
            started = supervisor.start_at_once(child)
            if started is not None:
                return started
        return await self._cell.ask(StartChild(child), timeout=inf)

    async def start_supervisor(self, supervisor: Supervisor) -> SupervisorRef:
        """Start a supervisor with its children below this one; raises as `start_child`."""
        cell = await self._cell.ask(StartChild(supervisor), timeout=inf)
        assert isinstance(cell, Cell)
        return SupervisorRef(cell)

    async def terminate_child(self, id: str) -> None:  # noqa: A002 - the field's name
        """Stop a child and wait for its end; a stopped one is no error.

        Raises:
            ChildNotFoundError: There is no such child.
        """
        await self._cell.ask(TerminateChild(id), timeout=inf)

    async def restart_child(self, id: str) -> Ref:  # noqa: A002
        """Start a child that is known but does not run.

        Raises:
            ChildRunningError: It runs.
            ChildRestartingError: It is between two incarnations.
            ChildNotFoundError: There is no such child.
            StartError: It did not start; its spec is kept.
        """
        return await self._cell.ask(RestartChild(id), timeout=inf)

    async def delete_child(self, id: str) -> None:  # noqa: A002
        """Forget a stopped child.

        Raises:
            ChildRunningError: It runs.
            ChildRestartingError: It is between two incarnations.
            ChildNotFoundError: There is no such child.
        """
        await self._cell.ask(DeleteChild(id), timeout=inf)

    async def which_children(self) -> list[ChildStatus]:
        """List the children, newest first."""
        return await self._cell.ask(WhichChildren(), timeout=inf)

    async def count_children(self) -> ChildCounts:
        """Count the children."""
        return await self._cell.ask(CountChildren(), timeout=inf)

    async def stop(self) -> None:
        """Stop the supervisor and its children for good, newest first, and wait for the end."""
        await self._cell.stop()

    def _idle_supervisor(self) -> SupervisorActor | None:
        from ._supervisor import SupervisorActor  # the two know each other

        actor = self._cell.active
        return actor if self._cell.is_idle and isinstance(actor, SupervisorActor) else None
