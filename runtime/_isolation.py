"""Isolation: handle a message in a copy of the context, so that what it binds ends with it.

The worker's task stays the same; each step of the handler runs inside the copy. Tasks the handler
starts inherit the copy, as they should.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from functools import wraps
from types import CodeType, coroutine
from typing import TypeVar

ReplyT = TypeVar("ReplyT")
ActorT = TypeVar("ActorT")
MessageT = TypeVar("MessageT")

Method = Callable[[ActorT, MessageT], Coroutine[object, object, ReplyT]]


def isolated(method: Method[ActorT, MessageT, ReplyT]) -> Method[ActorT, MessageT, ReplyT]:
    """Make a handler run in a copy of the context it is called in."""

    @wraps(method)
    async def handle(actor: ActorT, message: MessageT) -> ReplyT:
        return await _drive(copy_context(), method(actor, message))

    return handle


async def in_copy(hook: Coroutine[object, object, ReplyT]) -> ReplyT:
    """Run a hook of an isolated actor as its handlers are: on a worker that others use too."""
    return await _drive(copy_context(), hook)


@coroutine
def _drive(context: Context, handler: Coroutine[object, object, ReplyT]) -> Generator[object, object, ReplyT]:
    step: Callable[..., object] = handler.send
    value: object = None
    try:
        while True:
            trap = context.run(step, value)
            try:
                value = yield trap
                step = handler.send
            except BaseException as error:  # noqa: BLE001 - cancellation included: it is the handler's
                value, step = error, handler.throw
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # no cast: it costs a call
    finally:
        handler.close()


def is_drive(code: CodeType) -> bool:
    """Tell whether a frame of *code* drives an isolated handler, the ``handler`` among its locals."""
    return code is _drive.__code__
