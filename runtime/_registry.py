"""Registry: find an actor by its path or by a name of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._errors import NameTakenError, NoSuchActorError

if TYPE_CHECKING:
    from ._cell import Cell
    from ._ref import Ref


class Registry:
    """Names of the live actors of one system. A name is free again when its actor has ended."""

    __slots__ = ("_aliases", "_cells")

    def __init__(self) -> None:
        self._cells: dict[str, Cell] = {}
        self._aliases: dict[str, list[str]] = {}

    def claim(self, name: str, cell: Cell) -> None:
        """Register *cell* as *name*; what it has already it may claim again.

        Raises:
            NameTakenError: A live actor has the name.
        """
        holder = self._cells.get(name, cell)
        if holder is not cell:
            raise NameTakenError(name, holder)
        if name != cell.path and name not in self._cells:
            self._aliases.setdefault(cell.path, []).append(name)
        self._cells[name] = cell

    def release(self, name: str) -> None:
        """Free an extra name of a live actor. Its path stays its own.

        Raises:
            NoSuchActorError: No live actor has this as an extra name.
        """
        cell = self._cells.get(name)
        if cell is None or name == cell.path:
            raise NoSuchActorError(name)
        names = self._aliases[cell.path]
        names.remove(name)
        if not names:
            del self._aliases[cell.path]
        del self._cells[name]

    def forget(self, cell: Cell) -> None:
        """Free every name of *cell*."""
        path = cell.path
        if self._cells.get(path) is not cell:
            return  # forgotten before; the path may be another actor's by now
        del self._cells[path]
        if self._aliases:
            for name in self._aliases.pop(path, ()):
                self._cells.pop(name, None)

    def find(self, name: str) -> Ref | None:
        """Return the actor registered as *name*, or None."""
        return self._cells.get(name)

    def get(self, name: str) -> Ref:
        """Return the actor registered as *name*.

        Raises:
            NoSuchActorError: No live actor has the name.
        """
        cell = self._cells.get(name)
        if cell is None:
            raise NoSuchActorError(name)
        return cell

    def cells(self) -> list[Cell]:
        """List the live actors once each, in the order they were started."""
        return [cell for name, cell in self._cells.items() if name == cell.path]

    def names(self) -> dict[str, Cell]:
        """List every name taken, paths included, with whose it is."""
        return dict(self._cells)

    def __len__(self) -> int:
        return len(self._cells)
