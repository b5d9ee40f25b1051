"""The supervisor: an actor that starts, watches, restarts and stops others.

After Erlang/OTP's ``supervisor``. It decides one thing at a time: requests, exits of children and
restarts that have fallen due pass through its mailbox in the order they come. In two places that
order matters:

* A restart that fails goes to the back of the mailbox before it is tried again, so a supervisor
  that keeps restarting a broken child can still be asked, and stopped.
* A backoff is waited for by a timer, never by the supervisor.

Its mailbox has no bound: an exit that was dropped would be a child nobody restarts.
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
    Exit,
    ExitKind,
    ExitReason,
    HandlerError,
    MailboxClosedError,
    NameTakenError,
    Ref,
    StartError,
    fail_start,
    handles,
    start_incarnation,
)
from ._administration import (
    ChildCounts,
    ChildExited,
    ChildStatus,
    CountChildren,
    DeleteChild,
    RestartChild,
    StartChild,
    StopRef,
    TakeBack,
    TerminateChild,
    TryRestart,
    WhichChildren,
)
from ._child import Child, Supervisor
from ._children import ChildRecord, ChildState
from ._errors import (
    RestartIntensityError,
    SupervisionError,
)
from ._intensity import RestartWindow
from ._keeper import Keeper, TreeContext


class SupervisorActor(Keeper):
    """Keep the children of one `Supervisor` description running."""

    mailbox: ClassVar[int] = sys.maxsize
    declines: ClassVar[tuple[type[Exception], ...]] = (
        SupervisionError,
        StartError,
        NameTakenError,
        HandlerError,
    )

    def __init__(self, spec: Supervisor, context: TreeContext) -> None:
        super().__init__(context)
        self.spec = spec
        self.window = RestartWindow(spec.intensity, spec.period)

    # --- lifecycle -------------------------------------------------------------------------------

    async def started(self) -> None:
        """Start the children left to right; when one fails, stop the started ones in reverse."""
        self.settle()
        for spec in self.spec.children:
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
                record.cell.kill(reason)

    # --- what children's cells say (Owner) ---------------------------------------------------------

    def exited(self, cell: Cell, reason: ExitReason, *, final: bool) -> None:
        """Hear of an exit; it is decided on in its turn."""
        if final:
            return
        if self.cell.is_alive:  # else it stops what is left of the child in its turn
            self.cell.tell_nowait(ChildExited(cell, reason))

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
        record = self.add(message.spec)
        record.request = message
        try:
            await self.start_record(record)
        except BaseException:
            del self.children[record.id]
            raise
        return record.ref

    @handles
    async def take_back(self, message: TakeBack) -> None:
        """Stop and forget what a request has started: its asker left before it had the ref."""
        for record in tuple(self.children.values()):
            if record.request is message.request:
                await self.stop_record(record, SHUTDOWN)
                del self.children[record.id]

    @handles
    async def terminate_child(self, message: TerminateChild) -> None:
        """Stop a child and keep its spec."""
        record = self.find(message.id)
        await self.stop_record(record, message.reason, message.timeout)
        if record.spec.restart == "temporary":
            del self.children[record.id]

    @handles
    async def restart_child(self, message: RestartChild) -> Ref:
        """Start a child that is known but not running."""
        record = self.find_stopped(message.id)
        await self.start_record(record)
        return record.ref

    @handles
    async def delete_child(self, message: DeleteChild) -> None:
        """Forget a child that is not running."""
        del self.children[self.find_stopped(message.id).id]

    @handles
    async def which_children(self, message: WhichChildren) -> list[ChildStatus]:
        """List the children, newest first."""
        return [self._status(record) for record in reversed(self.children.values())]

    @handles
    async def count_children(self, message: CountChildren) -> ChildCounts:
        """Count the children."""
        records = self.children.values()
        active = sum(1 for record in records if record.state is ChildState.RUNNING)
        supervisors = sum(1 for record in records if record.is_supervisor)
        return ChildCounts(len(records), active, supervisors, len(records) - supervisors)

    @handles
    async def stop_ref(self, message: StopRef) -> None:
        """Stop a child as its ref was asked to: for good, whatever its restart type."""
        record = self.record_of(message.cell)
        if record is None:
            return
        await self.stop_record(record, message.reason, message.timeout)
        self.after_stop(record)

    # --- exits and restarts ------------------------------------------------------------------------

    @handles
    async def child_exited(self, message: ChildExited) -> None:
        """Decide on an exit: restart the child, leave it, or give up."""
        record = self.record_of(message.cell)
        if record is None or record.state is not ChildState.RUNNING:
            return
        if self._is_to_be_restarted(record, message.reason):
            record.state = ChildState.RESTARTING
            await self.restart(record, message.reason)
        else:
            self.let_go(record, message.reason)

    @handles
    async def try_restart(self, message: TryRestart) -> None:
        """Restart a child whose wait is over, unless it was overtaken."""
        record = self.children.get(message.id)
        if record is not None and record.turn == message.turn:
            await self._restart_now(record)

    async def restart(self, record: ChildRecord, reason: ExitReason) -> None:
        """Count one restart and begin it, now or after its backoff."""
        now = self.kernel.now()
        if not self.window_of(record).add(now):
            self.exceeded(record, reason)
            return
        if now - record.began >= self.spec.period:
            record.failures = 0  # it ran long enough to be called stable
        record.failures += 1
        if record.spec.backoff is None:
            await self._restart_now(record)
        else:
            self.restart_after(record, record.spec.backoff.wait(record.failures, self.kernel.rng))

    def restart_after(self, record: ChildRecord, seconds: float) -> None:
        """Restart a child in some seconds; until then its messages queue."""
        turn = record.overtake()
        due = self.kernel.now() + seconds
        record.timer = self.kernel.timers.call_at(due, lambda: self._remind(TryRestart(record.id, turn)))

    def window_of(self, record: ChildRecord) -> RestartWindow:
        """Return the window a child's restarts are counted in: one for all."""
        return self.window

    def exceeded(self, record: ChildRecord, reason: ExitReason) -> None:
        """Give up: the crashed child is not restarted, the others are stopped in reverse.

        Raises:
            Exit: Always; it ends the supervisor.
        """
        error = RestartIntensityError(self.cell.path, record.id, self.spec.intensity, self.spec.period)
        error.__cause__ = reason.error
        self.let_go(record, ExitReason(ExitKind.SHUTDOWN, error))
        self.report_given_up(self.cell.path, record, reason)
        raise Exit(ExitReason(ExitKind.SHUTDOWN, error))

    def report_given_up(self, path: str, record: ChildRecord, reason: ExitReason) -> None:
        """Say that something was given up: never silently."""
        window = self.window_of(record)
        self.kernel.events.error(
            "actor.gave_up",
            actor_path=path,
            child=record.id,
            restarts=window.count(self.kernel.now()),
            window_s=window.period,
            error_type=type(reason.error).__name__ if reason.error else str(reason),
        )

    def after_stop(self, record: ChildRecord) -> None:
        """Decide what is kept of a child that was stopped through its ref."""
        if record.spec.restart == "temporary":
            del self.children[record.id]

    async def _restart_now(self, record: ChildRecord) -> None:
        record.overtake()
        cell = record.cell
        assert cell is not None
        try:
            actor = self.make(record)
            await start_incarnation(cell, actor, timeout=record.spec.start_timeout)
        except StartError as error:
            self.kernel.events.error(
                "actor.start_failed", actor_path=cell.path, error_type=type(error.__cause__ or error).__name__
            )
            fail_start(cell, ExitReason(ExitKind.CRASHED, error.__cause__ or error))
            await self._try_again(record, cell.reason)
        else:
            self.has_begun(record)
            self.kernel.events.info("actor.restarted", actor_path=cell.path, restarts=cell.incarnation - 1)

    async def _try_again(self, record: ChildRecord, reason: ExitReason) -> None:
        """Count the failed restart and queue the next behind whatever waits in the mailbox."""
        now = self.kernel.now()
        if not self.window_of(record).add(now):
            self.exceeded(record, reason)
            return
        record.failures += 1
        backoff = record.spec.backoff
        if backoff is None:
            self._remind(TryRestart(record.id, record.overtake()))
        else:
            self.restart_after(record, backoff.wait(record.failures, self.kernel.rng))

    def _remind(self, message: TryRestart) -> None:
        if self.cell.is_alive:
            self.cell.tell_nowait(message)

    def _is_to_be_restarted(self, record: ChildRecord, reason: ExitReason) -> bool:
        if record.spec.restart == "temporary":
            return False
        return record.spec.restart == "permanent" or reason.is_crash

    def let_go(self, record: ChildRecord, reason: ExitReason) -> None:
        """Leave a child that has ended as it is: its queued messages fail with the reason."""
        record.overtake()
        record.state = ChildState.UNDEFINED
        cell, record.cell = record.cell, None
        assert cell is not None
        cell.close(reason)
        cell.gone()
        if record.spec.restart == "temporary":
            self.children.pop(record.id, None)

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


def supervisor_child(spec: Supervisor, context: TreeContext) -> Child:
    """Turn the description of a supervisor into the child spec its own supervisor works with."""
    return Child(
        spec.id,
        lambda: SupervisorActor(spec, context),
        restart=spec.restart,
        shutdown=spec.shutdown,
        backoff=spec.backoff,
        start_timeout=inf,
    )
