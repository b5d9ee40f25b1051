"""The root: the supervisor at the top, and how the engine starts and stops it."""

from __future__ import annotations

from typing import ClassVar, cast

from ..runtime import SHUTDOWN, ActorCell, Cell, ExitReason, Kernel, start_incarnation
from ._account import Accounts
from ._children import ChildRecord
from ._intensity import RestartWindow
from ._keeper import TreeContext
from ._losses import Losses
from ._service_supervisor import service_supervisor
from ._settings import Settings
from ._specs import Supervisor
from ._subtree import subtree_child
from ._supervisor import SupervisorActor

ROOT_INTENSITY = 5
ROOT_PERIOD = 60.0


class RootSupervisor(SupervisorActor):
    """The top of the tree. It gives up single children, never itself: there is nobody above it.

    Each child has a window of its own, so that what one user of a shared system spawns can't end
    what another did.
    """

    keeps_ended: ClassVar[bool] = False

    def __init__(self, context: TreeContext) -> None:
        super().__init__(Supervisor("root", intensity=ROOT_INTENSITY, period=ROOT_PERIOD), context)
        self._windows: dict[str, RestartWindow] = {}

    def path_of(self, record: ChildRecord) -> str:
        """Leave the root out of paths."""
        return record.id

    def window_of(self, record: ChildRecord) -> RestartWindow:
        """Return the child's own window."""
        window = self._windows.get(record.id)
        if window is None:
            window = self._windows[record.id] = RestartWindow(ROOT_INTENSITY, ROOT_PERIOD)
        return window

    def exceeded(self, record: ChildRecord, reason: ExitReason) -> None:
        """Give up this child alone, and say so."""
        assert record.cell is not None
        self.report_given_up(record.cell, record, reason)
        self.end_cell(record, reason)
        self.forget_if_over(record)

    def forget_if_over(self, record: ChildRecord) -> None:
        """Forget a child that has ended: its id may be used again."""
        super().forget_if_over(record)
        self._windows.pop(record.id, None)


class Tree:
    """What the engine starts first and stops last."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.losses = Losses()
        self.cell: Cell | None = None

    @property
    def root(self) -> RootSupervisor:
        """The supervisor at the top."""
        assert self.cell is not None
        return cast("RootSupervisor", self.cell.actor)

    async def start(self, kernel: Kernel) -> None:
        """Start the root supervisor."""
        context = TreeContext(self._settings, subtree_child, service_supervisor, self.losses, Accounts())
        actor = RootSupervisor(context)
        self.cell = ActorCell(kernel, "root", actor, self, shutdown=float("inf"))
        await start_incarnation(self.cell, actor, timeout=float("inf"))

    async def stop(self) -> None:
        """Stop every actor, newest first."""
        assert self.cell is not None
        await self.cell.stop_and_wait(SHUTDOWN, float("inf"), final=True)

    def abort(self) -> None:
        """Fail everything that waits."""
        if self.cell is not None:
            self.cell.kill()

    def exited(self, cell: Cell, reason: ExitReason, *, final: bool) -> None:
        """Hear that the root has ended; one that crashed takes its tree down, with nobody to restart it."""
        if not final:
            cell.kernel.events.error("system.root_crashed", reason=str(reason))
            cell.kill(reason)

    async def stop_child(self, cell: Cell, reason: ExitReason, timeout: float | None) -> None:
        """Stop the root because its ref was asked to."""
        await self.stop()
