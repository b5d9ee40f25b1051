"""Refuse job options that are out of range when they are written, not when a job runs."""

from __future__ import annotations

from math import inf

from ...supervisors import FailureKind
from ._errors import JobArgumentsError
from ._function import JobOptions
from ._records import NewJob
from ._texts import check_name
from ._verdict import Patience

_FURTHEST_PRIORITY = 2**31


def check_options(options: JobOptions) -> None:
    """Refuse options that are out of range.

    Raises:
        ValueError: One is.
    """
    patience = options.patience
    _check_whole("attempts", patience.attempts, 100)
    _check_backoffs(patience)
    for name in ("timeout", "attempt_timeout", "budget_usd"):
        value = getattr(options, name)
        if value is not None and not (isinstance(value, int | float) and 0.0 < value < inf):
            raise ValueError(f"job: {name} must be a number more than 0, and finite, got {value!r}")
    for name in ("unique", "limit_key", "user"):
        value = getattr(options, name)
        if value is not None and not callable(value):
            raise ValueError(f"job: {name} must be a function of the job's arguments, got {value!r}")
    check_name("job: version", options.version)
    _check_priority("job", options.priority)
    _check_whole("limit", options.limit, _FURTHEST_PRIORITY - 1)
    if options.limit != 1 and options.limit_key is None:
        raise ValueError(
            f"job: limit is of jobs that share a limit_key=, which is missing, got {options.limit!r}: "
            "give one, or limit the whole queue with Queue.limit()"
        )


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


def _check_whole(name: str, value: object, most: int) -> None:
    if not isinstance(value, int) or not 1 <= value <= most:
        raise ValueError(f"job: {name} must be a whole number 1..{most}, got {value!r}")


def _check_backoffs(patience: Patience) -> None:
    if not callable(getattr(patience.backoff, "wait", None)):
        raise ValueError(f"job: backoff must be one such as Exponential(1.0), got {patience.backoff!r}")
    for error, backoff in patience.backoff_by_error.items():
        _check_error(error)
        if not callable(getattr(backoff, "wait", None)):
            raise ValueError(
                f"job: backoff_by_error of {error} must be one such as Exponential(1.0), got {backoff!r}"
            )


def _check_error(error: object) -> None:
    is_error = isinstance(error, type) and issubclass(error, Exception)
    if not is_error and not isinstance(error, FailureKind):
        raise ValueError(
            f"job: backoff_by_error is by classes of errors and FailureKind, such as "
            f"FailureKind.OVERLOADED, got {error!r}"
        )


def check_store(store: object) -> None:
    """Refuse what is no store.

    Raises:
        TypeError: It is none.
    """
    if not hasattr(store, "opened"):
        # Not its value: a URL may hold a password.
        raise TypeError(
            f"Queue.store must be a store, got a {type(store).__name__}: "
            "write SqliteStore('jobs.db'), or store_from_url(...) for a URL"
        )


def check_tuple(function: object, arguments: object) -> None:
    """Refuse arguments of one of many jobs that are no tuple: a text would be one a letter.

    Raises:
        JobArgumentsError: They are none.
    """
    if not isinstance(arguments, tuple | list):
        problem = (
            f"enqueue_many takes those of each job as a tuple, such as (x,), got a {type(arguments).__name__}"
        )
        raise JobArgumentsError(str(getattr(function, "kind", function)), problem)


def _check_priority(where: str, priority: object) -> None:
    if not isinstance(priority, int) or not -_FURTHEST_PRIORITY <= priority < _FURTHEST_PRIORITY:
        raise ValueError(f"{where}: priority must be a whole number of 32 bits, got {priority!r}")
