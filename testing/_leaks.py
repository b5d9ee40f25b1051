"""Find what was left behind."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from weakref import WeakSet

import anyio

from ..runtime import Cell
from ..supervisors import System
from ._clock import give_way
from ._idle import business
from ._looking import Patience, cells_of, kernel_of

_LIFESPAN = "Home._run"
_OWN_TASKS = ("Dispatcher._work", _LIFESPAN)
"""How the names of the runtime's own tasks end."""

_Look = Callable[[], Iterable[str]]


async def assert_no_leaks(system: System, *, timeout: float = 5.0, timers: bool = True) -> None:
    """Check that *system* is at rest and holds nothing it should have let go of.

    At zero are: workers at work and work ready for them, messages queued or in hand, senders waiting
    for room, permits and attempts taken, exits under way, monitors, pending deadlines, names of actors
    that have ended, ended children that are still held. Waits for all that up to *timeout*.

    Args:
        system: The system.
        timeout: Seconds.
        timers: Count pending deadlines; False where a breaker or a gate may stay shut for long.

    Raises:
        AssertionError: Something is left. One line each: whose, and what.
    """
    await _assert_clean(timeout, lambda: _leaks(system, timers=timers))


@asynccontextmanager
async def no_leaks(
    system: System, *, timeout: float = 5.0, timers: bool = True
) -> AsyncGenerator[None, None]:
    """Check that what the block did left nothing behind in *system*.

    As `assert_no_leaks`, at the end of the block; and besides, no actor or name that was not there
    before, no monitor and no task more than before, but for idle workers.

    Args:
        system: The system; it need not be at rest when the block begins.
        timeout: Seconds to wait for the end of what is ending.
        timers: Count pending deadlines.

    Raises:
        AssertionError: Something is left. Not raised where the block itself raises.
    """
    names = set(kernel_of(system).registry.names())
    # By their coroutines: a task's id may be given out again when it has ended. Weakly: what ends can go.
    tasks: WeakSet[object] = WeakSet(task.coro for task in anyio.get_running_tasks())
    monitors = _monitors(system)
    yield

    def left() -> Iterator[str]:
        yield from _leaks(system, timers=timers, monitors=monitors)
        for name, cell in kernel_of(system).registry.names().items():
            if name not in names:
                yield f"{cell.path}: an actor more than before, registered as {name!r}"
        yield from _new_tasks(system, tasks)

    await _assert_clean(timeout, left)


async def _assert_clean(timeout: float, left: _Look) -> None:
    patience = Patience(timeout)
    await give_way()
    while found := list(dict.fromkeys(left())):
        if patience.is_over:
            raise AssertionError(f"{len(found)} left behind after {timeout:g} s:\n  " + "\n  ".join(found))
        await patience.wait()


def _leaks(system: System, *, timers: bool, monitors: dict[str, int] | None = None) -> Iterator[str]:
    yield from business(system, float("inf"), timers=timers)
    for cell in cells_of(system):
        yield from _held_by(cell)
    before = monitors or {}
    for path, count in _monitors(system).items():
        if count > before.get(path, 0):
            yield f"{path}: {count - before.get(path, 0)} monitors, still held by somebody"
    for name, cell in kernel_of(system).registry.names().items():
        if not cell.is_running and not cell.is_alive:
            yield f"{cell.path}: has ended and is still registered as {name!r}"
    for path in system.ended_children():
        yield f"{path}: has ended and is still held by its supervisor"
    for service in system.services():
        if service.bulkhead.in_flight:
            yield f"{service.provider}: {service.bulkhead.in_flight} slots of the bulkhead taken"


def _held_by(cell: Cell) -> Iterator[str]:
    if cell.busy:
        yield f"{cell.path}: {cell.busy} of {cell.concurrency} permits taken"
    if cell.workers:
        yield f"{cell.path}: {len(cell.workers)} workers in it"


def _monitors(system: System) -> dict[str, int]:
    counts = {cell.path: len(cell.ties.monitors or ()) for cell in cells_of(system) if cell.ties is not None}
    return {path: count for path, count in counts.items() if count}


def _new_tasks(system: System, before: WeakSet[object]) -> Iterator[str]:
    """List tasks that were not there, apart from idle workers and the lifespans of live actors.

    A restart puts one lifespan's task in another's place, so those are counted, not told apart.
    """
    names = [task.name or "" for task in anyio.get_running_tasks() if task.coro not in before]
    yield from (f"task {name}: started and not ended" for name in names if not name.endswith(_OWN_TASKS))
    lifespans = sum(name.endswith(_LIFESPAN) for name in names)
    homes = sum(cell.home is not None for cell in cells_of(system))
    if lifespans > homes:
        yield f"lifespans: {lifespans - homes} tasks still in one, their actors have ended"
