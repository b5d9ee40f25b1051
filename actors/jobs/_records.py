"""What a job store holds: jobs, their attempts and steps, and the events that tell of them.

Moments are seconds since 1970 by the store's clock, which on PostgreSQL is the database's.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

import msgspec

from ._checks import check_each, check_ids, check_text
from ._errors import JobSpecError


class JobState(enum.StrEnum):
    """Where a job is."""

    QUEUED = "queued"
    """It may begin as soon as a worker has room."""
    WAITING = "waiting"
    """It begins at its moment: a schedule, a backoff, a provider's pause."""
    RUNNING = "running"
    """A worker has it."""
    SUCCEEDED = "succeeded"
    DEAD = "dead"
    """Its attempts are used up, or it said that another would be of no use. A person decides."""
    CANCELLED = "cancelled"
    DISCARDED = "discarded"
    """A dead one that a person has put aside."""

    @property
    def is_final(self) -> bool:
        """Tell whether it stays as it is unless a person acts."""
        return self in _FINAL


COUNTED = (JobState.QUEUED, JobState.WAITING, JobState.RUNNING, JobState.DEAD)
"""What of a queue is always counted: the jobs that somebody has to do with. There may be a million others."""

_TO_BEGIN = (JobState.QUEUED, JobState.WAITING)
_STATES = frozenset(JobState)
_FINAL = frozenset({JobState.SUCCEEDED, JobState.DEAD, JobState.CANCELLED, JobState.DISCARDED})


class NewJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job to be put into a store."""

    id: str
    """Made by whoever enqueues it, so that enqueuing twice is enqueuing once. Sorts by its moment."""
    queue: str
    kind: str
    """The job function's name."""
    args: bytes
    """Its arguments, as JSON."""
    version: str = ""
    """Of the job function's code, where it names one."""
    priority: int = 0
    """Higher ones first, then the older ones."""
    delay: float = 0.0
    """Seconds until it may begin."""
    max_attempts: int = 5
    timeout: float | None = None
    """Seconds from now until it is given up, waits included; None: never."""
    unique_key: str | None = None
    """At most one job with this key is unfinished at a time."""
    limit_key: str | None = None
    """Jobs of a queue that share it are limited together."""
    limit: int = 1
    """So many of them run at a time."""
    user: str | None = None
    """Whose job it is: for notifications and budgets."""
    replay_of: str | None = None
    budget_usd: float | None = None
    """What it may spend in all its attempts; None: no limit of its own."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job as the store has it."""

    id: str
    queue: str
    kind: str
    args: bytes
    state: JobState
    version: str
    priority: int
    attempt: int
    """Attempts begun since it was enqueued or last retried by a person. Waits that spend none don't count."""
    max_attempts: int
    runs: int
    """How often it was begun in all."""
    service_retries: int
    """Retries that the services' guards made for it: a layer below its own attempts."""
    fence: int
    """Grows with every owner. A write with an old one is refused."""
    worker: str | None
    created_at: float
    run_at: float
    """When it may begin."""
    started_at: float | None
    finished_at: float | None
    deadline: float | None
    unique_key: str | None
    limit_key: str | None
    limit: int
    user: str | None
    replay_of: str | None
    is_cancel_requested: bool
    progress: float | None
    """0 to 1."""
    result: bytes | None
    """As JSON."""
    error: str | None
    """The last failure, in one line."""
    cause: str | None
    """By what dead ones are grouped: the step, the error's class, its text without numbers."""
    cost_usd: float
    budget_usd: float | None


WAITS_KEPT = 100
"""Waits that spent no attempt are in a job's history for so many runs: it may wait every second for days."""


DEADLINE_REMOVED: Mapping[str, object] = {"is_deadline_removed": True}
"""What the event of a retried job says of a deadline that had passed."""


def deadline_ahead(job: Job, now: float) -> float | None:
    """Return the deadline of a job that a person has done again: one that has passed holds no more."""
    return job.deadline if job.deadline is not None and job.deadline > now else None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One failed attempt of a job, or one that was made to wait."""

    job: str
    number: int
    """Of the run it was, from 1."""
    at: float
    seconds: float
    """How long it ran."""
    error: str
    """In one line."""
    error_type: str
    traceback: str
    """Shortened and without secrets."""
    step: str | None
    """The step it failed in."""
    retry_in: float | None
    """Seconds until the next; None: it was the last."""
    is_spent: bool
    """It counted against the attempts."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A finished step: never run again."""

    name: str
    result: bytes = b""
    """As JSON; empty where it is kept in a file."""
    blob: str | None = None
    """SHA-256 of the file that holds a large result."""
    version: str = ""
    """Of the code that made it."""
    seconds: float = 0.0
    cost_usd: float = 0.0
    service_retries: int = 0
    at: float = 0.0
    """When it was stored; the store sets it."""

    @property
    def told(self) -> dict[str, object]:
        """What its event says."""
        return {"name": self.name, "seconds": self.seconds, "cost_usd": self.cost_usd}


def is_same_step(stored: Step, step: Step) -> bool:
    """Tell whether what is stored is *step* itself, and not what another run has made of it."""
    return msgspec.structs.replace(stored, at=step.at) == step


def told_of_drop(run: int, step: Step) -> dict[str, object]:
    """Return what the event says of a step whose result is not used."""
    return {**step.told, "run": run}


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a run of a job ended without a result."""

    error: str
    error_type: str
    cause: str
    traceback: str = ""
    step: str | None = None
    seconds: float = 0.0
    cost_usd: float = 0.0
    """Spent in this run outside finished steps."""
    service_retries: int = 0


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a job. Events of one job are in the order they happened."""

    cursor: str
    """Where to go on reading after it."""
    job: str
    queue: str
    user: str | None
    kind: str
    """``enqueued``, ``started``, ``progress``, ``step``, ``log``, ``retrying``, ``waiting``, ``succeeded``,
    ``dead``, ``cancelled``, ``rescued``, ``released``, ``retried``, ``discarded``, ``step_dropped``."""
    at: float
    data: Mapping[str, object] = {}


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """A job handed to a worker, with the steps it has finished before."""

    job: Job
    steps: tuple[Step, ...] = ()


class JobDetail(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the store knows of one job."""

    job: Job
    attempts: tuple[Attempt, ...]
    steps: tuple[Step, ...]


class DeadGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Dead jobs that died of the same cause."""

    kind: str
    cause: str
    count: int
    first_at: float
    last_at: float
    sample: str
    """Id of the newest of them."""
    cost_usd: float
    """What they have cost in all."""


class QueueState(msgspec.Struct, frozen=True, kw_only=True):
    """One queue."""

    name: str
    is_paused: bool
    max_running: int | None
    """Over all workers; None: no limit."""
    counts: Mapping[JobState, int]
    """Unfinished and dead jobs; those that ended otherwise only where they were asked for."""
    oldest_at: float | None = None
    """Since when the oldest of its queued jobs may begin; None: none is queued."""
    workers: int = 0
    """Workers with a living lease that take its jobs."""

    @property
    def pending(self) -> int:
        """Jobs that are to be begun, now or later."""
        return sum(self.counts.get(state, 0) for state in _TO_BEGIN)

    @property
    def is_unserved(self) -> bool:
        """Tell whether jobs are to be begun and no worker is there to do it."""
        return not self.workers and self.pending > 0


class Spending(msgspec.Struct, frozen=True, kw_only=True):
    """What the jobs of one user in one queue have cost within some time."""

    queue: str
    user: str | None
    usd: float
    """US dollars."""


class Prunable(msgspec.Struct, frozen=True, kw_only=True):
    """How much is old enough to be deleted."""

    jobs: int = 0
    """Ended ones; with their attempts and steps."""
    events: int = 0
    messages: int = 0
    """Undeliverable ones."""
    ledger: int = 0
    """Entries of what was spent."""


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs to list. Everything given must hold.

    Raises:
        JobSpecError: Something given is of another type.
    """

    states: frozenset[JobState] = frozenset()
    """Empty: any."""
    queue: str | None = None
    kind: str | None = None
    user: str | None = None
    cause: str | None = None
    ids: frozenset[str] = frozenset()
    """Empty: any."""

    def __post_init__(self) -> None:
        check_each("Query.states", self.states, "write frozenset({JobState.DEAD})")
        for state in self.states:
            if state not in _STATES:
                raise JobSpecError("Query.states", f"must be of JobState, got {state!r}")
        check_each("Query.ids", self.ids, "write frozenset({id})")
        check_ids("Query.ids", self.ids, "write frozenset({id})")
        for field in ("queue", "kind", "user", "cause"):
            value: object = getattr(self, field)
            if value is not None:
                check_text(f"Query.{field}", value)
