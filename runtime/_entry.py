"""Entry: the start of one incarnation, its hooks run by a worker of their own.

Not by whoever starts the actor: a hook that does not give way to its cancellation would hold its
supervisor for ever, and with it every sibling. Here it holds a worker, is reported, and left behind.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

import anyio

from ._departure import UNWIND
from ._dispatch import Chore
from ._errors import StartError
from ._exits import ExitKind, ExitReason, Ignore, primary_error, text_of
from ._home import Home
from ._isolation import in_copy

if TYPE_CHECKING:
    from ._actor import Actor
    from ._cell import Cell
    from ._parking import Slot
    from ._timers import Timer

_STUCK = ExitReason(ExitKind.KILLED, detail="its start does not give way to its cancellation")


class Entry:
    """One start under way."""

    __slots__ = (
        "_actor",
        "_chore",
        "_error",
        "_home",
        "_is_over",
        "_problem",
        "_timer",
        "_turn",
        "_unwind",
        "cell",
    )

    def __init__(self, cell: Cell, actor: Actor) -> None:
        self.cell = cell
        self._actor = actor
        self._chore = Chore(self._run)
        self._home: Home | None = None
        self._is_over = False
        """The hooks have ended, or were left behind."""
        self._problem: str | None = None
        """Why the hooks were cancelled, in words."""
        self._error: Exception | None = None
        """Why the actor has not started."""
        self._timer: Timer | None = None
        self._turn: Slot | None = None
        """Who waits for the end."""
        self._unwind = UNWIND
        """Seconds the hooks may take to end when they are cancelled."""

    async def enter(self, timeout: float) -> Home | None:
        """Run the hooks and wait for them; returns what holds the lifespan.

        Cancelled, the hooks are too, and what they entered has been left again.

        Raises:
            StartError: A hook raised, or the time was up, or the actor was killed meanwhile.
            Ignore: A hook said so: the actor is not wanted now.
        """
        kernel = self.cell.kernel
        kernel.schedule(self._chore)
        if timeout == inf:  # a supervisor: it stops in order what it has started
            self._unwind = self.cell.shutdown
        else:
            self._call_in(timeout, lambda: self.cancel(f"its start took longer than {timeout:.3g} s"))
        try:
            await self._wait()
        except BaseException:
            self.cancel("its start was cancelled")
            with anyio.CancelScope(shield=True):
                await self._wait()  # at most until it counts as stuck
            if self._error is not None:
                raise
            # It had started in the same moment. As an actor that runs it is stopped by whoever was cancelled,
            # at the next wait or by taking it back; dropped here, its stop hook would never be run.
        if self._error is not None:
            raise self._error
        return self._home

    def cancel(self, problem: str) -> None:
        """Cancel the hooks, because of *problem*; what does not unwind in time is left behind."""
        if self._is_over or self._problem is not None:
            return
        self._problem = problem
        if not self._chore.cancel():
            self._end(StartError(self.cell.path, problem))
        elif self._unwind < inf:
            self._call_in(self._unwind, self._stuck)

    async def _wait(self) -> None:
        if not self._is_over:
            self._turn = self.cell.kernel.slot()
            await self._turn

    async def _run(self) -> None:
        if self._is_over:
            return  # cancelled before it began
        try:
            await self._enter_hooks()
        except BaseException as error:
            self._end(self._judge(error))
            if not self.cell.kernel.is_failure(error):
                raise
        else:
            self._end(None)

    async def _enter_hooks(self) -> None:
        plan = self.cell.plan
        if plan.has_started:
            hook = self._actor.started()
            info = await (in_copy(hook) if self._actor.isolated else hook)
            if info is not None:  # else the class's own None serves, and an idle actor stays small
                self._actor.start_info = info
        if plan.has_lifespan:
            home = Home(self.cell, self._actor)
            await home.enter()
            self._home = home

    def _judge(self, error: BaseException) -> Exception:
        """Say why the actor has not started."""
        primary = primary_error(error)
        if isinstance(primary, Ignore):
            return primary
        path = self.cell.path
        if self.cell.kernel.is_failure(error):
            return StartError(path, f"{type(primary).__name__}: {text_of(primary)}", error)
        return StartError(path, self._problem or "the system ended meanwhile")

    def _stuck(self) -> None:
        assert self._problem is not None
        self.cell.kernel.events.stuck(self.cell.path, _STUCK)
        self._end(StartError(self.cell.path, f"{self._problem}, and it does not give way"))

    def _end(self, error: Exception | None) -> None:
        """Note the end; only the first counts: what was left behind may end later."""
        if self._is_over:
            self._leave()
            return
        self._is_over = True
        self._error = error
        if self._timer is not None:
            self._timer.cancel()
        if self._turn is not None:
            self._turn.resolve()

    def _leave(self) -> None:
        """Let go of a lifespan that nobody will use."""
        if self._home is not None:
            self._home.cancel()

    def _call_in(self, seconds: float, callback: Callable[[], None]) -> None:
        kernel = self.cell.kernel
        if self._timer is not None:
            self._timer.cancel()
        self._timer = kernel.timers.call_at(kernel.now() + seconds, callback)
