"""Dead letters: messages no handler will see, counted and kept for a while."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from secrets import token_hex
from typing import TYPE_CHECKING, ClassVar

import anyio
import anyio.lowlevel

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
    number: int
    """Its place among all dead letters of the system, from 1."""


def _every(letter: DeadLetter) -> bool:
    return True


class DeadLetters:
    """The dead-letter ring of one system: counts all, keeps the newest."""

    __slots__ = ("_arrived", "_counts", "_dropped", "_events", "_kept", "_number", "series")

    capacity: ClassVar[int] = KEPT
    """How many are kept."""

    def __init__(self, events: Events) -> None:
        self.series = token_hex(4)
        """Random letters: with a dead letter's number they name it among those of all systems."""
        self._events = events
        self._arrived: anyio.Event | None = None
        """Set by the next dead letter; None: nobody waits for it."""
        self._kept: deque[DeadLetter] = deque(maxlen=KEPT)
        self._counts: Counter[tuple[str, str]] = Counter()
        self._number = 0
        self._dropped = 0

    def add(self, ref: Ref, message: Message, reason: str) -> None:
        """Take one message in."""
        kind = type(message).__name__
        self._counts[kind, reason] += 1
        self._number += 1
        self._kept.append(DeadLetter(ref, message, reason, self._events.now(), self._number))
        count = self._counts[kind, reason]
        if count <= LOGGED or count % SAMPLE == 0:
            self._events.dead_letter(ref.path, kind, reason, count)
        if self._arrived is not None:
            self._arrived.set()
            self._arrived = None

    async def wait_after(self, number: int) -> None:
        """Return when there has been a dead letter after the one with this number; 0: any."""
        await anyio.lowlevel.checkpoint()
        while self._number <= number:
            if self._arrived is None:
                self._arrived = anyio.Event()
            await self._arrived.wait()

    def read(self) -> list[DeadLetter]:
        """Return the dead letters kept, oldest first."""
        return list(self._kept)

    async def replay(self, is_wanted: Callable[[DeadLetter], bool] = _every) -> int:
        """Tell kept messages to their actors again; returns how many were taken.

        What is not wanted stays. What is refused comes back as a dead letter, or stays where its actor
        has stopped. Cancelled, what was not taken yet stays too.
        """
        kept, self._kept = self._kept, deque(maxlen=KEPT)
        stay: list[DeadLetter] = []
        taken = 0
        try:
            while kept:
                if not is_wanted(kept[0]):
                    stay.append(kept.popleft())
                    continue
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

    def discard(self, is_wanted: Callable[[DeadLetter], bool] = _every) -> int:
        """Forget kept messages; returns how many. They stay counted."""
        kept = len(self._kept)
        self._kept = deque([one for one in self._kept if not is_wanted(one)], maxlen=KEPT)
        return kept - len(self._kept)

    def note_dropped(self, count: int) -> None:
        """Count messages that somebody wanted to keep elsewhere and could not."""
        self._dropped += count

    def statistics(self) -> DeadLetterStatistics:
        """Count the dead letters."""
        return DeadLetterStatistics(
            self._counts.total(), len(self._kept), dict(self._counts), dropped=self._dropped
        )
