"""Handlers: which method of an actor class gets which message, worked out once a class."""

from __future__ import annotations

import enum
import inspect
import sys
import typing
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, TypeVar, cast

from ._errors import HandlerError
from ._isolation import isolated
from ._messages import Errand, Message, Request, StreamRequest
from ._stream import streaming

if TYPE_CHECKING:
    from ._actor import Actor

Handler = Callable[[object, Message], Coroutine[object, object, object]]
"""A handler as dispatch calls it: the actor's object, the message."""
MethodT = TypeVar(
    "MethodT", bound=Callable[..., Coroutine[object, object, object] | AsyncGenerator[object, None]]
)

_MARK = "__relight_locals__"
_PLAN = "__relight_plan__"


class Overflow(enum.StrEnum):
    """What a full mailbox does with one message more."""

    WAIT = "wait"
    """``tell`` and ``ask`` wait for room, ``tell_nowait`` raises."""
    DROP_OLDEST = "drop_oldest"
    """The oldest told message becomes a dead letter. For telemetry-like streams."""
    DROP_NEWEST = "drop_newest"
    """The new message becomes a dead letter, if it was told; an ask waits."""


def handles(method: MethodT) -> MethodT:
    """Make a method handle messages of its parameter's type, subclasses included.

    The method is an ``async def`` with one annotated parameter besides ``self``. For a
    ``Request[R]`` it returns ``R``, for a ``StreamRequest[C]`` it yields ``C``: checked when the class
    is made, as type checkers have no way to say it of a decorator.
    """
    # A message class may be local to the function that defines the actor class; its name is then
    # in no module, only in that function's frame.
    frame = sys._getframe(1)
    setattr(method, _MARK, _visible_locals(frame))
    return method


def _visible_locals(frame: FrameType) -> dict[str, object]:
    found: dict[str, object] = {}
    outer = frame.f_back
    if outer is not None and outer.f_code.co_name != "<module>":
        found.update(outer.f_locals)
    return found


@dataclass(frozen=True, slots=True)
class ActorPlan:
    """What dispatch knows of an actor class."""

    handlers: dict[type[Message], Handler]
    """Handlers by exact type; subclasses seen are added."""
    has_started: bool
    has_stopping: bool
    has_lifespan: bool

    def find(self, kind: type[Message]) -> Handler | None:
        """Find the handler of a type not met before: that of its nearest base class."""
        if issubclass(kind, Errand):
            return _carry_out
        for base in kind.__mro__[1:]:
            handler = self.handlers.get(base)
            if handler is not None:
                self.handlers[kind] = handler
                return handler
        return None


async def _carry_out(actor: object, message: Message) -> object:
    return await cast("Errand[object]", message).carry_out(cast("Actor", actor))


def actor_plan(cls: type[Actor]) -> ActorPlan:
    """Return the plan of *cls*, made at its first use.

    Raises:
        HandlerError: A handler is no coroutine function, lacks its one annotated parameter,
            repeats another's type, or returns another type than its request says.
    """
    plan = cls.__dict__.get(_PLAN)
    if plan is None:
        plan = _make_plan(cls)
        setattr(cls, _PLAN, plan)
    return cast("ActorPlan", plan)


def message_types(cls: type[Actor]) -> list[type[Message]]:
    """List the types of messages that actors of *cls* handle.

    Raises:
        HandlerError: Its handlers are no handlers.
    """
    return list(actor_plan(cls).handlers)


def _make_plan(cls: type[Actor]) -> ActorPlan:
    from ._actor import Actor  # it imports this module

    _check_options(cls)
    handlers: dict[type[Message], Handler] = {}
    owners: dict[type[Message], str] = {}
    for name in _marked_names(cls):
        kind = _handled_type(cls, name)
        if kind in owners:
            raise HandlerError(f"{cls.__name__}: {owners[kind]} and {name} both handle {kind.__name__}")
        owners[kind] = name
        method = getattr(cls, name)
        if issubclass(kind, StreamRequest):
            method = streaming(method)
        handlers[kind] = isolated(method) if cls.isolated else method
    return ActorPlan(
        handlers,
        cls.started is not Actor.started,
        cls.stopping is not Actor.stopping,
        cls.lifespan is not Actor.lifespan,
    )


def _check_options(cls: type[Actor]) -> None:
    for option in ("concurrency", "mailbox"):
        if getattr(cls, option) < 1:
            raise HandlerError(f"{cls.__name__}.{option} must be at least 1, got {getattr(cls, option)!r}")
    if not cls.call_timeout > 0:
        raise HandlerError(f"{cls.__name__}.call_timeout must be seconds > 0, got {cls.call_timeout!r}")


def _marked_names(cls: type[Actor]) -> list[str]:
    """Names of handlers; a method that overrides a handler is one without being marked again."""
    names: dict[str, None] = {}
    for base in reversed(cls.__mro__):
        for name, member in vars(base).items():
            if hasattr(member, _MARK):
                names[name] = None
    return list(names)


def _handled_type(cls: type[Actor], name: str) -> type[Message]:
    owner, method = _marked_method(cls, name)
    where = f"{cls.__name__}.{name}"
    is_generator = inspect.isasyncgenfunction(getattr(cls, name))
    if not is_generator and not inspect.iscoroutinefunction(getattr(cls, name)):
        raise HandlerError(f"{where}: a handler is an `async def`")
    parameters = list(inspect.signature(method).parameters.values())[1:]
    if len(parameters) != 1:
        raise HandlerError(f"{where}: a handler takes one message, not {len(parameters)} parameters")
    hints = _hints(owner, method, where)
    kind = hints.get(parameters[0].name)
    if not (isinstance(kind, type) and issubclass(kind, Message)):
        raise HandlerError(f"{where}: annotate `{parameters[0].name}` with the Message class it handles")
    if is_generator is not issubclass(kind, StreamRequest):
        raise HandlerError(
            f"{where}: {kind.__name__} is {'no' if is_generator else 'a'} StreamRequest, so its handler is "
            f"an `async def` {'without' if is_generator else 'with'} `yield`"
        )
    _check_reply(where, kind, hints)
    return kind


def _marked_method(cls: type[Actor], name: str) -> tuple[type, Callable[..., object]]:
    owner = next(base for base in cls.__mro__ if hasattr(vars(base).get(name), _MARK))
    return owner, cast("Callable[..., object]", vars(owner)[name])


def _hints(owner: type, method: Callable[..., object], where: str) -> dict[str, object]:
    classes = {name: member for name, member in vars(owner).items() if isinstance(member, type)}
    try:
        return typing.get_type_hints(method, localns={**getattr(method, _MARK), **classes})
    except NameError as error:
        raise HandlerError(f"{where}: the annotation {error.name!r} is not defined: import it") from None


def _check_reply(where: str, kind: type[Message], hints: dict[str, object]) -> None:
    reply = reply_type(kind)
    if reply is None or "return" not in hints:
        return
    returned = hints["return"]
    if issubclass(kind, StreamRequest):
        reply, returned = _only_argument(reply), _only_argument(returned)
    if _plain(returned) and _plain(reply) and not _fits(returned, reply):
        raise HandlerError(
            f"{where}: {kind.__name__} asks for {_name(reply)}, the handler returns {_name(returned)}"
        )


def _only_argument(hint: object) -> object:
    """Return ``C`` of ``list[C]`` or ``AsyncGenerator[C, None]``."""
    return next(iter(typing.get_args(hint)), hint)


def reply_type(kind: type[Message]) -> object | None:
    """Return ``R`` of the ``Request[R]`` that *kind* derives from, or None."""
    for base in kind.__mro__:
        for origin in getattr(base, "__orig_bases__", ()):
            if typing.get_origin(origin) is Request:
                return cast("object", typing.get_args(origin)[0])
            if typing.get_origin(origin) is StreamRequest:
                return cast("object", list[typing.get_args(origin)[0]])  # type: ignore[misc]
    return None


def _plain(hint: object) -> bool:
    """Tell whether a hint is a class, which can be compared; other forms are left to type checkers."""
    return hint is None or (isinstance(hint, type) and hint is not typing.Any)


def _fits(returned: object, reply: object) -> bool:
    if returned in (None, type(None)) or reply in (None, type(None)):
        return returned in (None, type(None)) and reply in (None, type(None))
    if reply is float and returned is int:
        return True
    try:
        return issubclass(cast("type", returned), cast("type", reply))
    except TypeError:  # a TypedDict, or a Protocol that can't be checked
        return True


def _name(hint: object) -> str:
    return getattr(hint, "__name__", repr(hint))
