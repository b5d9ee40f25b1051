"""Virtual time on both backends: the clock stands still while tasks run and jumps when all of them wait.

The only module of the kit that names asyncio or trio. On trio it is trio's own ``MockClock``; asyncio
has nothing of the kind, so here is an event loop that has.
"""

from __future__ import annotations

import asyncio
import selectors
from collections import deque
from collections.abc import Awaitable, Callable
from math import inf, ulp
from typing import Literal, TypeVar, cast

import anyio
import anyio.lowlevel
import trio
from trio.testing import MockClock

ResultT = TypeVar("ResultT")

BackendName = Literal["trio", "asyncio"]

PAUSE = 0.002
"""Seconds between two looks at something that nobody announces, in real time."""


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
    """An asyncio event loop in virtual time: its clock jumps to the next timer when all tasks wait.

    Begins at 0. Not for sockets, threads and subprocesses: the clock does not wait for them.

    Pass the class where asyncio or anyio wants a loop factory; `virtual_backend` does.
    """

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    @property
    def _clock_resolution(self) -> float:
        """How much too early asyncio may call a timer: by no more than the smallest step of the clock.

        With its usual nanosecond a timer that looks at the clock finds that it is too early, asks to be
        called again, and is so at once, for ever: here no time passes while anybody has anything to do.
        """
        return ulp(self.time())

    @_clock_resolution.setter
    def _clock_resolution(self, seconds: float) -> None:
        """Take no notice of what asyncio measured of the real clock."""

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._jumping.skipped

    def jump(self, seconds: float) -> None:
        """Let time pass at once, before anybody has noticed."""
        self._jumping.skipped += seconds

    async def settle(self) -> None:
        """Yield until nothing else is ready; no time passes.

        Counting tasks that wait is not enough: anyio delivers cancellations by callbacks.
        """
        ready = cast("deque[object]", getattr(self, "_ready"))  # noqa: B009
        await asyncio.sleep(0)
        while ready:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0)

    @property
    def on_turn(self) -> Callable[[], bool] | None:
        """Called before each turn of the loop; True when it has made something ready."""
        return self._jumping.on_turn

    @on_turn.setter
    def on_turn(self, callback: Callable[[], bool] | None) -> None:
        self._jumping.on_turn = callback

    def next_deadline(self) -> float:
        """Return the moment of the next timer; ``inf`` when there is none."""
        scheduled = cast("list[asyncio.TimerHandle]", getattr(self, "_scheduled"))  # noqa: B009
        return min((timer.when() for timer in scheduled if not timer.cancelled()), default=inf)


def virtual_backend(backend: BackendName = "trio") -> tuple[str, dict[str, object]]:
    """Return a backend in virtual time, in the form anyio's pytest plugin and ``anyio.run`` take it.

    Make it afresh for each run: a clock is used once.

    Args:
        backend: ``trio`` or ``asyncio``.
    """
    if backend == "trio":
        return "trio", {"clock": MockClock(autojump_threshold=0)}
    if backend == "asyncio":
        return "asyncio", {"loop_factory": JumpingLoop}
    raise ValueError(f"backend must be 'trio' or 'asyncio', got {backend!r}")


def run_virtual(main: Callable[[], Awaitable[ResultT]], *, backend: BackendName = "trio") -> ResultT:
    """Run an asynchronous program in virtual time, from ordinary code; return what it returns.

    Args:
        main: An async function without arguments.
        backend: ``trio`` or ``asyncio``.
    """
    name, options = virtual_backend(backend)
    return anyio.run(main, backend=name, backend_options=options)


def is_virtual() -> bool:
    """Tell whether the running event loop is in virtual time."""
    if trio.lowlevel.in_trio_run():
        clock = trio.lowlevel.current_clock()
        return isinstance(clock, MockClock) and clock.autojump_threshold < inf
    return isinstance(asyncio.get_running_loop(), JumpingLoop)


def jump(seconds: float) -> None:
    """Let time pass without anybody noticing yet, as a handler that computes does.

    Raises:
        RuntimeError: This runs in real time.
    """
    if trio.lowlevel.in_trio_run():
        clock = trio.lowlevel.current_clock()
        if isinstance(clock, MockClock):
            clock.jump(seconds)
            return
    else:
        loop = asyncio.get_running_loop()
        if isinstance(loop, JumpingLoop):
            loop.jump(seconds)
            return
    raise RuntimeError("jump(): this runs in real time; run it in virtual time, see virtual_backend()")


async def settle() -> None:
    """Let everybody run until all wait. In virtual time no time passes."""
    if not trio.lowlevel.in_trio_run():
        loop = asyncio.get_running_loop()
        if isinstance(loop, JumpingLoop):
            await loop.settle()
            return
    await anyio.wait_all_tasks_blocked()


async def give_way() -> None:
    """Let others run once; in virtual time until all wait."""
    if is_virtual():
        await settle()
    else:
        await anyio.lowlevel.checkpoint()


async def let_pass(due: float) -> None:
    """Let time pass until something may have changed: in virtual time, until what is due next has happened.

    Args:
        due: The moment at which to return at the latest.
    """
    now = anyio.current_time()
    if is_virtual():
        await anyio.sleep(max(0.0, min(_next_deadline(), due) - now))
        await settle()
    else:
        await anyio.sleep(max(0.0, min(PAUSE, due - now)))


def _next_deadline() -> float:
    if trio.lowlevel.in_trio_run():
        return trio.current_time() + trio.lowlevel.current_statistics().seconds_to_next_deadline
    loop = asyncio.get_running_loop()
    assert isinstance(loop, JumpingLoop)
    return loop.next_deadline()
