"""Hands: since when actors have had their messages in hand, and who waits for whom in a ring.

Sampled: whoever looks (the watchdog once a second, or a caller) notes which handlers are at work and
since when it has known them. So an age is never more than the truth, and less by up to the time
between two looks. What is kept of a handler is a weak reference: it is the message's own coroutine,
and thus never another's.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from types import CoroutineType
from typing import TYPE_CHECKING

from ._frames import Step, asked_by, hand_of, stack_of, steps_of_coroutine, steps_of_thread, within

if TYPE_CHECKING:
    from ._cell import Cell
    from ._kernel import Kernel


@dataclass(frozen=True, slots=True)
class StuckHandler:
    """A message that has been in hand for a long time."""

    path: str
    """The actor's."""
    message: str
    """The type of the message."""
    seconds: float
    """How long it has been seen in hand, on the loop's clock; in truth it may be about a second more."""
    queued: int
    """Messages that wait behind it."""
    ring: tuple[str, ...]
    """Paths of the actors that ask one another in a ring, this one first, none twice. None of them can
    go on before a deadline passes. Empty where there is no ring."""


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """Something of an actor that is still at work."""

    path: str
    """The actor's."""
    doing: str
    """The type of the message in hand, or the hook."""
    stack: str
    """Where it is: no secrets, bounded."""


@dataclass(frozen=True, slots=True)
class _Sight:
    """One handler, as seen when it was first met."""

    cell: Cell
    message: str
    since: float
    handler: weakref.ref[CoroutineType[object, object, object]]

    @property
    def is_at_work(self) -> bool:
        handler = self.handler()
        return handler is not None and handler.cr_frame is not None


class Hands:
    """What the tasks of one system have in hand. On the loop's thread alone, except `left_behind`."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._sights: dict[object, _Sight] = {}
        self._rings: set[tuple[str, ...]] = set()
        """Rings that have been reported and still hold."""

    def look(self) -> None:
        """Note what is in hand now."""
        sights: dict[object, _Sight] = {}
        for task in tuple(self._kernel.dispatcher.tasks):
            sight = self._sights.get(task)
            if sight is None or not sight.is_at_work:
                sight = self._see(task)
            if sight is not None:
                sights[task] = sight
        self._sights = sights

    def stuck(self, older_than: float) -> list[StuckHandler]:
        """Look, and list the messages that have been in hand for *older_than* seconds, the oldest first."""
        self.look()
        now = self._kernel.now()
        old = [(task, sight) for task, sight in self._sights.items() if now - sight.since >= older_than]
        old.sort(key=lambda pair: pair[1].since)
        return [
            StuckHandler(
                sight.cell.path,
                sight.message,
                round(now - sight.since, 3),
                len(sight.cell.queue),
                self._ring(task),
            )
            for task, sight in old
        ]

    def new_rings(self) -> list[StuckHandler]:
        """List rings not listed before, one member of each, among what was in hand at the last look too."""
        now = self._kernel.now()
        rings: dict[tuple[str, ...], StuckHandler] = {}
        for task, sight in self._sights.items():
            # Each member of a ring has the ask of the one before it in its queue. Most actors have an
            # empty one, and their frames need not be looked at.
            if not sight.cell.queue or sight.since >= now:
                continue
            ring = self._ring(task)
            if ring:
                first = ring.index(min(ring))
                found = StuckHandler(
                    sight.cell.path, sight.message, round(now - sight.since, 3), len(sight.cell.queue), ring
                )
                rings.setdefault(ring[first:] + ring[:first], found)
        known, self._rings = self._rings, set(rings)
        return [found for ring, found in rings.items() if ring not in known]

    def left_behind(self, thread: int) -> list[LeftBehind]:
        """List what is at work, with its stack. May be called beside a loop that is stuck.

        Args:
            thread: The loop's; what it runs now comes first.
        """
        found: list[LeftBehind] = []
        waiting = (self._steps(task) for task in tuple(self._kernel.dispatcher.tasks))
        for steps in (steps_of_thread(thread), *waiting):
            hand = hand_of(steps)
            if hand is not None:
                found.append(LeftBehind(hand.cell.path, hand.doing, stack_of(within(steps))))
        return found

    def _see(self, task: object) -> _Sight | None:
        hand = hand_of(self._steps(task))
        if hand is None or hand.handler is None:
            return None
        return _Sight(hand.cell, hand.doing, self._kernel.now(), weakref.ref(hand.handler))

    def _steps(self, task: object) -> list[Step]:
        return steps_of_coroutine(self._kernel.backend.coroutine_of(task))

    def _ring(self, task: object) -> tuple[str, ...]:
        """Follow who asks whom from the message *task* has in hand, back to its actor."""
        start = self._sights[task].cell
        way = [start]
        asked = self._waits_for(start, task)
        while asked is not None and asked not in way:
            way.append(asked)
            asked = self._waits_for(asked, *(worker.task for worker in asked.workers))
        return tuple(cell.path for cell in way) if asked is start else ()

    def _waits_for(self, cell: Cell, *tasks: object) -> Cell | None:
        """Return whose reply the one handler of *cell* waits for; None where it could begin another."""
        if cell.concurrency > 1 or len(tasks) != 1:
            return None
        return asked_by(self._steps(tasks[0]))
