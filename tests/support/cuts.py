"""Cancel a piece of code at each of its checkpoints in turn, and at each turn of the event loop.

A piece of code that is cancelled where its author thought of it is not tested. So it is run again and
again, each time cut one checkpoint later, until it ends before the cut comes::

    for cut in cuts(moment):
        ...                              # a fresh stage
        await cut.run(lambda: ref.ask(Echo()))
        ...                              # is everything at rest?

Trio's ``trio.testing.assert_checkpoints`` looks for checkpoints in the same way: it watches what happens
between two steps of a task.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable, Generator, Iterator
from types import coroutine
from typing import Generic, TypeVar, cast

import anyio
import trio

from relight.testing import JumpingLoop

ResultT = TypeVar("ResultT")

MOST = 400
"""Cuts before a piece of code counts as endless."""


class Moment(enum.StrEnum):
    """What is counted until the cut."""

    CHECKPOINT = "checkpoint"
    """The waits of the code itself: it is cut where it begins the wait."""
    TURN = "turn"
    """The turns of the event loop while the code waits or runs: it is cut while others are half done."""


class Cut(Generic[ResultT]):
    """One cancellation of one run."""

    def __init__(self, moment: Moment, number: int) -> None:
        self.moment = moment
        self.number = number
        self.made = False
        """The code had not ended when its turn came to be cancelled."""
        self.result: ResultT | None = None
        self.error: Exception | None = None
        self.ended = False
        """The code returned or raised by itself, cut or not."""
        self._scope = anyio.CancelScope()
        self._counted = 0

    def __repr__(self) -> str:
        return f"<cut at {self.moment} {self.number}>"

    async def run(self, procedure: Callable[[], Awaitable[ResultT]]) -> None:
        """Run *procedure* and cancel it at the moment."""
        with self._scope:
            try:
                if self.moment is Moment.CHECKPOINT:
                    self.result = await _counting(procedure().__await__(), self._count)
                else:
                    with _turns(self._count):
                        self.result = await procedure()
            except Exception as error:  # noqa: BLE001 - the test looks at it
                self.error = error
            self.ended = True

    def restart(self) -> None:
        """Count from here on."""
        self._counted = 0

    def _count(self) -> bool:
        self._counted += 1
        if self._counted != self.number:
            return False
        self.made = True
        self._scope.cancel()
        return True


def cuts(moment: Moment, *, least: int = 1) -> Iterator[Cut[object]]:
    """Yield cuts, each a moment later than the last, until one comes too late.

    At *least* so many must have come in time: code that was never cut proves nothing.
    """
    for number in range(1, MOST):
        cut: Cut[object] = Cut(moment, number)
        yield cut
        if not cut.made:
            assert cut.ended, f"neither cut nor ended: {cut}"
            assert number > least, f"cut {number - 1} times only"
            return
    raise AssertionError(f"not at an end after {MOST} cuts")


@coroutine
def _counting(
    waits: Generator[object, object, ResultT], count: Callable[[], bool]
) -> Generator[object, object, ResultT]:
    """Drive *waits* and call *count* before each of its waits."""
    step: Callable[..., object] = waits.send
    value: object = None
    while True:
        try:
            trap = step(value)
        except StopIteration as end:
            return cast("ResultT", end.value)
        count()
        try:
            value, step = (yield trap), waits.send
        except BaseException as error:  # noqa: BLE001 - cancellation included: it is the code's
            value, step = error, waits.throw


class _turns(trio.abc.Instrument):  # noqa: N801 - used as a context manager
    """Call back at each step of any task (trio), at each turn of the loop (asyncio)."""

    def __init__(self, count: Callable[[], bool]) -> None:
        self._count = count

    def __enter__(self) -> None:
        if trio.lowlevel.in_trio_run():
            trio.lowlevel.add_instrument(self)
        else:
            _jumping_loop().on_turn = self._count

    def __exit__(self, *_: object) -> None:
        if trio.lowlevel.in_trio_run():
            trio.lowlevel.remove_instrument(self)
        else:
            _jumping_loop().on_turn = None

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._count()


def _jumping_loop() -> JumpingLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, JumpingLoop)
    return loop
