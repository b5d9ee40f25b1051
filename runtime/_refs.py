"""From the handle that users hold to the runtime's side of the actor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._ref import Ref

if TYPE_CHECKING:
    from ._cell import Cell


def cell_of(ref: Ref) -> Cell:
    """Return the cell behind a ref.

    Raises:
        TypeError: It is no actor of a system, but something that only looks like one.
    """
    from ._cell import Cell  # it imports what imports this module

    principal = getattr(ref, "principal", None)
    if isinstance(principal, Cell):
        return principal
    raise TypeError(f"{ref!r} is not an actor of this system: pass the ref that spawn() or get() returned")
