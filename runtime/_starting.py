"""Starting: bring one incarnation to life, or leave no trace of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._actor import Actor
from ._entry import Entry
from ._errors import StartError
from ._exits import ExitReason
from ._statistics import ActorState

if TYPE_CHECKING:
    from ._cell import Cell


def starts_at_once(cell: Cell) -> bool:
    """Tell whether the actor has nothing to wait for on its way in."""
    return not (cell.plan.has_started or cell.plan.has_lifespan)


async def start_incarnation(cell: Cell, actor: Actor, *, timeout: float) -> None:
    """Adopt *actor*, run its hooks, and let it be given messages.

    Cancelled or failed, what was entered has been left again and the cell is as before.

    Args:
        cell: The actor's place; its mailbox may hold messages already.
        actor: The new object.
        timeout: Seconds for the hooks.

    Raises:
        StartError: A hook raised, or the time was up. The error is its cause.
        Ignore: A hook said so: the actor is not wanted now.
    """
    _check_alive(cell)
    cell.adopt(actor)
    if not starts_at_once(cell):
        starts = cell.kernel.starts
        starts[cell] = entry = Entry(cell, actor)
        try:
            home = await entry.enter(timeout)
        finally:
            del starts[cell]
        if cell.state is not ActorState.STARTING:
            if home is not None:
                home.cancel()
            raise StartError(cell.path, f"it was ended meanwhile ({cell.reason})")
        if home is not None and home.is_over:  # between its entry and this turn
            raise StartError(cell.path, "its lifespan ended while it was starting")
        cell.home = home
    cell.begin()


def _check_alive(cell: Cell) -> None:
    if not cell.is_alive:
        raise StartError(cell.path, f"it has ended ({cell.reason})")


def fail_start(cell: Cell, reason: ExitReason) -> None:
    """Note that no incarnation could be started: the queue waits for the owner's decision."""
    if cell.is_alive:  # else it was stopped while it started, and must not take messages again
        cell.reason = reason
        cell.hold(ActorState.RESTARTING)
        if cell.ties is not None:
            cell.ties.end(reason)
