"""The jobs of the store in memory, with their attempts and steps, and how they are found."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from ._errors import LeaseLostError
from ._records import Attempt, Job, JobDetail, JobState, Query, Step

_UNFINISHED = (JobState.QUEUED, JobState.WAITING, JobState.RUNNING)


class MemoryJobs:
    """Jobs by id, each with the attempts that failed and the steps it has finished."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._by_state: dict[JobState, dict[str, Job]] = {state: {} for state in JobState}
        """The same jobs: those that have ended are many, and seldom asked for."""
        self.attempts: dict[str, list[Attempt]] = {}
        """Of each job."""
        self.steps: dict[str, dict[str, Step]] = {}
        """Of each job, by name."""

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, id_: str) -> bool:
        return id_ in self._jobs

    def __iter__(self) -> Iterator[Job]:
        """Walk over the jobs as they are now, whatever is done to them meanwhile."""
        return iter(list(self._jobs.values()))

    def put(self, job: Job) -> None:
        """Keep a job, in place of what it was before."""
        before = self._jobs.get(job.id)
        if before is None:
            self.attempts[job.id], self.steps[job.id] = [], {}
        elif before.state is not job.state:
            del self._by_state[before.state][job.id]
        self._jobs[job.id] = self._by_state[job.state][job.id] = job

    def known(self, ids: Collection[str]) -> list[Job]:
        """Return those of *ids* that are there."""
        return [self._jobs[id_] for id_ in ids if id_ in self._jobs]

    def owned(self, id_: str, fence: int) -> Job:
        """Return a running job, to the owner whose *fence* it has.

        Raises:
            LeaseLostError: Another owner has it.
        """
        job = self._jobs.get(id_)
        if job is None or job.fence != fence or job.state is not JobState.RUNNING:
            raise LeaseLostError(id_, fence)
        return job

    def holder(self, unique_key: str | None) -> Job | None:
        """Return the unfinished job that has a unique key."""
        if unique_key is None:
            return None
        held = (job for job in self.in_state(*_UNFINISHED) if job.unique_key == unique_key)
        return next(held, None)

    def in_state(self, *states: JobState, queues: Collection[str] | None = None) -> list[Job]:
        """Return the jobs in some states, of some queues or of all."""
        return [
            job
            for state in states
            for job in self._by_state[state].values()
            if queues is None or job.queue in queues
        ]

    def found(self, query: Query) -> list[Job]:
        """Return the jobs a query asks for."""
        return [job for job in self._jobs.values() if _fits(job, query)]

    def detail(self, id_: str) -> JobDetail | None:
        """Return everything of one job; None: there is none."""
        job = self._jobs.get(id_)
        if job is None:
            return None
        return JobDetail(job=job, attempts=tuple(self.attempts[id_]), steps=tuple(self.steps[id_].values()))

    def blobs(self) -> frozenset[str]:
        """Return the files that steps refer to."""
        return frozenset(
            step.blob for steps in self.steps.values() for step in steps.values() if step.blob is not None
        )

    def ended(self, before: float) -> list[Job]:
        """Return the jobs that ended before a moment."""
        return [
            job
            for job in self._jobs.values()
            if job.state.is_final and job.finished_at is not None and job.finished_at < before
        ]

    def prune(self, ended_before: float, most: int) -> int:
        """Delete up to *most* jobs that ended before a moment; returns how many."""
        old = self.ended(ended_before)[:most]
        for job in old:
            del (
                self._jobs[job.id],
                self._by_state[job.state][job.id],
                self.attempts[job.id],
                self.steps[job.id],
            )
        return len(old)


def _fits(job: Job, query: Query) -> bool:
    return (
        (not query.states or job.state in query.states)
        and (not query.ids or job.id in query.ids)
        and query.queue in (None, job.queue)
        and query.kind in (None, job.kind)
        and query.user in (None, job.user)
        and query.cause in (None, job.cause)
    )
