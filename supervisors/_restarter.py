"""Restarter: decides what an exit of a child means, and brings back who is to run again.

After Erlang/OTP's ``supervisor``. It decides one thing at a time: exits of children and restarts that
have fallen due pass through the supervisor's mailbox in the order they come. In three places that
order matters:

* A restart that fails goes to the back of the mailbox before it is tried again, so a supervisor
  that keeps restarting a broken child can still be asked, and stopped.
* A backoff is waited for by a timer, never by the supervisor.
* An exit may come late, when its incarnation has been replaced already: in a group the restart of one
  stops the others, also those that have just crashed themselves. Such exits are told by their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ..runtime import SHUTDOWN, Cell, Exit, ExitKind, ExitReason, Message, handles
from ._administration import ChildExited, TryRestart
from ._children import RESTARTING, RUNNING, UNDEFINED, ChildRecord
from ._errors import RestartIntensityError
from ._intensity import RestartWindow
from ._keeper import START_ERRORS, Keeper, TreeContext
from ._losses import Loss
from ._specs import AutoShutdownName, StrategyName
from ._strategy import group_of, is_finished
from .policies import wait_of


class Restarter(Keeper):
    """Decide on the exits of children, and carry the restarts out."""

    strategy: StrategyName = "one_for_one"
    auto_shutdown: AutoShutdownName = "never"
    keeps_ended: ClassVar[bool] = True
    """Whether the spec of a child that has ended stays, so that it can be started again."""

    def __init__(self, intensity: int, period: float, context: TreeContext) -> None:
        super().__init__(context)
        self.window = RestartWindow(intensity, period)

    # --- exits -------------------------------------------------------------------------------------

    def exited(self, cell: Cell, reason: ExitReason, *, final: bool) -> None:
        """Hear of an exit; it is decided on in its turn."""
        if not final and self.cell.is_alive:  # else it stops what is left of the child in its turn
            self.cell.tell_nowait(ChildExited(cell, cell.incarnation, reason))

    @handles
    async def child_exited(self, message: ChildExited) -> None:
        """Decide on an exit: restart the child and its group, leave it, or give up."""
        record = self.record_of(message.cell)
        if record is None or record.state is not RUNNING:
            return
        if message.incarnation != message.cell.incarnation:
            return  # its group was restarted meanwhile, and it with them
        if self._is_to_be_restarted(record, message.reason):
            record.state = RESTARTING
            await self.restart(record, message.reason)
        else:
            self.end_cell(record, message.reason)
            self.forget_if_over(record)
            self.look_whether_finished(record, message.reason)

    def _is_to_be_restarted(self, record: ChildRecord, reason: ExitReason) -> bool:
        if record.spec.restart == "temporary":
            return False
        return record.spec.restart == "permanent" or reason.is_crash

    def forget_if_over(self, record: ChildRecord) -> None:
        """Drop the spec of a child that has ended, where it is not to be kept."""
        if record.spec.restart == "temporary" or not self.keeps_ended:
            self.children.pop(record.id, None)

    def look_whether_finished(self, record: ChildRecord, reason: ExitReason) -> None:
        """End when the significant children have.

        Args:
            record: A child that has ended by itself, and is not restarted.
            reason: Why it ended.

        Raises:
            Exit: They have.
        """
        if not record.spec.significant:
            return
        others_run = any(
            other.spec.significant and (other.state is not UNDEFINED or other.is_held)
            for other in self.children.values()
        )
        if is_finished(self.auto_shutdown, others_run=others_run):
            self.kernel.events.info("supervisor.finished", actor_path=self.cell.path, child=record.id)
            raise Exit(ExitReason(ExitKind.SHUTDOWN, detail=f"auto shutdown: {record.id} has ended"))

    # --- restarts ----------------------------------------------------------------------------------

    async def restart(self, record: ChildRecord, reason: ExitReason) -> None:
        """Count one restart and begin it, now or after its backoff."""
        now = self.kernel.now()
        if not self.window_of(record).add(now):
            self.exceeded(record, reason)
            return
        if now - record.began >= self.window.period:
            record.failures = 0  # it ran long enough to be called stable
        record.failures += 1
        if record.spec.backoff is None:
            await self._restart_group(record)
        else:
            await self._wait_for_restart(record, is_counted=True)

    @handles
    async def try_restart(self, message: TryRestart) -> None:
        """Restart a child whose wait is over, unless it was overtaken."""
        record = message.record
        if self.children.get(record.id) is not record or record.turn != message.turn:
            return
        if message.is_counted or self.window_of(record).add(self.kernel.now()):
            await self._restart_group(record)
        else:
            self.exceeded(record, ExitReason(ExitKind.CRASHED) if record.cell is None else record.cell.reason)

    def restart_after(self, record: ChildRecord, seconds: float, *, is_counted: bool = True) -> None:
        """Restart a child in some seconds; until then its messages queue.

        Args:
            record: The child.
            seconds: How long to wait.
            is_counted: Its window has counted this restart already.
        """
        message = TryRestart(record, record.overtake(), is_counted)
        record.timer = self.kernel.timers.call_at(self.kernel.now() + seconds, lambda: self.remind(message))

    def group(self, record: ChildRecord) -> Sequence[ChildRecord]:
        """Choose who restarts with a child, itself included, in start order."""
        if self.strategy == "one_for_one":
            return (record,)
        return group_of(self.strategy, self.children.values(), record)

    async def _restart_group(self, record: ChildRecord) -> None:
        """Stop who restarts with a child, newest first; start them again in order, as far as that goes."""
        record.overtake()
        group = self.group(record)
        if len(group) > 1:
            await self._stop_group(record)
            group = self.group(record)
        record.state = UNDEFINED
        for member in group:
            if not await self.start_again(member):
                return

    async def _stop_group(self, record: ChildRecord) -> None:
        for member in reversed(self.group(record)):
            if member is record:
                continue
            if member.spec.restart == "temporary":
                await self.stop_record(member, SHUTDOWN)
                del self.children[member.id]
            else:
                await self.pause_record(member, SHUTDOWN)

    async def start_again(self, record: ChildRecord) -> bool:
        """Start a child that was running before; False when that failed, and it will be tried again."""
        try:
            await self.start_record(record)
        except START_ERRORS as error:
            cause = error.__cause__ or error
            self.kernel.events.error(
                "actor.start_failed", actor_path=self.path_of(record), error_type=type(cause).__name__
            )
            record.state = RESTARTING
            record.failures += 1
            await self.try_again(record)
            return False
        if record.cell is not None:
            self.kernel.events.info(
                "actor.restarted", actor_path=record.cell.path, restarts=record.cell.incarnation - 1
            )
        return True

    async def try_again(self, record: ChildRecord) -> None:
        """Queue the next try behind whatever waits in the mailbox; it is counted then, as OTP does."""
        if record.spec.backoff is None:
            self.remind(TryRestart(record, record.overtake(), is_counted=False))
        else:
            await self._wait_for_restart(record, is_counted=False)

    async def _wait_for_restart(self, record: ChildRecord, *, is_counted: bool) -> None:
        """Wait for a restart; nobody who restarts with the child runs meanwhile without it."""
        assert record.spec.backoff is not None
        await self._stop_group(record)
        seconds = wait_of(record.spec.backoff, record.failures, self.kernel.rng)
        self.restart_after(record, seconds, is_counted=is_counted)

    def remind(self, message: Message) -> None:
        """Tell this supervisor something in its turn."""
        if self.cell.is_alive:
            self.cell.tell_nowait(message)

    def release_waiting(self) -> None:
        """End those who wait for the restart of a group that will not come: its child was stopped."""
        if self.strategy == "one_for_one":
            return
        records = tuple(self.children.values())
        expected: set[ChildRecord] = set()
        for record in records:
            if record.state is RESTARTING:
                expected.update(self.group(record))
        for record in records:
            if record.is_held and record not in expected:
                self.end_cell(record, SHUTDOWN)

    # --- giving up ---------------------------------------------------------------------------------

    def window_of(self, record: ChildRecord) -> RestartWindow:
        """Return the window a child's restarts are counted in: one for all."""
        return self.window

    def exceeded(self, record: ChildRecord, reason: ExitReason) -> None:
        """Give up: the crashed child is not restarted, the others are stopped in reverse.

        Raises:
            Exit: Always; it ends the supervisor.
        """
        error = RestartIntensityError(self.cell.path, record.id, self.window.intensity, self.window.period)
        error.__cause__ = reason.error
        given_up = ExitReason(ExitKind.SHUTDOWN, error)
        self.end_cell(record, given_up)
        self.forget_if_over(record)
        self.report_given_up(self.cell, record, reason)
        raise Exit(given_up)

    def report_given_up(self, cell: Cell, record: ChildRecord, reason: ExitReason) -> None:
        """Say that *cell* was given up, because of one of its children or by itself: never silently."""
        loss = self.loss(cell, record, reason)
        self.context.losses.add(loss)
        self.say_given_up(cell, loss)

    def loss(self, cell: Cell, record: ChildRecord, reason: ExitReason) -> Loss:
        """Describe what is being given up."""
        window, now = self.window_of(record), self.kernel.now()
        return Loss(
            path=cell.path,
            child=record.id,
            reason=type(reason.error).__name__ if reason.error else str(reason),
            restarts=window.count(now),
            period=window.period,
            at=now,
        )

    def say_given_up(self, cell: Cell, loss: Loss) -> None:
        """Count a loss and log it."""
        self.context.losses.counts[type(cell.actor).__name__] += 1
        self.kernel.events.error(
            "actor.gave_up",
            actor_path=loss.path,
            child=loss.child,
            restarts=loss.restarts,
            window_s=loss.period,
            error_type=loss.reason,
        )
