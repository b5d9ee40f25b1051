"""Retry: whether a failed call is made again, and when."""

import math
from collections.abc import Mapping
from random import Random
from typing import Literal

import msgspec

from .._failures import FailureKind
from ._backoff import Backoff, Exponential, flaw_of, wait_of
from ._checks import check_range

_RETRYABLE = frozenset(kind for kind in FailureKind if kind.is_retryable)
_MOST_ATTEMPTS = 10


class RetryIn(msgspec.Struct, frozen=True):
    """The decision to make the call again."""

    wait: float
    """Seconds to wait first."""
    hinted: bool
    """The server asked for this wait, so it holds for every call to the provider, not for this one only."""


class GiveUp(msgspec.Struct, frozen=True):
    """The decision to let the call fail."""

    reason: Literal["kind", "attempts", "wait_too_long", "deadline", "retry_budget", "cost_budget"]
    """Such failures are not retried, no attempt is left, the wait is too long for policy or caller, or
    there is no room for a retry in a budget of all calls together."""
    retry_after: float | None
    """Seconds after which the caller may try again; None where nobody knows."""


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """Decide whether a failed call is made again, and when.

    A hint of the server wins over the backoff. A wait that is too long for `max_wait` or for the
    deadline is never cut short: the call fails at once and says when to come back.

    Args:
        attempts: Attempts in all, the first one included: 1 never retries. 1..10.
        backoff: Waits where the server gave no hint.
        kinds: The failures that are retried.
        backoff_by_kind: Other waits for some kinds.
        attempts_by_kind: Other numbers of attempts for some kinds.
        max_wait: The longest wait worth sitting through, in seconds. ``math.inf``: only the deadline counts.
    """

    attempts: int = 3
    backoff: Backoff = Exponential(1.0, cap=30.0)
    kinds: frozenset[FailureKind] = _RETRYABLE
    backoff_by_kind: Mapping[FailureKind, Backoff] = {}
    attempts_by_kind: Mapping[FailureKind, int] = {}
    max_wait: float = 120.0

    def __post_init__(self) -> None:
        check_range("Retry.attempts", self.attempts, 1, _MOST_ATTEMPTS)
        check_range("Retry.max_wait", self.max_wait, 0.0, math.inf)
        for field, backoff in (
            ("Retry.backoff", self.backoff),
            *((f"Retry.backoff_by_kind[{kind}]", backoff) for kind, backoff in self.backoff_by_kind.items()),
        ):
            if flaw := flaw_of(backoff):
                raise ValueError(f"{field} {flaw}, got {backoff!r}")
        for kind, attempts in self.attempts_by_kind.items():
            check_range(f"Retry.attempts_by_kind[{kind}]", attempts, 1, _MOST_ATTEMPTS)
        if never := sorted(self.kinds - _RETRYABLE):
            raise ValueError(
                f"Retry.kinds must not hold kinds that are never retried, got {', '.join(never)}"
            )

    def decide(
        self,
        kind: FailureKind,
        attempt: int,
        *,
        retryable: bool | None,
        retry_after: float | None,
        time_left: float,
        rng: Random,
    ) -> RetryIn | GiveUp:
        """Decide what follows when attempt number *attempt*, counted from 1, has failed.

        Args:
            kind: What went wrong.
            attempt: How many attempts the call has made.
            retryable: The failure's own word, where it has one. False ends the call; True allows a kind
                that is never retried otherwise, but not one that the policy left out of *kinds*.
            retry_after: The server's hint in seconds. Zero, negative, infinite and NaN are no hints.
            time_left: Seconds to the caller's deadline.
            rng: Source of the jitter.
        """
        hint = retry_after if retry_after is not None and 0.0 < retry_after < math.inf else None
        if not self._may_retry(kind, retryable=retryable):
            return GiveUp("kind", hint)
        if attempt >= self.attempts_by_kind.get(kind, self.attempts):
            return GiveUp("attempts", hint)
        wait = self.wait(kind, attempt, hint, rng)
        if wait > self.max_wait:
            return GiveUp("wait_too_long", wait)
        if wait > time_left:
            return GiveUp("deadline", wait)
        return RetryIn(wait, hint is not None)

    def _may_retry(self, kind: FailureKind, *, retryable: bool | None) -> bool:
        if retryable is None:
            return kind in self.kinds
        return retryable and (kind in self.kinds or not kind.is_retryable)

    def wait(self, kind: FailureKind, attempt: int, hint: float | None, rng: Random) -> float:
        """Return the seconds to wait after attempt number *attempt* failed: the hint, or the backoff."""
        if hint is None:
            return wait_of(self.backoff_by_kind.get(kind, self.backoff), attempt, rng)
        # The jitter may use up max_wait but not exceed it, else a hint of just max_wait would be refused.
        jittered = hint * rng.uniform(1.0, 1.1)
        return max(hint, min(jittered, self.max_wait))
