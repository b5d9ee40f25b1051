"""What SQLite is asked for all at once: the writes that workers make most, many rows a statement.

A statement costs more than what it does: it is looked up and bound, and it gives up the interpreter for a
moment, for which it has to wait again as long as the event loop is busy. See `Bulk`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache, partial
from itertools import chain
from typing import cast

import msgspec

from ._bulk import NoteWrite, Owner, StepWrite, Success, enqueue_parts, refusals
from ._errors import JobError, LeaseLostError
from ._records import NewJob
from ._sql_rows import STEP_COLUMNS, Row, chunks, marks
from ._sql_session import SqlSession
from ._sql_writes import UNFINISHED, charge_step, pay

_MOST_ROWS = 64
_JOBS = (
    "INSERT INTO relight_job (id, queue, kind, args, state, version, priority, attempt, max_attempts, runs, "
    "service_retries, fence, created_at, run_at, deadline, unique_key, limit_key, key_limit, user_key, "
    "replay_of, is_cancel_requested, cost_usd, budget_usd) VALUES {rows} ON CONFLICT DO NOTHING RETURNING id"
)
_JOB = "(?, ?, ?, ?, ?, ?, ?, 0, ?, 0, 0, 0, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0.0, ?)"
_STEPS = (
    f"INSERT INTO relight_step (job, {STEP_COLUMNS}) VALUES {{rows}} "  # noqa: S608
    "ON CONFLICT DO NOTHING RETURNING job, name"
)
_STEP = f"({marks(9)})"
_SUCCEED = """
    UPDATE relight_job SET state = 'succeeded', worker = NULL, finished_at = w.column1, result = w.column2,
        progress = 1.0, error = NULL, cause = NULL,
        cost_usd = cost_usd + w.column3, service_retries = service_retries + w.column4
    FROM (VALUES {rows}) AS w
    WHERE id = w.column5 AND fence = w.column6 AND state = 'running'
    RETURNING id, fence, queue, user_key
"""
_SUCCESS = f"({marks(6)})"
_EVENTS = "INSERT INTO relight_event (job, queue, user_key, kind, at, data) VALUES {rows}"
_EVENT = f"({marks(6)})"


def enqueue(session: SqlSession, asked: Sequence[Sequence[NewJob]]) -> list[list[str]]:
    """Store jobs."""
    return enqueue_parts(asked, partial(_enqueue, session))


def _enqueue(session: SqlSession, jobs: Sequence[NewJob]) -> list[str]:
    now = session.now()
    stored = {str(id_) for (id_,) in _insert(session, _JOBS, _JOB, [_job_row(job, now) for job in jobs])}
    for job in jobs:
        if job.id in stored:
            session.tell(job.id, job.queue, job.user, "enqueued", msgspec.json.encode({"kind": job.kind}))
    return [job.id if job.id in stored else _there_already(session, job) for job in jobs]


def _job_row(job: NewJob, now: float) -> Row:
    return (
        job.id, job.queue, job.kind, job.args, "waiting" if job.delay > 0 else "queued", job.version,
        job.priority, job.max_attempts, now, now + max(0.0, job.delay),
        None if job.timeout is None else now + job.timeout,
        job.unique_key, job.limit_key, job.limit, job.user, job.replay_of, job.budget_usd,
    )  # fmt: skip


def _there_already(session: SqlSession, job: NewJob) -> str:
    """Return the id of the job that *job* was not stored for: its own, or that of who holds its key."""
    if session.rows("SELECT 1 FROM relight_job WHERE id = ?", (job.id,)):
        return job.id
    sql = f"SELECT id FROM relight_job WHERE unique_key = ? AND {UNFINISHED}"  # noqa: S608
    return str(session.rows(sql, (job.unique_key,))[0][0])


def save_steps(session: SqlSession, asked: Sequence[StepWrite]) -> list[JobError | None]:
    """Store steps, each once, and charge for those that are new."""
    now = session.now()
    owners = _owners(session, {(one.job, one.fence) for one in asked})
    first: dict[tuple[str, str], StepWrite] = {}
    for one in asked:
        if (one.job, one.fence) in owners:
            first.setdefault((one.job, one.step.name), one)
    rows = [_step_row(one, now) for one in first.values()]
    stored = {(job, name) for job, name in _insert(session, _STEPS, _STEP, rows)}
    for key, one in first.items():
        if key in stored:
            charge_step(session, one.job, owners[one.job, one.fence], one.step, now)
            session.tell(one.job, *owners[one.job, one.fence], "step", one.told)
    return refusals(asked, owners)


def _step_row(write: StepWrite, now: float) -> Row:
    step = write.step
    return (
        write.job, step.name, step.result, step.blob, step.version, step.seconds, step.cost_usd,
        step.service_retries, now,
    )  # fmt: skip


def note(session: SqlSession, asked: Sequence[NoteWrite]) -> list[JobError | None]:
    """Tell of jobs."""
    owners = _owners(session, {(one.job, one.fence) for one in asked})
    for one in asked:
        owner = owners.get((one.job, one.fence))
        if owner is None:
            continue
        if one.progress is not None:
            session.send("UPDATE relight_job SET progress = ? WHERE id = ?", (one.progress, one.job))
        session.tell(one.job, *owner, one.kind, msgspec.json.encode(one.data))
    return refusals(asked, owners)


def succeed(session: SqlSession, asked: Sequence[Success]) -> list[JobError | None]:
    """End jobs well, each once."""
    now = session.now()
    first: dict[tuple[str, int], Success] = {}
    for one in asked:
        first.setdefault((one.job, one.fence), one)
    rows = [(now, one.result, one.usd, one.retries, one.job, one.fence) for one in first.values()]
    ended = {
        (job, fence): (queue, user)
        for job, fence, queue, user in cast(
            "list[tuple[str, int, str, str | None]]", _insert(session, _SUCCEED, _SUCCESS, rows)
        )
    }
    outcomes: list[JobError | None] = []
    for one in asked:
        owner = ended.pop((one.job, one.fence), None)  # the second that ends a job comes too late
        outcomes.append(LeaseLostError(one.job, one.fence) if owner is None else None)
        if owner is not None:
            pay(session, one.job, owner, now, one.usd)
            session.tell(one.job, *owner, "succeeded", b"{}")
    return outcomes


def store_events(session: SqlSession, events: Collection[Row]) -> None:
    """Store events, in their order: each job, queue, user, kind, moment and data."""
    _insert(session, _EVENTS, _EVENT, events)


# --- inside ---------------------------------------------------------------------------------------


def _owners(session: SqlSession, asked: Collection[tuple[str, int]]) -> dict[tuple[str, int], Owner]:
    """Return queue and user of the jobs that are still their worker's. Nobody else writes meanwhile."""
    owners: dict[tuple[str, int], Owner] = {}
    for ids in chunks([job for job, _ in asked]):
        sql = (
            "SELECT id, fence, queue, user_key FROM relight_job "  # noqa: S608
            f"WHERE state = 'running' AND id IN ({marks(len(ids))})"
        )
        for job, fence, queue, user in cast("list[tuple[str, int, str, str | None]]", session.rows(sql, ids)):
            if (job, fence) in asked:
                owners[job, fence] = queue, user
    return owners


def _insert(session: SqlSession, sql: str, row: str, rows: Collection[Row]) -> list[Row]:
    """Run *sql* for all *rows*, each of which is written as *row*; returns what it returns."""
    found: list[Row] = []
    for part in _parts(list(rows)):
        found += session.rows(_spelled(sql, row, len(part)), tuple(chain.from_iterable(part)))
    return found


def _parts(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Split *rows* into parts of few different sizes: SQLite plans a statement once and knows it again."""
    start = 0
    while start < len(rows):
        size = min(_MOST_ROWS, 1 << ((len(rows) - start).bit_length() - 1))
        yield rows[start : start + size]
        start += size


@lru_cache(64)
def _spelled(sql: str, row: str, count: int) -> str:
    return sql.format(rows=", ".join([row] * count))
