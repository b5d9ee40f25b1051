"""Subscriptions: the events of a store as they happen, from a cursor on, none missed and none twice."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import anyio.lowlevel
import msgspec

from ._errors import CursorExpiredError
from ._records import Event, Query
from ._report import row_of

if TYPE_CHECKING:
    from ._feed import Feed

RESET = "reset"
"""Kind of the event that says: some have been pruned, here is how things stand."""
_SNAPSHOT = 50
"""Jobs in it."""


class Interest(msgspec.Struct, frozen=True, kw_only=True):
    """Which events one wants. Everything given must hold."""

    job: str | None = None
    user: str | None = None
    queue: str | None = None

    def wants(self, event: Event) -> bool:
        """Tell whether *event* is among them."""
        return (
            self.job in (None, event.job)
            and self.user in (None, event.user)
            and self.queue in (None, event.queue)
        )


class _Phase(enum.Enum):
    REPLAY = enum.auto()
    """It reads what happened before from the store."""
    JOINING = enum.auto()
    """It hears what the feed reads, and reads what there was until then."""
    LIVE = enum.auto()
    """It has what the feed has read."""


class Subscription:
    """Iterate over events. Made by `Feed.subscribe` and `Queue.events`.

    ``cursor`` is where to go on in another process, or after an error. A subscriber that is slow, or away,
    costs nobody anything: what does not fit into its buffer it reads from the store when it comes back.
    Only where that has been pruned meanwhile an event of kind ``reset`` comes: its ``data["jobs"]`` are the
    newest of the jobs it is about, and what follows is what happened since.

    Iterate from one task at a time. Leave it when you like; there is nothing to close.

    Raises:
        StoreError: By iterating: the store can't be read now. Iterate again when it may.
    """

    def __init__(self, feed: Feed, interest: Interest, after: str | None) -> None:
        self._feed = feed
        self._interest = interest
        self.cursor = after
        """After the last event that was handed out; None: before the first."""
        self._read_to = after
        """After the last that is in hand."""
        self._phase = _Phase.REPLAY
        self._ready: deque[Event] = deque()
        self._heard: deque[Event] = deque()
        """What the feed has read while this one is joining."""
        self._seen: set[str] = set()
        """Cursors of events that are in hand, and that the feed will read once more."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """Wait for the next event."""
        while not self._ready:
            if self._phase is _Phase.LIVE:
                await self._feed.wait(self)
            else:
                await self._catch_up()
        event = self._ready.popleft()
        self.cursor = event.cursor
        return event

    async def begin(self) -> None:
        """Fix where it begins: what happens after this returns will be heard.

        Iterating does it too, when the first event is asked for.

        Raises:
            StoreError: The store can't be read now.
        """
        if self._read_to is None:
            self.cursor = self._read_to = await self._feed.store.last_cursor()

    def offer(self, events: Sequence[Event]) -> None:
        """Take what the feed has read."""
        for event in events:
            if not self._interest.wants(event) or event.cursor in self._seen:
                continue
            if self._phase is _Phase.JOINING:
                self._heard.append(event)
            else:
                self._seen.clear()  # in the order of all events, it is after them
                self._ready.append(event)
                self._read_to = event.cursor
        if len(self._ready) > self._feed.buffer or len(self._heard) > self._feed.buffer:
            self.fall_behind()

    def fall_behind(self) -> None:
        """Read from the store what the feed can't keep for a slow one."""
        self._feed.leave(self)
        self._heard.clear()
        self._seen.clear()
        while len(self._ready) > self._feed.buffer:
            self._ready.pop()
        if self._ready:
            self._read_to = self._ready[-1].cursor
        self._phase = _Phase.REPLAY

    async def _catch_up(self) -> None:
        # A store in memory never yields, and the one that reads for all may have to go first.
        await anyio.lowlevel.checkpoint()
        await self.begin()
        try:
            is_all = await self._read_page()
            if is_all:
                await self._join()
        except CursorExpiredError:
            await self._reset()

    async def _read_page(self) -> bool:
        """Read on; tells whether that was all there is."""
        events = await self._events(self._read_to)
        self._ready.extend(events)
        if events:
            self._read_to = events[-1].cursor
        return len(events) < self._feed.page

    async def _join(self) -> None:
        """Go over from reading to hearing.

        Cursors can't be compared, so what was read already and will be heard again is found by reading: it
        is after the feed's place (`repeated`), but not after ours (`new`).
        """
        place = await self._feed.join(self)
        self._phase = _Phase.JOINING
        is_all = await self._read_page()
        repeated = await self._events(place)
        new = await self._events(self._read_to)
        if not is_all or max(len(repeated), len(new)) == self._feed.page:
            self.fall_behind()  # a lot happens: read on, and join later
        if self._phase is _Phase.JOINING:
            self._seen = {event.cursor for event in repeated} - {event.cursor for event in new}
            self._phase = _Phase.LIVE
            heard, self._heard = self._heard, deque()
            self.offer(heard)

    async def _events(self, after: str | None) -> list[Event]:
        assert after is not None
        wanted = self._interest
        return await self._feed.store.events(
            after, most=self._feed.page, job=wanted.job, user=wanted.user, queue=wanted.queue
        )

    async def _reset(self) -> None:
        self._feed.leave(self)
        store, wanted = self._feed.store, self._interest
        # First the cursor: what happens while the jobs are read comes twice rather than not at all.
        cursor = await store.last_cursor()
        ids = frozenset[str]() if wanted.job is None else frozenset({wanted.job})
        jobs = await store.jobs(Query(ids=ids, user=wanted.user, queue=wanted.queue), most=_SNAPSHOT)
        self._read_to = cursor
        self._phase = _Phase.REPLAY
        self._heard.clear()
        self._ready.append(
            Event(
                cursor=cursor,
                job=wanted.job or "",
                queue=wanted.queue or "",
                user=wanted.user,
                kind=RESET,
                at=self._feed.clock(),
                data={"jobs": [row_of(job) for job in jobs]},
            )
        )
