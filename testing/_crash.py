"""Make an actor crash, as a handler that raised would."""

from __future__ import annotations

from typing import cast

from ..runtime import (
    Actor,
    ActorCrashedError,
    ActorState,
    ActorStoppedError,
    AskTimeoutError,
    Cell,
    DeadlineExceededError,
    Errand,
    Ref,
)
from ..supervisors import DynamicSupervisorRef, SupervisorRef, restarts_due
from ._looking import Patience


class CrashOnPurposeError(Exception):
    """What `crash` raises in an actor when it is given nothing else."""


class _Crash(Errand[None], frozen=True):
    error: Exception

    async def carry_out(self, actor: Actor) -> None:
        raise self.error


async def crash(
    actor: Ref | SupervisorRef | DynamicSupervisorRef, error: Exception | None = None, *, timeout: float = 5.0
) -> ActorState:
    """Make an actor crash in its turn, and wait until its supervisor has decided what follows.

    It behaves in all as if a handler of the actor had raised: messages before it are handled first, other
    handlers in hand are cancelled, the crash is counted, reported and restarted. No message of the actor
    is needed for it. A pool loses one member. A restart that waits for its backoff is waited for, if
    it comes within *timeout*.

    Args:
        actor: An actor, a service, a supervisor or a pool.
        error: What is raised; None: `CrashOnPurposeError`.
        timeout: Seconds for all of it.

    Returns:
        Where the actor is now: RUNNING, restarted; STOPPED, given up or not to be restarted; RESTARTING,
        its next start comes later than *timeout*.

    Raises:
        RefusalError: It is a service and its guard refuses calls now.
        MailboxClosedError: The actor has stopped.
        AssertionError: It did not crash in time, or the error is no crash for this actor but an answer.
    """
    ref = actor if isinstance(actor, Ref) else actor.ref
    patience = Patience(timeout)
    raised = CrashOnPurposeError("crashed on purpose by a test") if error is None else error
    cell = await _make_crash(ref, raised, timeout)
    while not (_is_decided(cell) or _comes_later(cell, patience.due) or patience.is_over):
        await patience.wait()
    return cell.state


async def _make_crash(ref: Ref, error: Exception, timeout: float) -> Cell:
    """Have the actor raise *error*; return the cell that crashed."""
    try:
        await ref.ask(_Crash(error), timeout=timeout)
    except (ActorCrashedError, ActorStoppedError) as crashed:
        return cast("Cell", crashed.ref)
    except (AskTimeoutError, DeadlineExceededError) as late:
        raise AssertionError(f"{ref.path}: its turn to crash did not come within {timeout:g} s") from late
    except Exception as answer:
        if answer is not error and answer.__cause__ is not error:
            raise
        text = f"{ref.path}: {type(error).__name__} is an answer of this actor, not a crash: raise another"
        raise AssertionError(text) from error
    raise AssertionError(f"{ref.path}: took no notice")


def _is_decided(cell: Cell) -> bool:
    """Tell whether a crashed actor runs again, or never will: it was held in the moment it crashed."""
    return cell.state in (ActorState.RUNNING, ActorState.STOPPED)


def _comes_later(cell: Cell, due: float) -> bool:
    """Tell whether the next start of *cell* comes after the moment *due*."""
    supervisor = getattr(cell.owner, "cell", None)
    if not isinstance(supervisor, Cell):
        return False
    coming = restarts_due([supervisor], cell.kernel.now())
    return any(path == cell.path and moment > due for path, moment in coming)
