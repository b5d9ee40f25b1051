"""The ref of a pool: hands each message to one of its members."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, fields
from math import inf
from typing import Protocol, TypeVar, cast

from ..runtime import (
    NORMAL,
    Actor,
    ActorStatistics,
    Cell,
    ExitReason,
    MailboxClosedError,
    Message,
    Ref,
    Request,
    Stream,
    StreamRequest,
)
from ._administration import ReplaceMember, Resize
from ._spec_checks import check_whole

ReplyT = TypeVar("ReplyT")
ChunkT = TypeVar("ChunkT")


class _Router(Protocol):
    def choose(self, message: Message) -> Cell | None: ...

    def members(self) -> list[Cell]: ...


class PoolRef(Ref):
    """Send messages to a pool: each goes to one member.

    Messages of one sender are handled in the order sent only where they go to the same member, so where
    the pool is routed by a key. A message that its member has not taken when that member ends goes to
    another one.
    """

    __slots__ = ("_cell",)

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PoolRef) and other._cell is self._cell

    def __hash__(self) -> int:
        return hash(self._cell)

    def __repr__(self) -> str:
        return f"<PoolRef {self._cell.path} {self._cell.state}>"

    @property
    def path(self) -> str:
        """Where the pool stands in the tree."""
        return self._cell.path

    @property
    def is_alive(self) -> bool:
        """Tell whether the pool takes messages."""
        return self._cell.is_alive

    @property
    def info(self) -> object:
        """What its members' ``started`` returned, in their order."""
        return [cell.info for cell in self._members()]

    @property
    def principal(self) -> Ref:
        """The supervisor of its members, as an actor: what is monitored and linked for the pool."""
        return self._cell

    def members(self) -> list[Ref]:
        """List who gets messages now."""
        return [cell.ref for cell in self._members()]

    async def tell(self, message: Message) -> None:
        """Send *message* to a member and go on; see `Ref.tell`.

        Raises:
            MailboxClosedError: The pool has stopped, or has no member left.
        """
        while True:
            cell = self._choose(message)
            try:
                return await cell.tell(message)
            except MailboxClosedError:
                continue  # that member has ended while the message waited for room

    def tell_nowait(self, message: Message) -> None:
        """Send *message* to a member or raise; see `Ref.tell_nowait`.

        Raises:
            MailboxFullError: The member has no room; unless a key chooses the member, none of them has.
            MailboxClosedError: The pool has stopped, or has no member left.
        """
        self._choose(message).tell_nowait(message)

    async def ask(self, message: Request[ReplyT], *, timeout: float | None = None) -> ReplyT:
        """Send *message* to a member and wait for the reply; see `Ref.ask`.

        Raises:
            MailboxClosedError: The pool has stopped, or has no member left.
        """
        began = self._cell.kernel.now()
        left = timeout
        while True:
            cell = self._choose(message)
            try:
                return await cell.ask(message, timeout=left)
            except MailboxClosedError as error:
                if not error.is_about(cell, message):
                    raise
            if timeout is not None:
                left = timeout - (self._cell.kernel.now() - began)

    def stream(self, message: StreamRequest[ChunkT], *, timeout: float | None = None) -> Stream[ChunkT]:
        """Prepare to send *message* to a member and read the reply in parts; see `Ref.stream`.

        The member is chosen now. If it ends before the block is entered, so does the stream.

        Raises:
            MailboxClosedError: The pool has stopped, or has no member left.
        """
        return self._choose(message).stream(message, timeout=timeout)

    async def stop(self, reason: ExitReason = NORMAL, *, timeout: float | None = None) -> None:
        """Stop the pool for good: all members at the same time; see `Ref.stop`."""
        await self._cell.stop(reason, timeout=timeout)

    def statistics(self) -> ActorStatistics:
        """Add up the members' counters; those of members that are gone are not in it."""
        members = [asdict(cell.statistics()) for cell in self._members()]
        counts = {name: sum(member[name] for member in members) for name in _COUNTS}
        return ActorStatistics(self._cell.state, **counts)

    async def resize(self, size: int, *, drain: float = 30.0) -> None:
        """Change how many members the pool has.

        Returns when the new ones have started. Those that are too many get no more messages, handle what
        is queued for them, and are stopped then.

        Args:
            size: At least 1.
            drain: Seconds that those which are too many have at most.

        Raises:
            ChildSpecError: *size* is no whole number above 0.
            StartError: A new member did not start; those before it stay.
        """
        check_whole("Pool.size", size, least=1)
        await self._cell.ask(Resize(size, drain), timeout=inf)

    async def replace(self, start: Callable[[], Actor] | None = None) -> None:
        """Start the members afresh, one at a time, while the others work.

        Each handles the message in hand to its end; what is queued for it waits for its successor.

        Args:
            start: Makes the new members, and all later ones; None makes them as before.

        Raises:
            StartError: A new one did not start. It is again what it was before; those already replaced stay.
        """
        for cell in self._members():
            await self._cell.ask(
                ReplaceMember(cell.path[len(self.path) + 1 :].partition("/")[0], start), timeout=inf
            )

    @property
    def _router(self) -> _Router:
        return cast("_Router", self._cell.actor)

    def _members(self) -> list[Cell]:
        return self._router.members() if self._cell.is_alive else []

    def _choose(self, message: Message) -> Cell:
        cell = self._router.choose(message) if self._cell.is_alive else None
        if cell is None:
            raise MailboxClosedError(self, message, self._cell.reason)
        return cell


_COUNTS = [field.name for field in fields(ActorStatistics) if field.name != "state"]
