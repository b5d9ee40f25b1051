"""Credit: how much may be on the way to a client that has not yet said it has it."""

from __future__ import annotations

from collections import deque
from math import inf

FRAMES = 8
BYTES = 64 * 1024


class Credit:
    """Count frames that are under way. Pure: moments go in.

    The server's socket takes about 160 kB from a client that has stopped reading, and a send that no longer
    fits can't be broken off. So no more than 64 KiB are ever under way.

    Args:
        frames: So many at a time,
        size: and so many bytes; one frame may always go.
    """

    def __init__(self, frames: int = FRAMES, size: int = BYTES) -> None:
        self._frames = frames
        self._size = size
        self._under_way: deque[tuple[int, int, float]] = deque()
        """Number, bytes and moment of each."""
        self._bytes = 0
        self._number = 0

    @property
    def next_number(self) -> int:
        """The number of the next frame."""
        return self._number + 1

    def allows(self, size: int) -> bool:
        """Tell whether a frame of so many bytes may go now."""
        if not self._under_way:
            return True
        return len(self._under_way) < self._frames and self._bytes + size <= self._size

    def sent(self, size: int, now: float) -> None:
        """Note that the next frame goes."""
        self._number += 1
        self._under_way.append((self._number, size, now))
        self._bytes += size

    def acknowledge(self, number: int) -> bool:
        """Note that the client has all frames up to *number*; False: there is no such frame."""
        if not 0 <= number <= self._number:
            return False
        while self._under_way and self._under_way[0][0] <= number:
            self._bytes -= self._under_way.popleft()[1]
        return True

    def oldest(self) -> float:
        """Return the moment the oldest frame under way was sent; ``inf``: none is."""
        return self._under_way[0][2] if self._under_way else inf
