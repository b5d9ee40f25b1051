"""Rehearse one message inside an actor: how long its handler holds the loop, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from time import perf_counter
from types import coroutine
from typing import TypeVar, cast

from ..runtime import Actor, Cell, Errand, Message

ReplyT = TypeVar("ReplyT")


@dataclass(frozen=True)
class Rehearsed:
    """What was seen."""

    longest_step: float
    """Seconds of real time between two awaits, at most."""
    bound: list[str]
    """Names of the context variables that have another value afterwards."""


class Rehearse(Errand[Rehearsed], frozen=True):
    """Have *message* handled in the actor's turn, under observation. What the handler raises is dropped."""

    message: Message

    async def carry_out(self, actor: Actor) -> Rehearsed:
        cell = actor.ref
        assert isinstance(cell, Cell)
        kind = type(self.message)
        handler = cell.handlers.get(kind) or cell.plan.find(kind)
        before = _bindings()
        steps = [0.0]
        if handler is not None:
            with suppress(Exception):  # other checks are about what it raises
                await _timed(handler(actor, self.message), steps)
        after = _bindings()
        bound = [
            name.name for name, value in after.items() if name not in before or before[name] is not value
        ]
        return Rehearsed(max(steps), sorted(bound))


def _bindings() -> dict[ContextVar[object], object]:
    return dict(copy_context().items())


@coroutine
def _timed(
    handler: Coroutine[object, object, ReplyT], steps: list[float]
) -> Generator[object, object, ReplyT]:
    """Drive *handler* as await would, and note how long each step takes."""
    step: Callable[..., object] = handler.send
    value: object = None
    try:
        while True:
            began = perf_counter()
            try:
                trap = step(value)
            finally:
                steps.append(perf_counter() - began)
            try:
                value = yield trap
                step = handler.send
            except BaseException as error:  # noqa: BLE001 - cancellation included: it is the handler's
                value, step = error, handler.throw
    except StopIteration as end:
        return cast("ReplyT", end.value)
    finally:
        handler.close()
