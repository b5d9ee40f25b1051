"""Home: the one task that enters and leaves an actor's lifespan.

Handlers run on whichever worker is free, but a client with background tasks or a task group must
be closed by the task that opened it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from ._departure import UNWIND
from ._exits import exit_reason

if TYPE_CHECKING:
    from ._actor import Actor
    from ._cell import Cell
    from ._parking import Slot


class Home:
    """The task around all handlers of one incarnation."""

    __slots__ = ("_actor", "_entered", "_leaving", "_scope", "_waiters", "cell", "is_over")

    def __init__(self, cell: Cell, actor: Actor) -> None:
        self.cell = cell
        self._actor = actor
        self._entered = cell.kernel.slot()
        self._leaving = cell.kernel.slot()
        self._waiters: list[Slot] = []
        self._scope = anyio.CancelScope()
        self.is_over = False
        """The lifespan has been left, or failed."""

    async def enter(self) -> None:
        """Start the task and wait until the lifespan's body is entered.

        Raises:
            Exception: Whatever the lifespan raised on its way in.
        """
        self.cell.kernel.start_soon(self._run)
        try:
            await self._entered
            if self.is_over:
                raise RuntimeError("its lifespan ended while it was starting")
        except BaseException:
            self.cancel()
            # The next try may want the port that this one is still closing.
            with anyio.move_on_after(UNWIND, shield=True):
                await self._wait_over()
            raise

    async def leave(self) -> None:
        """Have the lifespan left and wait for its end."""
        self._leaving.resolve()
        await self._wait_over()

    async def _wait_over(self) -> None:
        if not self.is_over:
            turn = self.cell.kernel.slot()
            self._waiters.append(turn)
            await turn

    def cancel(self) -> None:
        """Cancel the lifespan; its ``finally`` blocks still run."""
        self._scope.cancel()

    async def _run(self) -> None:
        error: BaseException | None = None
        kernel = self.cell.kernel
        task = kernel.current_task()
        kernel.dispatcher.tasks.add(task)
        try:
            with self._scope:
                async with self._actor.lifespan():
                    self._entered.resolve()
                    await self._leaving
        except BaseException as raised:
            if not kernel.is_failure(raised):
                self.is_over = True  # the engine goes down: nothing to say but that this is over
                self._tell_departures()
                raise
            error = raised
        finally:
            kernel.dispatcher.tasks.discard(task)
        self._over(error)

    def _over(self, error: BaseException | None) -> None:
        self.is_over = True
        if not self._entered.done:
            problem = error or RuntimeError("the lifespan ended before it was entered")
            if self._entered.resolve(error=problem):
                return  # whoever starts the actor hears of it
        for waiter in self._waiters:
            waiter.resolve()
        cell = self.cell
        if cell.home is self:
            failure = error or RuntimeError("the lifespan ended while the actor was running")
            cell.kernel.events.crashed(cell.path, type(self._actor).__name__, "lifespan", failure)
            cell.depart(exit_reason(failure), grace=0.0)
        elif error is not None:
            cell.kernel.events.stop_failed(cell.path, error)
        self._tell_departures()

    def _tell_departures(self) -> None:
        for departure in tuple(self.cell.departures or ()):
            departure.quieter()
