"""The course of a job in memory: from state to state, each change told as an event."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from ._memory_events import MemoryEvents
from ._memory_jobs import MemoryJobs
from ._memory_ledger import MemoryLedger
from ._records import (
    DEADLINE_REMOVED,
    WAITS_KEPT,
    Attempt,
    Claimed,
    Failure,
    Job,
    JobState,
    NewJob,
    Step,
    deadline_ahead,
    is_same_step,
    told_of_drop,
)

_replace = msgspec.structs.replace
_WORKER_LOST = "the worker was lost"
_TOO_LATE = "its deadline passed"
_RETRIED = frozenset({JobState.DEAD, JobState.CANCELLED, JobState.DISCARDED})


class MemoryCourse:
    """Take jobs from state to state.

    Args:
        jobs: Where they are.
        events: Where each change is told.
        ledger: Where their costs are noted.
        clock: Seconds since 1970.
    """

    def __init__(
        self, jobs: MemoryJobs, events: MemoryEvents, ledger: MemoryLedger, clock: Callable[[], float]
    ) -> None:
        self._jobs = jobs
        self._events = events
        self._ledger = ledger
        self._clock = clock

    def add(self, new: NewJob) -> str:
        """Store a new job, unless it or another with its unique key is there; returns whose id counts."""
        if new.id in self._jobs:
            return new.id
        holder = self._jobs.holder(new.unique_key)
        if holder is not None:
            return holder.id
        job = _job_of(new, self._clock())
        self._put(job, "enqueued", {"kind": job.kind})
        return job.id

    def look(self, job: Job, now: float) -> None:
        """Let a queued or waiting job become due, or die when its deadline has passed."""
        if job.deadline is not None and job.deadline <= now:
            self._die(job, _TOO_LATE)
        elif job.state is JobState.WAITING and job.run_at <= now:
            self._jobs.put(_replace(job, state=JobState.QUEUED))

    def begin(self, job: Job, worker: str, now: float) -> Claimed:
        """Hand a queued job to a worker."""
        begun = _replace(
            job,
            state=JobState.RUNNING,
            worker=worker,
            started_at=now,
            attempt=job.attempt + 1,
            runs=job.runs + 1,
            fence=job.fence + 1,
        )
        self._put(begun, "started", {"attempt": begun.attempt, "worker": worker})
        return Claimed(job=begun, steps=tuple(self._jobs.steps[job.id].values()))

    def save_step(self, job: Job, step: Step) -> None:
        """Store a finished step of a running job; see `Store.save_step`."""
        steps = self._jobs.steps[job.id]
        if step.name in steps:
            return
        steps[step.name] = _replace(step, at=self._clock())
        job = self.charged(job, step.cost_usd, step.service_retries)
        self._put(job, "step", step.told)

    def save_late(self, job: Job, run: int, step: Step) -> bool:
        """Store a step, if no run has begun since the one that finished it; see `Store.save_late`."""
        stored = self._jobs.steps[job.id].get(step.name)
        if stored is not None and is_same_step(stored, step):
            return True
        if stored is None and job.runs == run:
            self.save_step(job, step)
            return True
        told = told_of_drop(run, step)
        if not self._events.has_told(job.id, "step_dropped", told):
            self._put(self.charged(job, step.cost_usd, step.service_retries), "step_dropped", told)
        return False

    def note(self, job: Job, kind: str, data: Mapping[str, object]) -> None:
        """Tell something of a running job; see `Store.note`."""
        value = data.get("value")
        if kind == "progress" and isinstance(value, int | float):
            job = _replace(job, progress=float(value))
        self._put(job, kind, data)

    def charged(self, job: Job, usd: float, retries: int) -> Job:
        """Note what a job has spent; returns it as it is to be put back."""
        if usd:
            self._ledger.charge(job, usd, self._clock())
        return _replace(job, cost_usd=job.cost_usd + usd, service_retries=job.service_retries + retries)

    def fail(self, job: Job, failure: Failure, retry_in: float | None, *, spends: bool) -> JobState:
        """End a run that failed; see `Store.fail`."""
        job, now = self.charged(job, failure.cost_usd, failure.service_retries), self._clock()
        attempts = self._jobs.attempts[job.id]
        attempts.append(_attempt_of(job, failure, retry_in, at=now, spends=spends))
        if not spends:
            oldest = job.runs - WAITS_KEPT
            attempts[:] = [each for each in attempts if each.is_spent or each.number > oldest]
        job = _replace(
            job,
            error=failure.error,
            cause=failure.cause,
            worker=None,
            attempt=job.attempt if spends else job.attempt - 1,
        )
        if job.is_cancel_requested:
            return self.end(job, JobState.CANCELLED)
        if retry_in is None:
            return self.end(job, JobState.DEAD)
        waiting = _replace(job, state=JobState.WAITING, run_at=now + retry_in)
        data = {"error": failure.error, "attempt": job.attempt, "delay": retry_in}
        self._put(waiting, "retrying" if spends else "waiting", data)
        return waiting.state

    def release(self, job: Job) -> JobState:
        """Give a running job back unfinished."""
        job = _replace(job, worker=None, attempt=job.attempt - 1)
        if job.is_cancel_requested:
            return self.end(job, JobState.CANCELLED)
        self._put(_replace(job, state=JobState.QUEUED), "released", {})
        return JobState.QUEUED

    def rescue(self, job: Job) -> None:
        """Take a running job from a worker that is lost."""
        orphan = _replace(job, fence=job.fence + 1, worker=None)
        if job.is_cancel_requested:
            self.end(orphan, JobState.CANCELLED)
            return
        steps, began = self._jobs.steps[job.id].values(), job.started_at or 0.0
        attempt = job.attempt - 1 if any(step.at >= began for step in steps) else job.attempt
        if attempt >= job.max_attempts:
            self._die(orphan, _WORKER_LOST)
        else:
            queued = _replace(orphan, state=JobState.QUEUED, attempt=attempt, error=_WORKER_LOST)
            self._put(queued, "rescued", {})

    def cancel(self, job: Job) -> JobState:
        """Cancel a job, or ask a running one to end; returns where it is now."""
        if job.state is JobState.RUNNING:
            self._jobs.put(_replace(job, is_cancel_requested=True))
        elif not job.state.is_final:
            return self.end(job, JobState.CANCELLED)
        return job.state

    def retry(self, job: Job) -> bool:
        """Queue an ended job again; tells whether it could be."""
        if job.state not in _RETRIED or self._jobs.holder(job.unique_key) is not None:
            return False
        now = self._clock()
        again = _replace(
            job,
            state=JobState.QUEUED,
            attempt=0,
            fence=job.fence + 1,
            run_at=now,
            finished_at=None,
            deadline=deadline_ahead(job, now),
            is_cancel_requested=False,
        )
        self._put(again, "retried", {} if again.deadline == job.deadline else DEADLINE_REMOVED)
        return True

    def end(self, job: Job, state: JobState) -> JobState:
        """End a job in a final state."""
        data = {"error": job.error} if state is JobState.DEAD else {}
        self._put(_replace(job, state=state, worker=None, finished_at=self._clock()), str(state), data)
        return state

    def _die(self, job: Job, why: str) -> None:
        self.end(_replace(job, error=why, cause=why), JobState.DEAD)

    def _put(self, job: Job, kind: str, data: Mapping[str, object]) -> None:
        self._jobs.put(job)
        self._events.tell(job, kind, data)


def _job_of(new: NewJob, now: float) -> Job:
    return Job(
        id=new.id,
        queue=new.queue,
        kind=new.kind,
        args=new.args,
        state=JobState.WAITING if new.delay > 0 else JobState.QUEUED,
        version=new.version,
        priority=new.priority,
        attempt=0,
        max_attempts=new.max_attempts,
        runs=0,
        service_retries=0,
        fence=0,
        worker=None,
        created_at=now,
        run_at=now + max(0.0, new.delay),
        started_at=None,
        finished_at=None,
        deadline=None if new.timeout is None else now + new.timeout,
        unique_key=new.unique_key,
        limit_key=new.limit_key,
        limit=new.limit,
        user=new.user,
        replay_of=new.replay_of,
        is_cancel_requested=False,
        progress=None,
        result=None,
        error=None,
        cause=None,
        cost_usd=0.0,
        budget_usd=new.budget_usd,
    )


def _attempt_of(job: Job, failure: Failure, retry_in: float | None, *, at: float, spends: bool) -> Attempt:
    return Attempt(
        job=job.id,
        number=job.runs,
        at=at,
        seconds=failure.seconds,
        error=failure.error,
        error_type=failure.error_type,
        traceback=failure.traceback,
        step=failure.step,
        retry_in=retry_in,
        is_spent=spends,
    )
