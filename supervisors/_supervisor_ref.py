"""The handles that administer running supervisors."""

from __future__ import annotations

from contextlib import suppress
from math import inf
from typing import cast, overload

from anyio import get_cancelled_exc_class

from ..runtime import NORMAL, Cell, ExitReason, MailboxClosedError, Ref, Request
from ._administration import (
    ChildCounts,
    ChildStatus,
    CountChildren,
    DeleteChild,
    RestartChild,
    StartChild,
    StartNumbered,
    TakeBack,
    TerminateChild,
    TerminateRef,
    WhichChildren,
)
from ._child import Child
from ._dynamic_supervisor import DynamicSupervisorActor
from ._pool_ref import PoolRef
from ._specs import DynamicSupervisor, Pool, Spec, Supervisor
from ._supervisor import SupervisorActor


class _Handle:
    """What the handles of all kinds of supervisors can do.

    Requests are handled one after another, and behind restarts that are due; while a child starts,
    its supervisor is busy. All of them raise ``MailboxClosedError`` or ``ActorStoppedError`` when
    the supervisor has ended, at once.
    """

    __slots__ = ("_cell",)

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._cell.path}>"

    @property
    def ref(self) -> Ref:
        """The supervisor as an actor."""
        return self._cell

    @property
    def path(self) -> str:
        """Where the supervisor stands in the tree."""
        return self._cell.path

    async def which_children(self) -> list[ChildStatus]:
        """List the children, newest first."""
        return await self._cell.ask(WhichChildren(), timeout=inf)

    async def count_children(self) -> ChildCounts:
        """Count the children."""
        return await self._cell.ask(CountChildren(), timeout=inf)

    async def stop(self, reason: ExitReason = NORMAL) -> None:
        """Stop the supervisor and its children for good, and wait for the end."""
        await self._cell.stop(reason)

    @overload
    async def start_child(self, spec: Child) -> Ref: ...
    @overload
    async def start_child(self, spec: Supervisor) -> SupervisorRef: ...
    @overload
    async def start_child(self, spec: DynamicSupervisor) -> DynamicSupervisorRef: ...
    @overload
    async def start_child(self, spec: Pool) -> PoolRef: ...

    async def start_child(self, spec: Spec) -> Ref | SupervisorRef | DynamicSupervisorRef:
        """Start a child after the others, and return its ref or the handle that administers it.

        A child that answers `Ignore` has ended already: its ref raises from the start. Cancelled
        meanwhile, what was started is stopped again.

        Raises:
            StartError: Its factory, start hook or lifespan raised. No spec is kept.
            AlreadyStartedError: A child of this id runs; carries its ref.
            AlreadyPresentError: A child of this id is known but does not run.
            ChildSpecError: It is significant, and this supervisor never ends by itself.
            MaxChildrenError: There are as many as there may be.
            NameTakenError: Its name is another live actor's.
        """
        if isinstance(spec, Child):
            return self._start_at_once(spec) or await self._start(StartChild(spec, object()))
        ref = await self._start(StartChild(spec, object()))
        if isinstance(spec, Pool):
            return ref
        cell = cast("Cell", ref)
        return SupervisorRef(cell) if isinstance(spec, Supervisor) else DynamicSupervisorRef(cell)

    def _start_at_once(self, child: Child) -> Ref | None:
        actor = self._cell.active
        if isinstance(actor, SupervisorActor) and self._cell.is_idle:
            return actor.start_at_once(child)
        return None

    async def _start(self, request: StartChild | StartNumbered) -> Ref:
        try:
            return await self._cell.ask(cast("Request[Ref]", request), timeout=inf)
        except (get_cancelled_exc_class(), TimeoutError):
            # The supervisor can't see in time that its asker has left, so it is told.
            if isinstance(self._cell.actor, SupervisorActor):
                self._cell.actor.leave_start(request.token)
            with suppress(MailboxClosedError):
                self._cell.tell_nowait(TakeBack(request.token))
            raise


class SupervisorRef(_Handle):
    """Administer a running supervisor.

    Requests are handled one after another, and behind restarts that are due; while a child starts,
    its supervisor is busy. All of them raise ``MailboxClosedError`` or ``ActorStoppedError`` when
    the supervisor has ended, at once.
    """

    __slots__ = ()

    async def terminate_child(self, id: str) -> None:  # noqa: A002 - the field's name
        """Stop a child and wait for its end; a stopped one is no error.

        A child that waits for its restart is not restarted any more.

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


class DynamicSupervisorRef(_Handle):
    """Administer a running dynamic supervisor, whose children are known by their refs.

    Requests are handled one after another, and behind restarts that are due; while a child starts,
    its supervisor is busy. All of them raise ``MailboxClosedError`` or ``ActorStoppedError`` when
    the supervisor has ended, at once.
    """

    __slots__ = ()

    async def start(self, *arguments: object, **named: object) -> Ref:
        """Start one more child from the template; its factory is called with these arguments.

        They are kept for its restarts, unless the child is temporary. Raises as `start_child`.

        Raises:
            ChildSpecError: The supervisor has no template.
        """
        actor = self._cell.active
        if not (isinstance(actor, DynamicSupervisorActor) and self._cell.is_idle):
            return await self._start(StartNumbered(arguments, named, object()))
        child = actor.next_child(arguments, named)
        return actor.start_at_once(child) or await self._start(StartChild(child, object()))

    async def terminate_child(self, ref: Ref) -> None:
        """Stop a child and wait for its end; one that has ended is no error.

        Raises:
            ChildNotFoundError: It is alive, and no child of this supervisor.
        """
        await self._cell.ask(TerminateRef(ref), timeout=inf)
