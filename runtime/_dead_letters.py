"""Dead letters: messages no handler will see, counted and kept for a while."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._errors import MailboxClosedError
from ._messages import Message
from ._statistics import DeadLetterStatistics

if TYPE_CHECKING:
    from ._events import Events
    from ._ref import Ref

KEPT = 1024
"""Dead letters kept for reading and replay."""
LOGGED = 100
"""Of the dead letters of one type and reason, the first this many are logged, then every thousandth."""
SAMPLE = 1000


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message no handler will see."""

    ref: Ref
    """The actor it was meant for."""
    message: Message
    """The message."""
    reason: str
    """Why: ``stopped``, ``unhandled``, ``overflow``, or the refusal of a service."""
    at: float
    """The moment, on the system's clock, in seconds."""


class DeadLetters:
    """The dead-letter ring of one system: counts all, keeps the newest."""

    __slots__ = ("_counts", "_events", "_kept")

    def __init__(self, events: Events) -> None:
        self._events = events
        self._kept: deque[DeadLetter] = deque(maxlen=KEPT)
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, ref: Ref, message: Message, reason: str) -> None:
        """Take one message in."""
        kind = type(message).__name__
        self._counts[kind, reason] += 1
        self._kept.append(DeadLetter(ref, message, reason, self._events.now()))
        count = self._counts[kind, reason]
        if count <= LOGGED or count % SAMPLE == 0:
            self._events.dead_letter(ref.path, kind, reason, count)

    def read(self) -> list[DeadLetter]:
        """Return the dead letters kept, oldest first."""
        return list(self._kept)

    async def replay(self) -> int:
        """Tell each kept message to its actor again; returns how many were taken.

        What is refused comes back as a dead letter, or stays where its actor has stopped. Cancelled,
        what was not taken yet stays too.
        """
        kept, self._kept = self._kept, deque(maxlen=KEPT)
        stay: list[DeadLetter] = []
        taken = 0
        try:
            while kept:
                try:
                    await kept[0].ref.tell(kept[0].message)
                except MailboxClosedError:
                    stay.append(kept[0])
                else:
                    taken += 1
                kept.popleft()
        finally:
            self._kept = deque([*stay, *kept, *self._kept], maxlen=KEPT)
        return taken

    def statistics(self) -> DeadLetterStatistics:
        """Count the dead letters."""
        return DeadLetterStatistics(self._counts.total(), len(self._kept), dict(self._counts))
