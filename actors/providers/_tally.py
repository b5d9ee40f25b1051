"""Count what is under way, for one who waits until nothing is."""

from collections.abc import Generator
from contextlib import contextmanager

import anyio


class Tally:
    """Count, and wait for nothing."""

    def __init__(self) -> None:
        self._count = 0
        self._none = anyio.Event()

    @contextmanager
    def one(self) -> Generator[None, None, None]:
        """Count one more while the block runs."""
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1
            if not self._count:
                self._none.set()

    async def wait_none(self) -> None:
        """Wait until the last block has ended; at once if there is none."""
        if self._count:
            # Set by an earlier last one, perhaps: only a new event says that there is none now.
            self._none = anyio.Event()
            await self._none.wait()
