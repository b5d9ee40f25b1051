"""Monitors: be told once how an actor ended."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakSet

from ._exits import ExitReason
from ._messages import Message
from ._ref import Ref

if TYPE_CHECKING:
    from ._cell import Cell
    from ._kernel import Kernel
    from ._parking import Slot


class Down(Message, frozen=True):
    """One incarnation of an actor has ended. Told to an actor that watches it."""

    ref: Ref
    """The actor. It may already run again, as its next incarnation."""
    incarnation: int
    """Which one ended, counted from 1; 0 when none had begun."""
    reason: ExitReason
    """Why."""


class Monitor:
    """Watch one incarnation of an actor. Leaks nothing when it is dropped or cancelled."""

    __slots__ = ("__weakref__", "_down", "_kernel", "_target", "_waiters", "_watcher")

    def __init__(self, kernel: Kernel, target: Cell, watcher: Cell | None = None) -> None:
        self._kernel = kernel
        self._target: Cell | None = target
        self._watcher = watcher
        self._down: Down | None = None
        self._waiters: list[Slot] = []

    @property
    def down(self) -> Down | None:
        """How it ended, or None while it runs."""
        return self._down

    async def wait(self) -> Down:
        """Wait for the end; returns at once when it has ended before."""
        while self._down is None:
            turn = self._kernel.slot()
            self._waiters.append(turn)
            try:
                await turn
            finally:
                self._waiters.remove(turn)
        return self._down

    def cancel(self) -> None:
        """Watch no longer: nobody is told any more. Who waits on the monitor waits on."""
        target, watcher = self._target, self._watcher
        self._target = self._watcher = None
        if target is not None and target.ties is not None:
            target.ties.watchers.pop(self, None)
            if target.ties.monitors is not None:
                target.ties.monitors.discard(self)
            target.ties.prune()
        _forget_watching(watcher, self)

    def fire(self, down: Down) -> None:
        """Tell the watcher and the waiters."""
        watcher = self._watcher
        self._target = self._watcher = None
        self._down = down
        _forget_watching(watcher, self)
        if watcher is not None and watcher.is_signallable:
            watcher.tied().put(down)
        for waiter in self._waiters:
            waiter.resolve()


class Monitors:
    """Attach monitors to actors."""

    __slots__ = ("_kernel",)

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def watch(self, cell: Cell, watcher: Cell | None = None) -> Monitor:
        """Watch the incarnation of *cell* that lives now, or report its end if none does.

        Args:
            cell: Whose end.
            watcher: Is told of it, for as long as its own incarnation lives.
        """
        monitor = Monitor(self._kernel, cell, watcher)
        if not cell.has_life:
            monitor.fire(Down(cell, cell.incarnation, cell.reason))
        elif watcher is None:
            ties = cell.tied()
            if ties.monitors is None:
                ties.monitors = WeakSet()
            ties.monitors.add(monitor)
        elif watcher.is_signallable:
            cell.tied().watchers[monitor] = None
            watcher.tied().watching[monitor] = None
        return monitor


def _forget_watching(watcher: Cell | None, monitor: Monitor) -> None:
    if watcher is not None and watcher.ties is not None:
        watcher.ties.watching.pop(monitor, None)
        watcher.ties.prune()
