"""Errors of jobs."""

from __future__ import annotations

from math import inf

from ...runtime import RelightError


class JobError(RelightError):
    """Something about jobs went wrong."""


class JobSpecError(JobError, ValueError, TypeError):
    """Something about jobs was written wrong: a value out of range, or of another type than is asked for.

    Raised where it is written, not when a job runs. It is a ValueError and a TypeError, whichever of the two
    is looked for.

    Args:
        field: What was given, such as ``Worker.lease``.
        problem: What it must be, and what it was.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field = field
        self.problem = problem


class StoreError(JobError):
    """The store can't be used now. Nothing was changed by the call that raised it.

    But where a server is lost in the middle of a commit and does not come back, nobody can tell. The error
    says so; what workers do then holds either way.

    Args:
        store: Which one, without a password.
        problem: What is wrong, and what to do about it.
        is_passing: Waiting may help: it is locked, full, or away.
        is_of_value: It does not take this value; any other it would.
    """

    def __init__(self, store: str, problem: str, *, is_passing: bool, is_of_value: bool = False) -> None:
        super().__init__(f"{store}: {problem}")
        self.store = store
        self.is_passing = is_passing
        self.is_of_value = is_of_value


class SchemaError(StoreError):
    """The store's tables are not those of this relight, and were not to be migrated.

    Args:
        store: Which one, without a password.
        found: The version of its tables; 0: there are none.
        wanted: The version of this relight's.
    """

    def __init__(self, store: str, found: int, wanted: int) -> None:
        super().__init__(store, _schema_problem(found, wanted), is_passing=False)
        self.found = found
        self.wanted = wanted


def _schema_problem(found: int, wanted: int) -> str:
    way = "`python -m relight jobs migrate`"
    if not found:
        return f"there is no job store here yet: a worker makes it, or {way}"
    if found < wanted:
        return (
            f"its schema is of version {found}, this relight wants {wanted}: migrate it with {way}, "
            "or start a worker"
        )
    return f"its schema is of version {found}, this relight knows {wanted}: upgrade relight"


class LeaseLostError(JobError):
    """Another owner has the job: this worker was away for longer than its lease."""

    def __init__(self, job: str, fence: int) -> None:
        super().__init__(f"job {job}: lost, another worker may have it (fence {fence} is old)")
        self.job = job
        self.fence = fence


class UnknownJobError(JobError):
    """There is no such job, or no such job function."""


class UnknownStepError(JobError):
    """The job's code no longer has a step that was finished before, or has it in another version."""

    def __init__(self, job: str, step: str, problem: str) -> None:
        super().__init__(f"job {job}: step {step!r} {problem}")
        self.job = job
        self.step = step


class DuplicateStepError(JobError):
    """Two steps of one run have the same name, so one would be given the other's result."""

    def __init__(self, job: str, step: str) -> None:
        super().__init__(
            f"job {job}: step {step!r} begins a second time, while it is in hand or finished: give every "
            "step its own name"
        )
        self.job = job
        self.step = step


class JobArgumentsError(JobError, ValueError):
    """A job's arguments do not fit its function's annotations."""

    def __init__(self, kind: str, problem: str) -> None:
        super().__init__(f"job {kind}: bad arguments: {problem}")
        self.kind = kind
        """The job function's name."""
        self.problem = problem


class JobFailedError(JobError):
    """The job one waits for has ended without a result: it is dead, cancelled or discarded."""

    def __init__(self, job: str, state: str, error: str | None) -> None:
        super().__init__(f"job {job}: {state}{f': {error}' if error else ''}")
        self.job = job
        self.state = state
        self.error = error
        """Its last failure, in one line."""


class BlobError(JobError):
    """A file that holds a large result can't be written, read or removed.

    Args:
        folder: Where it is.
        name: SHA-256 of what it holds.
        problem: What is wrong.
        is_passing: Waiting may help: the folder can't be written, because the disk is full, say.
    """

    def __init__(self, folder: str, name: str, problem: str, *, is_passing: bool = False) -> None:
        super().__init__(f"{folder}: {name[:12]}... {problem}")
        self.folder = folder
        self.name = name
        """SHA-256 of what the file holds."""
        self.is_passing = is_passing


class ResultTooLargeError(JobError):
    """A result is larger than the queue keeps."""

    def __init__(self, where: str, size: int, limit: int, remedy: str) -> None:
        super().__init__(f"{where}: its result takes {size} bytes, more than {limit}: {remedy}")
        self.where = where
        self.size = size
        self.limit = limit


class UnstorableResultError(JobError, TypeError):
    """A result can't be stored, whatever the attempt: it is nothing that JSON holds, or no store takes it.

    Args:
        where: Which job, or which step of it.
        problem: What is wrong.
        size: Bytes it takes; None: it can't be written at all.
    """

    def __init__(self, where: str, problem: str, size: int | None = None) -> None:
        takes = "" if size is None else f" ({size} bytes)"
        super().__init__(
            f"{where}: its result{takes} can't be stored: {problem}: return what JSON holds (Structs, "
            "dataclasses, lists, dicts, numbers, text), or keep it elsewhere and return where"
        )
        self.where = where
        self.problem = problem
        self.size = size


class CursorExpiredError(JobError):
    """Events after this cursor have been pruned."""

    def __init__(self, cursor: str) -> None:
        super().__init__(
            f"events after {cursor!r} have been pruned: look at the jobs, and read on from last_cursor()"
        )
        self.cursor = cursor


class Retry(JobError):  # noqa: N818 - a job raises it to say what it wants
    """Raised by a job function: try again, in *after* seconds. An attempt is spent.

    Args:
        after: Seconds; None: by the job's own backoff.
        reason: For people.

    Raises:
        JobSpecError: *after* is no number of seconds, or *reason* one.
    """

    def __init__(self, reason: str = "asked to be tried again", *, after: float | None = None) -> None:
        super().__init__(reason)
        _check_retry(reason, after)
        self.after = after


def _check_retry(reason: object, after: object) -> None:
    if isinstance(reason, int | float):
        raise JobSpecError("Retry.reason", f"must be a text, got {reason!r}: write Retry(after=...)")
    if after is not None and not (isinstance(after, int | float) and 0.0 <= after < inf):
        raise JobSpecError("Retry.after", f"must be 0 or more seconds, and finite, got {after!r}")


class Fail(JobError):  # noqa: N818 - a job raises it to say what it wants
    """Raised by a job function: another attempt is of no use, the job is dead.

    Args:
        reason: For people.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class EmptySelectionError(JobError, ValueError):
    """No job is selected. All of them must be asked for in so many words."""

    def __init__(self) -> None:
        super().__init__(
            "nothing is selected: name ids, or a queue, kind, user or cause; or say that all are meant: "
            "--all, in a program everything=True"
        )


class ForeignMessageError(JobError):
    """An undeliverable message can't be told again from here: it is not in this process's memory.

    Args:
        id: The message's.
        where: The path of the actor it was meant for.
        process: Where it died: host and process id.
    """

    def __init__(self, id: str, where: str, process: str) -> None:  # noqa: A002 - as of jobs
        super().__init__(
            f"message {id}: it can't be told to {where!r} again from here: it was in the memory of "
            f"{process}, and only what may be shown of it is stored; send it anew there, and discard this one"
        )
        self.id = id
        self.where = where
        self.process = process


class BadTokenError(JobError):
    """A token is no token of ours, or is too old."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"the token {problem}: get a new one")
        self.problem = problem
