"""Refuse job options that are out of range when they are written, not when a job runs."""

from __future__ import annotations

from math import inf

from ._function import JobOptions
from ._records import NewJob
from ._texts import check_name

_FURTHEST_PRIORITY = 2**31


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
    _check_priority("job", options.priority)
    if options.limit < 1:
        raise ValueError(f"job: limit must be at least 1, got {options.limit!r}")


def check_new(job: NewJob) -> None:
    """Refuse a job that a store would refuse, or that no worker could take.

    Raises:
        ValueError: Something it was given is out of range.
    """
    _check_priority("enqueue", job.priority)
    if not -inf < job.delay < inf:
        raise ValueError(f"enqueue: delay must be finite, got {job.delay!r}")
    check_name("enqueue: id", job.id)
    for what, name in (("unique_key", job.unique_key), ("limit_key", job.limit_key), ("user", job.user)):
        if name is not None:
            check_name(f"enqueue: {what}", name)


def _check_priority(where: str, priority: object) -> None:
    if not isinstance(priority, int) or not -_FURTHEST_PRIORITY <= priority < _FURTHEST_PRIORITY:
        raise ValueError(f"{where}: priority must be a whole number of 32 bits, got {priority!r}")
