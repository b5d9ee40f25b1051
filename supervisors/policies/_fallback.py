"""Fallback: whether the next provider is asked when this one did not answer."""

import math
from typing import Literal

import msgspec

from ...runtime import (
    ActorStoppedError,
    AskTimeoutError,
    DeadlineExceededError,
    MailboxClosedError,
    RefusalError,
)
from .._errors import BudgetExceededError, ProviderError
from .._failures import FailureKind
from ._checks import check_positive, check_range

_FAULTS_OF_THE_REQUEST = frozenset(
    {
        FailureKind.BAD_REQUEST,
        FailureKind.CONTEXT_LENGTH,
        FailureKind.CONTENT_POLICY,
        FailureKind.NOT_FOUND,
        FailureKind.BUG,
    }
)
_DEFAULT_KINDS = frozenset(kind for kind in FailureKind if kind not in _FAULTS_OF_THE_REQUEST)
_STOPPED = (MailboxClosedError, ActorStoppedError)
_LATE = (DeadlineExceededError, AskTimeoutError)


class Fallback(msgspec.Struct, frozen=True, kw_only=True):
    """Decide whether the next provider is asked, and how long each may take.

    The next one is asked when this one refuses (its breaker is open, it is paused, blocked or failed), has
    stopped, or failed for good: its own retries are over by then. What is wrong with the request is wrong
    everywhere: such errors go to the caller, unless *kinds* names them. So does a budget that is spent.

    Args:
        kinds: The failures after which the next one is asked. By default all that the provider is to
            blame for, quota and authentication included.
        patience: Seconds a provider may take while there is another one; None: all the time there is.
        least_time: Seconds that have to be left, or the next one is not asked.
        call_timeout: Seconds for the whole call, all providers together, where the caller gave none.
        over_budget: Ask the next one, too, when a budget is spent.
    """

    kinds: frozenset[FailureKind] = _DEFAULT_KINDS
    patience: float | None = None
    least_time: float = 0.1
    call_timeout: float = 180.0
    over_budget: bool = False

    def __post_init__(self) -> None:
        if self.patience is not None:
            check_positive("Fallback.patience", self.patience)
        check_range("Fallback.least_time", self.least_time, 0.0, math.inf)
        check_positive("Fallback.call_timeout", self.call_timeout)

    def turn(self, time_left: float, *, is_last: bool) -> float:
        """Return the seconds one provider may take of what is left."""
        if is_last or self.patience is None:
            return time_left
        return min(self.patience, time_left)

    def decide(self, error: Exception, *, time_left: float, is_last: bool) -> Literal["next", "fail"]:
        """Decide what follows when a provider did not answer.

        Args:
            error: What its ask raised.
            time_left: Seconds to the deadline of the whole call.
            is_last: There is no provider left.
        """
        if is_last or time_left < self.least_time:
            return "fail"
        return "next" if self.is_covered(error) else "fail"

    def is_covered(self, error: Exception) -> bool:
        """Tell whether the next provider may do better after *error*, if there is one and time is left."""
        if isinstance(error, BudgetExceededError):
            return self.over_budget
        if isinstance(error, _LATE):  # time is left: it was patience that ended
            return self.patience is not None
        if isinstance(error, ProviderError):
            return error.kind in self.kinds
        return isinstance(error, (RefusalError, *_STOPPED))
