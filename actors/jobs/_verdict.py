"""What follows when a run of a job has failed: a pure decision."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from random import Random
from typing import cast

import msgspec

from ...runtime import ActorCrashedError, DeadlineExceededError, RefusalError
from ...supervisors import BudgetExceededError, FailureKind, ProviderError
from ...supervisors.policies import Backoff, Exponential
from ._errors import (
    DuplicateStepError,
    Fail,
    JobArgumentsError,
    ResultTooLargeError,
    Retry,
    UnknownStepError,
    UnstorableResultError,
)

# Nothing changes by itself: a person has to change the code or the arguments.
_HOPELESS = (
    Fail,
    UnknownStepError,
    DuplicateStepError,
    ResultTooLargeError,
    UnstorableResultError,
    JobArgumentsError,
)
_NOT_RETRIED = frozenset(kind for kind in FailureKind if not kind.is_retryable) - {
    FailureKind.QUOTA,
    FailureKind.AUTH,
    FailureKind.BUG,
    FailureKind.REFUSED,
}
"""The caller's own mistakes. A quota or a key is put right without a change of the job."""
_SHORTEST_PAUSE = 0.1
"""Seconds: a refusal may say "now", and a job must not ask in a tight loop."""
_SPREAD = 60.0
"""Seconds over which those that wait for the same moment come back: for the next day, many of them."""
_UNKNOWN_PAUSE = 1.0
"""Seconds, where the refusal can't say: a half-open breaker does not know when its probe will be back."""


class Verdict(msgspec.Struct, frozen=True):
    """What becomes of a job that failed."""

    retry_in: float | None
    """Seconds; None: it is dead."""
    spends: bool
    """It counts against the attempts."""


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How often a job is tried, and when again."""

    attempts: int = 5
    backoff: Backoff = Exponential(2.0, cap=600.0, base=4.0, jitter="equal")
    backoff_by_error: Mapping[type[Exception] | FailureKind, Backoff] = {}
    """Other waits for some errors, or for some kinds of a service's failures."""

    def judge(
        self, error: BaseException, *, attempt: int, most: int, time_left: float, rng: Random
    ) -> Verdict:
        """Decide what follows.

        Args:
            error: What ended the run; of parallel steps perhaps several at once.
            attempt: Of the run that failed, from 1.
            most: Attempts the job has.
            time_left: Seconds to the job's deadline.
            rng: Source of jitter.
        """
        errors = leaves_of(error)
        if any(_is_hopeless(leaf) for leaf in errors):
            return Verdict(None, spends=True)
        pauses = [_pause_of(leaf) for leaf in errors]
        if all(pause is not None for pause in pauses):
            longest = max(pause for pause in pauses if pause is not None)
            wait = longest + rng.uniform(0.0, min(0.1 * longest, _SPREAD))
            return Verdict(wait if wait < time_left else None, spends=False)
        if attempt >= most:
            return Verdict(None, spends=True)
        wait = max(self._wait(leaf, attempt, rng) for leaf in errors)
        return Verdict(wait if wait < time_left else None, spends=True)

    def _wait(self, error: BaseException, attempt: int, rng: Random) -> float:
        if isinstance(error, Retry) and error.after is not None:
            return max(0.0, error.after)
        # Whoever says when to come back knows better; coming earlier would only spend an attempt.
        hint = getattr(error, "retry_after", None)
        least = hint if isinstance(hint, int | float) and 0.0 < hint < inf else 0.0
        return max(least, self._backoff(error).wait(attempt, rng))

    def _backoff(self, error: BaseException) -> Backoff:
        kind = getattr(error, "kind", None)
        if isinstance(kind, FailureKind) and kind in self.backoff_by_error:
            return self.backoff_by_error[kind]
        for base in type(error).__mro__:
            if base in self.backoff_by_error:
                return self.backoff_by_error[cast("type[Exception]", base)]
        return self.backoff


def leaves_of(error: BaseException) -> list[BaseException]:
    """Return the errors of a group, and of an agent that crashed with it, what a service said."""
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        # Of a cancelled sibling nothing is to be learned.
        inner = group.split(Exception)[0] or group
        return [leaf for part in inner.exceptions for leaf in leaves_of(part)]
    cause = error.__cause__
    if isinstance(error, ActorCrashedError) and isinstance(cause, RefusalError | ProviderError):
        return [cause]
    return [error]


def gravest_of(error: BaseException) -> BaseException:
    """Return which of several errors is to be told of: one that is hopeless, else a failure, else a refusal.

    Of refusals it is the one that asks for the longest wait.
    """
    return max(leaves_of(error), key=_gravity)


def _gravity(error: BaseException) -> tuple[bool, float]:
    pause = _pause_of(error)
    return (_is_hopeless(error), inf if pause is None else pause)


def _is_hopeless(error: BaseException) -> bool:
    if isinstance(error, BudgetExceededError):
        return error.retry_after is None
    return isinstance(error, _HOPELESS) or (isinstance(error, ProviderError) and error.kind in _NOT_RETRIED)


def _pause_of(error: BaseException) -> float | None:
    """Return the seconds a job waits for a refusal, its own or one met by a service; None: it is none.

    A deadline that is too near is the job's own affair.
    """
    is_refusal = isinstance(error, RefusalError) and not isinstance(error, DeadlineExceededError)
    if not is_refusal and not (isinstance(error, ProviderError) and error.kind is FailureKind.REFUSED):
        return None
    asked = getattr(error, "retry_after", None)
    if isinstance(asked, int | float) and 0.0 <= asked < inf:
        return max(_SHORTEST_PAUSE, asked)
    return _UNKNOWN_PAUSE
