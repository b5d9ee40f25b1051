"""What PostgreSQL is asked for all at once: the writes that workers make most, many rows a statement.

Rows travel as one JSON parameter: msgspec writes it faster than psycopg a parameter for each value. See
`Bulk`. Everything else is asked for one by one, as in `_sql_writes`.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import cast

import msgspec

from ._bulk import NoteWrite, Owner, StepWrite, Success, enqueue_parts, refusals
from ._errors import JobError, LeaseLostError, StoreError
from ._records import NewJob, Step
from ._sql_rows import JOB_COLUMNS, STEP_COLUMNS
from ._sql_session import SqlSession
from ._sql_writes import UNFINISHED

_NOW = "extract(epoch FROM now())::float8"
_RUNS = "(j.state || '') = 'running'"
"""Spelled so that the index of running jobs does not fit: on a table that was never analyzed the planner
took it for as good as the primary key, and looked through all running jobs for each."""
_ENQUEUE = f"""
    INSERT INTO relight_job ({JOB_COLUMNS})
    SELECT n.id, n.queue, n.kind, decode(n.args, 'base64'),
        CASE WHEN n.delay > 0 THEN 'waiting' ELSE 'queued' END, n.version, n.priority,
        0, n.max_attempts, 0, 0, 0, NULL, {_NOW}, {_NOW} + greatest(0, n.delay), NULL, NULL,
        {_NOW} + n.timeout, n.unique_key, n.limit_key, n."limit", n."user", n.replay_of,
        0, NULL, NULL, NULL, NULL, 0, n.budget_usd
    FROM json_to_recordset(?::json) AS n(
        id text, queue text, kind text, args text, version text, priority int, delay float8, max_attempts int,
        timeout float8, unique_key text, limit_key text, "limit" int, "user" text, replay_of text,
        budget_usd float8)
    ON CONFLICT DO NOTHING RETURNING id
"""  # noqa: S608
_FOUND = "SELECT id FROM relight_job WHERE id = ANY(?)"
_HOLDERS = f"SELECT unique_key, id FROM relight_job WHERE unique_key = ANY(?) AND {UNFINISHED}"  # noqa: S608
_NOTE = f"""
    UPDATE relight_job AS j SET progress = coalesce(w.progress, j.progress)
    FROM json_to_recordset(?::json) AS w(job text, fence int, progress float8)
    WHERE j.id = w.job AND j.fence = w.fence AND {_RUNS}
    RETURNING j.id, j.fence, j.queue, j.user_key
"""  # noqa: S608
_SUCCEED = f"""
    UPDATE relight_job AS j SET
        cost_usd = j.cost_usd + w.usd, service_retries = j.service_retries + w.retries,
        state = 'succeeded', worker = NULL, finished_at = {_NOW}, result = decode(w.result, 'base64'),
        progress = 1.0, error = NULL, cause = NULL
    FROM json_to_recordset(?::json) AS w(job text, fence int, usd float8, retries int, result text)
    WHERE j.id = w.job AND j.fence = w.fence AND {_RUNS}
    RETURNING j.id, j.fence, j.queue, j.user_key
"""  # noqa: S608
_PAY = f"""
    INSERT INTO relight_ledger SELECT l.job, l.queue, l.user_key, {_NOW}, l.usd
    FROM json_to_recordset(?::json) AS l(job text, queue text, user_key text, usd float8)
"""  # noqa: S608
_CHARGE = """
    UPDATE relight_job AS j SET
        cost_usd = j.cost_usd + w.usd, service_retries = j.service_retries + w.retries
    FROM (
        SELECT job, sum(usd) AS usd, sum(retries) AS retries
        FROM json_to_recordset(?::json) AS s(job text, usd float8, retries int) GROUP BY job
    ) AS w
    WHERE j.id = w.job
"""
_STEPS = f"""
    WITH owned AS MATERIALIZED (
        SELECT s.*, o.queue, o.user_key
        FROM json_to_recordset(?::json) AS s(
            job text, fence int, name text, result text, blob text, version text, seconds float8,
            cost_usd float8, service_retries int)
        CROSS JOIN LATERAL (
            SELECT j.queue, j.user_key FROM relight_job AS j
            WHERE j.id = s.job AND j.fence = s.fence AND {_RUNS} FOR UPDATE
        ) AS o
    ), stored AS (
        INSERT INTO relight_step (job, {STEP_COLUMNS})
        SELECT s.job, s.name, decode(s.result, 'base64'), s.blob, s.version, s.seconds, s.cost_usd,
            s.service_retries, {_NOW}
        FROM owned AS s
        ON CONFLICT (job, name) DO NOTHING
        RETURNING job, name
    )
    SELECT job, fence, queue, user_key, NULL FROM owned UNION ALL SELECT job, 0, '', NULL, name FROM stored
"""  # noqa: S608
_TRIES = 10
_Bill = dict[str, object]


def enqueue(session: SqlSession, asked: Sequence[Sequence[NewJob]]) -> list[list[str]]:
    """Store jobs."""
    return enqueue_parts(asked, partial(_enqueue, session))


def _enqueue(session: SqlSession, jobs: Sequence[NewJob]) -> list[str]:
    ids: dict[str, str] = {}
    for _ in range(_TRIES):
        left = [job for job in jobs if job.id not in ids]
        if not left:
            return [ids[job.id] for job in jobs]
        stored = {str(id_) for (id_,) in session.rows(_ENQUEUE, (_json(left),))}
        for job in left:
            if job.id in stored:
                ids[job.id] = job.id
                session.tell(job.id, job.queue, job.user, "enqueued", _bytes({"kind": job.kind}))
        # Who held a key may have ended between two statements: then there is nobody now, and we try again.
        ids.update(_there_already(session, [job for job in left if job.id not in ids]))
    problem = "unique keys change hands all the time: try again"
    raise StoreError("PostgreSQL", problem, is_passing=True)


def _there_already(session: SqlSession, jobs: Sequence[NewJob]) -> dict[str, str]:
    if not jobs:
        return {}
    found = {str(id_) for (id_,) in session.rows(_FOUND, ([job.id for job in jobs],))}
    keys = [job.unique_key for job in jobs if job.unique_key is not None]
    holders = dict(cast("list[tuple[str, str]]", session.rows(_HOLDERS, (keys,)))) if keys else {}
    return {
        job.id: job.id if job.id in found else holders[cast("str", job.unique_key)]
        for job in jobs
        if job.id in found or job.unique_key in holders
    }


def save_steps(session: SqlSession, asked: Sequence[StepWrite]) -> list[JobError | None]:
    """Store steps, each once, and charge for those that are new.

    One statement locks the jobs that are still their worker's and stores the steps that are not there yet.
    Only those are charged, so a step that is asked for twice, in one batch or in two, is charged once.
    """
    rows = [{"job": one.job, "fence": one.fence, **_fields(one.step)} for one in asked]
    found = cast("list[tuple[str, int, str, str | None, str | None]]", session.rows(_STEPS, (_json(rows),)))
    owners = {(job, fence): (queue, user) for job, fence, queue, user, name in found if name is None}
    left = {(job, name) for job, _, _, _, name in found if name is not None}
    bills: list[_Bill] = []
    for one in asked:
        step, owner = one.step, owners.get((one.job, one.fence))
        if owner is None or (one.job, step.name) not in left:
            continue
        left.discard((one.job, step.name))
        session.tell(one.job, *owner, "step", one.told)
        if step.cost_usd or step.service_retries:
            bills.append(_bill(one.job, owner, step.cost_usd, step.service_retries))
    if bills:
        session.send(_CHARGE, (_json(bills),))
    _pay(session, bills)
    return refusals(asked, owners)


def note(session: SqlSession, asked: Sequence[NoteWrite]) -> list[JobError | None]:
    """Tell of jobs."""
    # A statement changes a row once: of several who say how far a job is, the last is right.
    rows: dict[tuple[str, int], dict[str, object]] = {}
    for one in asked:
        row = rows.setdefault((one.job, one.fence), {"job": one.job, "fence": one.fence})
        if one.progress is not None:
            row["progress"] = one.progress
    owners = _owners(session, _NOTE, rows.values())
    for one in asked:
        if (one.job, one.fence) in owners:
            session.tell(one.job, *owners[one.job, one.fence], one.kind, _bytes(one.data))
    return refusals(asked, owners)


def succeed(session: SqlSession, asked: Sequence[Success]) -> list[JobError | None]:
    """End jobs well, each once."""
    rows: dict[tuple[str, int], dict[str, object]] = {}
    for one in asked:
        result = b64encode(one.result).decode()
        row: dict[str, object] = {
            "job": one.job,
            "fence": one.fence,
            "usd": one.usd,
            "retries": one.retries,
            "result": result,
        }
        rows.setdefault((one.job, one.fence), row)
    ended = _owners(session, _SUCCEED, rows.values())
    outcomes: list[JobError | None] = []
    bills: list[_Bill] = []
    for one in asked:
        owner = ended.pop((one.job, one.fence), None)  # the second that ends a job comes too late
        outcomes.append(LeaseLostError(one.job, one.fence) if owner is None else None)
        if owner is None:
            continue
        session.tell(one.job, *owner, "succeeded", b"{}")
        if one.usd:
            bills.append(_bill(one.job, owner, one.usd, one.retries))
    _pay(session, bills)
    return outcomes


def _owners(session: SqlSession, sql: str, rows: Collection[object]) -> dict[tuple[str, int], Owner]:
    """Change the jobs that are still their worker's; returns whose they are."""
    found = session.rows(sql, (_json(list(rows)),))
    return {
        (job, fence): (queue, user)
        for job, fence, queue, user in cast("list[tuple[str, int, str, str | None]]", found)
    }


def _bill(job: str, owner: Owner, usd: float, retries: int) -> _Bill:
    return {"job": job, "queue": owner[0], "user_key": owner[1], "usd": usd, "retries": retries}


def _pay(session: SqlSession, bills: Sequence[_Bill]) -> None:
    """Enter into the ledger what was spent."""
    paid = [bill for bill in bills if bill["usd"]]
    if paid:
        session.send(_PAY, (_json(paid),))


def _fields(step: Step) -> dict[str, object]:
    return {name: getattr(step, name) for name in step.__struct_fields__ if name != "at"}


def _bytes(data: Mapping[str, object]) -> bytes:
    return msgspec.json.encode(data)


def _json(rows: object) -> str:
    return msgspec.json.encode(rows).decode()
