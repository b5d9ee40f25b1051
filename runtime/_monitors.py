"""Monitors: be told once how an actor ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakSet

from ._exits import ExitReason
from ._statistics import ActorState

if TYPE_CHECKING:
    from ._cell import Cell
    from ._kernel import Kernel
    from ._parking import Slot
    from ._ref import Ref


@dataclass(frozen=True, slots=True)
class Down:
    """One incarnation of an actor has ended."""

    ref: Ref
    """The actor. It may already run again, as its next incarnation."""
    incarnation: int
    """Which one ended, counted from 1; 0 when none had begun."""
    reason: ExitReason
    """Why."""


class Monitor:
    """Watch one incarnation of an actor. Leaks nothing when it is dropped or cancelled."""

    __slots__ = ("__weakref__", "_down", "_kernel", "_waiters")

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
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

    def fire(self, down: Down) -> None:
        """Tell the waiters."""
        self._down = down
        for waiter in self._waiters:
            waiter.resolve()


class Monitors:
    """Attach monitors to actors and fire them."""

    __slots__ = ("_kernel",)

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def watch(self, cell: Cell) -> Monitor:
        """Watch the incarnation of *cell* that runs now, or report its end if none does."""
        monitor = Monitor(self._kernel)
        is_over = all(departure.is_detached for departure in cell.departures or ())
        if cell.state in (ActorState.STOPPED, ActorState.RESTARTING) and is_over:
            monitor.fire(Down(cell, cell.incarnation, cell.reason))
            return monitor
        if cell.monitors is None:
            cell.monitors = WeakSet()  # who drops a monitor need not take it back
        cell.monitors.add(monitor)
        return monitor

    def fire(self, cell: Cell, reason: ExitReason) -> None:
        """Tell everyone who watches *cell* that its incarnation has ended."""
        monitors, cell.monitors = cell.monitors, None
        for monitor in tuple(monitors or ()):
            monitor.fire(Down(cell, cell.incarnation, reason))
