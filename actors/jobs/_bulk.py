"""The writes that workers ask for most, so many at a time: what a SQL store makes in one go."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Protocol

import msgspec

from ._errors import JobError, LeaseLostError
from ._records import NewJob, Step
from ._sql_session import SqlSession


class StepWrite(msgspec.Struct, frozen=True):
    """A finished step to be stored; see `Store.save_step`."""

    job: str
    fence: int
    step: Step

    @property
    def told(self) -> bytes:
        """What its event says."""
        return msgspec.json.encode(self.step.told)


class NoteWrite(msgspec.Struct, frozen=True):
    """Something to be told of a running job; see `Store.note`."""

    job: str
    fence: int
    kind: str
    data: Mapping[str, object]

    @property
    def progress(self) -> float | None:
        """How far the job is, where that is what it tells."""
        value = self.data.get("value")
        return float(value) if self.kind == "progress" and isinstance(value, int | float) else None


class Success(msgspec.Struct, frozen=True):
    """A job that ended well; see `Store.succeed`."""

    job: str
    fence: int
    result: bytes
    usd: float
    retries: int


Owner = tuple[str, str | None]
"""Queue and user of a job that is still its worker's."""


class Bulk(Protocol):
    """How a dialect makes many writes in one go.

    Each function returns for every write what it returned, or why it was refused and has changed nothing.
    """

    def enqueue(self, session: SqlSession, asked: Sequence[Sequence[NewJob]], /) -> Sequence[list[str]]:
        """Store jobs."""
        ...

    def save_steps(self, session: SqlSession, asked: Sequence[StepWrite], /) -> Sequence[JobError | None]:
        """Store steps, each once, and charge for those that are new."""
        ...

    def note(self, session: SqlSession, asked: Sequence[NoteWrite], /) -> Sequence[JobError | None]:
        """Tell of jobs."""
        ...

    def succeed(self, session: SqlSession, asked: Sequence[Success], /) -> Sequence[JobError | None]:
        """End jobs well, each once."""
        ...


def enqueue_parts(
    asked: Sequence[Sequence[NewJob]], store: Callable[[Sequence[NewJob]], Sequence[str]]
) -> list[list[str]]:
    """Store the jobs of all that is *asked* together, by *store*, which is given no id twice at a time."""
    jobs = [job for some in asked for job in some]
    ids = iter([id_ for some in _without_twins(jobs) for id_ in store(some)])
    return [[next(ids) for _ in some] for some in asked]


def refusals(
    asked: Sequence[StepWrite | NoteWrite], owners: Collection[tuple[str, int]]
) -> list[JobError | None]:
    """Refuse the writes whose job and fence are not among the *owners*."""
    return [None if (one.job, one.fence) in owners else LeaseLostError(one.job, one.fence) for one in asked]


def _without_twins(jobs: Sequence[NewJob]) -> Iterator[Sequence[NewJob]]:
    """Split *jobs* so that no id comes twice in a part: the second one has to find the first."""
    part: dict[str, NewJob] = {}
    for job in jobs:
        if job.id in part:
            yield list(part.values())
            part = {}
        part[job.id] = job
    yield list(part.values())
