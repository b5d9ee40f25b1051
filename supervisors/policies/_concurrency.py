"""The bulkhead: a cap on the attempts in flight at one service."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from ._checks import check_least


class Concurrency(msgspec.Struct, frozen=True):
    """Allow this many attempts in flight at once.

    Args:
        limit: Attempts, 1 or more.
    """

    limit: int = 8

    def __post_init__(self) -> None:
        check_least("Concurrency.limit", self.limit, 1)

    @property
    def most(self) -> int:
        """Attempts there may ever be in flight."""
        return self.limit

    def bulkhead(self) -> Bulkhead:
        """Make the counter that keeps to it."""
        return Bulkhead(self.limit)


@dataclass(frozen=True, slots=True)
class BulkheadStatistics:
    """What a bulkhead holds and held."""

    limit: int
    """Attempts allowed in flight now."""
    full_limit: int
    """Attempts allowed in flight when all is well, as far as an adaptive one has found out."""
    in_flight: int
    """Slots taken now. Above `limit` for a while after a cut."""
    peak: int
    """Most slots ever taken at once."""
    cuts: int
    """How often the limit was cut."""


class Bulkhead:
    """Count the attempts in flight, and say no above the limit.

    After a rate limit the provider has to be approached gently: `cut` leaves a quarter of the slots, and
    every success gives one back through `grow`.

    Args:
        limit: Attempts, 1 or more.
        least: A cut leaves this many at least.
    """

    __slots__ = ("_bound", "_cuts", "_full_limit", "_least", "_peak", "in_flight", "limit")

    def __init__(self, limit: int, least: int = 1) -> None:
        self._full_limit: int = limit
        # Attributes, as properties would cost a call 200 ns. The guard only reads them.
        self.limit: int = limit
        """Attempts allowed in flight now."""
        self.in_flight: int = 0
        """Slots taken now."""
        self._least = least
        self._bound: int | None = None
        self._peak: int = 0
        self._cuts: int = 0

    def try_acquire(self) -> bool:
        """Take a slot if one is free, and tell whether it was."""
        taken = self.in_flight
        if taken >= self.limit:
            return False
        self.in_flight = taken = taken + 1
        if taken > self._peak:
            self._peak = taken
        return True

    def release(self) -> None:
        """Give a slot back, however the attempt ended.

        Raises:
            RuntimeError: No slot is taken.
        """
        if not self.in_flight:
            raise RuntimeError("release() without a slot: try_acquire() has to return True first")
        self.in_flight -= 1

    def cut(self) -> None:
        """Go down to a quarter of the full limit, at least one. Attempts in flight are left alone."""
        self.limit = max(self._least, self._full_limit // 4)
        self._cuts += 1

    def congested(self, began: float, now: float) -> None:
        """Note that the provider had no room for an attempt that began at *began*. A fixed limit stays."""

    def grow(self) -> bool:
        """Allow one more, up to the full limit; True where that is so. Call it for each success."""
        if self.limit >= self._full_limit:
            return False
        self.limit += 1
        return True

    def take_over(self, before: Bulkhead) -> None:
        """Go on where *before* was, which had other limits.

        A cut stays, and so do what is in flight and a bound of the provider's that is lower.
        """
        self.in_flight, self._peak, self._cuts = before.in_flight, before._peak, before._cuts
        if before.limit < before._full_limit:
            self.limit = max(self._least, min(before.limit, self._full_limit))
        if before._bound is not None and before._bound < self._full_limit:
            self.bound(before._bound)

    def bound(self, most: int) -> bool:
        """Heed the provider, who says that it takes *most* at once; True where that is news.

        It is the full limit from now on, grown into as after a cut.

        Raises:
            ValueError: Less than 1.
        """
        check_least("Bulkhead.bound()", most, 1)
        if most == self._bound:
            return False
        is_news = most != self._full_limit
        self._bound = self._full_limit = most
        self._least = min(self._least, most)
        self.limit = min(self.limit, most)
        return is_news

    def statistics(self) -> BulkheadStatistics:
        """Return the counts at this moment."""
        return BulkheadStatistics(self.limit, self._full_limit, self.in_flight, self._peak, self._cuts)
