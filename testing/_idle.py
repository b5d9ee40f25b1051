"""Wait until a system has nothing to do."""

from __future__ import annotations

from collections.abc import Iterator

from ..runtime import ActorState, Cell
from ..supervisors import System
from ._clock import give_way
from ._looking import Patience, cells_of, kernel_of
from ._timers import describe

_BETWEEN = (ActorState.STARTING, ActorState.STOPPING)


async def wait_until_idle(system: System, *, timeout: float = 5.0, timers: bool = False) -> None:
    """Wait until nobody in *system* has anything to do.

    Idle is: no actor starts or stops; none has a message queued, in hand or waiting for room (a service's
    call that waits for its retry counts as queued); no start or stop hook runs; no actor is to be
    restarted before *timeout* is over (a restart that is due later is not waited for). In virtual
    time, time goes on to whatever is due next until that is so.

    Args:
        system: The system.
        timeout: Seconds.
        timers: Wait also until no deadline is pending: those of asks, the reopening of a gate or a
            breaker, the look at a half-open one.

    Raises:
        AssertionError: Not idle in time. The text says who is busy, and with what.
    """
    patience = Patience(timeout)
    await give_way()
    while busy := list(business(system, patience.due, timers=timers)):
        if patience.is_over:
            raise AssertionError(f"not idle within {timeout:g} s:\n  " + "\n  ".join(busy))
        await patience.wait()


def business(system: System, due: float, *, timers: bool = False) -> Iterator[str]:
    """Say what keeps *system* from being idle, one line each.

    Args:
        system: The system.
        due: Restarts that come after this moment are not counted.
        timers: Count pending deadlines too.
    """
    kernel = kernel_of(system)
    for cell in cells_of(system):
        yield from _business_of(cell)
    for path, moment in system.restarts_due():
        if moment <= due:
            yield f"{path}: to be restarted in {max(0.0, moment - kernel.now()):.3g} s"
    pool = kernel.dispatcher.statistics()
    if pool.ready or pool.workers > pool.idle:
        working = pool.workers - pool.idle
        yield f"workers: {working} at work, {pool.ready} pieces of work ready"
    if timers:
        for moment, entry in kernel.timers.pending():
            yield f"timer in {max(0.0, moment - kernel.now()):.3g} s: {describe(entry)}"


def _business_of(cell: Cell) -> Iterator[str]:
    now = cell.statistics()
    counts = {"queued": now.queued, "in hand": now.in_hand, "waiting for room": now.waiting}
    facts = [f"{count} {what}" for what, count in counts.items() if count]
    if cell.state in _BETWEEN or (facts and cell.state is not ActorState.RUNNING):
        facts.append(str(cell.state))
    if cell.departures:
        facts.append("an incarnation is ending")
    if facts:
        yield f"{cell.path}: {', '.join(facts)}"
