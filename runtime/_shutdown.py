"""Shutdown: what is to be done before and after the actors stop, phase by phase.

    INTAKE   take no new work: close the door
    DRAIN    let what is under way finish
    ACTORS   the supervision tree stops, newest first
    CLOSE    flush, close

The steps of one phase run at once, each within its own time and all within the system's
``shutdown_timeout``. A step that fails, overruns or does not even unwind is named in an event and
never keeps the others: it runs in a task of its own that nobody waits for longer than that.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

import anyio

from ._departure import UNWIND
from ._errors import RelightError
from ._events import redact_traceback
from ._exits import primary_error, text_of
from ._redaction import redact

if TYPE_CHECKING:
    from ._kernel import Kernel

ShutdownProcedure = Callable[[], Awaitable[object]]
"""What one step does. Cancelled when its time is up."""


class ShutdownPhase(enum.Enum):
    """When, in the end of a system, a step is taken."""

    INTAKE = "intake"
    """First: take no new work. All actors run."""
    DRAIN = "drain"
    """Let what is under way finish. All actors run."""
    ACTORS = "actors"
    """The supervision tree stops. It has no other steps."""
    CLOSE = "close"
    """Last: flush and close what the actors used."""


_ORDER = tuple(ShutdownPhase)


class _Step:
    """One procedure of one phase."""

    def __init__(self, procedure: ShutdownProcedure, name: str, timeout: float) -> None:
        self.procedure = procedure
        self.name = name
        self.timeout = timeout
        self.is_given_up = False
        self.over = anyio.Event()


class Shutdown:
    """The steps of one system's end."""

    def __init__(self) -> None:
        self._steps: dict[ShutdownPhase, list[_Step]] = {phase: [] for phase in _ORDER}
        self.phase: ShutdownPhase | None = None
        """The phase that has begun last; None while the system runs."""

    def add(
        self, phase: ShutdownPhase, procedure: ShutdownProcedure, *, name: str, timeout: float
    ) -> Callable[[], None]:
        """Take *procedure* up into *phase*; returns what takes it back.

        Raises:
            ValueError: The phase is the actors' own, or the timeout is not above 0.
            RelightError: The phase has begun.
        """
        if phase is ShutdownPhase.ACTORS:
            raise ValueError(f"{name}: ACTORS is the supervision tree's own phase; use DRAIN or CLOSE")
        if not timeout > 0:
            raise ValueError(f"{name}: timeout must be above 0 seconds, got {timeout!r}")
        if self.phase is not None and _ORDER.index(self.phase) >= _ORDER.index(phase):
            raise RelightError(f"{name}: too late for {phase.name}, the system is in {self.phase.name}")
        step, steps = _Step(procedure, name, timeout), self._steps[phase]
        steps.append(step)

        def take_back() -> None:
            if step in steps:
                steps.remove(step)

        return take_back

    async def run(self, phase: ShutdownPhase, kernel: Kernel, due: float) -> None:
        """Take the steps of *phase*, all at once, and wait for them until *due* at the latest."""
        self.phase = phase
        steps = tuple(self._steps[phase])
        began = kernel.now()
        for step in steps:
            kernel.start_soon(partial(_take, step, phase, kernel, min(due, began + step.timeout)))
        for step in steps:
            with anyio.CancelScope(deadline=min(due, began + step.timeout) + UNWIND) as scope:
                await step.over.wait()
            if scope.cancelled_caught:
                step.is_given_up = True
                _overran(kernel, phase, step)


async def _take(step: _Step, phase: ShutdownPhase, kernel: Kernel, due: float) -> None:
    """Take one step, report how it went, and never raise what it did wrong."""
    scope = anyio.CancelScope(deadline=due)
    try:
        with scope:
            await step.procedure()
    except BaseException as error:
        if not kernel.is_failure(error):
            raise
        _failed(kernel, phase, step, error)
    finally:
        step.over.set()
    if scope.cancel_called and not step.is_given_up:
        _overran(kernel, phase, step)


def _failed(kernel: Kernel, phase: ShutdownPhase, step: _Step, error: BaseException) -> None:
    primary = primary_error(error)
    kernel.events.error(
        "shutdown.step_failed",
        step=step.name,
        phase=phase.value,
        error_type=type(primary).__name__,
        error=redact(text_of(primary)),
        traceback=redact_traceback(error),
    )


def _overran(kernel: Kernel, phase: ShutdownPhase, step: _Step) -> None:
    kernel.events.error("shutdown.step_overran", step=step.name, phase=phase.value, timeout=step.timeout)
