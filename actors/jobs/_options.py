"""Refuse job options that are out of range when they are written, not when a job runs."""

from __future__ import annotations

from math import inf

from ._function import JobOptions


def check_options(options: JobOptions) -> None:
    """Refuse options that are out of range.

    Raises:
        ValueError: One is.
    """
    patience = options.patience
    if not 1 <= patience.attempts <= 100:
        raise ValueError(f"job: attempts must be 1..100, got {patience.attempts!r}")
    for field, backoff in (("backoff", patience.backoff), *patience.backoff_by_error.items()):
        if not callable(getattr(backoff, "wait", None)):
            raise ValueError(
                f"job: the backoff of {field} must be one such as Exponential(1.0), got {backoff!r}"
            )
    for name in ("timeout", "attempt_timeout", "budget_usd"):
        value = getattr(options, name)
        if value is not None and not 0.0 < value < inf:
            raise ValueError(f"job: {name} must be more than 0, and finite, got {value!r}")
    if options.limit < 1:
        raise ValueError(f"job: limit must be at least 1, got {options.limit!r}")
