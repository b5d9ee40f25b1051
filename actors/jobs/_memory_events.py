"""The events of the store in memory: told, read from a cursor on, waited for, pruned."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import anyio

from ._checks import cursor_number
from ._errors import CursorExpiredError
from ._records import Event, Job


class MemoryEvents:
    """What happened, in order. A cursor is the count of events before it, pruned ones too.

    Args:
        clock: Seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._events: list[Event] = []
        self._pruned = 0
        """Events deleted: all of the oldest."""
        self._changed = anyio.Event()

    def tell(self, job: Job, kind: str, data: Mapping[str, object]) -> None:
        """Tell of a job, and wake who waits."""
        event = Event(
            cursor=str(self._pruned + len(self._events) + 1),
            job=job.id,
            queue=job.queue,
            user=job.user,
            kind=kind,
            at=self._clock(),
            data=data,
        )
        self._events.append(event)
        self.wake()

    def has_told(self, job: str, kind: str, data: Mapping[str, object]) -> bool:
        """Tell whether this was told of a job before."""
        return any((event.job, event.kind, event.data) == (job, kind, data) for event in self._events)

    def wake(self) -> None:
        """Wake who waits for a change."""
        self._changed.set()
        self._changed = anyio.Event()

    async def wait_change(self, timeout: float) -> None:
        """Return when something has changed, or after *timeout* seconds."""
        with anyio.move_on_after(timeout):
            await self._changed.wait()

    def first_cursor(self) -> str:
        """Return the cursor before the oldest event there is."""
        return str(self._pruned)

    def last_cursor(self) -> str:
        """Return the cursor after the newest event."""
        return str(self._pruned + len(self._events))

    def read(
        self, after: str, most: int, *, job: str | None, user: str | None, queue: str | None
    ) -> list[Event]:
        """Return up to *most* events after a cursor.

        Raises:
            CursorExpiredError: Some of them have been pruned.
        """
        first = cursor_number(after) - self._pruned
        if first < 0:
            raise CursorExpiredError(after)
        found = (
            event
            for event in self._events[first:]
            if job in (None, event.job) and user in (None, event.user) and queue in (None, event.queue)
        )
        return [event for event, _ in zip(found, range(most), strict=False)]

    def count_before(self, moment: float) -> int:
        """Count the events before a moment."""
        later = next((place for place, event in enumerate(self._events) if event.at >= moment), None)
        return len(self._events) if later is None else later

    def prune(self, before: float, most: int) -> None:
        """Delete up to *most* events before a moment, the oldest."""
        count = min(most, self.count_before(before))
        self._pruned += count
        del self._events[:count]
