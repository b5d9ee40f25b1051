"""MessageLog: which of a system's undeliverable messages are in the store already."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anyio.lowlevel

from ...runtime import DeadLetter, Kernel, redact
from ._dead_message import DeadMessage, message_of, start_of
from ._errors import StoreError
from ._store import Store

BATCH = 50
"""Messages described and stored at a time."""


class MessageLog:
    """Bring a system's undeliverable messages into a store, each once, in their order.

    The system's ring is the only buffer: what is pushed out of it before its turn is dropped. It outlives the
    actor that writes, so that what a person has discarded does not come back when that is restarted.

    Args:
        store: Where to.
        most: So many are kept there; 0: none.
        clock: Seconds since 1970.
    """

    def __init__(self, store: Store, most: int, clock: Callable[[], float]) -> None:
        self._store = store
        self._most = most
        self._clock = clock
        self._kernel: Kernel | None = None
        self.done_to = 0
        """The number of the last message that had its turn."""
        self.dropped = 0
        """Messages that were not kept."""

    @property
    def is_kept(self) -> bool:
        """Tell whether any are to be kept."""
        return self._most > 0

    @property
    def is_behind(self) -> bool:
        """Tell whether there are messages whose turn has not come."""
        return bool(self._waiting())

    def attach(self, kernel: Kernel) -> None:
        """Take the messages of this system from now on; of another one than before: from its first."""
        if self._kernel is not kernel:
            self._kernel, self.done_to = kernel, 0

    async def wait(self) -> None:
        """Return when there is a message whose turn has not come."""
        await self._attached().dead_letters.wait_after(self.done_to)

    async def keep_some(self) -> None:
        """Store the next few messages. Cancelled, their turn comes again.

        Raises:
            StoreError: The store can't be used now: try again. One that won't pass costs these messages.
        """
        batch = self._waiting()[:BATCH]
        if batch:
            start = start_of(batch[0], self._clock)
            problem = await self._keep([await _described(letter, start) for letter in batch])
            dropped = self._pushed_out(batch[0].number) + (0 if problem is None else len(batch))
        else:
            dropped, problem = 0, None  # a person, or a replay, was faster
        self.done_to = batch[-1].number if batch else self._newest()
        if dropped:
            self._say_dropped(dropped, "the ring was full" if problem is None else str(problem))

    async def keep_rest(self) -> None:
        """Store all that is left, in a store that is open; what it can't take now is dropped."""
        while self.is_behind:
            try:
                await self.keep_some()
            except StoreError as error:
                self.drop_rest(error)

    def drop_rest(self, error: StoreError) -> None:
        """Say that what is left can't be stored."""
        count = len(self._waiting())
        self.done_to = self._newest()
        self._say_dropped(count, str(error))

    # --- inside ---------------------------------------------------------------------------------------

    async def _keep(self, messages: Sequence[DeadMessage]) -> StoreError | None:
        try:
            await self._store.keep_messages(messages, most=self._most)
        except StoreError as error:
            if error.is_passing:
                raise
            return error
        return None

    def _waiting(self) -> list[DeadLetter]:
        if self._kernel is None or not self.is_kept:
            return []
        return [letter for letter in self._kernel.dead_letters.read() if letter.number > self.done_to]

    def _pushed_out(self, first: int) -> int:
        """Count those before *first* that the ring has let go. One that is not full has let go of none."""
        letters = self._attached().dead_letters
        is_full = letters.statistics().kept == letters.capacity
        return max(0, first - 1 - self.done_to) if is_full else 0

    def _newest(self) -> int:
        return self._attached().dead_letters.statistics().total

    def _say_dropped(self, count: int, why: str) -> None:
        self.dropped += count
        self._attached().dead_letters.note_dropped(count)
        self._attached().events.warning("message.dropped", count=count, total=self.dropped, error=redact(why))

    def _attached(self) -> Kernel:
        assert self._kernel is not None, "the keeper has started"
        return self._kernel


async def _described(letter: DeadLetter, start: float) -> DeadMessage:
    # Each by itself: a large one takes some milliseconds, and there are actors at work.
    await anyio.lowlevel.checkpoint()
    return message_of(letter, start)
