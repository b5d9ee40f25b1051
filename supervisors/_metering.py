"""The meter: what a service's calls take of rate limit and money, and what they give back.

It is there only where the policy has a rate limit or a cost budget; else a call pays one look at None.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from ..runtime import Message, RefusalError
from ._errors import BudgetExceededError, ProviderError, RateLimitedError
from ._failures import FailureKind
from ._guarded import Charge, Estimate, GuardedActor
from .policies import (
    Purse,
    PurseStatistics,
    RateLimiter,
    RateLimiterStatistics,
    RateReport,
    Shortfall,
    shortfall_of,
)

if TYPE_CHECKING:
    from ._call import Call


class Bill:
    """What one call was thought to need, and who pays for it."""

    __slots__ = ("flaw", "is_free", "is_open", "limiter", "model", "purses", "tokens", "usd")

    def __init__(self, actor: GuardedActor, message: Message, purses: tuple[Purse, ...]) -> None:
        self.purses = purses
        self.limiter: RateLimiter | None = None
        """What the attempt under way was counted by."""
        self.flaw: Exception | None = None
        """What the service's own code raised when it was asked: a bug, to be raised in the attempt."""
        self.is_open = False
        """An attempt is under way that has been taken account of, and not been settled."""
        estimate: Estimate | None = None
        try:
            estimate = actor.estimate(message)
        except Exception as flaw:  # noqa: BLE001 - the service's own code, as its handlers are
            self.flaw = flaw
        self.is_free = estimate is None and self.flaw is None
        """It costs nothing."""
        self.model = "" if estimate is None else estimate.model
        self.usd = None if estimate is None else sensible(estimate.usd)
        """What an attempt may cost; None: nobody knows, or nothing."""
        self.tokens = None if estimate is None else sensible(estimate.tokens)
        """What it may use of a limit of tokens; None: nobody knows, or none."""

    @property
    def estimate(self) -> Estimate | None:
        """What the service said; None where it costs nothing."""
        return None if self.is_free else Estimate(self.model, self.usd)


def sensible(number: float | None) -> float | None:
    """Return *number* where it is one that can be summed up, else None: unknown."""
    return number if number is not None and isfinite(number) and number >= 0 else None


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
        if self.limiter is None:
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
        if self.limiter is not None:
            wait = self.limiter.wait(now, bill.tokens or 0.0)
            if wait:
                return self._too_late(wait) if now + wait > call.due else wait
        if bill.purses and not bill.is_free:
            refusal = self.shortfall(bill, now)
            if refusal is not None:
                return refusal
        self._take(bill, now)
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

    def _take(self, bill: Bill, now: float) -> None:
        bill.is_open = True
        self.is_said = False
        bill.limiter = self.limiter
        if self.limiter is not None:
            self.limiter.take(now, 0.0 if bill.is_free else bill.tokens)
        if bill.purses and not bill.is_free:
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
            bill.limiter.give_back(now, 0.0 if bill.is_free else bill.tokens)
        if bill.usd is not None:
            for purse in bill.purses:
                purse.give_back(bill.usd)

    def settle(self, bill: Bill, charge: Charge, now: float, *, is_retry: bool) -> None:
        """Replace what was taken for an attempt by what it used."""
        bill.is_open = False
        if bill.limiter is not None:
            bill.limiter.settle(now, 0.0 if bill.is_free else bill.tokens, sensible(charge.tokens))
        if bill.purses:
            self._pay(bill, sensible(charge.usd), now, is_retry=is_retry)

    def _pay(self, bill: Bill, usd: float | None, now: float, *, is_retry: bool) -> None:
        if usd is None:
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

    def report(self, report: RateReport, bill: Bill, now: float) -> None:
        """Take over what an answer says of the provider's limits."""
        if bill.limiter is not None and bill.is_open:
            bill.limiter.report(report, now, bill.tokens)

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
        return actor.charge(message, reply) or UNKNOWN
    except Exception:  # noqa: BLE001 - the call has gone well, and its reply must not be lost by this
        return UNKNOWN


def charge_of_failure(error: ProviderError) -> Charge:
    """Say what a failed attempt used: nobody bills for an answer that says no.

    Without an answer, or with one that says yes and holds an error, it may have been carried out.
    """
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
