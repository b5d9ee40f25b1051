"""What the SQL stores write. Each function is one operation of a batch; see `Store` for what it means.

A function that raises `JobError` has changed nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from secrets import token_hex
from typing import cast

import msgspec

from ._errors import LeaseLostError
from ._records import DEADLINE_REMOVED, WAITS_KEPT, Failure, Job, JobState, Step, deadline_ahead
from ._sql_rows import JOB_COLUMNS, chunks, job_of, marks
from ._sql_session import SqlSession

EVENTS_PRUNED = 10
"""Events deleted at a time for each job that is."""
WORKER_LOST = "the worker was lost"
TOO_LATE = "its deadline passed"

UNFINISHED = "state IN ('queued', 'waiting', 'running')"
_OWNED = "id = ? AND fence = ? AND (state || '') = 'running'"
"""Spelled so that a planner finds the row by its id: it may take the index of running jobs for as good."""


# --- who enqueues ---------------------------------------------------------------------------------


def cancel(session: SqlSession, ids: Collection[str]) -> dict[str, JobState]:
    """Cancel jobs."""
    return {job.id: _cancel(session, job) for job in known(session, ids)}


def _cancel(session: SqlSession, job: Job) -> JobState:
    if job.state is JobState.RUNNING:
        session.send("UPDATE relight_job SET is_cancel_requested = 1 WHERE id = ?", (job.id,))
        session.announce()
    elif not job.state.is_final:
        return _end(session, job, JobState.CANCELLED)
    return job.state


# --- workers --------------------------------------------------------------------------------------


def register(
    session: SqlSession, worker: str, lease: float, facts: Mapping[str, str], queues: Collection[str]
) -> None:
    """Begin a worker's lease, and know its queues from now on."""
    for queue in sorted(queues):  # in one order: two workers would wait for each other
        _know_queue(session, queue)
    session.send(
        "INSERT INTO relight_worker (id, expires_at, facts, queues) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at, queues = excluded.queues",
        (worker, session.now() + lease, msgspec.json.encode(facts), msgspec.json.encode(sorted(queues))),
    )


def beat(session: SqlSession, worker: str, lease: float) -> frozenset[str] | None:
    """Extend a worker's lease."""
    # Also one that has ended: a reaper deletes the row when it takes the jobs.
    extend = "UPDATE relight_worker SET expires_at = ? WHERE id = ?"
    if not session.run(extend, (session.now() + lease, worker)):
        return None
    asked = "SELECT id FROM relight_job WHERE state = 'running' AND worker = ? AND is_cancel_requested = 1"
    return frozenset(str(id_) for (id_,) in session.rows(asked, (worker,)))


def retire(session: SqlSession, worker: str) -> None:
    """End a worker's lease."""
    session.send("DELETE FROM relight_worker WHERE id = ?", (worker,))


def fail(
    session: SqlSession, job: str, fence: int, failure: Failure, retry_in: float | None, *, spends: bool
) -> JobState:
    """End a run of a job that failed."""
    now = session.now()
    _charge(session, job, fence, failure.cost_usd, failure.service_retries, now)
    session.send(
        "UPDATE relight_job SET error = ?, cause = ?, worker = NULL, attempt = attempt - ? WHERE id = ?",
        (failure.error, failure.cause, 0 if spends else 1, job),
    )
    (found,) = known(session, [job])
    session.send(
        f"INSERT INTO relight_attempt VALUES ({marks(10)})",  # noqa: S608
        (
            job, found.runs, now, failure.seconds, failure.error, failure.error_type, failure.traceback,
            failure.step, retry_in, int(spends),
        ),
    )  # fmt: skip
    if not spends:
        session.send(
            "DELETE FROM relight_attempt WHERE job = ? AND number <= ? AND is_spent = 0",
            (job, found.runs - WAITS_KEPT),
        )
    if found.is_cancel_requested:
        return _end(session, found, JobState.CANCELLED)
    if retry_in is None:
        return _end(session, found, JobState.DEAD)
    session.send("UPDATE relight_job SET state = 'waiting', run_at = ? WHERE id = ?", (now + retry_in, job))
    data = {"error": failure.error, "attempt": found.attempt, "delay": retry_in}
    tell_of(session, found, "retrying" if spends else "waiting", data)
    return JobState.WAITING


def release(session: SqlSession, job: str, fence: int, cost_usd: float, retries: int) -> JobState:
    """Give a job back unfinished."""
    _charge(session, job, fence, cost_usd, retries, session.now())
    session.send("UPDATE relight_job SET worker = NULL, attempt = attempt - 1 WHERE id = ?", (job,))
    (found,) = known(session, [job])
    if found.is_cancel_requested:
        return _end(session, found, JobState.CANCELLED)
    session.send("UPDATE relight_job SET state = 'queued' WHERE id = ?", (job,))
    tell_of(session, found, "released", {})
    return JobState.QUEUED


def end_cancelled(session: SqlSession, job: str, fence: int, cost_usd: float, retries: int) -> None:
    """End a job that was asked to end."""
    _charge(session, job, fence, cost_usd, retries, session.now())
    (found,) = known(session, [job])
    _end(session, found, JobState.CANCELLED)


def overdue(session: SqlSession) -> dict[str, float]:
    """Return the workers whose lease has ended, and when."""
    now = session.now()
    rows = session.rows("SELECT id, expires_at FROM relight_worker WHERE expires_at <= ?", (now,))
    if rows:
        # It has to write: who looks while nobody can, on a full disk say, would find that nobody lives.
        probe = f"look-{token_hex(4)}"
        session.send(
            "INSERT INTO relight_worker (id, expires_at, facts) VALUES (?, ?, ?)", (probe, now, b"{}")
        )
        session.send("DELETE FROM relight_worker WHERE id = ?", (probe,))
    return dict(cast("list[tuple[str, float]]", rows))


def reap(session: SqlSession, only: Mapping[str, float] | None) -> list[str]:
    """Take the jobs of workers whose lease has ended."""
    session.lock_claims()
    if only is None:
        session.send("DELETE FROM relight_worker WHERE expires_at <= ?", (session.now(),))
    for worker, expired in (only or {}).items():
        session.send("DELETE FROM relight_worker WHERE id = ? AND expires_at = ?", (worker, expired))
    lost = session.rows(
        f"SELECT {JOB_COLUMNS} FROM relight_job WHERE state = 'running' "  # noqa: S608
        f"AND worker NOT IN (SELECT id FROM relight_worker) {session.skip_locked()}"
    )
    jobs = [job_of(row) for row in lost]
    for job in jobs:
        session.send("UPDATE relight_job SET fence = fence + 1, worker = NULL WHERE id = ?", (job.id,))
        if job.is_cancel_requested:
            _end(session, job, JobState.CANCELLED)
            continue
        # One that finishes steps is not what kills its worker, and there are so many steps only.
        attempt = job.attempt - 1 if _has_come_further(session, job) else job.attempt
        if attempt >= job.max_attempts:
            die(session, job, WORKER_LOST)
        else:
            session.send(
                "UPDATE relight_job SET state = 'queued', attempt = ?, error = ? WHERE id = ?",
                (attempt, WORKER_LOST, job.id),
            )
            tell_of(session, job, "rescued", {})
    return [job.id for job in jobs]


def _has_come_further(session: SqlSession, job: Job) -> bool:
    """Tell whether a step was finished since the job was claimed."""
    query = "SELECT 1 FROM relight_step WHERE job = ? AND at >= ? LIMIT 1"
    return bool(session.rows(query, (job.id, job.started_at or 0.0)))


# --- people ---------------------------------------------------------------------------------------


def retry(session: SqlSession, ids: Collection[str]) -> list[str]:
    """Queue ended jobs again."""
    return [job.id for job in known(session, ids) if _retry(session, job)]


def _retry(session: SqlSession, job: Job) -> bool:
    now = session.now()
    is_held = job.unique_key is not None and session.rows(
        f"SELECT 1 FROM relight_job WHERE unique_key = ? AND {UNFINISHED}",  # noqa: S608
        (job.unique_key,),
    )
    if is_held or job.state not in (JobState.DEAD, JobState.CANCELLED, JobState.DISCARDED):
        return False
    deadline = deadline_ahead(job, now)
    session.send(
        "UPDATE relight_job SET state = 'queued', attempt = 0, fence = fence + 1, run_at = ?, "
        "finished_at = NULL, deadline = ?, is_cancel_requested = 0 WHERE id = ?",
        (now, deadline, job.id),
    )
    tell_of(session, job, "retried", {} if deadline == job.deadline else DEADLINE_REMOVED)
    return True


def discard(session: SqlSession, ids: Collection[str]) -> list[str]:
    """Put dead jobs aside."""
    dead = [job for job in known(session, ids) if job.state is JobState.DEAD]
    for job in dead:
        _end(session, job, JobState.DISCARDED)
    return [job.id for job in dead]


def set_queue(session: SqlSession, queue: str, *, paused: bool | None, max_running: int | None) -> None:
    """Pause, resume or limit a queue."""
    _know_queue(session, queue)
    if paused is not None:
        session.send("UPDATE relight_queue SET is_paused = ? WHERE name = ?", (int(paused), queue))
    if max_running is not None:
        session.send("UPDATE relight_queue SET max_running = ? WHERE name = ?", (max_running or None, queue))
    session.announce()


def _know_queue(session: SqlSession, queue: str) -> None:
    session.send(
        "INSERT INTO relight_queue (name, is_paused, max_running) VALUES (?, 0, NULL) ON CONFLICT DO NOTHING",
        (queue,),
    )


def prune(session: SqlSession, ended_before: float, most: int) -> int:
    """Delete old jobs and events."""
    sql = f"SELECT id FROM relight_job WHERE finished_at < ? LIMIT ? {session.skip_locked()}"  # noqa: S608
    rows = session.rows(sql, (ended_before, most))
    ids = [str(id_) for (id_,) in rows]
    for some in chunks(ids):
        for table, column in (("step", "job"), ("attempt", "job"), ("job", "id")):
            session.send(f"DELETE FROM relight_{table} WHERE {column} IN ({marks(len(some))})", some)  # noqa: S608
    session.prune_events(ended_before, EVENTS_PRUNED * most)
    return len(ids)


# --- inside ---------------------------------------------------------------------------------------


def _charge(
    session: SqlSession, job: str, fence: int, usd: float, retries: int, now: float
) -> tuple[str, str | None]:
    """Check that the worker still owns the job, and note what it spent; returns queue and user.

    The row is written in any case: on a database with concurrent writers that is what makes the check hold
    until the transaction ends.
    """
    owned = session.rows(
        "UPDATE relight_job SET cost_usd = cost_usd + ?, service_retries = service_retries + ? "  # noqa: S608
        f"WHERE {_OWNED} RETURNING queue, user_key",
        (usd, retries, job, fence),
    )
    if not owned:
        raise LeaseLostError(job, fence)
    queue, user = str(owned[0][0]), cast("str | None", owned[0][1])
    pay(session, job, (queue, user), now, usd)
    return queue, user


def charge_step(session: SqlSession, job: str, owner: tuple[str, str | None], step: Step, now: float) -> None:
    """Note what a step has cost, which has just become the job's: *owner* is its queue and user."""
    if step.cost_usd or step.service_retries:
        session.send(
            "UPDATE relight_job SET cost_usd = cost_usd + ?, service_retries = service_retries + ? "
            "WHERE id = ?",
            (step.cost_usd, step.service_retries, job),
        )
    pay(session, job, owner, now, step.cost_usd)


def pay(session: SqlSession, job: str, owner: tuple[str, str | None], now: float, usd: float) -> None:
    """Enter into the ledger what a job of *owner*, its queue and user, has spent."""
    if usd:
        session.send("INSERT INTO relight_ledger VALUES (?, ?, ?, ?, ?)", (job, *owner, now, usd))


def known(session: SqlSession, ids: Collection[str]) -> list[Job]:
    found: list[Job] = []
    for some in chunks(sorted(ids)):
        sql = (
            f"SELECT {JOB_COLUMNS} FROM relight_job WHERE id IN ({marks(len(some))}) "  # noqa: S608
            f"ORDER BY id {session.locked()}"
        )
        found.extend(job_of(row) for row in session.rows(sql, some))
    return found


def die(session: SqlSession, job: Job, why: str) -> None:
    """End a job that has no chance left."""
    session.send("UPDATE relight_job SET error = ?, cause = ? WHERE id = ?", (why, why, job.id))
    _end(session, msgspec.structs.replace(job, error=why), JobState.DEAD)


def _end(session: SqlSession, job: Job, state: JobState) -> JobState:
    now = session.now()
    session.send(
        "UPDATE relight_job SET state = ?, worker = NULL, finished_at = ? WHERE id = ?",
        (str(state), now, job.id),
    )
    tell_of(session, job, str(state), {"error": job.error} if state is JobState.DEAD else {})
    return state


def tell_of(session: SqlSession, job: Job, kind: str, data: Mapping[str, object]) -> None:
    """Tell of a job."""
    _tell(session, job.id, job.queue, job.user, kind, data)


def _tell(
    session: SqlSession, job: str, queue: str, user: str | None, kind: str, data: Mapping[str, object]
) -> None:
    session.tell(job, queue, user, kind, msgspec.json.encode(data))
