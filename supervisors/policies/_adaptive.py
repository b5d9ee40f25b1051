"""The adaptive bulkhead: find out how many attempts a provider takes at once.

Additive increase, multiplicative decrease, as TCP goes about it, with attempts in the place of segments:

- one more for each limit's worth of successes (congestion avoidance, RFC 5681 section 3.1), and only while
  at least half of what is allowed is used, or idle hours would raise a limit that nobody has tried
  (RFC 7661; Netflix concurrency-limits asks for the same half in ``AIMDLimit``);
- 0.7 times as many after a sign of congestion (RFC 9438; Netflix takes 0.9, TCP Reno 0.5);
- once for all attempts of one flight: those that began before the last decrease were sent under the old
  limit and say nothing about the new one (RFC 6582). So a flight of 30 that fails is one sign, not 30, and
  no cooldown has to be guessed.

After a rate limit's pause the limit is cut to a quarter of what was found, and each success gives one back up
to there, which is TCP's slow start up to its threshold.
"""

from __future__ import annotations

import math
from typing import final

import msgspec

from ._checks import check_least
from ._concurrency import Bulkhead

_FIRST = 8


class Adaptive(msgspec.Struct, frozen=True):
    """Allow as many attempts in flight as the provider takes, between two bounds.

    One more is allowed for each limit's worth of successes. A rate limit, an overload and a timeout leave
    *shrink* times as many, once for all attempts that were in flight together.

    Args:
        low: Attempts that are always allowed, 1 or more.
        high: Attempts that are allowed at most.
        start: Attempts allowed at first; None: 8, as far as the bounds allow.
        shrink: Share of the limit that is left after a sign of congestion, above 0 and below 1.
    """

    low: int
    high: int
    start: int | None = None
    shrink: float = 0.7

    def __post_init__(self) -> None:
        check_least("Adaptive.low", self.low, 1)
        check_least("Adaptive.high", self.high, self.low)
        if self.start is not None and not self.low <= self.start <= self.high:
            raise ValueError(f"Adaptive.start must be {self.low}..{self.high}, got {self.start!r}")
        if not 0.0 < self.shrink < 1.0:
            raise ValueError(f"Adaptive.shrink must be more than 0 and less than 1, got {self.shrink!r}")

    @property
    def limit(self) -> int:
        """Attempts allowed at first."""
        return min(max(self.low, _FIRST), self.high) if self.start is None else self.start

    @property
    def most(self) -> int:
        """Attempts there may ever be in flight."""
        return self.high

    def bulkhead(self) -> Bulkhead:
        """Make the counter that finds the limit."""
        return AdaptiveBulkhead(self)


@final
class AdaptiveBulkhead(Bulkhead):
    """Count the attempts in flight, and move the limit by what becomes of them."""

    __slots__ = ("_high", "_shrink", "_shrunk_at", "_successes")

    def __init__(self, spec: Adaptive) -> None:
        super().__init__(spec.limit, spec.low)
        self._high = spec.high
        self._shrink = spec.shrink
        self._shrunk_at = -math.inf
        # Since the limit was last changed, while it was in use.
        self._successes = 0

    def take_over(self, before: Bulkhead) -> None:
        """Go on where *before* was, with the limit that it has found out, as far as the bounds allow."""
        if isinstance(before, AdaptiveBulkhead):
            self._full_limit = self.limit = min(max(self._least, before._full_limit), self._high)
            self._shrunk_at = before._shrunk_at
        super().take_over(before)

    def grow(self) -> bool:
        """Note a success, whose slot has been given back; True where one more is allowed since."""
        limit = self.limit
        if limit < self._full_limit:
            self.limit = limit + 1
            return True
        if limit >= self._high or 2 * (self.in_flight + 1) < limit:
            return False
        self._successes += 1
        if self._successes < limit:
            return False
        self._successes = 0
        self.limit = self._full_limit = limit + 1
        return True

    def bound(self, most: int) -> bool:
        """Heed the provider, who says that it takes *most* at once: never more, and soon as many."""
        self._high = most
        return super().bound(most)

    def congested(self, began: float, now: float) -> None:
        """Allow fewer, unless the attempt began before that was done last."""
        if began <= self._shrunk_at:
            return
        self._shrunk_at = now
        self._successes = 0
        self.limit = self._full_limit = max(self._least, int(self.limit * self._shrink))
