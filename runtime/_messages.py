"""Messages: what actors are told and asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

if TYPE_CHECKING:
    from ._actor import Actor

ReplyT = TypeVar("ReplyT")
ReplyT_co = TypeVar("ReplyT_co", covariant=True)
ChunkT = TypeVar("ChunkT")


class Message(msgspec.Struct, frozen=True):
    """Say something to an actor. Subclass it, frozen, with typed fields.

    A message is data: it can be compared, stored, logged and sent elsewhere.
    """


class Notice(Message, frozen=True):
    """What relight tells its own actors. One that comes too late is no dead letter for anybody to read."""


class Request(Message, Generic[ReplyT_co], frozen=True):
    """Ask an actor for a reply of type ``ReplyT_co``.

    The reply's type travels with the request's class, so ``await ref.ask(Balance("ann"))``
    is an ``int`` to a type checker when ``class Balance(Request[int], frozen=True)``.
    """


class StreamRequest(Request[list[ChunkT]], Generic[ChunkT], frozen=True):
    """Ask an actor for a stream of ``ChunkT``: its handler is an async generator of them.

    Read it with ``async with ref.stream(message) as chunks``. Where it is asked like any other
    request, the reply is the list of all chunks.
    """


class Errand(Request[ReplyT_co], Generic[ReplyT_co], frozen=True):
    """Bring along what is to be done: any actor carries it out in its turn, as if it had a handler for it.

    For tests and tools. It is taken, ordered, guarded and counted as every other message.
    """

    async def carry_out(self, actor: Actor) -> ReplyT_co:
        """Do it, in the place of a handler of *actor*. What it raises counts as raised by a handler."""
        raise NotImplementedError
