"""The supervisor: an actor that starts, watches, restarts and stops others, and answers for them.

Requests, exits of children and restarts that have fallen due pass through its mailbox in the order
they come; `Restarter` says what follows from the last two. The mailbox has no bound: an exit that was
dropped would be a child nobody restarts.
"""

from __future__ import annotations

import sys
from math import inf
from typing import ClassVar

import anyio

from ..runtime import (
    SHUTDOWN,
    ActorStoppedError,
    Cell,
    ExitReason,
    MailboxClosedError,
    Ref,
    handles,
)
from ._administration import (
    ChildCounts,
    ChildStatus,
    CountChildren,
    DeleteChild,
    RestartChild,
    StartChild,
    StopRef,
    TakeBack,
    TerminateChild,
    WhichChildren,
)
from ._children import ChildRecord, ChildState
from ._errors import SupervisionError
from ._keeper import START_ERRORS, TreeContext, end_heritage
from ._restarter import Restarter
from ._specs import Spec, Supervisor, check_counts


class SupervisorActor(Restarter):
    """Keep the children of one `Supervisor` description running."""

    mailbox: ClassVar[int] = sys.maxsize
    declines: ClassVar[tuple[type[Exception], ...]] = (SupervisionError, *START_ERRORS)

    def __init__(self, spec: Supervisor, context: TreeContext) -> None:
        super().__init__(spec.intensity, spec.period, context)
        self.spec = spec
        self.strategy = spec.strategy
        self.auto_shutdown = spec.auto_shutdown

    # --- lifecycle -------------------------------------------------------------------------------

    async def started(self) -> None:
        """Start the children left to right; when one fails, stop the started ones in reverse."""
        self.settle()
        for spec in self.spec.child_specs():
            await self.start_first(spec)

    async def start_first(self, spec: Spec) -> None:
        """Start one of the children that the supervisor starts with; its failure is the supervisor's."""
        record = self.add(spec)
        try:
            await self.start_record(record)
        except BaseException:
            del self.children[record.id]
            with anyio.CancelScope(shield=True):
                await self.stopping(SHUTDOWN)
            raise

    async def stopping(self, reason: ExitReason) -> None:
        """Stop the children one at a time, newest first."""
        for record in reversed(self.children.values()):
            await self.stop_record(record, SHUTDOWN)

    def killed(self, reason: ExitReason) -> None:
        """Kill the children: nobody else could."""
        for record in reversed(self.children.values()):
            record.overtake()
            if record.cell is not None:
                end_heritage(record.cell, reason)
                record.cell.kill(reason)

    # --- what children's cells say (Owner) ---------------------------------------------------------

    async def stop_child(self, cell: Cell, reason: ExitReason, timeout: float | None) -> None:
        """Stop a child for good because its ref was asked to."""
        is_kill = (cell.shutdown if timeout is None else timeout) <= 0
        if not is_kill and self.cell.is_idle and self.stop_at_once(cell, reason):
            return
        try:
            await self.cell.ask(StopRef(cell, reason, timeout), timeout=inf)
        except (MailboxClosedError, ActorStoppedError):
            await cell.stop_and_wait(reason, cell.shutdown, final=True)

    # --- requests ------------------------------------------------------------------------------------

    @handles
    async def start_child(self, message: StartChild) -> Ref:
        """Start a child; nothing is kept of one that fails."""
        check_counts(message.spec, self.auto_shutdown)
        return await self.start_requested(message.spec, message.token)

    async def start_requested(self, spec: Spec, token: object) -> Ref:
        """Start a child for the request of this *token*."""
        record = self.add(spec)
        record.request = token
        try:
            return await self.start_record(record) or record.ref
        except BaseException:
            del self.children[record.id]
            raise

    def leave_start(self, token: object) -> None:
        """Cancel the start that the request of this *token* has begun, if it is under way."""
        for record in self.children.values():
            if record.request is token and record.cell is not None:
                record.cell.cancel_start("whoever asked for it has left")

    @handles
    async def take_back(self, message: TakeBack) -> None:
        """Stop and forget what a request has started: its asker left before it had the ref."""
        for record in tuple(self.children.values()):
            if record.request is message.token:
                await self.stop_record(record, SHUTDOWN)
                self._drop(record)
        self.release_waiting()

    @handles
    async def terminate_child(self, message: TerminateChild) -> None:
        """Stop a child and keep its spec."""
        record = self.find(message.id)
        await self.stop_record(record, SHUTDOWN)
        if record.spec.restart == "temporary":
            self._drop(record)
        self.release_waiting()

    @handles
    async def restart_child(self, message: RestartChild) -> Ref:
        """Start a child that is known but not running."""
        record = self.find_stopped(message.id)
        return await self.start_record(record) or record.ref

    @handles
    async def delete_child(self, message: DeleteChild) -> None:
        """Forget a child that is not running."""
        record = self.find_stopped(message.id)
        self.end_cell(record, SHUTDOWN)
        self._drop(record)

    @handles
    async def which_children(self, message: WhichChildren) -> list[ChildStatus]:
        """List the children, newest first."""
        return [self._status(record) for record in reversed(self.children.values())]

    @handles
    async def count_children(self, message: CountChildren) -> ChildCounts:
        """Count the children."""
        records = self.children.values()
        active = sum(1 for record in records if record.is_active)
        supervisors = sum(1 for record in records if record.is_supervisor)
        return ChildCounts(len(records), active, supervisors, len(records) - supervisors)

    @handles
    async def stop_ref(self, message: StopRef) -> None:
        """Stop a child as its ref was asked to: for good, whatever its restart type."""
        record = self.record_of(message.cell)
        if record is None:
            return
        await self.stop_record(record, message.reason, message.timeout)
        self.forget_if_over(record)
        self.release_waiting()

    def _drop(self, record: ChildRecord) -> None:
        del self.children[record.id]
        if self.context.losses:
            self.context.losses.recover(self.path_of(record))

    def _status(self, record: ChildRecord) -> ChildStatus:
        is_running = record.state is ChildState.RUNNING
        restarts = 0 if record.cell is None else record.cell.statistics().restarts
        return ChildStatus(
            record.id,
            record.ref if is_running else None,
            record.state is ChildState.RESTARTING,
            record.is_supervisor,
            restarts,
        )
