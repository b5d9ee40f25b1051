"""The cost budget: money that may be spent within a minute and a day.

What a call may cost is reserved when it is sent, and what it did cost is charged when it has ended. What
is reserved counts as spent, so calls in flight together can't spend the same money.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
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
    """Hold the money of one budget: reserve, then charge what it was.

    The windows are looked at when one of their slices is over. Till then what is charged is one sum, and what
    may be spent another: a call costs a few additions, however many windows there are.
    """

    __slots__ = (
        "_fresh",
        "_limits",
        "_looked_at",
        "_reserved",
        "_retry",
        "_room",
        "_spent",
        "_until",
        "scope",
        "unpriced",
    )

    def __init__(self, spec: CostBudget, scope: str) -> None:
        self.scope = scope
        self.unpriced: Unpriced = spec.unpriced
        self._limits = _limits_of(spec, {})
        self._reserved = self._spent = self._retry = 0.0
        self._fresh = 0.0
        """Charged since the windows were looked at."""
        self._room = 0.0
        """What the windows had room for when they were looked at."""
        self._looked_at = self._until = -math.inf
        """A slice is over, and they have to be looked at again."""

    def reconfigure(self, spec: CostBudget, now: float) -> None:
        """Go by other limits; what was spent is spent. A window that had no limit begins empty."""
        self._look(now)
        self.unpriced = spec.unpriced
        self._limits = _limits_of(spec, {name: spent for name, _, spent in self._limits})
        self._look(now)

    def try_reserve(self, usd: float, now: float) -> bool:
        """Set aside what a call may cost, where there surely is room; else ask `shortfall`."""
        used, room = self._reserved + self._fresh, self._room
        if now < self._until and used + usd <= room + _CRUMB and used < room - _CRUMB:
            self._reserved += usd
            return True
        return False

    def shortfall(self, usd: float, now: float) -> Shortfall | None:
        """Say what is missing for a call that may cost *usd*; None where there is room.

        Where nothing is left there is room for no call, not even for one that is thought to cost nothing.
        """
        if now >= self._until:
            self._look(now)
        used = self._reserved + self._fresh
        if used + usd <= self._room + _CRUMB and used < self._room - _CRUMB:
            return None
        self._look(now)
        return self._first_short(usd, now)

    def _first_short(self, usd: float, now: float) -> Shortfall | None:
        lacks = (self._lack(window, limit, spent, usd, now) for window, limit, spent in self._limits)
        return next((lack for lack in lacks if lack is not None), None)

    def _lack(self, window: str, limit: float, spent: SlidingSum, usd: float, now: float) -> Shortfall | None:
        used = spent.total(now) + self._reserved
        excess = used + usd - limit
        if excess <= _CRUMB and used < limit - _CRUMB:
            return None
        # For what costs next to nothing a crumb has to be free; it is then, when anything is.
        after = None if usd > limit else spent.seconds_until_less(max(excess, _CRUMB), now)
        return Shortfall(self.scope, window, limit, used, after)

    def reserve(self, usd: float) -> None:
        """Set aside what a call may cost. `shortfall` said at this moment that there is room."""
        self._reserved += usd

    def give_back(self, usd: float) -> None:
        """Undo `reserve`: the call was not sent."""
        self._reserved = max(0.0, self._reserved - usd)

    def charge(self, reserved: float, usd: float, now: float, *, is_retry: bool) -> None:
        """Replace what was *reserved* for a call by what it cost."""
        if now >= self._until:
            self._look(now)
        left = self._reserved - reserved
        self._reserved = left if left > 0.0 else 0.0  # noqa: FURB136 - half of max()
        self._fresh += usd
        self._spent += usd
        if is_retry:
            self._retry += usd

    def statistics(self, now: float) -> PurseStatistics:
        """Return the sums at this moment."""
        self._look(now)
        left = {window: limit - spent.total(now) - self._reserved for window, limit, spent in self._limits}
        return PurseStatistics(self.scope, self._reserved, left, self._spent, self._retry)

    def _look(self, now: float) -> None:
        fresh, self._fresh = self._fresh, 0.0
        self._room = self._until = math.inf
        for _, limit, spent in self._limits:
            if fresh:
                spent.add(fresh, self._looked_at)  # still its newest slice
            self._room = min(self._room, limit - spent.total(now))
            self._until = min(self._until, spent.until)
        self._looked_at = now


def _limits_of(
    spec: CostBudget, spent: Mapping[str, SlidingSum]
) -> tuple[tuple[str, float, SlidingSum], ...]:
    limits = {"minute": spec.usd_per_minute, "day": spec.usd_per_day}
    return tuple(
        (name, limit, spent.get(name) or SlidingSum(_SECONDS[name]))
        for name, limit in limits.items()
        if limit is not None
    )


def shortfall_of(purses: Iterable[Purse], usd: float, now: float) -> Shortfall | None:
    """Ask several purses, all of which pay for the same call: the one that is short for longest, or None."""
    longest: Shortfall | None = None
    for purse in purses:
        lack = purse.shortfall(usd, now)
        if lack is not None and (longest is None or _length_of(lack) > _length_of(longest)):
            longest = lack
    return longest


def _length_of(lack: Shortfall) -> float:
    return math.inf if lack.retry_after is None else lack.retry_after
