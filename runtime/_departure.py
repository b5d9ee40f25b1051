"""Departure: the end of one incarnation, step by step.

    finishing   handlers in hand may finish, until the deadline; then they are cancelled
    unwinding   cancelled handlers run their ``finally`` blocks; a second later they are stuck
    leaving     the stop hook and the end of the lifespan, in a shield, until the hooks' deadline
    over        the owner and the monitors have been told

A *detached* departure tells them at once and goes on beside the next incarnation: that of a service
whose other calls may finish.

A kill goes straight to *unwinding* and skips *leaving*. There is no true kill in Python: a handler
that swallows its cancellation is reported as stuck and left behind, and nobody waits for it.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

import anyio

from ._dispatch import Chore
from ._exits import ExitReason
from ._isolation import in_copy
from ._statistics import ActorState

if TYPE_CHECKING:
    from ._actor import Actor
    from ._cell import Cell
    from ._parking import Slot
    from ._timers import Timer

UNWIND = 1.0
"""Seconds a cancelled handler or lifespan may take to unwind before it is reported as stuck."""


class Phase(enum.Enum):
    """How far a departure has come."""

    FINISHING = enum.auto()
    UNWINDING = enum.auto()
    LEAVING = enum.auto()
    OVER = enum.auto()


class Departure:
    """One exit under way."""

    __slots__ = (
        "_hooks",
        "_shield",
        "_timer",
        "actor",
        "cell",
        "due",
        "final",
        "home",
        "is_detached",
        "phase",
        "reason",
        "waiters",
    )

    def __init__(
        self, cell: Cell, reason: ExitReason, due: float, *, final: bool = False, detached: bool = False
    ) -> None:
        self.cell = cell
        self.actor: Actor = cell.actor
        self.home = cell.home
        self.reason = reason
        self.due = due
        self.final = final
        self.phase = Phase.FINISHING
        self.waiters: list[Slot] = []
        self._timer: Timer | None = None
        self._hooks = True
        self._shield: anyio.CancelScope | None = None
        """Around the hooks while they run."""
        self.is_detached = detached

    def begin(self, *, hooks: bool = True) -> None:
        """Hold the cell and end what is in hand; goes on by itself from here."""
        cell = self.cell
        if not hooks:
            self._forsake()
        cell.reason = self.reason
        cell.home = None
        if cell.departures is None:
            cell.departures = []
        cell.departures.append(self)
        if self.final:
            cell.close(self.reason)
        else:
            cell.hold(ActorState.RESTARTING)
        if self.is_detached:
            self._announce()
        self._finish_hands()

    def hasten(self, reason: ExitReason, due: float, *, final: bool) -> None:
        """Turn a restart under way into a stop, or bring its deadline forward."""
        if final and not self.final and not self.is_detached:
            self.final = True
            self.reason = reason
            self.cell.close(reason)
        if due < self.due and self.phase is Phase.FINISHING:
            self.due = due
            self._finish_hands()
        elif due < self.due and self.phase is Phase.LEAVING:
            self.due = due
            self._bound_hooks()

    def kill(self, reason: ExitReason, *, final: bool = True) -> None:
        """Wait for nothing any more."""
        if not self.is_detached:
            self.final = self.final or final
            self.reason = reason
        self._forsake()
        self._cut()

    def quieter(self) -> None:
        """Look whether the last handler, or the lifespan, has ended."""
        if self._hands():
            return
        if self.phase is Phase.FINISHING:
            self._leave()
        elif self.phase is Phase.UNWINDING and not self._is_open:
            self._end()

    @property
    def _is_open(self) -> bool:
        """Tell whether the hooks or the lifespan have yet to end."""
        return self._shield is not None or not (self.home is None or self.home.is_over)

    def _hands(self) -> bool:
        return any(worker.actor is self.actor for worker in self.cell.workers)

    def _finish_hands(self) -> None:
        self._set_timer(None)
        if not self._hands():
            self._leave()
        elif self.due <= self.cell.kernel.now():
            self._cut_hands()
        else:
            self._set_timer(self.cell.kernel.timers.call_at(self.due, self._overrun))

    def _overrun(self) -> None:
        self._forsake()
        self._cut()

    def _forsake(self) -> None:
        """Run no hooks: what the actor owns has to be told another way."""
        self._hooks = False
        try:
            self.actor.killed(self.reason)
        except Exception as error:  # noqa: BLE001 - what it raises must not stop the stop
            self.cell.kernel.events.stop_failed(self.cell.path, error)

    def _cut_hands(self) -> None:
        """Cancel the handlers in hand; the hooks still run after them."""
        for worker in self.cell.workers:
            if worker.actor is self.actor:
                worker.cancel(worker.hand)
        unwound = self.cell.kernel.now() + UNWIND
        self._set_timer(self.cell.kernel.timers.call_at(unwound, self._stuck))

    def _cut(self) -> None:
        self.phase = Phase.UNWINDING
        if self._shield is not None:
            self._shield.cancel()
        if self.home is not None:
            self.home.cancel()
        self._cut_hands()
        self.quieter()

    def _leave(self) -> None:
        self._set_timer(None)
        plan = self.cell.plan
        if not self._hooks or not (plan.has_stopping or self.home is not None):
            self._cut() if self.home is not None else self._end()
            return
        self.phase = Phase.LEAVING
        now = self.cell.kernel.now()
        if self.is_detached or self.due <= now:  # it was the hands' deadline; a stop has one for all
            self.due = now + self.cell.shutdown
        self.cell.kernel.schedule(Chore(self._run_hooks))

    def _bound_hooks(self) -> None:
        """Cancel the hooks at the deadline, and give them up a little later."""
        if self._shield is not None:
            self._shield.deadline = self.due
            self._set_timer(self.cell.kernel.timers.call_at(self.due + UNWIND, self._stuck))

    async def _run_hooks(self) -> None:
        if not self._is_leaving:
            return  # killed meanwhile
        began = self.cell.kernel.now()
        scope = self._shield = anyio.CancelScope(shield=True)
        try:
            with scope:
                self._bound_hooks()
                await self._run_stopping()
                if self.home is not None:
                    await self.home.leave()
        finally:
            self._shield = None
        if self.phase != Phase.LEAVING:
            self.quieter()
        elif scope.cancelled_caught:
            self.cell.kernel.events.stop_overran(self.cell.path, round(self.due - began, 3))
            self._overrun()
        else:
            self._end()

    @property
    def _is_leaving(self) -> bool:
        return self.phase is Phase.LEAVING

    async def _run_stopping(self) -> None:
        try:
            hook = self.actor.stopping(self.reason)
            await (in_copy(hook) if self.actor.isolated else hook)
        except BaseException as error:
            if not self.cell.kernel.is_failure(error):
                raise
            self.cell.kernel.events.stop_failed(self.cell.path, error)

    def _stuck(self) -> None:
        self.cell.kernel.events.stuck(self.cell.path, self.reason)
        if self.phase is not Phase.UNWINDING:
            self._forsake()
        self.phase = Phase.UNWINDING
        if self.home is not None:
            self.home.cancel()
        self.cell.disown(self.actor, self.reason)
        self._end()

    def _set_timer(self, timer: Timer | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = timer

    def _end(self) -> None:
        self._set_timer(None)
        if self.phase is Phase.OVER:
            return
        self.phase = Phase.OVER
        cell = self.cell
        assert cell.departures is not None
        cell.departures.remove(self)
        if self.final:
            cell.gone()
        if not self.is_detached:
            self._announce()
        for waiter in self.waiters:
            waiter.resolve()

    def _announce(self) -> None:
        self.cell.announce_exit(self.reason, final=self.final)
