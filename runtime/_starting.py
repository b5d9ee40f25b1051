"""Starting: bring one incarnation to life, or leave no trace of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from ._actor import Actor
from ._errors import StartError
from ._exits import ExitReason, Ignore, primary_error, text_of
from ._home import Home
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
        try:
            with anyio.move_on_after(timeout) as scope:
                await _enter(cell, actor)
        except BaseException as error:
            if not cell.kernel.is_failure(error):
                raise
            primary = primary_error(error)
            if isinstance(primary, Ignore):
                raise primary from None
            raise StartError(cell.path, f"{type(error).__name__}: {text_of(error)}", error) from error
        if scope.cancelled_caught:
            raise StartError(cell.path, f"its start took longer than {timeout:.3g} s")
        if cell.state is not ActorState.STARTING:
            _abandon(cell)
            raise StartError(cell.path, f"it was ended meanwhile ({cell.reason})")
    cell.begin()


async def _enter(cell: Cell, actor: Actor) -> None:
    if cell.plan.has_started:
        info = await actor.started()
        if info is not None:  # else the class's own None serves, and an idle actor stays small
            actor.start_info = info
    if cell.plan.has_lifespan:
        home = Home(cell, actor)
        await home.enter()
        cell.home = home


def _abandon(cell: Cell) -> None:
    """Let go of what was entered after a kill, by a hook that did not give way to its cancellation."""
    home, cell.home = cell.home, None
    if home is not None:
        home.cancel()


def _check_alive(cell: Cell) -> None:
    if not cell.is_alive:
        raise StartError(cell.path, f"it has ended ({cell.reason})")


def fail_start(cell: Cell, reason: ExitReason) -> None:
    """Note that no incarnation could be started: the queue waits for the owner's decision."""
    if cell.is_alive:  # else it was stopped while it started, and must not take messages again
        cell.reason = reason
        cell.hold(ActorState.RESTARTING)
