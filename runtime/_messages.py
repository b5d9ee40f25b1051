"""Messages: what actors are told and asked."""

from typing import Generic, TypeVar

import msgspec

ReplyT = TypeVar("ReplyT")
ReplyT_co = TypeVar("ReplyT_co", covariant=True)


class Message(msgspec.Struct, frozen=True):
    """Say something to an actor. Subclass it, frozen, with typed fields.

    A message is data: it can be compared, stored, logged and sent elsewhere.
    """


class Request(Message, Generic[ReplyT_co], frozen=True):
    """Ask an actor for a reply of type ``ReplyT_co``.

    The reply's type travels with the request's class, so ``await ref.ask(Balance("ann"))``
    is an ``int`` to a type checker when ``class Balance(Request[int], frozen=True)``.
    """
