"""Virtual time for asyncio, as trio's MockClock with autojump is for trio."""

import asyncio
import selectors
from collections import deque
from collections.abc import Callable
from typing import cast


class _JumpingSelector(selectors.DefaultSelector):
    """Instead of waiting for the next timer, says that it has waited."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped = 0.0
        self.on_turn: Callable[[], bool] | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.on_turn is not None and self.on_turn():
            return super().select(0)
        if timeout is None:
            return super().select(None)
        ready = super().select(0)
        if not ready:
            self.skipped += max(0.0, timeout)
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock stands still while tasks run, and jumps to the next timer when all wait."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    @property
    def on_turn(self) -> Callable[[], bool] | None:
        """Called before each turn of the loop; True when it has made something ready."""
        return self._jumping.on_turn

    @on_turn.setter
    def on_turn(self, callback: Callable[[], bool] | None) -> None:
        self._jumping.on_turn = callback

    def time(self) -> float:
        return self._jumping.skipped

    def jump(self, seconds: float) -> None:
        """Let time pass at once."""
        self._jumping.skipped += seconds

    async def settle(self) -> None:
        """Yield until nothing else is ready.

        Counting tasks that wait is not enough: anyio delivers cancellations by callbacks.
        """
        ready = cast("deque[object]", getattr(self, "_ready"))  # noqa: B009
        await asyncio.sleep(0)
        while ready:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0)
