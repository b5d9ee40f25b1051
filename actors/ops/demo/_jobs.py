"""Jobs: work that ends, one way or the other, whatever fails on the way.

The board lives in memory. What makes it durable one day is behind two seams: the ``StepStore`` keeps
finished steps, and ``JobBoard.run`` is the one place where a job begins, waits and ends.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

import anyio
import msgspec

from ._attempts import Attempts, Bury
from ._steps import Steps, StepStore


class JobState(enum.StrEnum):
    """Where a job is."""

    SUBMITTED = "submitted"
    """Taken, not begun."""
    RUNNING = "running"
    """An attempt is under way."""
    WAITING = "waiting"
    """Between two attempts."""
    DONE = "done"
    """Ended well."""
    DEAD = "dead"
    """Given up, with a reason."""


class JobEnd(msgspec.Struct, frozen=True):
    """How a job ended."""

    job: str
    """Its id."""
    state: JobState
    """``DONE`` or ``DEAD``."""
    attempts: int
    """How many counted; 0 if nobody knows."""
    reason: str = ""
    """Why it is dead, in one line."""


@dataclass(frozen=True, slots=True)
class JobStatistics:
    """Counts of all jobs on a board."""

    submitted: int
    """All that were ever taken."""
    running: int
    """With an attempt under way."""
    waiting: int
    """Between two attempts."""
    succeeded: int
    """Ended well."""
    dead: int
    """Given up, with a reason."""


class JobBoard:
    """Run jobs to their end and know where each of them is."""

    def __init__(self, store: StepStore, attempts: Attempts, *, rng: Random) -> None:
        self._store = store
        self._attempts = attempts
        self._rng = rng
        self._states: dict[str, JobState] = {}
        self._ends: dict[str, JobEnd] = {}

    def submit(self, job: str) -> None:
        """Take a job: from here on it is counted until it has ended."""
        self._states[job] = JobState.SUBMITTED

    async def run(self, job: str, work: Callable[[Steps], Awaitable[object]]) -> JobEnd:
        """Try *work* until it succeeds or the attempts or the time run out.

        Whatever *work* raises is an attempt that failed; the job never raises. Cancelled, it stays
        unfinished.
        """
        steps = Steps(self._store, job)
        ends_at = anyio.current_time() + self._attempts.deadline
        spent = 0
        while True:
            error = await self._attempt(job, work, steps, ends_at)
            if error is None:
                return await self._end(JobEnd(job, JobState.DONE, spent + 1))
            time_left = ends_at - anyio.current_time()
            verdict = self._attempts.decide(error, spent + 1, time_left, self._rng)
            if isinstance(verdict, Bury):
                return await self._end(JobEnd(job, JobState.DEAD, spent + 1, verdict.reason))
            spent += verdict.is_spent
            self._states[job] = JobState.WAITING
            await anyio.sleep(verdict.seconds)

    async def _attempt(
        self, job: str, work: Callable[[Steps], Awaitable[object]], steps: Steps, ends_at: float
    ) -> Exception | None:
        self._states[job] = JobState.RUNNING
        try:
            with anyio.CancelScope(deadline=ends_at) as scope:
                await work(steps)
        except Exception as error:  # noqa: BLE001 - the edge of a job: any failure is one attempt's
            return error
        return TimeoutError("the job's time is up") if scope.cancelled_caught else None

    async def bury(self, job: str, reason: str) -> JobEnd:
        """End a job whose `run` can't: the actor it ran in is gone. An end it has already stays."""
        return await self._end(JobEnd(job, JobState.DEAD, 0, reason))

    async def _end(self, end: JobEnd) -> JobEnd:
        if end.job not in self._ends:
            self._ends[end.job] = end
            self._states[end.job] = end.state
            await self._store.forget(end.job)
        return self._ends[end.job]

    @property
    def ends(self) -> list[JobEnd]:
        """How the jobs ended that did, in that order."""
        return list(self._ends.values())

    @property
    def unfinished(self) -> list[str]:
        """Ids of the jobs that were taken and have not ended, in the order they were taken."""
        return [job for job in self._states if job not in self._ends]

    def statistics(self) -> JobStatistics:
        """Count the jobs by where they are."""
        states = list(self._states.values())
        return JobStatistics(
            submitted=len(states),
            running=states.count(JobState.RUNNING),
            waiting=states.count(JobState.WAITING),
            succeeded=states.count(JobState.DONE),
            dead=states.count(JobState.DEAD),
        )
