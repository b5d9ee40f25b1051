"""What people may see of a job: everything but secrets."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import msgspec

from ...runtime import redact, redact_end, redact_mapping
from ._records import Attempt, Event, Job, JobDetail, JobState, Step

if TYPE_CHECKING:
    from ._function import AnyJobFunction


class StepReport(msgspec.Struct, frozen=True, kw_only=True):
    """A finished step as people see it."""

    name: str
    result: object
    """Without secrets; None where it is in a file."""
    blob: str | None
    version: str
    seconds: float
    cost_usd: float
    service_retries: int
    at: float


class JobReport(msgspec.Struct, frozen=True, kw_only=True):
    """All there is to know of a job, without secrets. Moments are seconds since 1970."""

    id: str
    queue: str
    kind: str
    state: JobState
    arguments: object
    """By name where the job function is known, else a list."""
    result: object
    error: str | None
    cause: str | None
    attempt: int
    max_attempts: int
    runs: int
    service_retries: int
    user: str | None
    worker: str | None
    replay_of: str | None
    progress: float | None
    created_at: float
    run_at: float
    started_at: float | None
    finished_at: float | None
    deadline: float | None
    cost_usd: float
    budget_usd: float | None
    attempts: tuple[Attempt, ...]
    steps: tuple[StepReport, ...]


def report_of(detail: JobDetail, function: AnyJobFunction | None = None) -> JobReport:
    """Describe a job; *function* tells its arguments' names, so that one called ``api_key`` is masked."""
    job = detail.job
    return JobReport(
        id=job.id,
        queue=job.queue,
        kind=job.kind,
        state=job.state,
        arguments=_arguments(job.args, function),
        result=_shown(job.result),
        error=_masked(job.error),
        cause=_masked(job.cause),
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        runs=job.runs,
        service_retries=job.service_retries,
        user=_masked(job.user),
        worker=job.worker,
        replay_of=job.replay_of,
        progress=job.progress,
        created_at=job.created_at,
        run_at=job.run_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        deadline=job.deadline,
        cost_usd=job.cost_usd,
        budget_usd=job.budget_usd,
        attempts=tuple(_attempt(attempt) for attempt in detail.attempts),
        steps=tuple(_step(step) for step in detail.steps),
    )


def row_of(job: Job) -> dict[str, object]:
    """Describe a job in a line: for lists, and for who subscribes."""
    return {
        "id": job.id,
        "queue": job.queue,
        "kind": job.kind,
        "state": str(job.state),
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "user": _masked(job.user),
        "progress": job.progress,
        "created_at": job.created_at,
        "run_at": job.run_at,
        "due_at": job.run_at if job.state is JobState.WAITING else None,
        "finished_at": job.finished_at,
        "cost_usd": job.cost_usd,
        "replay_of": job.replay_of,
        "error": _masked(job.error),
        "cause": _masked(job.cause),
    }


def event_row(event: Event) -> dict[str, object]:
    """Describe an event."""
    return {
        "cursor": event.cursor,
        "job": event.job,
        "queue": event.queue,
        "kind": event.kind,
        "at": event.at,
        "data": redact_mapping(event.data),
    }


def _arguments(args: bytes, function: AnyJobFunction | None) -> object:
    values = _decoded(args)
    if function is None or not isinstance(values, list):
        return _clean(values)
    names = list(inspect.signature(function.function).parameters)[1:]
    given = cast("list[object]", values)
    return redact_mapping(dict(zip(names, given, strict=False)))


def _attempt(attempt: Attempt) -> Attempt:
    return msgspec.structs.replace(
        attempt, error=redact(attempt.error), traceback=redact_end(attempt.traceback)
    )


def _step(step: Step) -> StepReport:
    return StepReport(
        name=step.name,
        result=None if step.blob else _shown(step.result),
        blob=step.blob,
        version=step.version,
        seconds=step.seconds,
        cost_usd=step.cost_usd,
        service_retries=step.service_retries,
        at=step.at,
    )


def _shown(data: bytes | None) -> object:
    return None if not data else _clean(_decoded(data))


def _decoded(data: bytes) -> object:
    try:
        return msgspec.json.decode(data)
    except msgspec.MsgspecError:
        return data.decode(errors="replace")


def _clean(value: object) -> object:
    if isinstance(value, Mapping):
        return redact_mapping(cast("Mapping[str, object]", value))
    # Each by itself: a list of two texts is no name with its value here.
    if isinstance(value, list):
        return [_clean(each) for each in cast("Sequence[object]", value)]
    return redact_mapping({"value": value})["value"]


def _masked(text: str | None) -> str | None:
    return None if text is None else redact(text)
