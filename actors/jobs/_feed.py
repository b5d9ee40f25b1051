"""The feed: one reader of a store's events for all subscribers of a process."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from weakref import WeakSet

import anyio
from anyio.abc import TaskStatus

from ._checks import check_store, check_text, check_whole, cursor_number
from ._errors import CursorExpiredError, StoreError
from ._records import Event
from ._store import Store
from ._subscription import Interest, Subscription

_LOOK = 5.0
"""Seconds after which the events are looked at in any case."""


class Feed:
    """Hand the events of a store to any number of subscribers, reading each event once.

    There is no task of its own to start or stop: one of the subscribers that wait reads for all, and when it
    has what it waits for, or leaves, another goes on. While nobody waits, nothing is read.

    Args:
        store: Whose events; open while anybody iterates.
        buffer: Events kept for a subscriber that is busy. One with more reads them from the store.
        page: Events read at a time; no more than *buffer*.
        clock: Seconds since 1970.

    Raises:
        JobSpecError: *store* is none, or a number is out of range.
    """

    def __init__(
        self,
        store: Store,
        *,
        buffer: int = 1000,
        page: int = 500,
        clock: Callable[[], float] = time.time,
    ) -> None:
        check_store("Feed.store", store)
        check_whole("Feed.buffer", buffer, 1)
        check_whole("Feed.page", page, 1, buffer, remedy="no more than buffer=")
        self.store = store
        self.buffer = buffer
        self.page = page
        self.clock = clock
        self._live: WeakSet[Subscription] = WeakSet()
        self._read_to: str | None = None
        """After the last event read; None: nobody listens."""
        self._is_read = False
        """A subscriber reads for all."""
        self._turned = anyio.Event()

    def __repr__(self) -> str:
        return f"<Feed of {self.store!r}, {len(self._live)} live>"

    def subscribe(
        self,
        *,
        after: str | None = None,
        job: str | None = None,
        user: str | None = None,
        queue: str | None = None,
    ) -> Subscription:
        """Subscribe to events: ``async for event in feed.subscribe(user="ann"):``.

        Args:
            after: Go on after this cursor; None: begin with what happens from now on, which is when the
                first event is asked for (or `Subscription.begin` is called). ``"0"``: from the first.
            job: Only of this job.
            user: Only of this user's jobs.
            queue: Only of this queue.
        """
        for field, value in (("job", job), ("user", user), ("queue", queue)):
            if value is not None:
                check_text(f"subscribe: {field}", value)
        if after is not None:
            cursor_number(after)
        return Subscription(self, Interest(job=job, user=user, queue=queue), after)

    # --- for subscriptions ----------------------------------------------------------------------------

    async def join(self, subscription: Subscription) -> str:
        """Let one hear what is read from now on; returns the cursor after which that begins."""
        if not self._live:
            self._read_to = None
        elif not self._is_read:
            await self._lead(self._look)  # nobody has waited for a while: come nearer to the end
        if self._read_to is None:
            last = await self.store.last_cursor()
            self._begin(last)
        assert self._read_to is not None
        self._live.add(subscription)
        return self._read_to

    def _begin(self, last: str) -> None:
        """Begin at *last*, unless another one has begun meanwhile."""
        if self._read_to is None:
            self._read_to = last

    def leave(self, subscription: Subscription) -> None:
        """Let one hear nothing more."""
        self._live.discard(subscription)

    async def wait(self, subscription: Subscription) -> None:
        """Return when there may be something for *subscription*, having read for all where nobody does."""
        if self._is_read:
            await self._turned.wait()
            return
        await self._lead(self._look_or_wait)

    async def _lead(self, read: Callable[[], Awaitable[Sequence[Event]]]) -> None:
        self._is_read = True
        try:
            self._hand_out(await self._unless_pruned(read))
        finally:
            self._is_read = False
            turned, self._turned = self._turned, anyio.Event()
            turned.set()

    async def _unless_pruned(self, read: Callable[[], Awaitable[Sequence[Event]]]) -> Sequence[Event]:
        try:
            return await read()
        except CursorExpiredError:
            # What was pruned each one finds out by itself, where it is concerned.
            self._read_to = await self.store.last_cursor()
            for each in tuple(self._live):
                each.fall_behind()
            return ()

    async def _look_or_wait(self) -> list[Event]:
        return await self._look() or await self._wait_for_events()

    def _hand_out(self, events: Sequence[Event]) -> None:
        if events:
            self._read_to = events[-1].cursor
            for each in tuple(self._live):
                each.offer(events)

    async def _look(self) -> list[Event]:
        assert self._read_to is not None
        return await self.store.events(self._read_to, most=self.page)

    async def _wait_for_events(self) -> list[Event]:
        """Wait for a change, and read; what is stored between the two looks is not slept through."""
        problems: list[StoreError | CursorExpiredError] = []
        events: list[Event] = []

        async def listen(*, task_status: TaskStatus[None]) -> None:
            task_status.started()
            try:
                await self.store.wait_change(_LOOK)
            except StoreError as error:
                problems.append(error)

        async with anyio.create_task_group() as group:
            await group.start(listen)
            try:
                events.extend(await self._look())
            except (StoreError, CursorExpiredError) as error:
                problems.append(error)
            if events or problems:
                group.cancel_scope.cancel()
        if problems:
            raise problems[0]
        return events
