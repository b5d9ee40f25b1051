"""Refuse job options that are out of range when they are written, not when a job runs."""

from __future__ import annotations

from collections.abc import Mapping

from ...supervisors import FailureKind
from ._checks import check_callable, check_finite, check_kind, check_number, check_whole, is_whole
from ._errors import JobArgumentsError, JobSpecError
from ._function import JobOptions
from ._records import NewJob
from ._texts import check_label, check_name
from ._verdict import Patience

_FURTHEST_PRIORITY = 2**31


def check_options(options: JobOptions) -> None:
    """Refuse options that are out of range.

    Raises:
        JobSpecError: One is.
    """
    patience = options.patience
    check_whole("job: attempts", patience.attempts, 1, 100)
    _check_backoffs(patience)
    for name in ("timeout", "attempt_timeout", "budget_usd"):
        value = getattr(options, name)
        if value is not None:
            check_number(f"job: {name}", value, is_open=True)
    for name in ("unique", "limit_key", "user"):
        value = getattr(options, name)
        if value is not None:
            check_callable(f"job: {name}", value, "a function of the job's arguments")
    check_name("job: version", options.version)
    _check_priority("job", options.priority)
    check_whole("job: limit", options.limit, 1, _FURTHEST_PRIORITY - 1)
    if options.limit != 1 and options.limit_key is None:
        problem = (
            f"is of jobs that share a limit_key=, which is missing, got {options.limit!r}: "
            "give one, or limit the whole queue with Queue.limit()"
        )
        raise JobSpecError("job: limit", problem)


def check_new(job: NewJob) -> None:
    """Refuse a job that a store would refuse, or that no worker could take.

    Raises:
        JobSpecError: Something it was given is out of range.
    """
    _check_priority("enqueue", job.priority)
    check_finite("enqueue: delay", job.delay)
    check_label("enqueue: id", job.id)
    for what, name in (("unique_key", job.unique_key), ("limit_key", job.limit_key), ("user", job.user)):
        if name is not None:
            check_name(f"enqueue: {what}", name)


def _check_backoffs(patience: Patience) -> None:
    _check_backoff("job: backoff", patience.backoff)
    check_kind(
        "job: backoff_by_error",
        patience.backoff_by_error,
        Mapping,
        "backoffs by errors",
        "write {FailureKind.OVERLOADED: Fixed(120.0)}",
    )
    for error, backoff in patience.backoff_by_error.items():
        _check_error(error)
        _check_backoff(f"job: backoff_by_error of {error}", backoff)


def _check_backoff(field: str, backoff: object) -> None:
    if isinstance(backoff, type) or not callable(getattr(backoff, "wait", None)):
        raise JobSpecError(field, f"must be one such as Exponential(1.0), got {backoff!r}")


def _check_error(error: object) -> None:
    is_error = isinstance(error, type) and issubclass(error, Exception)
    if not is_error and not isinstance(error, FailureKind):
        problem = f"is by classes of errors and FailureKind, such as FailureKind.OVERLOADED, got {error!r}"
        raise JobSpecError("job: backoff_by_error", problem)


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
    if not (is_whole(priority) and -_FURTHEST_PRIORITY <= priority < _FURTHEST_PRIORITY):
        raise JobSpecError(f"{where}: priority", f"must be a whole number of 32 bits, got {priority!r}")
