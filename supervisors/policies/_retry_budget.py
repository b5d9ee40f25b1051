"""The retry budget: how many retries a service's calls may cause in all.

Three attempts a call are kind to a service that stumbles, and three times the load on one that is down.
The budget looks at the whole: retries may be a share of the calls of the last minute, and a few more, so
that a quiet service can be retried too (Finagle's, with a window in place of its bucket).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

import msgspec

from ._checks import check_positive, check_range
from ._sliding import SlidingSum

_CRUMB: Final = 1e-9
_MINUTE: Final = 60.0


class RetryBudget(msgspec.Struct, frozen=True, kw_only=True):
    """Bound the retries of all calls together.

    A retry after a rate limit is free: it waits until the provider itself said that it may come.

    Args:
        share: Retries a call of the last *window*: 0.3 is three for ten calls. 0..10.
        per_minute: Retries a minute besides, so that a service with few calls can be retried too.
        window: Seconds.
    """

    share: float = 0.3
    per_minute: float = 10.0
    window: float = 60.0

    def __post_init__(self) -> None:
        check_range("RetryBudget.share", self.share, 0.0, 10.0)
        check_range("RetryBudget.per_minute", self.per_minute, 0.0, 1e6)
        check_positive("RetryBudget.window", self.window)

    def ledger(self) -> RetryLedger:
        """Make the machine that keeps to it."""
        return RetryLedger(self)


@dataclass(frozen=True, slots=True)
class RetryBudgetStatistics:
    """What a retry budget has seen."""

    calls: int
    """Calls that began within the window."""
    retries: int
    """Retries that were made within the window and were not free."""
    granted: int
    """Retries that wait for their moment, with the budget's leave."""
    left: float
    """How many more it would grant now; negative when calls have become fewer since."""
    refused: int
    """Retries it has refused, ever."""


@final
class RetryLedger:
    """Count calls and retries, and say whether one more retry is within the budget.

    A retry is granted first and made later, when its wait is over. In between it counts already, else a
    thousand calls that fail together would all be granted what is left for one.
    """

    __slots__ = ("_base", "_calls", "_granted", "_made", "_refused", "_share")

    def __init__(self, spec: RetryBudget) -> None:
        self._share = spec.share
        self._base = spec.per_minute * spec.window / _MINUTE
        self._calls = SlidingSum(spec.window)
        self._made = SlidingSum(spec.window)
        self._granted = self._refused = 0

    def reconfigure(self, spec: RetryBudget) -> None:
        """Go by other numbers; what was counted counts on."""
        self._share = spec.share
        self._base = spec.per_minute * spec.window / _MINUTE

    def called(self, now: float) -> None:
        """Count a call, at its first attempt."""
        self._calls.add(1.0, now)

    def grant(self, now: float) -> bool:
        """Tell whether one more retry is within the budget, and count it if so."""
        if self.left(now) < 1.0 - _CRUMB:
            self._refused += 1
            return False
        self._granted += 1
        return True

    def made(self, now: float) -> None:
        """Note that a granted retry is made now."""
        self._granted -= 1
        self._made.add(1.0, now)

    def give_back(self) -> None:
        """Note that a granted retry will not be made: nobody waits for it any more, or it was refused."""
        self._granted -= 1

    def left(self, now: float) -> float:
        """Return how many more retries it would grant at this moment."""
        allowed = self._share * self._calls.total(now) + self._base
        return allowed - self._made.total(now) - self._granted

    def statistics(self, now: float) -> RetryBudgetStatistics:
        """Return the counts at this moment."""
        calls, made = self._calls.total(now), self._made.total(now)
        return RetryBudgetStatistics(round(calls), round(made), self._granted, self.left(now), self._refused)
