"""What the kit sees of a system that users do not."""

from __future__ import annotations

import anyio

from ..runtime import Cell, Kernel
from ..supervisors import System
from ._clock import give_way, let_pass


def root_of(system: System) -> Cell:
    """Return the cell of the root supervisor."""
    root = system.root.ref
    assert isinstance(root, Cell)
    return root


def kernel_of(system: System) -> Kernel:
    """Return what the actors of a system share."""
    return root_of(system).kernel


def cells_of(system: System) -> list[Cell]:
    """List the live actors, the root first."""
    return [root_of(system), *kernel_of(system).registry.cells()]


class Patience:
    """Looks again and again until a moment; in virtual time only when something may have changed."""

    def __init__(self, timeout: float) -> None:
        self.due = anyio.current_time() + timeout
        """The moment when it ends."""
        self._is_settled = False

    @property
    def is_over(self) -> bool:
        """Tell whether the time is up."""
        return anyio.current_time() >= self.due

    async def wait(self) -> None:
        """Let others run until it is worth another look."""
        if self._is_settled:
            await let_pass(self.due)
        else:  # what others are about to do comes before time goes on
            self._is_settled = True
            await give_way()
