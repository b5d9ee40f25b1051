"""Frames: find out from a task's frames what it is doing, at no cost to whoever does it.

The path of a message keeps no record of what is in hand. It need not: the frames of a worker say it.
A frame of a cell's ``drain`` holds the cell and the message, the frames of the hooks hold the cell.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import iscoroutine
from types import CoroutineType, FrameType, GeneratorType
from typing import cast

from ._cell import Cell
from ._departure import Departure
from ._entry import Entry
from ._home import Home
from ._isolation import is_drive
from ._messages import Message
from ._parking import Slot
from ._redaction import redact_end

LIMIT = 16
"""Frames shown of one stack, the innermost."""


@dataclass(frozen=True, slots=True)
class Step:
    """One frame of a task, and what it awaits."""

    frame: FrameType
    awaits: object


@dataclass(frozen=True, slots=True)
class Hand:
    """What a task is doing for an actor."""

    cell: Cell
    """The actor."""
    doing: str
    """The type of the message in hand, or the hook that runs: ``started``, ``stopping``, ``lifespan``."""
    handler: CoroutineType[object, object, object] | None = None
    """The coroutine that handles the message: one for each message. None for a hook."""


def steps_of_thread(thread: int) -> list[Step]:
    """List what a thread is running now, the outermost frame first. Nothing where it has ended."""
    frame = sys._current_frames().get(thread)
    steps: list[Step] = []
    while frame is not None:
        steps.append(Step(frame, None))
        frame = frame.f_back
    steps.reverse()
    return steps


def steps_of_coroutine(coroutine: object) -> list[Step]:
    """List the frames of a suspended coroutine and of all it awaits, the outermost first."""
    steps: list[Step] = []
    while True:
        match coroutine:
            case CoroutineType():
                frame, awaited = coroutine.cr_frame, cast("object", coroutine.cr_await)
            case GeneratorType():
                frame, awaited = coroutine.gi_frame, cast("object", coroutine.gi_yieldfrom)
            case _:
                return steps
        if frame is None:
            return steps
        if is_drive(frame.f_code):  # it sends to the handler, so Python does not know that it awaits it
            awaited = frame.f_locals.get("handler")
        steps.append(Step(frame, awaited))
        coroutine = awaited


def hand_of(steps: Sequence[Step]) -> Hand | None:
    """Return what the innermost actor's code among *steps* is doing; None where there is no actor's."""
    for step in reversed(steps):
        hand = _hand_in(step)
        if hand is not None:
            return hand
    return None


def within(steps: Sequence[Step]) -> Sequence[Step]:
    """Leave out what the runtime itself does around the innermost actor's code."""
    for index in reversed(range(len(steps))):
        if _hand_in(steps[index]) is not None:
            return steps[index:]
    return steps


def asked_by(steps: Sequence[Step]) -> Cell | None:
    """Return the actor whose reply the innermost ask among *steps* waits for."""
    for step in reversed(steps):
        if step.frame.f_code.co_name == "ask":
            names = _locals_of(step.frame)
            asked, slot = names.get("self"), names.get("slot")
            if isinstance(asked, Cell) and isinstance(slot, Slot) and not slot.done:
                return asked
    return None


def stack_of(steps: Sequence[Step]) -> str:
    """Format the innermost frames as a traceback does, without secrets and bounded."""
    frames = [(step.frame, step.frame.f_lineno) for step in steps[-LIMIT:]]
    return redact_end("".join(traceback.StackSummary.extract(iter(frames)).format()))


def _hand_in(step: Step) -> Hand | None:
    name = step.frame.f_code.co_name
    if name not in ("drain", "handle_signal", "_run_hooks", "_run", "_enter_hooks"):
        return None
    names = _locals_of(step.frame)
    match names.get("self"):
        case Cell() as own:
            return Hand(own, _message_in(names), step.awaits if iscoroutine(step.awaits) else None)
        case Departure() as departure if name == "_run_hooks":
            return Hand(departure.cell, "stopping")
        case Home() as home if name == "_run":
            return Hand(home.cell, "lifespan")
        case Entry() as entry if name == "_enter_hooks":
            return Hand(entry.cell, "started")
        case _:
            return None


def _message_in(names: Mapping[str, object]) -> str:
    """Return the type of the message a ``drain`` has in hand: an item, or a service's call."""
    item = names.get("item", names.get("signal"))
    if item is None:
        item = getattr(names.get("call"), "message", None)
    message = item.message if isinstance(item, Slot) else item
    return type(message).__name__ if isinstance(message, Message) else ""


def _locals_of(frame: FrameType) -> Mapping[str, object]:
    return frame.f_locals
