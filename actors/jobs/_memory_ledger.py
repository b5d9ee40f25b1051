"""The ledger of the store in memory: what jobs have spent, and when."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from ._records import Job, Spending


class _Entry(NamedTuple):
    at: float
    queue: str
    user: str | None
    usd: float


class MemoryLedger:
    """What was spent. It outlives the jobs it tells of, so a pruned one still counts for its day."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []

    def charge(self, job: Job, usd: float, at: float) -> None:
        """Note that *job* spent US dollars."""
        self._entries.append(_Entry(at, job.queue, job.user, usd))

    def prune(self, before: float, most: int) -> int:
        """Delete up to *most* entries from before a moment, the oldest; returns how many."""
        oldest_first = sorted(self._entries, key=lambda entry: entry.at)
        count = min(most, self.count_before(before))
        self._entries = oldest_first[count:]
        return count

    def count_before(self, moment: float) -> int:
        """Count the entries from before a moment."""
        return sum(entry.at < moment for entry in self._entries)

    def spent(self, since: float, *, user: str | None, queue: str | None) -> float:
        """Return the US dollars spent since a moment, by one user or in one queue where these are given."""
        return sum(
            entry.usd
            for entry in self._entries
            if entry.at >= since and user in (None, entry.user) and queue in (None, entry.queue)
        )

    def sums(self, since: float, until: float) -> list[Spending]:
        """Return what was spent from *since* up to *until*, by queue and user, the dearest first."""
        found: defaultdict[tuple[str, str | None], float] = defaultdict(float)
        for entry in self._entries:
            if since <= entry.at < until:
                found[entry.queue, entry.user] += entry.usd
        sums = [Spending(queue=queue, user=user, usd=usd) for (queue, user), usd in found.items()]
        return sorted(sums, key=lambda each: (-each.usd, each.queue, each.user or ""))
