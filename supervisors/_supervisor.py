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
from typing import ClassVar, cast

import anyio

from ..runtime import (
    SHUTDOWN,
    Actor,
    ActorCell,
    ActorStoppedError,
    Cell,
    Exit,
    ExitKind,
    ExitReason,
    HandlerError,
    Kernel,
    MailboxClosedError,
    NameTakenError,
    Ref,
    StartError,
    fail_start,
    handles,
    start_incarnation,
    text_of,
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
from ._children import ChildRecord, ChildState, factory_class, has_start_hooks
from ._errors import (
    AlreadyPresentError,
    AlreadyStartedError,
    ChildNotFoundError,
    ChildRestartingError,
    ChildRunningError,
    RestartIntensityError,
    SupervisionError,
)
from ._guarded import GuardedActor
from ._intensity import RestartWindow
from ._settings import Settings

SERVICE_MARGIN = 3.0
"""A service that is cut off at its own deadline may take two more to unwind."""


class SupervisorActor(Actor):
    """Keep the children of one `Supervisor` description running."""

    mailbox: ClassVar[int] = sys.maxsize
    declines: ClassVar[tuple[type[Exception], ...]] = (
        SupervisionError,
        StartError,
        NameTakenError,
        HandlerError,
    )

    def __init__(self, spec: Supervisor, settings: Settings) -> None:
        self.spec = spec
        self.settings = settings
        self.front: Ref | None = None
        """The ref that others are given in place of this supervisor's own."""
        self.children: dict[str, ChildRecord] = {}
        """In start order."""
        self.window = RestartWindow(spec.intensity, spec.period)

    # --- lifecycle -------------------------------------------------------------------------------

    cell: Cell
    """The supervisor's own cell, from its start on."""
    kernel: Kernel
    """The system's shared parts."""

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

    def settle(self) -> None:
        """Look around: the runtime has adopted this object."""
        self.cell = cast("Cell", self._home)
        self.kernel = self.cell.kernel

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
        record = self._record_of(message.cell)
        if record is None:
            return
        await self.stop_record(record, message.reason, message.timeout)
        self.after_stop(record)

    # --- exits and restarts ------------------------------------------------------------------------

    @handles
    async def child_exited(self, message: ChildExited) -> None:
        """Decide on an exit: restart the child, leave it, or give up."""
        record = self._record_of(message.cell)
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

    # --- starting and stopping one child -------------------------------------------------------------

    def add(self, spec: Child | Supervisor) -> ChildRecord:
        """Take a spec into the list; refuse an id that is there already."""
        known = self.children.get(spec.id)
        if known is not None:
            if known.cell is not None:
                raise AlreadyStartedError(self.cell.path, spec.id, known.ref)
            raise AlreadyPresentError(self.cell.path, spec.id)
        if isinstance(spec, Supervisor):
            record = ChildRecord(spec.id, supervisor_child(spec, self.settings), is_supervisor=True)
        else:
            record = ChildRecord(spec.id, spec, is_supervisor=False)
        self.children[spec.id] = record
        return record

    def make(self, record: ChildRecord) -> Actor:
        """Make a child's next incarnation; a service comes wrapped in a supervisor of its own.

        Raises:
            StartError: Its factory raised, or returned no actor.
        """
        actor = self.call_factory(record)
        if isinstance(actor, GuardedActor):
            from ._service_supervisor import service_supervisor  # its class derives from this one

            return service_supervisor(self.path_of(record), record.spec, actor, self.settings)
        return actor

    def call_factory(self, record: ChildRecord) -> Actor:
        """Call a child's factory.

        Raises:
            StartError: It raised, or returned no actor.
        """
        try:
            actor: object = record.spec.start()
        except Exception as error:
            problem = f"{type(error).__name__}: {text_of(error)}"
            raise StartError(self.path_of(record), problem, error) from error
        if not isinstance(actor, Actor):
            path = self.path_of(record)
            raise StartError(path, f"its factory returned {type(actor).__name__}, not an actor")
        return actor

    async def start_record(self, record: ChildRecord) -> None:
        """Start a child that has no cell.

        Raises:
            StartError: It did not start; it has no cell then.
        """
        cell, actor = self._make_cell(record, self.make(record))
        try:
            await start_incarnation(cell, actor, timeout=record.spec.start_timeout)
        except BaseException as error:
            cell.close(ExitReason(ExitKind.CRASHED, error))
            cell.gone()
            record.cell = None
            raise
        self.has_begun(record)

    async def stop_record(
        self, record: ChildRecord, reason: ExitReason, timeout: float | None = None
    ) -> None:
        """Stop a child and wait for its end; its record stays."""
        record.overtake()
        cell, record.cell = record.cell, None
        record.state = ChildState.UNDEFINED
        if cell is None:
            return
        seconds = record.spec.shutdown if timeout is None else timeout
        if seconds <= 0:
            cell.kill()
        try:
            await cell.stop_and_wait(reason, seconds + _service_margin(record, cell.actor), final=True)
        except BaseException:  # this supervisor is killed, and its record does not hold the child any more
            cell.kill()
            raise

    def start_at_once(self, spec: Child) -> Ref | None:
        """Start a child in the caller's stack; None when its start has to wait for something.

        Only for an idle supervisor. Saves the two ticks of the event loop that an ask takes.
        """
        made = factory_class(spec.start)
        if made is None or issubclass(made, GuardedActor) or has_start_hooks(made):
            return None
        record = self.add(spec)
        try:
            cell, actor = self._make_cell(record, self.make(record))
            cell.adopt(actor)
            cell.begin()
        except BaseException:
            self.children.pop(record.id, None)
            raise
        self.has_begun(record)
        return cell

    def stop_at_once(self, cell: Cell, reason: ExitReason) -> bool:
        """Stop a child in the caller's stack; False when its stop has to wait for something."""
        record = self._record_of(cell)
        if record is None or not cell.is_idle or cell.home is not None or cell.plan.has_stopping:
            return False
        record.overtake()
        record.state = ChildState.UNDEFINED
        record.cell = None
        cell.depart(reason, grace=0.0, final=True)
        self.after_stop(record)
        return True

    def _make_cell(self, record: ChildRecord, actor: Actor) -> tuple[Cell, Actor]:
        cell = self.new_cell(record, actor)
        self.kernel.registry.claim(cell.path, cell)
        if record.spec.name is not None and not _is_front_of_service(record, actor):
            try:
                self.kernel.registry.claim(record.spec.name, cell)
            except BaseException:
                self.kernel.registry.forget(cell)
                raise
        record.cell = cell
        return cell, actor

    def new_cell(self, record: ChildRecord, actor: Actor) -> Cell:
        """Make the place a child lives in."""
        shutdown = record.spec.shutdown + _service_margin(record, actor)
        return ActorCell(self.kernel, self.path_of(record), actor, self, shutdown)

    def path_of(self, record: ChildRecord) -> str:
        """Say where a child stands in the tree."""
        return f"{self.cell.path}/{record.id}"

    def has_begun(self, record: ChildRecord) -> None:
        """Note that an incarnation of a child runs."""
        record.state = ChildState.RUNNING
        record.began = self.kernel.now()

    # --- looking things up ----------------------------------------------------------------------------

    def find(self, id: str) -> ChildRecord:  # noqa: A002
        """Return the record of a child, or raise."""
        record = self.children.get(id)
        if record is None:
            raise ChildNotFoundError(self.cell.path, id)
        return record

    def find_stopped(self, id: str) -> ChildRecord:  # noqa: A002
        """Return the record of a child that is known but not running, or raise."""
        record = self.find(id)
        if record.state is ChildState.RUNNING:
            raise ChildRunningError(self.cell.path, id)
        if record.state is ChildState.RESTARTING:
            raise ChildRestartingError(self.cell.path, id)
        return record

    def _record_of(self, cell: Cell) -> ChildRecord | None:
        record = self.children.get(cell.path.rpartition("/")[2])
        return record if record is not None and record.cell is cell else None

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


def _is_front_of_service(record: ChildRecord, actor: Actor) -> bool:
    """Tell the supervisor that `SupervisorActor.make` puts around a service."""
    return isinstance(actor, SupervisorActor) and not record.is_supervisor


def _service_margin(record: ChildRecord, actor: Actor) -> float:
    """Return the seconds that a service's supervisor has to stop beyond those of its service."""
    return SERVICE_MARGIN if _is_front_of_service(record, actor) else 0.0


def supervisor_child(spec: Supervisor, settings: Settings) -> Child:
    """Turn the description of a supervisor into the child spec its own supervisor works with."""
    return Child(
        spec.id,
        lambda: SupervisorActor(spec, settings),
        restart=spec.restart,
        shutdown=spec.shutdown,
        backoff=spec.backoff,
        start_timeout=inf,
    )
