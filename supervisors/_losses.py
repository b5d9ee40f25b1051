"""Losses: what was given up and has not come back. Giving up is never silent."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

KEPT = 256
"""Paths remembered; the oldest makes room."""


@dataclass(frozen=True, slots=True)
class Loss:
    """One actor or subtree that is not restarted any more."""

    path: str
    """Where it stood in the tree."""
    child: str
    """Id of the child whose exit was one too many; the path's own where it was given up alone."""
    reason: str
    """Why that child ended the last time: the name of its error, or the kind of its exit."""
    restarts: int
    """How often it was restarted within the period."""
    period: float
    """Seconds."""
    at: float
    """The moment, on the system's clock, in seconds."""


class Losses:
    """The losses of one tree, newest last."""

    __slots__ = ("_losses", "counts")

    def __init__(self) -> None:
        self._losses: dict[str, Loss] = {}
        self.counts: Counter[str] = Counter()
        """How often each kind of actor was given up, by its class."""

    def __bool__(self) -> bool:
        return bool(self._losses)

    def add(self, loss: Loss) -> None:
        """Note a loss."""
        self._losses.pop(loss.path, None)
        self._losses[loss.path] = loss
        if len(self._losses) > KEPT:
            del self._losses[next(iter(self._losses))]

    def recover(self, path: str) -> None:
        """Forget what was lost at *path* and below: something runs there again."""
        below = f"{path}/"
        for lost in tuple(self._losses):
            if lost == path or lost.startswith(below):
                del self._losses[lost]

    def read(self) -> list[Loss]:
        """Return what is lost now, oldest first."""
        return list(self._losses.values())
