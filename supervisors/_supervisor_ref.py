"""The handle that administers a running supervisor."""

from __future__ import annotations

from contextlib import suppress
from math import inf

from anyio import get_cancelled_exc_class

from ..runtime import Cell, MailboxClosedError, Ref
from ._administration import (
    ChildCounts,
    ChildStatus,
    CountChildren,
    DeleteChild,
    RestartChild,
    StartChild,
    TakeBack,
    TerminateChild,
    WhichChildren,
)
from ._child import Child, Supervisor
from ._supervisor import SupervisorActor


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
        return await self._start(child)

    async def start_supervisor(self, supervisor: Supervisor) -> SupervisorRef:
        """Start a supervisor with its children below this one; raises as `start_child`."""
        cell = await self._start(supervisor)
        assert isinstance(cell, Cell)
        return SupervisorRef(cell)

    async def _start(self, spec: Child | Supervisor) -> Ref:
        request = StartChild(spec)
        try:
            return await self._cell.ask(request, timeout=inf)
        except (get_cancelled_exc_class(), TimeoutError):
            # The supervisor can't see in time that its asker has left, so it is told.
            with suppress(MailboxClosedError):
                self._cell.tell_nowait(TakeBack(request))
            raise

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
        actor = self._cell.active
        return actor if isinstance(actor, SupervisorActor) and self._cell.is_idle else None
