"""What supervisors have yet to do: for those who wait for a tree to come to rest, and for leak checks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..runtime import ActorState, Cell
from ._children import ChildRecord, ChildState
from ._keeper import Keeper


def restarts_due(cells: Iterable[Cell], now: float) -> list[tuple[str, float]]:
    """List the children that are to be started again, each with its moment."""
    return [
        (keeper.path_of(record), now if record.timer is None else record.timer.due)
        for keeper, record in _children_of(cells)
        if record.state is ChildState.RESTARTING
    ]


def ended_children(cells: Iterable[Cell]) -> list[str]:
    """List the children that have ended and are still held."""
    return [
        record.cell.path
        for _, record in _children_of(cells)
        if record.cell is not None and record.cell.state is ActorState.STOPPED
    ]


def _children_of(cells: Iterable[Cell]) -> Iterator[tuple[Keeper, ChildRecord]]:
    for cell in cells:
        if isinstance(cell.actor, Keeper):
            for record in cell.actor.children.values():
                yield cell.actor, record
