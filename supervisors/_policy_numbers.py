"""A policy as a flat list of numbers, for people to read and for settings to be checked against."""

from ._budget_settings import budget_numbers
from ._call_numbers import call_numbers, exponential_numbers
from .policies import Adaptive, Breaker, Concurrency, Policy


def policy_numbers(policy: Policy) -> dict[str, float | None]:
    """Return the numbers of *policy*, as `Settings.numbers` tells them."""
    restart_initial, restart_cap, _ = exponential_numbers(policy.restart_backoff)
    return {
        **call_numbers(policy),
        **_concurrency_numbers(policy.concurrency),
        "mailbox": policy.mailbox,
        **_breaker_numbers(policy.breaker),
        "blocked_probe": policy.blocked_probe,
        "failed_probe": policy.failed_probe,
        "intensity": policy.intensity,
        "period": policy.period,
        "restart_initial_delay": restart_initial,
        "restart_max_delay": restart_cap,
        **budget_numbers(policy),
        **_numbers_by_operation(policy),
    }


def _numbers_by_operation(policy: Policy) -> dict[str, float | None]:
    return {
        f"operations.{operation}.{name}": value
        for operation in policy.by_operation
        for name, value in call_numbers(policy.of(operation)).items()
    }


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
