"""The meter: what a service's calls take of rate limit and money, and what they give back.

It is there only where the policy has a rate limit or a cost budget; else a call pays one look at None.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

import msgspec

from ..runtime import Message, RefusalError
from ._errors import BudgetExceededError, ProviderError, RateLimitedError, StreamBrokenError
from ._failures import FailureKind
from ._guarded import Charge, Estimate, GuardedActor
from .policies import (
    Purse,
    PurseStatistics,
    RateLimiter,
    RateLimiterStatistics,
    Shortfall,
    shortfall_of,
)

if TYPE_CHECKING:
    from ._call import Call


class Bill(msgspec.Struct, eq=False):
    """What one call was thought to need, and who pays for it."""

    # A msgspec class, as it is made in a fifth of the time.
    purses: tuple[Purse, ...]
    model: str = ""
    usd: float | None = None
    """What an attempt may cost; None: nobody knows, or it is free."""
    tokens: float | None = None
    """What it may use of a limit of tokens; None: nobody knows."""
    is_free: bool = False
    """It costs nothing."""
    flaw: Exception | None = None
    """What the service's own code raised when it was asked: a bug, to be raised in the attempt."""
    limiter: RateLimiter | None = None
    """What the attempt under way was counted by."""
    is_open: bool = False
    """An attempt is under way that has been taken account of, and not been settled."""

    @classmethod
    def of(cls, actor: GuardedActor, message: Message, purses: tuple[Purse, ...]) -> Bill:
        """Ask the service what a call may need."""
        try:
            estimate = actor.estimate(message)
        except Exception as flaw:  # noqa: BLE001 - the service's own code, as its handlers are
            return cls(purses, flaw=flaw)
        if estimate is None:
            return cls(purses, "", None, 0.0, True)  # noqa: FBT003 - by position it is made faster
        usd, tokens = estimate.usd, estimate.tokens
        if usd is not None and not 0.0 <= usd < inf:
            usd = None
        if tokens is not None and not 0.0 <= tokens < inf:
            tokens = None
        return cls(purses, estimate.model, usd, tokens)

    @property
    def estimate(self) -> Estimate | None:
        """What the service said; None where it costs nothing."""
        return None if self.is_free else Estimate(self.model, self.usd)


@dataclass(frozen=True, slots=True)
class SpendingStatistics:
    """What a service's calls have cost, in US dollars, as far as it is known."""

    first_usd: float
    """Charged for first attempts, ever."""
    retry_usd: float
    """Charged for retries, ever."""
    unpriced: int
    """Attempts that were sent although nobody knew what they may cost."""
    unreported: int
    """Attempts that ended without word of what they cost. The estimate was charged, where there was one."""
    refused: int
    """Calls and retries that were not made because there was no money left for them."""
    purses: tuple[PurseStatistics, ...]
    """The budgets that pay for them."""


class Meter:
    """Take account of the calls of one service."""

    __slots__ = (
        "_first",
        "_provider",
        "_refused",
        "_retry",
        "_unpriced",
        "_unreported",
        "is_said",
        "limiter",
        "purses",
    )

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self.limiter: RateLimiter | None = None
        self.purses: tuple[Purse, ...] = ()
        """Those that pay for every call of the service; a call may bring more of its own."""
        self._first = self._retry = 0.0
        self._unpriced = self._unreported = self._refused = 0
        self.is_said = False
        """It was told that the money has run out, and no call could be paid for since."""

    # --- admit -----------------------------------------------------------------------------------

    def lateness(self, now: float, due: float, ahead: int) -> RateLimitedError | None:
        """Refuse a call whose turn can't come by *due*, with so many ahead of it."""
        if self.limiter is None or due == inf:
            return None
        wait = self.limiter.wait(now, ahead=ahead)
        return self._too_late(wait) if now + wait > due else None

    def is_spent(self, now: float) -> bool:
        """Tell whether nothing is left, so that no call that costs anything has a chance."""
        return bool(self.purses) and shortfall_of(self.purses, 0.0, now) is not None

    def admit(self, call: Call, bill: Bill, now: float) -> float | RefusalError | None:
        """Take what an attempt needs.

        Returns:
            None: it is taken, begin. Seconds until its turn: nothing was taken. An error: it is refused.
        """
        limiter = self.limiter
        if limiter is not None:
            wait = limiter.wait(now, bill.tokens or 0.0)
            if wait:
                return self._too_late(wait) if now + wait > call.due else wait
        purses, usd = bill.purses, bill.usd
        if usd is not None and len(purses) == 1 and purses[0].try_reserve(usd, now):
            self.is_said = False
        elif purses and not bill.is_free:
            if (refusal := self.shortfall(bill, now)) is not None:
                return refusal
            self._reserve(bill)
        if limiter is not None:
            limiter.take(now, bill.tokens)
        bill.limiter = limiter
        bill.is_open = True
        return None

    def shortfall(self, bill: Bill, now: float) -> BudgetExceededError | None:
        """Refuse what there is no money for."""
        if bill.is_free or not bill.purses:
            return None
        if bill.usd is None and any(purse.unpriced == "refuse" for purse in bill.purses):
            self._refused += 1
            model = bill.model or "the call"
            what = f"nobody knows what {model} costs, and its budget refuses the unpriced: add its price"
            return BudgetExceededError(self._provider, what, scope=bill.purses[0].scope)
        lack = shortfall_of(bill.purses, bill.usd or 0.0, now)
        if lack is None:
            return None
        self._refused += 1
        return _budget_error(self._provider, lack)

    def _reserve(self, bill: Bill) -> None:
        self.is_said = False
        if bill.usd is None:
            self._unpriced += 1
        else:
            for purse in bill.purses:
                purse.reserve(bill.usd)

    def _too_late(self, wait: float) -> RateLimitedError:
        what = "its turn under the rate limit comes later than this call can wait"
        return RateLimitedError(self._provider, what, retry_after=wait)

    # --- what became of it -----------------------------------------------------------------------

    def cancel(self, bill: Bill, now: float) -> None:
        """Give everything back: the attempt was not sent."""
        bill.is_open = False
        if bill.limiter is not None:
            bill.limiter.give_back(now, bill.tokens)
        if bill.usd is not None:
            for purse in bill.purses:
                purse.give_back(bill.usd)

    def settle(self, bill: Bill, charge: Charge, now: float, *, is_retry: bool) -> None:
        """Replace what was taken for an attempt by what it used."""
        bill.is_open = False
        if bill.limiter is not None:
            bill.limiter.settle(now, bill.tokens, charge.tokens)
        if not bill.purses:
            return
        usd = charge.usd
        if usd is None or not 0.0 <= usd < inf:
            if bill.is_free:
                return
            self._unreported += 1
            usd = bill.usd or 0.0
        if is_retry:
            self._retry += usd
        else:
            self._first += usd
        for purse in bill.purses:
            purse.charge(bill.usd or 0.0, usd, now, is_retry=is_retry)

    # --- looking at it ---------------------------------------------------------------------------

    def rate_limit(self, now: float) -> RateLimiterStatistics | None:
        """Look at the rate limit; None where there is none."""
        return None if self.limiter is None else self.limiter.statistics(now)

    def spending(self, now: float) -> SpendingStatistics | None:
        """Look at the money; None where nobody counts it."""
        if not self.purses:
            return None
        purses = tuple(purse.statistics(now) for purse in self.purses)
        return SpendingStatistics(
            self._first, self._retry, self._unpriced, self._unreported, self._refused, purses
        )


def charge_of(actor: GuardedActor, message: Message, reply: object) -> Charge:
    """Ask the service what an attempt used. Where it does not know, what was estimated stands."""
    try:
        charge = actor.charge(message, reply)
        return UNKNOWN if charge is None else charge
    except Exception:  # noqa: BLE001 - the call has gone well, and its reply must not be lost by this
        return UNKNOWN


def charge_of_failure(actor: GuardedActor, call: Call, error: ProviderError) -> Charge:
    """Say what a failed attempt used: nobody bills for an answer that says no.

    Without an answer, or with one that says yes and holds an error, it may have been carried out. A stream
    that broke was begun, and is billed as far as it came, whatever ended it.
    """
    if isinstance(error, StreamBrokenError) or call.has_delivered:
        partial = getattr(error, "partial", None)
        return UNKNOWN if partial is None else charge_of(actor, call.message, partial)
    is_no = error.kind in _NEVER_BILLED or (error.status is not None and error.status >= _ERROR_STATUS)
    return NOTHING if is_no else UNKNOWN


UNKNOWN = Charge()
NOTHING = Charge(usd=0.0, tokens=0)
_ERROR_STATUS = 400
_NEVER_BILLED = frozenset(
    {
        FailureKind.RATE_LIMIT,
        FailureKind.QUOTA,
        FailureKind.AUTH,
        FailureKind.NOT_FOUND,
        FailureKind.CONTEXT_LENGTH,
    }
)


def _budget_error(provider: str, lack: Shortfall) -> BudgetExceededError:
    whose = "" if lack.scope == provider else f" of {lack.scope}"
    what = f"the budget{whose} has no room: {lack.spent_usd:.4g} of {lack.limit_usd:.4g} USD a {lack.window}"
    return BudgetExceededError(
        provider,
        what,
        retry_after=lack.retry_after,
        scope=lack.scope,
        window=lack.window,
        limit_usd=lack.limit_usd,
        spent_usd=lack.spent_usd,
    )
