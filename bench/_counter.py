"""The actor most questions are asked of."""

from __future__ import annotations

from relight import Actor, Message, Request, handles


class Add(Message, frozen=True):
    """Count one more."""


class Total(Request[int], frozen=True):
    """Say how many were counted."""


class Counter(Actor):
    """Count: the least a handler can do."""

    def __init__(self) -> None:
        self.total = 0

    @handles
    async def add(self, message: Add) -> None:
        """Count one."""
        self.total += 1

    @handles
    async def tell_total(self, message: Total) -> int:
        """Answer with the count."""
        return self.total
