"""A sweep: the same done to many dead letters, in batches, newest first, each once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from math import inf

import msgspec

from ._checks import check_callable, check_whole
from ._dead_records import KEPT_IDS, Outcome
from ._records import Job, Query
from ._store import Store


class Sweep:
    """Do something to all that are selected, a batch at a time.

    Args:
        store: Where the jobs are.
        batch: So many at a time.
        most: So many in all; None: every one.
        should_stop: Asked after each batch with the number done so far.

    Raises:
        JobSpecError: A batch is less than one, or *most* less than none.
    """

    def __init__(
        self, store: Store, batch: int, most: int | None, should_stop: Callable[[int], bool] | None
    ) -> None:
        check_whole("batch", batch, 1)
        if most is not None:
            check_whole("most", most, 0)
        if should_stop is not None:
            check_callable("should_stop", should_stop, "a function of the number done so far")
        self._store = store
        self._batch = batch
        self._left = inf if most is None else most
        self._should_stop = should_stop
        self._matched = 0
        self._done = 0
        self._ids: list[str] = []
        self._is_stopped = False

    async def messages(self, ids: Sequence[str], act: Callable[[frozenset[str]], Awaitable[int]]) -> None:
        """Do it to messages."""
        for first in range(0, len(ids), self._batch):
            chunk = ids[first : first + self._batch]
            chosen = chunk[: int(min(self._left, len(chunk)))]
            self._is_stopped = self._is_stopped or len(chosen) < len(chunk)
            if not chosen:
                return
            done = await act(frozenset(chosen))
            self._count(len(chosen), done, chosen)

    async def jobs(self, query: Query, act: Callable[[Sequence[Job]], Awaitable[list[str]]]) -> None:
        """Do it to jobs, the newest first."""
        for part in _parts(query, self._batch):
            after: str | None = None
            # By id, not by what is left of them: each has its turn once, whatever it is made into.
            while page := await self._store.jobs(part, after=after, most=self._batch):
                after = page[-1].id
                chosen = page[: int(min(self._left, len(page)))]
                self._is_stopped = self._is_stopped or len(chosen) < len(page)
                if not chosen:
                    return
                done = await act(chosen)
                self._count(len(chosen), len(done), done)

    def outcome(self) -> Outcome:
        """Return what came of it."""
        return Outcome(
            matched=self._matched, done=self._done, ids=tuple(self._ids), is_stopped=self._is_stopped
        )

    def _count(self, matched: int, done: int, ids: Sequence[str]) -> None:
        self._matched += matched
        self._done += done
        self._left -= matched
        self._ids.extend(ids[: KEPT_IDS - len(self._ids)])
        if self._should_stop is not None and self._should_stop(self._done):
            self._is_stopped = True
            self._left = 0


def _parts(query: Query, size: int) -> Iterator[Query]:
    """Split a query with many ids: a database takes so many values only."""
    if not query.ids:
        yield query
    ids = sorted(query.ids, reverse=True)
    for first in range(0, len(ids), size):
        yield msgspec.structs.replace(query, ids=frozenset(ids[first : first + size]))
