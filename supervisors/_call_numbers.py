"""The numbers of a policy that are about single calls."""

from ._failures import FailureKind
from .policies import Backoff, Decorrelated, Exponential, Fixed, Policy, Retry


def call_numbers(policy: Policy) -> dict[str, float | None]:
    """Return the numbers of *policy* that are about single calls."""
    retry = policy.retry
    initial, cap, base = exponential_numbers(retry.backoff)
    return {
        "attempts": retry.attempts,
        "initial_delay": initial,
        "max_delay": cap,
        "base": base,
        "rate_limit_wait": _fixed(retry.backoff_by_kind.get(FailureKind.RATE_LIMIT, retry.backoff)),
        **_numbers_by_kind(retry),
        "max_wait": retry.max_wait,
        "call_timeout": policy.call_timeout,
        "attempt_timeout": policy.attempt_timeout,
    }


def _numbers_by_kind(retry: Retry) -> dict[str, float | None]:
    numbers: dict[str, float | None] = {}
    for kind, attempts in retry.attempts_by_kind.items():
        numbers[f"attempts[{kind}]"] = attempts
    for kind, backoff in retry.backoff_by_kind.items():
        numbers |= _waits_of(kind, backoff)
    return numbers


def _waits_of(kind: FailureKind, backoff: Backoff) -> dict[str, float | None]:
    if isinstance(backoff, Fixed):
        # The one with a setting of its own is listed under that.
        return {} if kind is FailureKind.RATE_LIMIT else {f"wait[{kind}]": backoff.delay}
    names = (f"initial_delay[{kind}]", f"max_delay[{kind}]", f"base[{kind}]")
    return dict(zip(names, exponential_numbers(backoff), strict=True))


def exponential_numbers(backoff: Backoff) -> tuple[float | None, float | None, float | None]:
    """Return first wait, longest wait and base of *backoff*, where it grows."""
    if isinstance(backoff, Exponential | Decorrelated):
        return backoff.initial, backoff.cap, backoff.base
    return None, None, None


def _fixed(backoff: Backoff) -> float | None:
    return backoff.delay if isinstance(backoff, Fixed) else None
