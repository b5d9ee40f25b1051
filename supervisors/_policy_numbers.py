"""A policy as a flat list of numbers, for people to read and for settings to be checked against."""

from ._failures import FailureKind
from .policies import (
    Adaptive,
    Backoff,
    Breaker,
    Concurrency,
    Decorrelated,
    Exponential,
    Fixed,
    Policy,
    Retry,
)


def policy_numbers(policy: Policy) -> dict[str, float | None]:
    """Return the numbers of *policy*, as `Settings.numbers` tells them."""
    retry = policy.retry
    initial, cap, base = _exponential(retry.backoff)
    restart_initial, restart_cap, _ = _exponential(policy.restart_backoff)
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
        **_concurrency_numbers(policy.concurrency),
        "mailbox": policy.mailbox,
        **_breaker_numbers(policy.breaker),
        "blocked_probe": policy.blocked_probe,
        "failed_probe": policy.failed_probe,
        "intensity": policy.intensity,
        "period": policy.period,
        "restart_initial_delay": restart_initial,
        "restart_max_delay": restart_cap,
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
    return dict(zip(names, _exponential(backoff), strict=True))


def _breaker_numbers(breaker: Breaker | None) -> dict[str, float | None]:
    return {
        "breaker_failures": None if breaker is None else breaker.failures,
        "breaker_failure_rate": None if breaker is None else breaker.failure_rate,
        "breaker_window": None if breaker is None else breaker.window,
        "breaker_window_attempts": None if breaker is None else breaker.window_attempts,
        "breaker_slow_seconds": None if breaker is None else breaker.slow_seconds,
        "breaker_slow_rate": None if breaker is None else breaker.slow_rate,
        "breaker_open_seconds": None if breaker is None else breaker.open_seconds,
        "breaker_open_cap": None if breaker is None else breaker.open_cap,
        "probes": None if breaker is None else breaker.probes,
        "probe_timeout": None if breaker is None else breaker.probe_timeout,
    }


def _concurrency_numbers(concurrency: Concurrency | Adaptive) -> dict[str, float | None]:
    adaptive = concurrency if isinstance(concurrency, Adaptive) else None
    return {
        "concurrency": concurrency.limit,
        "concurrency_low": None if adaptive is None else adaptive.low,
        "concurrency_high": None if adaptive is None else adaptive.high,
    }


def _exponential(backoff: Backoff) -> tuple[float | None, float | None, float | None]:
    if isinstance(backoff, Exponential | Decorrelated):
        return backoff.initial, backoff.cap, backoff.base
    return None, None, None


def _fixed(backoff: Backoff) -> float | None:
    return backoff.delay if isinstance(backoff, Fixed) else None
