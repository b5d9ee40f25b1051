"""Validation of replies: what a model answered is checked, and asked for again with the error."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, cast

import msgspec

from ..runtime import Message, RelightError, redact, text_of
from ._usage import Usage

ReplyT = TypeVar("ReplyT")
ShapeT = TypeVar("ShapeT")
MessageT = TypeVar("MessageT", bound=Message)
ValueT_co = TypeVar("ValueT_co", covariant=True)
ReplyT_co = TypeVar("ReplyT_co", covariant=True)

_FENCED = re.compile(r"```[\w-]*\s*\n(.*?)\n?\s*```", re.DOTALL)
_SHOWN = 4000
"""Characters of a bad reply that the model is shown again."""


@dataclass(frozen=True, slots=True)
class Validated(Generic[ValueT_co, ReplyT_co]):
    """A reply that passed, and what it took to get it."""

    value: ValueT_co
    """What the validation made of the reply."""
    reply: ReplyT_co
    """The reply that passed."""
    attempts: int
    """How many replies there were, this one included."""
    usage: Usage | None
    """What all of them used and cost together; None where replies say nothing about it."""


class OutputValidationError(RelightError, ValueError):
    """No reply passed its validation. The last one's error is ``__cause__``."""

    def __init__(
        self,
        path: str,
        message: Message,
        error: Exception,
        *,
        reply: object,
        attempts: int,
        usage: Usage | None,
    ) -> None:
        tried = f"{attempts} repl{'ies' if attempts > 1 else 'y'}"
        super().__init__(
            f"{path}: {type(message).__name__}: not valid after {tried}: {redact(text_of(error))}"
        )
        self.path = path
        """Of the service."""
        self.message = message
        """The last one that was sent."""
        self.reply = reply
        """The last reply."""
        self.attempts = attempts
        """How many replies there were."""
        self.usage = usage
        """What all of them used and cost together."""
        self.__cause__ = error


class HasText(Protocol):
    """A reply of a language model."""

    @property
    def text(self) -> str:
        """What it said."""
        ...


def json_reply(
    shape: type[ShapeT], check: Callable[[ShapeT], object] | None = None
) -> Callable[[HasText], ShapeT]:
    """Make a validation of a model's text: JSON of this shape, perhaps in a code fence.

    Args:
        shape: What msgspec is to make of it; its constraints are checked.
        check: Called with the result; raises ValueError where that makes no sense.
    """

    def validate(reply: HasText) -> ShapeT:
        fenced = _FENCED.search(reply.text)
        value = msgspec.json.decode(fenced[1] if fenced else reply.text.strip(), type=shape)
        if check is not None:
            check(value)
        return value

    return validate


def repair_chat(message: MessageT, reply: object, error: Exception) -> MessageT:
    """Ask a chat model again: with what it answered, and with what was wrong about that.

    For every message with a tuple of ``messages`` that have a role and a content, such as `ChatCompletion`
    and `CreateMessage`.

    Raises:
        TypeError: *message* has none: give `Agent.ask_validated` a ``repair`` of your own.
    """
    turns = cast("object", getattr(message, "messages", None))
    if not isinstance(turns, tuple) or not turns:
        raise TypeError(
            f"{type(message).__name__} has no chat messages to add the validation error to: pass repair=..."
        )
    said = str(getattr(reply, "text", reply))[:_SHOWN]
    turn = cast("Callable[[str, str], object]", type(cast("Sequence[object]", turns)[-1]))
    wrong = (
        f"That answer can't be used: {text_of(error)}\n"
        "Answer again, with the mistake corrected and nothing else changed. Give the whole answer."
    )
    more = (turn("assistant", said or "(nothing)"), turn("user", wrong))
    return msgspec.structs.replace(message, messages=(*cast("tuple[object, ...]", turns), *more))


def add_usage(total: Usage | None, reply: object) -> Usage | None:
    """Add what a reply used to a total; what says nothing adds nothing."""
    usage = cast("object", getattr(reply, "usage", None))
    if not isinstance(usage, Usage):
        return total
    return usage if total is None else total + usage
