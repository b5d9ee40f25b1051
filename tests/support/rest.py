"""Look whether a system is at rest: no task, permit, slot or timer is held by anybody."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import trio

from relight import Ref, System
from relight.runtime import ActorCell, ActorState, Kernel


def kernel_of(system: System) -> Kernel:
    """Look behind a system's face."""
    return system._kernel


def living_tasks() -> int:
    """Count the tasks of the event loop."""
    if trio.lowlevel.in_trio_run():
        return trio.lowlevel.current_statistics().tasks_living
    return len(asyncio.all_tasks())


def living_timers(system: System) -> list[object]:
    """List what still has a deadline ahead of it."""
    timers = kernel_of(system).timers
    entries: list[object] = [entry for lane in timers._lanes.values() for _, entry in lane if not entry.done]
    return entries + [entry for _, _, entry in timers._heap if not entry.done]


def tasks_for_nothing(system: System) -> int:
    """Count the tasks that neither work in the pool nor hold a lifespan."""
    kernel = kernel_of(system)
    homes = sum(cell.home is not None for cell in kernel.registry.cells())
    return living_tasks() - kernel.dispatcher.statistics().workers - homes


class Baseline:
    """What a system looked like before something was done to it."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.names = set(kernel_of(system).registry._cells)
        self.tasks = tasks_for_nothing(system)
        self.timers = len(living_timers(system))

    def check(self, *cells: Ref, gone: Iterable[str] = (), new: Iterable[str] = ()) -> None:
        """Check that all is as it was, but for the names that may have come or must have gone.

        Args:
            cells: More actors to look at, dead ones too.
            gone: Names that are free now.
            new: Names that were not there before.
        """
        kernel = kernel_of(self.system)
        registry = kernel.registry
        assert set(registry._cells) == (self.names - set(gone)) | set(new)
        pool = kernel.dispatcher.statistics()
        assert (pool.ready, pool.idle) == (0, pool.workers), "a worker is busy"
        assert not kernel.dispatcher.armed
        assert tasks_for_nothing(self.system) == self.tasks, "a task was left behind"
        assert len(living_timers(self.system)) == self.timers, living_timers(self.system)
        root = self.system.root.ref
        for ref in {*registry.cells(), root, *cells}:
            assert isinstance(ref, ActorCell)
            check_at_rest(ref)
        assert not registry._aliases.keys() - registry._cells.keys()


def check_at_rest(cell: ActorCell) -> None:
    """Check that nobody works in a cell or waits for it, and that its messages have had their ends."""
    found = cell.statistics()
    assert (cell.workers, cell.busy) == ((), 0), cell
    assert cell.room == (cell.concurrency if cell.state is ActorState.RUNNING else 0), cell
    assert not cell.departures, cell
    assert (found.queued, found.in_hand, found.waiting) == (0, 0, 0), (cell, found)
    assert found.accepted == found.handled + found.dead_letters + found.abandoned
    for monitor in (cell.ties.monitors or ()) if cell.ties is not None else ():
        assert not monitor._waiters, cell
