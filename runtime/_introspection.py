"""Introspection: look at one actor and hold it, from outside, after OTP's ``sys``.

None of it waits behind the actor's messages: looking, suspending and resuming act at once, in the
caller's stack; changing the state waits for the message in hand alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import TYPE_CHECKING, Final, cast

import anyio

from ._errors import ActorBusyError, NoSuchActorError, NotRunningError, RelightError
from ._exits import text_of
from ._redaction import redact, redact_mapping
from ._statistics import ActorState
from ._trace import Trace, Tracer

if TYPE_CHECKING:
    from ._cell import Cell

ITEMS: Final = 100
"""Entries shown of one collection."""
DEPTH: Final = 4
"""Collections inside collections that are shown."""
BYTES: Final = 4096
"""Bytes that are looked at; fewer are shown."""

Change = Callable[[dict[str, object]], Mapping[str, object]]
"""Given a copy of an actor's attributes, returns the new ones."""


def state_of(cell: Cell) -> dict[str, object]:
    """Describe an actor's state without secrets, bounded; a ``describe`` that raises is contained.

    Raises:
        NoSuchActorError: It has stopped.
    """
    if cell.state is ActorState.STOPPED:
        raise NoSuchActorError(cell.path)
    try:
        described = dict(islice(cell.actor.describe().items(), ITEMS))
        return redact_mapping({str(name): _bounded(value, DEPTH) for name, value in described.items()})
    except Exception as error:  # noqa: BLE001 - a user's code; looking at an actor must not hurt
        return {"describe_failed": redact(f"{type(error).__name__}: {text_of(error)}")}


def suspend(cell: Cell) -> None:
    """Begin no more messages until `resume`. Those in hand go on.

    Raises:
        NotRunningError: No incarnation runs.
    """
    if cell.state is ActorState.SUSPENDED:
        return
    if cell.state is not ActorState.RUNNING:
        raise NotRunningError(cell)
    cell.hold(ActorState.SUSPENDED)


def resume(cell: Cell) -> None:
    """Handle messages again. One that is not suspended is no error."""
    if cell.state is ActorState.SUSPENDED:
        cell.resume()


async def replace_state(cell: Cell, change: Change, timeout: float) -> dict[str, object]:
    """Change an actor's attributes between two messages, with nothing of it in hand.

    Raises:
        NotRunningError: No incarnation runs, or it ended meanwhile.
        ActorBusyError: A message was in hand for *timeout* seconds.
        RelightError: The actor itself asks: it would wait for its own end.
    """
    if cell.state not in (ActorState.RUNNING, ActorState.SUSPENDED):
        raise NotRunningError(cell)
    task = cell.kernel.current_task()
    if any(worker.task is task for worker in cell.workers):
        raise RelightError(
            f"{cell.path}: replace_state() called by the actor itself: just set its attributes"
        )
    with anyio.move_on_after(timeout):
        async with cell.tied().lane().turn():
            state = dict(change(dict(vars(cell.actor))))
            attributes = vars(cell.actor)
            attributes.clear()
            attributes.update(state)
            return state
    raise ActorBusyError(cell, timeout)


def trace(cell: Cell, size: int) -> Trace:
    """Read along what an actor handles.

    Raises:
        NoSuchActorError: It has stopped.
        ValueError: The size is below 1.
    """
    if size < 1:
        raise ValueError(f"trace(): size must be at least 1, got {size}")
    if cell.state is ActorState.STOPPED:
        raise NoSuchActorError(cell.path)
    ties = cell.tied()
    if ties.tracer is None:
        ties.tracer = Tracer(cell)
    return ties.tracer.open(size)


def _bounded(value: object, depth: int) -> object:
    """Copy *value* as far as it is shown, before anybody walks through all of it."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case bytes():
            return value[:BYTES]
        case Mapping() | Sequence() | AbstractSet() | deque() if depth == 0:
            return f"<{type(cast('object', value)).__name__} of {len(cast('Sequence[object]', value))}>"
        case Mapping():
            mapping = cast("Mapping[object, object]", value)
            shown = {str(name): _bounded(inner, depth - 1) for name, inner in islice(mapping.items(), ITEMS)}
            return shown if len(mapping) <= ITEMS else {**shown, "...": f"{len(mapping)} entries"}
        case Sequence() | AbstractSet() | deque():
            items = cast("Sequence[object]", value)
            shown_items = [_bounded(inner, depth - 1) for inner in islice(items, ITEMS)]
            return shown_items if len(items) <= ITEMS else [*shown_items, f"... {len(items)} entries"]
        case _:
            return _safe_repr(value)


def _safe_repr(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - one attribute without a text must not hide the others
        return f"<no text: its repr raised {type(error).__name__}>"
