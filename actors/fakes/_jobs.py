"""The jobs of a fake RunPod endpoint.

Nothing runs: when a job is taken, its whole course is decided, and its status is a question of the
time. So thousands of jobs cost no tasks, and the same requests at the same times see the same states.
"""

from __future__ import annotations

import enum
import heapq
from collections import Counter

import msgspec

_MOST_JOBS = 10_000


class JobStatus(enum.StrEnum):
    """RunPod's names for the states of a job."""

    IN_QUEUE = "IN_QUEUE"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"


class JobTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a job when it is taken."""

    prompt: str
    run_seconds: float
    queue_seconds: float | None = None
    """None: it waits for one of the workers; else it boots one of its own, after so long."""
    fails: bool = False
    execution_timeout: float = 600.0
    ttl: float = 86_400.0


class Job(msgspec.Struct, kw_only=True):
    """The course of one job, in seconds of the fake's clock."""

    identity: str
    prompt: str
    queued_at: float
    starts_at: float
    ends_at: float
    outcome: JobStatus
    gone_at: float
    """From then on nobody has heard of it."""
    terms: JobTerms

    def status(self, now: float) -> JobStatus:
        """Return the state at *now*."""
        if now < self.starts_at:
            return JobStatus.IN_QUEUE
        return JobStatus.IN_PROGRESS if now < self.ends_at else self.outcome

    @property
    def delay(self) -> int:
        """Milliseconds in the queue."""
        return round((self.starts_at - self.queued_at) * 1000)

    @property
    def execution(self) -> int:
        """Milliseconds at work."""
        return round((self.ends_at - self.starts_at) * 1000)


class JobBook:
    """Take jobs, let them run on a number of workers, and tell how they are."""

    def __init__(self, workers: int, retention: float) -> None:
        self._free_at = [0.0] * workers
        self._retention = retention
        self._jobs: dict[str, Job] = {}
        self.retried = 0
        """How often an ended job was begun again."""

    def submit(self, identity: str, terms: JobTerms, now: float) -> Job:
        """Take a job and decide its course; the oldest of too many is forgotten."""
        is_late = terms.run_seconds > terms.execution_timeout
        runs = min(terms.run_seconds, terms.execution_timeout)
        starts = self._start(terms, runs, now)
        outcome = JobStatus.FAILED if terms.fails else JobStatus.COMPLETED
        job = Job(
            identity=identity,
            prompt=terms.prompt,
            queued_at=now,
            starts_at=starts,
            ends_at=starts + runs,
            outcome=JobStatus.TIMED_OUT if is_late else outcome,
            gone_at=min(now + terms.ttl, starts + runs + self._retention),
            terms=terms,
        )
        self._jobs[identity] = job
        if len(self._jobs) > _MOST_JOBS:
            del self._jobs[next(iter(self._jobs))]
        return job

    def find(self, identity: str, now: float) -> Job | None:
        """Return the job, unless it is unknown or gone."""
        job = self._jobs.get(identity)
        return job if job is not None and now < job.gone_at else None

    def cancel(self, identity: str, now: float) -> Job | None:
        """End a job that has not ended. Its worker's time stays booked: the fake's one shortcut."""
        job = self.find(identity, now)
        if job is not None and now < job.ends_at:
            job.starts_at, job.ends_at = min(job.starts_at, now), now
            job.outcome = JobStatus.CANCELLED
            job.gone_at = min(job.gone_at, now + self._retention)
        return job

    def retry(self, job: Job, terms: JobTerms, now: float) -> Job | None:
        """Begin a job again, under its id, that failed or ran out of time; None: it did neither."""
        if job.status(now) not in {JobStatus.FAILED, JobStatus.TIMED_OUT}:
            return None
        self.retried += 1
        return self.submit(job.identity, terms, now)

    def count(self, now: float) -> Counter[JobStatus]:
        """Count the jobs that are not gone by status."""
        return Counter(job.status(now) for job in self._jobs.values() if now < job.gone_at)

    def _start(self, terms: JobTerms, runs: float, now: float) -> float:
        if terms.queue_seconds is not None:
            return now + terms.queue_seconds
        starts = max(now, self._free_at[0])
        heapq.heapreplace(self._free_at, starts + runs)
        return starts
