"""Mailbox: the bounded queue an actor reads.

The runtime owns it, not the incarnation, so what is queued survives a restart. Senders that find
it full wait in line, first come first served; a place in the line is taken before any await, which
is what keeps one sender's messages in order. The line holds the ask slots themselves, so one wait
covers the place and the reply, and one deadline both.
"""

from __future__ import annotations

from collections import deque

from ._messages import Message
from ._parking import Slot

Item = Message | Slot
"""What a mailbox holds: a told message, or the slot of an ask."""

SWEEP = 64
"""Senders in line before those who have given up are looked for."""


class Line(deque[tuple[Item, Slot]]):
    """Who waits for room: the item, and the slot that is resolved when it is moved in.

    Nothing takes out the place of a sender who gives up. Where the mailbox does not move for long, they
    are swept whenever the line has doubled: amortised, that is constant.
    """

    sweep_at = SWEEP

    def join(self, item: Item, turn: Slot) -> None:
        """Take the last place."""
        if len(self) >= self.sweep_at:
            live = [place for place in self if not place[1].done]
            self.clear()
            self.extend(live)
            self.sweep_at = max(SWEEP, 2 * len(live))
        self.append((item, turn))


class Mailbox:
    """A queue with a bound and a line of senders before it."""

    __slots__ = ("capacity", "open_capacity", "queue", "queued_peak", "senders")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.open_capacity = capacity
        """Below this length a sender may just append: 0 while every sender has to ask first."""
        self.queue: deque[Item] = deque()
        self.queued_peak = 0
        self.senders: Line | None = None
        """Who waits for room. None while nobody ever did: an idle actor should be small."""

    def wait_in_line(self, item: Item, turn: Slot) -> None:
        """Take a place before the mailbox; for an ask, *turn* is the ask's own slot."""
        if self.senders is None:
            self.senders = Line()
        self.senders.join(item, turn)

    def admit(self) -> int:
        """Move in as many waiting items as there is room for; returns how many."""
        moved = 0
        senders = self.senders
        while senders and len(self.queue) < self.capacity:
            item, turn = senders.popleft()
            # An ask waits on for its reply; a teller is done, unless it was cancelled meanwhile.
            if (not turn.done) if turn is item else turn.resolve():
                self.queue.append(item)
                moved += 1
        return moved

    def take_all(self) -> list[Item]:
        """Empty the queue."""
        items = list(self.queue)
        self.queue.clear()
        return items

    def dismiss_senders(self) -> list[tuple[Item, Slot]]:
        """Empty the line."""
        line = list(self.senders or ())
        self.senders = None
        return line

    @property
    def waiting(self) -> int:
        """How many senders wait for room."""
        return sum(1 for _, turn in self.senders or () if not turn.done)


def message_of(item: Item) -> Message:
    """Return the message of a queued item, whether it was told or asked."""
    if isinstance(item, Slot):
        assert item.message is not None
        return item.message
    return item
