"""A sum over the last seconds, kept in slices.

A list of all that happened would grow with the traffic. Here at most one number a slice is kept. A slice is
forgotten when the newest thing in it is older than the window: what is summed up is never too little, and
at most a slice's length too much. That is the safe side for what must not be exceeded.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final, final

SLICES: Final = 60
_CRUMB: Final = 1e-9
"""What sums of floats may be off by."""


@final
class SlidingSum:
    """Sum up what was added within the last *seconds*, a sixtieth of it more at most."""

    __slots__ = ("_newest", "_slices", "_total", "_width", "until")

    def __init__(self, seconds: float) -> None:
        self._width = seconds / SLICES
        self._slices: deque[list[float]] = deque()
        """Each slice's number and sum, oldest first."""
        self._newest: list[float] = [0.0, 0.0]
        self._total = 0.0
        self.until = -math.inf
        """The end of the newest slice."""

    def add(self, amount: float, now: float) -> None:
        """Add *amount*, which belongs to this moment."""
        if now >= self.until:
            self._turn(now)
        self._newest[1] += amount
        self._total += amount

    def total(self, now: float) -> float:
        """Return the sum."""
        if now >= self.until:
            self._turn(now)
        return self._total

    def seconds_until_less(self, amount: float, now: float) -> float | None:
        """Return the seconds until the sum is *amount* less if nothing is added; None: it is too small."""
        self.total(now)
        left = amount
        for number, held in self._slices:
            left -= held
            if held > 0.0 and left <= _CRUMB:
                return max(0.0, (number + 1 + SLICES) * self._width - now)
        return None

    def _turn(self, now: float) -> None:
        number = math.floor(now / self._width)
        slices = self._slices
        while slices and number - slices[0][0] > SLICES:
            slices.popleft()
        # Summed up afresh: of what is only added and taken away, the errors would stay for ever.
        self._total = math.fsum(held for _, held in slices)
        self._newest = [number, 0.0]
        slices.append(self._newest)
        self.until = (number + 1) * self._width
