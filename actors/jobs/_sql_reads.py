"""What the SQL stores read; see `Store` for what each means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import cast

import msgspec

from ._checks import cursor_number
from ._errors import CursorExpiredError
from ._records import (
    COUNTED,
    DeadGroup,
    Event,
    Job,
    JobDetail,
    JobState,
    Prunable,
    Query,
    QueueState,
    Spending,
)
from ._sql_claims import steps_of
from ._sql_rows import ATTEMPT_COLUMNS, JOB_COLUMNS, attempt_of, chunks, event_of, job_of, marks, where
from ._sql_session import SqlSession


def next_due(session: SqlSession, queues: Sequence[str]) -> float | None:
    """Return the seconds until the next waiting job is due."""
    sql = (
        "SELECT min(CASE WHEN deadline < run_at THEN deadline ELSE run_at END) FROM relight_job "  # noqa: S608
        f"WHERE state = 'waiting' AND queue IN ({marks(len(queues))})"
    )
    due = cast("float | None", session.rows(sql, queues)[0][0])
    return None if due is None else max(0.0, due - session.now())


def job_detail(session: SqlSession, id_: str) -> JobDetail | None:
    """Look at one job."""
    found = session.rows(f"SELECT {JOB_COLUMNS} FROM relight_job WHERE id = ?", (id_,))  # noqa: S608
    if not found:
        return None
    sql = f"SELECT {ATTEMPT_COLUMNS} FROM relight_attempt WHERE job = ? ORDER BY number"  # noqa: S608
    attempts = tuple(attempt_of(row) for row in session.rows(sql, (id_,)))
    return JobDetail(job=job_of(found[0]), attempts=attempts, steps=steps_of(session, id_))


def list_jobs(session: SqlSession, query: Query, after: str | None, most: int) -> list[Job]:
    """List jobs, newest first."""
    condition, values = where(query)
    if after is not None:
        condition += " AND id < ?"
        values.append(after)
    sql = f"SELECT {JOB_COLUMNS} FROM relight_job WHERE {condition} ORDER BY id DESC LIMIT ?"  # noqa: S608
    return [job_of(row) for row in session.rows(sql, (*values, most))]


def dead_groups(session: SqlSession, query: Query) -> list[DeadGroup]:
    """Group dead jobs by kind and cause."""
    condition, values = where(query)
    sql = (
        "SELECT kind, coalesce(cause, ''), count(*), min(finished_at), max(finished_at), sum(cost_usd) "  # noqa: S608
        f"FROM relight_job WHERE state = 'dead' AND {condition} "
        "GROUP BY kind, coalesce(cause, '') ORDER BY count(*) DESC, kind, coalesce(cause, '')"
    )
    groups = [cast("_GroupRow", tuple(row)) for row in session.rows(sql, values)]
    return [_group(session, condition, values, *group) for group in groups]


_GroupRow = tuple[str, str, int, float, float, float]


def _group(
    session: SqlSession,
    condition: str,
    values: Sequence[object],
    kind: str,
    cause: str,
    count: int,
    first: float,
    last: float,
    usd: float,
) -> DeadGroup:
    sql = (
        "SELECT max(id) FROM relight_job WHERE state = 'dead' AND kind = ? AND coalesce(cause, '') = ? "  # noqa: S608
        f"AND finished_at = ? AND {condition}"
    )
    sample = str(session.rows(sql, (kind, cause, last, *values))[0][0])
    return DeadGroup(
        kind=kind, cause=cause, count=count, first_at=first, last_at=last, sample=sample, cost_usd=usd
    )


_COUNTS = " UNION ALL ".join(
    f"SELECT queue, '{state}', count(*), {'min(run_at)' if state is JobState.QUEUED else 'NULL'} "  # noqa: S608
    f"FROM relight_job WHERE state = '{state}' GROUP BY queue"
    for state in COUNTED
)
"""Each state by its partial index, which holds nothing of the jobs that ended well. In one statement: a job
that is claimed between two would be counted twice."""
_ALL_COUNTS = "SELECT queue, state, count(*), min(run_at) FROM relight_job GROUP BY queue, state"


def queues(session: SqlSession, *, ended: bool) -> list[QueueState]:
    """Look at the queues."""
    states = tuple(JobState) if ended else COUNTED
    settings = {
        str(name): (bool(is_paused), cast("int | None", most))
        for name, is_paused, most in session.rows("SELECT name, is_paused, max_running FROM relight_queue")
    }
    counts = {name: dict.fromkeys(states, 0) for name in settings}
    oldest: dict[str, float] = {}
    for name, state, count, since in session.rows(_ALL_COUNTS if ended else _COUNTS):
        counts.setdefault(str(name), dict.fromkeys(states, 0))[JobState(str(state))] = cast("int", count)
        if state == "queued":
            oldest[str(name)] = cast("float", since)
    workers = _workers(session)
    return [
        QueueState(
            name=name,
            is_paused=paused,
            max_running=most,
            counts=counts[name],
            oldest_at=oldest.get(name),
            workers=workers[name],
        )
        for name in sorted(counts)
        for paused, most in [settings.get(name, (False, None))]
    ]


def _workers(session: SqlSession) -> Counter[str]:
    """Count the workers whose lease goes on, by queue. Those of an older version did not say theirs."""
    sql = "SELECT queues FROM relight_worker WHERE expires_at > ? AND queues IS NOT NULL"
    workers: Counter[str] = Counter()
    for (names,) in session.rows(sql, (session.now(),)):
        workers.update(msgspec.json.decode(cast("bytes", names), type=list[str]))
    return workers


def spent(session: SqlSession, since: float, user: str | None, queue: str | None) -> float:
    """Return the US dollars in the ledger since a moment."""
    sql, values = "SELECT coalesce(sum(usd), 0.0) FROM relight_ledger WHERE at >= ?", list[object]([since])
    for column, value in (("user_key", user), ("queue", queue)):
        if value is not None:
            sql += f" AND {column} = ?"
            values.append(value)
    return float(cast("float", session.rows(sql, values)[0][0]))


def sums(session: SqlSession, since: float, until: float) -> list[Spending]:
    """Return what was spent within some time, by queue and user."""
    sql = (
        "SELECT queue, user_key, sum(usd) FROM relight_ledger WHERE at >= ? AND at < ? "
        "GROUP BY queue, user_key ORDER BY sum(usd) DESC, queue, coalesce(user_key, '')"
    )
    return [
        Spending(queue=str(queue), user=None if user is None else str(user), usd=float(cast("float", usd)))
        for queue, user, usd in session.rows(sql, (since, until))
    ]


_PRUNABLE = """
    SELECT (SELECT count(*) FROM relight_job WHERE finished_at < ? AND finished_at IS NOT NULL),
        (SELECT count(*) FROM relight_event WHERE at < ?),
        (SELECT count(*) FROM relight_message WHERE at < ?),
        (SELECT count(*) FROM relight_ledger WHERE at < ?)
"""


def prunable(session: SqlSession, ended_before: float, ledger_before: float) -> Prunable:
    """Count what is old enough to be deleted."""
    found = session.rows(_PRUNABLE, (ended_before, ended_before, ended_before, ledger_before))
    jobs, events, messages, entries = cast("tuple[int, int, int, int]", tuple(found[0]))
    return Prunable(jobs=jobs, events=events, messages=messages, ledger=entries)


def blobs_in_use(session: SqlSession, names: Collection[str]) -> frozenset[str]:
    """Return which files of large results some step refers to."""
    found: set[str] = set()
    for some in chunks(sorted(names)):
        sql = f"SELECT DISTINCT blob FROM relight_step WHERE blob IN ({marks(len(some))})"  # noqa: S608
        found.update(str(name) for (name,) in session.rows(sql, some))
    return frozenset(found)


def last_cursor(session: SqlSession) -> str:
    """Return the cursor after the newest event."""
    return session.last_cursor()


def events(
    session: SqlSession, after: str, most: int, job: str | None, user: str | None, queue: str | None
) -> list[Event]:
    """Return events after a cursor."""
    cursor_number(after)
    conditions, values = "", list[object]()
    for column, value in (("job", job), ("user_key", user), ("queue", queue)):
        if value is not None:
            conditions += f" AND {column} = ?"
            values.append(value)
    found = session.events(after, conditions, values, most)
    if session.is_pruned(after):  # asked last: what was deleted while we read is noticed, too
        raise CursorExpiredError(after)
    return [event_of(cursor, row) for cursor, row in found]
