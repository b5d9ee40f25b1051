"""The supervisor of a pool: keeps its members running and chooses who gets a message."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial

import msgspec

from ..runtime import SHUTDOWN, Cell, ExitReason, Message, handles
from ._administration import ReplaceMember, Resize, Retire
from ._child import Child
from ._children import ChildRecord
from ._keeper import START_ERRORS, TreeContext
from ._pool_ref import PoolRef
from ._specs import Pool, Supervisor, numbered
from ._supervisor import SupervisorActor

LOOK = 0.05
"""Seconds between two looks at a member that handles its last messages."""


class PoolSupervisor(SupervisorActor):
    """Keep the members of one `Pool` description running."""

    def __init__(self, spec: Pool, context: TreeContext) -> None:
        super().__init__(Supervisor(spec.id, intensity=spec.intensity, period=spec.period), context)
        self._template = spec.member
        self._route = spec.route
        self._size = spec.size
        self._newest = 0
        """Number of the newest member."""
        self._members: list[ChildRecord] = []
        """Who gets messages."""
        self._turn = 0
        """Whose turn it was, where they take turns."""

    # --- lifecycle -----------------------------------------------------------------------------------

    async def started(self) -> None:
        """Start the members."""
        self.settle()
        for _ in range(self._size):
            await self.start_first(self._next_member())
        self._members = list(self.children.values())
        self.front = PoolRef(self.cell)

    async def stopping(self, reason: ExitReason) -> None:
        """Stop the members, all at the same time."""
        await self.stop_together(tuple(self.children.values()), SHUTDOWN)

    def _next_member(self) -> Child:
        self._newest += 1
        return numbered(self._template, self._newest, self._template.start)

    def forget_if_over(self, record: ChildRecord) -> None:
        """Forget a member that has ended: it gets no messages, and its spec is of no use."""
        self.children.pop(record.id, None)
        if record in self._members:
            self._members.remove(record)

    # --- routing -------------------------------------------------------------------------------------

    def choose(self, message: Message) -> Cell | None:
        """Choose who gets *message*: of those that run if there are any, else of those that will.

        None when there is no member left.
        """
        cells = self.members()
        if not cells:
            return None
        if callable(self._route):
            # Chosen among all: while a key's member restarts, its messages wait for it.
            return _owner_of(self._route(message), cells)
        self._turn = turn = (self._turn + 1) % len(cells)
        in_turn = cells[turn:] + cells[:turn]
        if self._route == "least_loaded":
            in_turn.sort(key=_load_of)
        return next(filter(_could_begin, in_turn), None) or next(filter(_is_serving, in_turn), in_turn[0])

    def members(self) -> list[Cell]:
        """List who gets messages."""
        return [
            cell
            for record in self._members
            if isinstance(cell := record.front_or_cell, Cell) and cell.is_alive
        ]

    # --- changing the members ------------------------------------------------------------------------

    @handles
    async def resize(self, message: Resize) -> None:
        """Start members, or give no more messages to the newest and end them when they have no more to do."""
        for _ in range(message.size - len(self._members)):
            spec = self._next_member()
            await self.start_requested(spec, None)
            if spec.id in self.children:  # else it is not wanted now
                self._members.append(self.children[spec.id])
        due = self.kernel.now() + message.drain
        for record in self._members[message.size :]:
            self._members.remove(record)
            self.cell.tell_nowait(Retire(record.id, due))

    @handles
    async def retire(self, message: Retire) -> None:
        """End a member that gets no more messages, once it has handled the last, or its time is up."""
        record = self.children.get(message.id)
        if record is None or record in self._members:
            return
        now = self.kernel.now()
        cell = record.front_or_cell
        if isinstance(cell, Cell) and cell.load and now < message.due:
            self.kernel.timers.call_at(min(now + LOOK, message.due), partial(self.remind, message))
            return
        await self.stop_record(record, SHUTDOWN)
        self.children.pop(record.id, None)

    @handles
    async def replace_member(self, message: ReplaceMember) -> None:
        """Start a member afresh; one whose new make does not start is what it was before."""
        record = self.children.get(message.id)
        if record is None or record not in self._members:
            return
        before = record.spec
        await self.pause_record(record, SHUTDOWN)
        if message.start is not None:
            record.spec = msgspec.structs.replace(before, start=message.start)
        try:
            await self.start_record(record)
        except START_ERRORS:
            record.spec = before
            await self.start_again(record)
            raise
        if message.start is not None:
            self._template = msgspec.structs.replace(self._template, start=message.start)


def _owner_of(key: Hashable, cells: Sequence[Cell]) -> Cell:
    """Choose the member a key belongs to, so that a change of size moves as few keys as can be.

    Highest random weight, after Thaler and Ravishankar (IEEE/ACM ToN 6, 1998).
    """
    return max(cells, key=lambda cell: _mixed(hash((key, cell.path))))


def _mixed(number: int) -> int:
    """Spread a hash over all its bits: that of a tuple with a small number in it prefers some members.

    The last step of SplitMix64, after Steele, Lea and Flood (OOPSLA 2014).
    """
    number &= _64_BITS
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 & _64_BITS
    number = (number ^ number >> 27) * 0x94D049BB133111EB & _64_BITS
    return number ^ number >> 31


_64_BITS = (1 << 64) - 1


def _load_of(cell: Cell) -> int:
    return cell.load


def _is_serving(cell: Cell) -> bool:
    return cell.is_serving


def _could_begin(cell: Cell) -> bool:
    return cell.is_serving and cell.has_room
