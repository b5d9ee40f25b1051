"""The undeliverable messages that a store in memory keeps."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ._dead_message import DeadMessage, is_wanted
from ._records import Query


class MemoryMessages:
    """Keep the newest messages."""

    def __init__(self) -> None:
        self._kept: dict[str, DeadMessage] = {}

    def keep(self, messages: Sequence[DeadMessage], most: int) -> None:
        """Take messages in, and let go of the oldest beyond *most*."""
        for each in messages:
            self._kept.setdefault(each.id, each)
        for each in self._newest_first()[most:]:
            del self._kept[each.id]

    def read(self, query: Query, most: int) -> list[DeadMessage]:
        """List messages, newest first."""
        return [each for each in self._newest_first() if is_wanted(each, query)][:most]

    def forget(self, ids: Collection[str]) -> int:
        """Let go of messages; returns how many."""
        return sum(self._kept.pop(id_, None) is not None for id_ in frozenset(ids))

    def prune(self, before: float) -> None:
        """Let go of those older than a moment."""
        self._kept = {id_: each for id_, each in self._kept.items() if each.at >= before}

    def count_before(self, moment: float) -> int:
        """Count those older than a moment."""
        return sum(each.at < moment for each in self._kept.values())

    def _newest_first(self) -> list[DeadMessage]:
        return sorted(self._kept.values(), key=lambda each: (each.at, each.id), reverse=True)
