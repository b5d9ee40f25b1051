"""Why actors end: one reason each, whatever happened inside."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import cast

import anyio


class ExitKind(enum.StrEnum):
    """How an actor ended."""

    NORMAL = "normal"
    """It had no more to do, or was asked to stop for good."""
    SHUTDOWN = "shutdown"
    """Its supervisor stopped it."""
    KILLED = "killed"
    """It was ended without its stop hook: brutal, or its time was up."""
    CRASHED = "crashed"
    """It raised."""


@dataclass(frozen=True, slots=True)
class ExitReason:
    """The reason of one exit."""

    kind: ExitKind
    """How it ended."""
    error: BaseException | None = None
    """What it raised, one error: groups are flattened, the group is its ``__context__``."""
    detail: str = ""
    """In words, where the kind alone says too little."""

    @property
    def is_crash(self) -> bool:
        """Tell whether a transient child is restarted after this: a crash, or a kill from outside."""
        return self.kind in (ExitKind.CRASHED, ExitKind.KILLED)

    def __str__(self) -> str:
        if self.error is not None:
            return f"{self.kind}: {type(self.error).__name__}"
        return f"{self.kind}: {self.detail}" if self.detail else str(self.kind)


NORMAL = ExitReason(ExitKind.NORMAL)
SHUTDOWN = ExitReason(ExitKind.SHUTDOWN)
KILLED = ExitReason(ExitKind.KILLED)


class Exit(Exception):  # noqa: N818 - a request, not an error
    """Raise it in a handler to end the actor itself: ``raise Exit()`` ends it normally.

    The message in hand counts as handled; an asker gets ``ActorStoppedError``. Whether the
    supervisor starts the actor again is the child's restart type.
    """

    def __init__(self, reason: ExitReason = NORMAL) -> None:
        super().__init__(str(reason))
        self.reason = reason
        """The reason the supervisor and the monitors see."""


class Ignore(Exception):  # noqa: N818 - a request, not an error
    """Raise it in a factory, in ``started`` or on the way into a lifespan: this child is not wanted now.

    Nothing has failed: the supervisor goes on with the next child. The spec is kept, and can be
    started later, unless the child is temporary or its supervisor dynamic.
    """

    def __init__(self, why: str = "not wanted now") -> None:
        super().__init__(why)
        self.why = why
        """Why, in words."""


def exit_reason(error: BaseException) -> ExitReason:
    """Turn what an actor raised into its one exit reason."""
    primary = primary_error(error)
    if isinstance(primary, Exit):
        return primary.reason
    return ExitReason(ExitKind.CRASHED, primary)


def text_of(error: BaseException) -> str:
    """Return an error's text, even where its ``__str__`` raises: reporting a crash must not be one."""
    try:
        return str(error)
    except Exception as problem:  # noqa: BLE001 - a user's code, in the place it is least expected
        return f"<no text: its __str__ raised {type(problem).__name__}>"


def primary_error(error: BaseException) -> BaseException:
    """Choose the one error that speaks for a group: the first that is no cancellation.

    The group stays attached as the ``__context__`` of the chosen error.
    """
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = _leaves(cast("BaseException", error))
    cancelled = anyio.get_cancelled_exc_class()
    primary = next((leaf for leaf in leaves if not isinstance(leaf, cancelled)), leaves[0])
    if primary.__context__ is None:
        primary.__context__ = error
    return primary


def _leaves(error: BaseException) -> list[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    group = cast("BaseExceptionGroup[BaseException]", error)
    return [leaf for inner in group.exceptions for leaf in _leaves(inner)]
