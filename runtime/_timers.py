"""Timers: thousands of deadlines, one sleeping task.

Deadlines are mostly not reached: an ask is answered long before. So adding one must be cheap and
taking it back must cost nothing. Two places, after Varghese and Lauck's observation (SOSP 1987)
that equal timeouts expire in the order they were set:

* a **lane** for each timeout value seen often (the defaults, and the first few values callers
  use): a first-in, first-out queue. Adding is an append; entries that are done leave at the next
  append, and a lane that has doubled is swept, so it is about as long as the calls in flight.
* a **heap** for all other moments, such as inherited deadlines, which are all different. Entries
  that are done stay until the heap has doubled, then it is swept: amortised, that is constant.

A cancel scope a wait would be more readable and costs 6 to 9 us each, measured.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from math import inf
from typing import Protocol

import anyio

LANES = 64
"""Distinct timeout values that get a lane of their own; more would make each expiry slow."""
SWEEP = 1024
"""Heap entries before the first sweep."""


class Timed(Protocol):
    """Something with a deadline."""

    @property
    def done(self) -> bool:
        """Nothing is to be done at the deadline any more."""
        ...

    def expire(self) -> None:
        """Do what the deadline asks for. Called at most once, on the timers' task; must not wait."""
        ...


class Timer:
    """A callback at a moment; ``cancel`` takes it back at no cost."""

    __slots__ = ("callback", "done", "due")

    def __init__(self, callback: Callable[[], None], due: float = inf) -> None:
        self.callback = callback
        self.due = due
        """The moment, on the system's clock."""
        self.done = False

    def cancel(self) -> None:
        """Take the timer back; it never fires after this."""
        self.done = True
        # It stays in the heap until that is swept; the callback would keep an ended actor alive till then.
        self.callback = _nothing

    def expire(self) -> None:
        """Fire."""
        self.done = True
        self.callback()


def _nothing() -> None:
    """Stand in for the callback of a timer that was taken back."""


@dataclass(frozen=True, slots=True)
class TimerStatistics:
    """How many deadlines are kept, done ones that have not left yet included."""

    lanes: int
    """Distinct timeout values with a lane."""
    in_lanes: int
    """Entries in lanes."""
    in_heap: int
    """Entries in the heap."""
    pending: int
    """Those of all entries whose deadline still matters."""


class Timers:
    """All deadlines of one system."""

    __slots__ = ("_alarm", "_due", "_heap", "_lanes", "_now", "_numbers", "_sweep_at", "_sweep_lanes_at")

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lanes: dict[float, deque[tuple[float, Timed]]] = {}
        self._heap: list[tuple[float, int, Timed]] = []
        self._numbers = count()
        self._sweep_at = SWEEP
        self._sweep_lanes_at = SWEEP
        self._due = inf
        self._alarm: anyio.CancelScope | None = None

    def after(self, timeout: float, due: float, entry: Timed) -> None:
        """Expire *entry* at *due*, which is *timeout* seconds from now.

        Args:
            timeout: Seconds; chooses the lane. Pass values that many calls share.
            due: The moment, ``now() + timeout``.
            entry: Told once, unless it is done before.
        """
        lane = self._lanes.get(timeout)
        if lane is None:
            if len(self._lanes) >= LANES:
                self.at(due, entry)
                return
            lane = self._lanes[timeout] = deque()
        while lane and lane[0][1].done:
            lane.popleft()
        if len(lane) >= self._sweep_lanes_at:  # one entry that stays must not keep all that came after it
            self._sweep_lane(lane)
        lane.append((due, entry))
        if due < self._due:
            self._set_alarm(due)

    def at(self, due: float, entry: Timed) -> None:
        """Expire *entry* at the moment *due*."""
        heap = self._heap
        if len(heap) >= self._sweep_at:
            self._sweep()
        heapq.heappush(heap, (due, next(self._numbers), entry))
        if due < self._due:
            self._set_alarm(due)

    def call_at(self, due: float, callback: Callable[[], None]) -> Timer:
        """Call *callback* at the moment *due*; the timer returned can be cancelled."""
        timer = Timer(callback, due)
        self.at(due, timer)
        return timer

    def statistics(self) -> TimerStatistics:
        """Count the deadlines kept."""
        in_lanes = sum(map(len, self._lanes.values()))
        return TimerStatistics(len(self._lanes), in_lanes, len(self._heap), len(self.pending()))

    def pending(self) -> list[tuple[float, Timed]]:
        """List what still waits for its deadline, with the moments, soonest first."""
        entries = [item for lane in self._lanes.values() for item in lane]
        entries += [(due, entry) for due, _, entry in self._heap]
        return sorted((item for item in entries if not item[1].done), key=lambda item: item[0])

    async def run(self) -> None:
        """Expire what falls due, until cancelled."""
        while True:
            with anyio.CancelScope(deadline=self._due) as self._alarm:
                await anyio.sleep_forever()
            self._expire(self._now())

    def _set_alarm(self, due: float) -> None:
        self._due = due
        if self._alarm is not None:
            self._alarm.deadline = due

    def _expire(self, now: float) -> None:
        self._due = inf  # what expiring entries add lowers it again
        due = inf
        for lane in tuple(self._lanes.values()):
            while lane and (lane[0][1].done or lane[0][0] <= now):
                _, entry = lane.popleft()
                if not entry.done:
                    entry.expire()
            if lane:
                due = min(due, lane[0][0])
        heap = self._heap
        while heap and (heap[0][2].done or heap[0][0] <= now):
            _, _, entry = heapq.heappop(heap)
            if not entry.done:
                entry.expire()
        if heap:
            due = min(due, heap[0][0])
        self._due = min(self._due, due)

    def _sweep_lane(self, lane: deque[tuple[float, Timed]]) -> None:
        alive = [item for item in lane if not item[1].done]
        lane.clear()
        lane.extend(alive)
        self._sweep_lanes_at = max(SWEEP, 2 * max(map(len, self._lanes.values())))

    def _sweep(self) -> None:
        self._heap[:] = [item for item in self._heap if not item[2].done]
        heapq.heapify(self._heap)
        self._sweep_at = max(SWEEP, 2 * len(self._heap))
