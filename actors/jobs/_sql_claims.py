"""How the SQL stores hand out jobs, within the limits of queues and keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import msgspec

from ._records import Claimed, Job, JobState, Step
from ._sql_rows import JOB_COLUMNS, STEP_COLUMNS, Row, chunks, job_of, marks, step_of
from ._sql_session import SqlSession
from ._sql_writes import TOO_LATE, die, tell_of

_ROOM_FOR_KEY = (
    "(limit_key IS NULL OR key_limit > (SELECT count(*) FROM relight_job AS other "
    "WHERE other.state = 'running' AND other.queue = relight_job.queue "
    "AND other.limit_key = relight_job.limit_key))"
)
_LOOK = """
    SELECT EXISTS (SELECT 1 FROM relight_worker WHERE id = ? AND expires_at > ?),
        EXISTS (SELECT 1 FROM relight_job WHERE state = 'waiting' AND run_at <= ? AND queue IN ({queues})),
        EXISTS (
            SELECT 1 FROM relight_job WHERE deadline <= ? AND deadline IS NOT NULL
            AND state IN ('queued', 'waiting') AND queue IN ({queues}))
"""
_LIMITS = """
    SELECT name, is_paused, max_running,
        (SELECT count(*) FROM relight_job WHERE state = 'running' AND queue = relight_queue.name)
    FROM relight_queue WHERE name IN ({queues}) AND (is_paused <> 0 OR max_running IS NOT NULL)
"""


def claim(session: SqlSession, worker: str, queues: Sequence[str], most: int) -> list[Claimed]:
    """Hand jobs to a worker."""
    if not queues:
        return []
    session.lock_claims()
    now = session.now()
    # All at once, as if nothing were due and no queue full, which is what is found most of the time.
    look = session.ask(_LOOK.format(queues=marks(len(queues))), (worker, now, now, *queues, now, *queues))
    limits = session.ask(_LIMITS.format(queues=marks(len(queues))), queues)
    candidates = _candidates(session, queues, max(0, most))
    ((has_lease, is_due, is_late),) = look()
    rooms = _rooms(queues, limits())
    found = candidates()
    if is_due or is_late:
        _look_at_waiting(session, queues, now)
        found = _candidates(session, queues, max(0, most))()
    if not has_lease:
        return []
    claimed: list[Claimed] = []
    while found:
        chosen = _with_room(session, found, rooms)
        claimed.extend(_begin(session, chosen, worker, now))
        if len(chosen) == len(found):
            break
        # Behind jobs whose queue or key has no room there may be others. What began now counts in the
        # next look, which leaves those out; the first that it finds has room, so this comes to an end.
        left = [queue for queue in queues if rooms[queue] > 0]
        found = _candidates(session, left, most - len(claimed))()
    return claimed


def _look_at_waiting(session: SqlSession, queues: Sequence[str], now: float) -> None:
    """Let waiting jobs become due, and those die whose deadline has passed."""
    here = f"queue IN ({marks(len(queues))})"
    late = session.rows(
        f"SELECT {JOB_COLUMNS} FROM relight_job WHERE deadline <= ? AND deadline IS NOT NULL "  # noqa: S608
        f"AND state IN ('queued', 'waiting') AND {here} {session.skip_locked()}",
        (now, *queues),
    )
    for row in late:
        die(session, job_of(row), TOO_LATE)
    session.send(
        f"UPDATE relight_job SET state = 'queued' WHERE state = 'waiting' AND run_at <= ? AND {here}",  # noqa: S608
        (now, *queues),
    )


def _rooms(queues: Sequence[str], limits: Sequence[Row]) -> dict[str, int]:
    """Say how many more jobs of each queue may run."""
    rooms = dict.fromkeys(queues, 1_000_000_000)
    for name, is_paused, max_running, running in limits:
        if is_paused:
            rooms[str(name)] = 0
        elif max_running is not None:
            rooms[str(name)] = cast("int", max_running) - cast("int", running)
    return rooms


def _candidates(session: SqlSession, queues: Sequence[str], most: int) -> Callable[[], list[Job]]:
    """Ask for the first jobs of *queues* that may begin, as far as each alone is concerned."""
    sql = (
        f"SELECT {JOB_COLUMNS} FROM relight_job WHERE state = 'queued' AND queue = ? AND {_ROOM_FOR_KEY} "  # noqa: S608
        f"ORDER BY priority DESC, id LIMIT ? {session.skip_locked()}"
    )
    # Queue by queue: the index gives the order within one, over several all of their jobs would be sorted.
    asked = [session.ask(sql, (queue, most)) for queue in queues]

    def candidates() -> list[Job]:
        found = [job_of(row) for rows in asked for row in rows()]
        return sorted(found, key=lambda job: (-job.priority, job.id))[:most]

    return candidates


def _with_room(session: SqlSession, found: Sequence[Job], rooms: dict[str, int]) -> list[Job]:
    """Choose from jobs, in their order, what may begin together. Takes from *rooms*."""
    running: dict[tuple[str, str], int] = {}
    chosen: list[Job] = []
    for job in found:
        if rooms[job.queue] <= 0:
            continue
        if job.limit_key is not None:
            key = job.queue, job.limit_key
            if key not in running:
                running[key] = _running_of_key(session, *key)
            if running[key] >= job.limit:
                continue
            running[key] += 1
        rooms[job.queue] -= 1
        chosen.append(job)
    return chosen


def _running_of_key(session: SqlSession, queue: str, limit_key: str) -> int:
    rows = session.rows(
        "SELECT count(*) FROM relight_job WHERE state = 'running' AND queue = ? AND limit_key = ?",
        (queue, limit_key),
    )
    return cast("int", rows[0][0])


def _begin(session: SqlSession, jobs: Sequence[Job], worker: str, now: float) -> list[Claimed]:
    for ids in chunks([job.id for job in jobs]):
        session.send(
            "UPDATE relight_job SET state = 'running', worker = ?, started_at = ?, attempt = attempt + 1, "  # noqa: S608
            f"runs = runs + 1, fence = fence + 1 WHERE id IN ({marks(len(ids))})",
            (worker, now, *ids),
        )
    steps = _steps_of_all(session, [job.id for job in jobs if job.runs > 0])
    return [_begun(session, job, worker, now, steps.get(job.id, ())) for job in jobs]


def _begun(session: SqlSession, job: Job, worker: str, now: float, steps: Sequence[Step]) -> Claimed:
    begun = msgspec.structs.replace(
        job,
        state=JobState.RUNNING,
        worker=worker,
        started_at=now,
        attempt=job.attempt + 1,
        runs=job.runs + 1,
        fence=job.fence + 1,
    )
    tell_of(session, begun, "started", {"attempt": begun.attempt, "worker": worker})
    return Claimed(job=begun, steps=tuple(steps))


def _steps_of_all(session: SqlSession, jobs: Sequence[str]) -> dict[str, list[Step]]:
    steps: dict[str, list[Step]] = {}
    for ids in chunks(jobs):
        sql = (
            f"SELECT job, {STEP_COLUMNS} FROM relight_step WHERE job IN ({marks(len(ids))}) ORDER BY at, name"  # noqa: S608
        )
        for row in session.rows(sql, ids):
            steps.setdefault(cast("str", row[0]), []).append(step_of(row[1:]))
    return steps


def steps_of(session: SqlSession, job: str) -> tuple[Step, ...]:
    """Return the finished steps of a job."""
    return tuple(_steps_of_all(session, [job]).get(job, ()))
