"""The cost budget: money that may be spent within a minute and a day.

What a call may cost is reserved when it is sent, and what it did cost is charged when it has ended. What
is reserved counts as spent, so calls in flight together can't spend the same money.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, final

import msgspec

from ._sliding import SlidingSum

Unpriced = Literal["allow", "refuse"]

_CRUMB: Final = 1e-9
"""Dollars that sums of floats may be off by."""
_SECONDS: Final = {"minute": 60.0, "day": 86_400.0}


class CostBudget(msgspec.Struct, frozen=True, kw_only=True):
    """Refuse what would cost more than this, before it is sent.

    Windows slide: a day is the last 24 hours, not a date. A window is kept in sixtieths, so money is free
    again up to a sixtieth of the window later than it could be, never sooner.

    Args:
        usd_per_minute: US dollars within any minute; None: no bound.
        usd_per_day: US dollars within any 24 hours; None: no bound.
        unpriced: What becomes of a call whose price is not known: ``"allow"`` lets it pass while anything
            is left, and counts it; ``"refuse"`` refuses it.
    """

    usd_per_minute: float | None = None
    usd_per_day: float | None = None
    unpriced: Unpriced = "allow"

    def __post_init__(self) -> None:
        for name in ("usd_per_minute", "usd_per_day"):
            limit: float | None = getattr(self, name)
            if limit is not None and not 0.0 < limit < math.inf:
                raise ValueError(f"CostBudget.{name} must be more than 0 dollars, and finite, got {limit!r}")
        if self.unpriced not in ("allow", "refuse"):
            raise ValueError(f'CostBudget.unpriced must be "allow" or "refuse", got {self.unpriced!r}')

    def purse(self, scope: str) -> Purse:
        """Make the machine that keeps to it; *scope* names whose money it is, in errors."""
        return Purse(self, scope)


class Shortfall(msgspec.Struct, frozen=True):
    """Say which budget has no room for a call."""

    scope: str
    """Whose money: a service's id, or the account's name."""
    window: str
    """``minute`` or ``day``."""
    limit_usd: float
    """What may be spent within it."""
    spent_usd: float
    """What is spent and reserved within it now."""
    retry_after: float | None
    """Seconds until there is room; None where nobody knows, or there never is."""


@dataclass(frozen=True, slots=True)
class PurseStatistics:
    """What a purse has seen, in US dollars."""

    scope: str
    """Whose money it is."""
    reserved_usd: float
    """Of calls in flight."""
    left_usd: dict[str, float]
    """By window, ``minute`` and ``day``: what may still be reserved. Below 0 where calls cost more than
    was guessed."""
    spent_usd: float
    """Charged ever, retries included."""
    retry_usd: float
    """Charged for retries, ever."""


@final
class Purse:
    """Hold the money of one budget: reserve, then charge what it was."""

    __slots__ = ("_limits", "_reserved", "_retry", "_spent", "scope", "unpriced")

    def __init__(self, spec: CostBudget, scope: str) -> None:
        self.scope = scope
        self.unpriced: Unpriced = spec.unpriced
        limits = {"minute": spec.usd_per_minute, "day": spec.usd_per_day}
        self._limits = tuple(
            (name, limit, SlidingSum(_SECONDS[name])) for name, limit in limits.items() if limit is not None
        )
        self._reserved = self._spent = self._retry = 0.0

    def shortfall(self, usd: float, now: float) -> Shortfall | None:
        """Say what is missing for a call that may cost *usd*; None where there is room.

        Where nothing is left there is room for no call, not even for one that is thought to cost nothing.
        """
        for window, limit, spent in self._limits:
            used = spent.total(now) + self._reserved
            if used + usd > limit + _CRUMB or used >= limit - _CRUMB:
                # For what costs next to nothing a crumb has to be free; it is then, when anything is.
                after = (
                    None if usd > limit else spent.seconds_until_less(max(used + usd - limit, _CRUMB), now)
                )
                return Shortfall(self.scope, window, limit, used, after)
        return None

    def reserve(self, usd: float) -> None:
        """Set aside what a call may cost. `shortfall` said at this moment that there is room."""
        self._reserved += usd

    def give_back(self, usd: float) -> None:
        """Undo `reserve`: the call was not sent."""
        self._reserved = max(0.0, self._reserved - usd)

    def charge(self, reserved: float, usd: float, now: float, *, is_retry: bool) -> None:
        """Replace what was *reserved* for a call by what it cost."""
        self.give_back(reserved)
        self._spent += usd
        if is_retry:
            self._retry += usd
        for _, _, spent in self._limits:
            spent.add(usd, now)

    def statistics(self, now: float) -> PurseStatistics:
        """Return the sums at this moment."""
        left = {window: limit - spent.total(now) - self._reserved for window, limit, spent in self._limits}
        return PurseStatistics(self.scope, self._reserved, left, self._spent, self._retry)


def shortfall_of(purses: Iterable[Purse], usd: float, now: float) -> Shortfall | None:
    """Ask several purses, all of which pay for the same call: the one that is short for longest, or None."""
    short = [lack for purse in purses if (lack := purse.shortfall(usd, now)) is not None]
    return max(short, key=_length_of, default=None)


def _length_of(lack: Shortfall) -> float:
    return math.inf if lack.retry_after is None else lack.retry_after
