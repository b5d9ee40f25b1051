"""RetryConfig: how a plain function is retried, in the words such decorators usually have."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from math import inf
from typing import NamedTuple, cast

import msgspec

from ..runtime import RefusalError
from ..supervisors import FailureKind, ProviderBlockedError, ProviderError
from ..supervisors.policies import Exponential, Jitter, Retry
from ._waits import wait_hint

_QUOTA_CODES = frozenset(
    {
        "insufficient_quota",
        "credit_balance_exhausted",
        "billing_error",
        "billing_hard_limit_reached",
        "billing_not_active",
    }
)
"""What SDKs call it when the money is used up: no retry brings it back."""


class RetryConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Say how a function is retried.

    What relight's services raise is judged by what it says of itself, whatever is named here: a
    `ProviderError` by its kind, a refusal by its ``retry_after``. So a call whose guard has retried is not
    retried once more.

    Args:
        max_retries: Attempts in all, the first one included: 1 never retries. 1..10, always enforced.
        initial_delay: Seconds before the second attempt, before jitter.
        max_delay: No backoff is longer, in seconds. A server that asks for more gets more, up to *max_wait*.
        exponential_base: Each wait is this many times the one before.
        jitter: ``"full"`` (or True) waits anywhere between nothing and the whole, ``"equal"`` between half
            and the whole, ``"none"`` (or False) the whole.
        retryable_exceptions: What is retried, subclasses included. Nothing else is.
        max_wait: The longest wait worth sitting through, in seconds; a call that would have to wait longer
            fails at once.
    """

    max_retries: int = 3
    initial_delay: float = 1.0
    max_delay: float = 60.0
    exponential_base: float = 2.0
    jitter: Jitter | bool = "full"
    retryable_exceptions: tuple[type[Exception], ...] = (ConnectionError, TimeoutError)
    max_wait: float = 120.0

    def __post_init__(self) -> None:
        _check("max_retries", self.max_retries, 1, 10)
        _check("initial_delay", self.initial_delay, 0.0, inf)
        _check("max_delay", self.max_delay, self.initial_delay, inf)
        _check("exponential_base", self.exponential_base, 1.0, inf)
        _check("max_wait", self.max_wait, 0.0, inf)
        if self.jitter not in (True, False, "full", "equal", "none"):
            raise ValueError(
                f'RetryConfig.jitter must be "full", "equal", "none" or a bool, got {self.jitter!r}'
            )
        for named in cast("tuple[object, ...]", self.retryable_exceptions):
            if not (isinstance(named, type) and issubclass(named, Exception)):
                raise ValueError(
                    "RetryConfig.retryable_exceptions must hold exception classes (a cancellation is never "
                    f"retried), got {named!r}"
                )

    def policy(self) -> Retry:
        """Return the policy it stands for."""
        jitter = self.jitter if isinstance(self.jitter, str) else "full" if self.jitter else "none"
        backoff = Exponential(
            self.initial_delay, cap=self.max_delay, base=self.exponential_base, jitter=jitter
        )
        return Retry(attempts=self.max_retries, backoff=backoff, max_wait=self.max_wait)

    def read(self, error: Exception) -> Failure:
        """Say what an exception means for a retry."""
        if isinstance(error, ProviderError):
            return Failure(str(error.kind), error.kind, error.retryable, error.retry_after)
        is_named = isinstance(error, self.retryable_exceptions)
        if isinstance(error, RefusalError):
            is_passing = error.retry_after is not None and not isinstance(error, ProviderBlockedError)
            return Failure("refused", FailureKind.RATE_LIMIT, is_named or is_passing, error.retry_after)
        reason, kind = _kind_of(error)
        if getattr(error, "code", None) in _QUOTA_CODES:
            is_named = False
        return Failure(reason, kind, is_named, _hint_of(error) if is_named else None)


class Failure(NamedTuple):
    """What one failed attempt means."""

    reason: str
    """In a word, for metrics and logs."""
    kind: FailureKind
    """For the policy."""
    retryable: bool | None
    """Whether it is retried; None: as its kind."""
    retry_after: float | None
    """The seconds a server asked for."""


def _check(field: str, value: float, low: float, high: float) -> None:
    if not (low <= value <= high and value < inf):
        limits = f"{low:g}..{high:g}" if high < inf else f"{low:g} or more, and finite"
        raise ValueError(f"RetryConfig.{field} must be {limits}, got {value!r}")


def _kind_of(error: Exception) -> tuple[str, FailureKind]:
    if isinstance(error, TimeoutError):
        return "timeout", FailureKind.TIMEOUT
    if isinstance(error, ConnectionError):
        return "network", FailureKind.NETWORK
    return type(error).__name__, FailureKind.SERVER


def _hint_of(error: Exception) -> float | None:
    """Read a server's hint off an SDK's exception: its ``retry_after``, or the headers of its response."""
    seconds = getattr(error, "retry_after", None)
    if isinstance(seconds, int | float) and not isinstance(seconds, bool):
        return seconds
    headers = getattr(getattr(error, "response", None), "headers", None)
    try:
        texts = {str(name): str(value) for name, value in cast("Mapping[object, object]", headers).items()}
    except Exception:  # noqa: BLE001 - it was no mapping: somebody else's class
        return None
    return wait_hint(texts, getattr(error, "body", None), now=datetime.now(UTC))
