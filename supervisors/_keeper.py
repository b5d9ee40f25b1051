"""Keeper: what starts and stops children, one at a time, and knows them.

The part of a supervisor that carries out; `SupervisorActor` decides.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

from ..runtime import (
    SHUTDOWN,
    Actor,
    ActorCell,
    ActorState,
    Cell,
    Exited,
    ExitKind,
    ExitReason,
    HandlerError,
    Ignore,
    Kernel,
    NameTakenError,
    Ref,
    StartError,
    fail_start,
    handles,
    start_incarnation,
    text_of,
)
from ._account import Accounts
from ._child import Child
from ._children import RESTARTING, RUNNING, UNDEFINED, ChildRecord, factory_class, has_start_hooks
from ._errors import (
    AlreadyPresentError,
    AlreadyStartedError,
    ChildNotFoundError,
    ChildRestartingError,
    ChildRunningError,
)
from ._guarded import GuardedActor
from ._losses import Losses
from ._settings import Settings
from ._specs import DynamicSupervisor, Pool, Spec, Supervisor

START_ERRORS = (StartError, NameTakenError, HandlerError)
"""Why a child may not start: an answer to whoever asked for it, and no crash of its supervisor."""
SERVICE_MARGIN = 3.0
"""A service that is cut off at its own deadline may take two more to unwind."""


@dataclass(slots=True, eq=False)
class TreeContext:
    """What every supervisor of one tree hands down to those below it."""

    settings: Settings
    """What an operator may change, and may have changed since the system was opened."""
    supervisor: Callable[[Supervisor | DynamicSupervisor | Pool, TreeContext], Child]
    """Makes the child spec of a supervisor below."""
    service: Callable[[str, Child, GuardedActor, TreeContext], Keeper]
    """Makes the supervisor of a service; called with its path, its spec and its first object."""
    losses: Losses
    """What was given up."""
    accounts: Accounts
    """What services share that call a provider with the same key."""


class Keeper(Actor):
    """Hold children: start them, stop them, find them."""

    traps_exits: ClassVar[bool] = True

    def __init__(self, context: TreeContext) -> None:
        self.context = context
        self.front: Ref | None = None
        """The ref that others are given in place of this supervisor's own."""
        self.children: dict[str, ChildRecord] = {}
        """In start order."""

    cell: Cell
    """The supervisor's own cell, from its start on."""
    kernel: Kernel
    """The system's shared parts."""
    is_settled: bool = False

    def settle(self) -> None:
        """Look around: the runtime has adopted this object."""
        self.is_settled = True
        self.cell = cast("Cell", self._home)
        self.kernel = self.cell.kernel

    def inherit(self, before: Actor) -> None:
        """Take over what the incarnation *before* has kept for this one."""

    @handles
    async def exit_signal(self, message: Exited) -> None:
        """Ignore it: children's exits come another way, and to nobody else's does a supervisor listen."""

    # --- what the children's cells say (Owner) -----------------------------------------------------

    @abstractmethod
    def exited(self, cell: Cell, reason: ExitReason, *, final: bool) -> None:
        """Hear that an incarnation has ended."""

    @abstractmethod
    async def stop_child(self, cell: Cell, reason: ExitReason, timeout: float | None) -> None:
        """Stop a child because its ref was asked to."""

    # --- starting and stopping -----------------------------------------------------------------------

    def add(self, spec: Spec) -> ChildRecord:
        """Take a spec into the list; refuse an id that is there already."""
        known = self.children.get(spec.id)
        if known is not None:
            if known.state is RUNNING:
                raise AlreadyStartedError(self.cell.path, spec.id, known.ref)
            raise AlreadyPresentError(self.cell.path, spec.id)
        if isinstance(spec, Child):
            record = ChildRecord(spec, is_supervisor=False)
        else:
            record = ChildRecord(self.context.supervisor(spec, self.context), is_supervisor=True)
        self.children[spec.id] = record
        return record

    def make(self, record: ChildRecord) -> Actor:
        """Make a child's next incarnation; a service comes wrapped in a supervisor of its own.

        Raises:
            StartError: Its factory raised, or returned no actor.
            Ignore: Its factory wants no actor now.
        """
        actor = self.call_factory(record)
        if isinstance(actor, GuardedActor):
            heir = self.context.service(self.path_of(record), record.spec, actor, self.context)
            if record.cell is not None:
                heir.inherit(record.cell.actor)
            return heir
        if record.cell is not None:
            end_heritage(record.cell, SHUTDOWN)
        return actor

    def call_factory(self, record: ChildRecord) -> Actor:
        """Call a child's factory.

        Raises:
            StartError: It raised, or returned no actor.
            Ignore: It wants no actor now.
        """
        try:
            actor = cast("object", record.spec.start())
        except Ignore:
            raise
        except Exception as error:
            problem = f"{type(error).__name__}: {text_of(error)}"
            raise StartError(self.path_of(record), problem, error) from error
        if not isinstance(actor, Actor):
            path = self.path_of(record)
            raise StartError(path, f"its factory returned {type(actor).__name__}, not an actor")
        return actor

    async def start_record(self, record: ChildRecord) -> Ref | None:
        """Start a child that is not running; what is queued for it is handled by this incarnation.

        Returns:
            None; where the child wants not to be started now (`Ignore`), the ref of an actor that has ended.

        Raises:
            StartError: It did not start. A cell it had before is kept, with its queue.
        """
        is_new = record.cell is None
        leaving = self._leaving_at(record) if is_new else None
        if leaving is not None:
            await leaving.wait_stopped()
        try:
            actor = self.make(record)
            cell = record.cell or self._make_cell(record, actor)
            await start_incarnation(cell, actor, timeout=record.spec.start_timeout)
        except Ignore as ignore:
            return self._ignored(record, ignore)
        except BaseException as error:
            if record.cell is not None:
                reason = ExitReason(ExitKind.CRASHED, error.__cause__ or error)
                fail_start(record.cell, reason)
                if is_new:
                    self.end_cell(record, reason)
            raise
        self.has_begun(record)
        return None

    def _ignored(self, record: ChildRecord, ignore: Ignore) -> Ref:
        reason = ExitReason(ExitKind.NORMAL, detail=f"ignored: {ignore.why}")
        # A factory that wants no actor leaves none to make a cell for, but a ref has to be returned.
        cell = record.cell or ActorCell(self.kernel, self.path_of(record), Actor(), self, 0.0)
        record.cell = cell
        self.end_cell(record, reason)
        self.forget_if_over(record)
        return cell

    def end_cell(self, record: ChildRecord, reason: ExitReason) -> None:
        """Leave a child that does not run as it is: what is queued for it fails with *reason*."""
        record.overtake()
        record.state = UNDEFINED
        cell, record.cell = record.cell, None
        if cell is not None:
            end_heritage(cell, reason)
            cell.close(reason)
            cell.gone()

    @abstractmethod
    def forget_if_over(self, record: ChildRecord) -> None:
        """Drop the spec of a child that has ended, where it is not to be kept."""

    def begin_stop(
        self, record: ChildRecord, reason: ExitReason, timeout: float | None = None
    ) -> Cell | None:
        """Begin to stop a child for good; its record stays. Returns the cell to wait for, if any."""
        record.overtake()
        cell, record.cell = record.cell, None
        record.state = UNDEFINED
        if cell is not None:
            end_heritage(cell, reason)
            seconds = record.spec.shutdown if timeout is None else timeout
            if seconds <= 0:
                cell.kill()
            cell.begin_stop(reason, seconds + _service_margin(record, cell.actor), final=True)
        return cell

    def _leaving_at(self, record: ChildRecord) -> Cell | None:
        """Find who was killed with an earlier incarnation of this supervisor and unwinds in this place."""
        holder = self.kernel.registry.find(self.path_of(record))
        return holder if isinstance(holder, Cell) and not holder.is_alive else None

    async def stop_record(
        self, record: ChildRecord, reason: ExitReason, timeout: float | None = None
    ) -> None:
        """Stop a child for good and wait for its end; its record stays."""
        cell = self.begin_stop(record, reason, timeout)
        if cell is not None:
            await _wait_or_kill([cell])

    async def stop_together(self, records: Iterable[ChildRecord], reason: ExitReason) -> None:
        """Stop children for good, all at the same time, each within its own shutdown time."""
        cells = [cell for record in records if (cell := self.begin_stop(record, reason)) is not None]
        await _wait_or_kill(cells)

    async def pause_record(self, record: ChildRecord, reason: ExitReason) -> None:
        """Stop a child's incarnation and wait for its end; its cell and its queue stay for the next."""
        record.overtake()
        record.state = UNDEFINED
        cell = record.cell
        if cell is not None:
            seconds = record.spec.shutdown + _service_margin(record, cell.actor)
            if seconds <= 0:
                cell.kill(final=False)
            cell.begin_stop(reason, seconds, final=False)
            await _wait_or_kill([cell])

    def start_at_once(self, spec: Child) -> Ref | None:
        """Start a child in the caller's stack; None when its start has to wait for something.

        Only for an idle supervisor. Saves the two ticks of the event loop that an ask takes.
        """
        made = factory_class(spec.start)
        if made is None or issubclass(made, GuardedActor) or has_start_hooks(made) or spec.significant:
            return None  # a significant child may have to be refused, which is the supervisor's business
        record = self.add(spec)
        if self._leaving_at(record) is not None:
            del self.children[record.id]
            return None
        try:
            actor = self.make(record)
            cell = self._make_cell(record, actor)
            cell.adopt(actor)
            cell.begin()
        except Ignore as ignore:
            return self._ignored(record, ignore)
        except BaseException:
            self.children.pop(record.id, None)
            raise
        self.has_begun(record)
        return cell

    def stop_at_once(self, cell: Cell, reason: ExitReason) -> bool:
        """Stop a child in the caller's stack; False when its stop has to wait for something."""
        record = self.record_of(cell)
        if record is None or not cell.is_idle or cell.home is not None or cell.plan.has_stopping:
            return False
        record.overtake()
        record.state = UNDEFINED
        record.cell = None
        cell.depart(reason, grace=0.0, final=True)
        self.forget_if_over(record)
        return True

    def _make_cell(self, record: ChildRecord, actor: Actor) -> Cell:
        cell = self.new_cell(record, actor)
        self.kernel.registry.claim(cell.path, cell)
        if record.spec.name is not None and not _is_front_of_service(record, actor):
            try:
                self.kernel.registry.claim(record.spec.name, cell)
            except BaseException:
                self.kernel.registry.forget(cell)
                raise
        record.cell = cell
        return cell

    def new_cell(self, record: ChildRecord, actor: Actor) -> Cell:
        """Make the place a child lives in."""
        shutdown = record.spec.shutdown + _service_margin(record, actor)
        return ActorCell(self.kernel, self.path_of(record), actor, self, shutdown)

    def path_of(self, record: ChildRecord) -> str:
        """Say where a child stands in the tree."""
        return f"{self.cell.path}/{record.id}"

    def has_begun(self, record: ChildRecord) -> None:
        """Note that an incarnation of a child runs."""
        record.state = RUNNING
        record.began = self.kernel.now()
        if self.context.losses:
            self.context.losses.recover(self.path_of(record))

    def find(self, id: str) -> ChildRecord:  # noqa: A002
        """Return the record of a child, or raise."""
        record = self.children.get(id)
        if record is None:
            raise ChildNotFoundError(self.cell.path, id)
        return record

    def find_stopped(self, id: str) -> ChildRecord:  # noqa: A002
        """Return the record of a child that is known but not running, or raise."""
        record = self.find(id)
        if record.state is RUNNING:
            raise ChildRunningError(self.cell.path, id)
        if record.state is RESTARTING:
            raise ChildRestartingError(self.cell.path, id)
        return record

    def record_of(self, cell: Cell) -> ChildRecord | None:
        record = self.children.get(cell.path.rpartition("/")[2])
        return record if record is not None and record.cell is cell else None


def end_heritage(cell: Cell, reason: ExitReason) -> None:
    """Have a supervisor that has ended for good let go of what it kept for its next incarnation."""
    if isinstance(cell.actor, Keeper) and cell.state is ActorState.RESTARTING and not cell.departures:
        cell.actor.killed(reason)


async def _wait_or_kill(cells: Sequence[Cell]) -> None:
    """Wait for the ends of *cells*. Cancelled, kill them: nobody's record holds them any more."""
    try:
        for cell in cells:
            await cell.wait_stopped()
    except BaseException:
        for cell in cells:
            cell.kill()
        raise


def _is_front_of_service(record: ChildRecord, actor: Actor) -> bool:
    """Tell the supervisor that `Keeper.make` puts around a service."""
    return isinstance(actor, Keeper) and not record.is_supervisor


def _service_margin(record: ChildRecord, actor: Actor) -> float:
    """Return the seconds that a service's supervisor has to stop beyond those of its service."""
    return SERVICE_MARGIN if _is_front_of_service(record, actor) else 0.0
