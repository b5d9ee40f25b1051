"""Adaptations: the same question to a provider that speaks another language."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..runtime import Request

ReplyT = TypeVar("ReplyT")
OtherReplyT = TypeVar("OtherReplyT")
RequestT = TypeVar("RequestT", bound=Request[object])


@dataclass(frozen=True, slots=True)
class Adaptation(Generic[RequestT, OtherReplyT, ReplyT]):
    """Translate one type of request for another service, and its reply back."""

    kind: type[RequestT]
    """The request it translates, subclasses included."""
    request: Callable[[RequestT], Request[OtherReplyT]]
    """Makes the other service's request. A plain function, without side effects."""
    reply: Callable[[OtherReplyT], ReplyT]
    """Makes the reply the asker expects of the other service's. Of a stream it is called with a list of each
    chunk on its own, and what it returns is delivered: no chunk, one, or several."""


AnyAdaptation = Adaptation[Request[object], object, object]
"""One whose types were checked where it was made."""
