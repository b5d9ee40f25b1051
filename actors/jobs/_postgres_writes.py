"""What PostgreSQL is asked for all at once: the writes that workers make most, many rows a statement.

Rows travel as one JSON parameter: msgspec writes it faster than psycopg a parameter for each value.
Everything else is asked for one by one, as in `_sql_writes`.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import ClassVar, cast

import msgspec

from ._errors import JobError, LeaseLostError, StoreError
from ._records import NewJob, Step
from ._sql_rows import JOB_COLUMNS, STEP_COLUMNS
from ._sql_session import SqlSession
from ._writer import Together

_NOW = "extract(epoch FROM now())::float8"
_ENQUEUE = f"""
    INSERT INTO relight_job ({JOB_COLUMNS})
    SELECT n.id, n.queue, n.kind, decode(n.args, 'base64'), CASE WHEN n.delay > 0 THEN 'waiting' ELSE 'queued' END,
        n.version, n.priority, 0, n.max_attempts, 0, 0, 0, NULL, {_NOW}, {_NOW} + greatest(0, n.delay), NULL, NULL,
        {_NOW} + n.timeout, n.unique_key, n.limit_key, n."limit", n."user", n.replay_of, 0, NULL, NULL, NULL, NULL,
        0, n.budget_usd
    FROM json_to_recordset(?::json) AS n(
        id text, queue text, kind text, args text, version text, priority int, delay float8, max_attempts int,
        timeout float8, unique_key text, limit_key text, "limit" int, "user" text, replay_of text, budget_usd float8)
    ON CONFLICT DO NOTHING RETURNING id
"""  # noqa: S608
_FOUND = "SELECT id FROM relight_job WHERE id = ANY(?)"
_HOLDERS = (
    "SELECT unique_key, id FROM relight_job "
    "WHERE unique_key = ANY(?) AND state IN ('queued', 'waiting', 'running')"
)
_CHARGE = """
    UPDATE relight_job AS j SET
        cost_usd = j.cost_usd + w.usd, service_retries = j.service_retries + w.retries{changes}
    FROM json_to_recordset(?::json) AS w(job text, fence int, usd float8, retries int, progress float8, result text)
    WHERE j.id = w.job AND j.fence = w.fence AND j.state = 'running'
    RETURNING j.id, j.fence, j.queue, j.user_key
"""
_PAY = f"""
    INSERT INTO relight_ledger SELECT l.job, l.queue, l.user_key, {_NOW}, l.usd
    FROM json_to_recordset(?::json) AS l(job text, queue text, user_key text, usd float8)
"""  # noqa: S608
_STEPS = f"""
    INSERT INTO relight_step (job, {STEP_COLUMNS})
    SELECT s.job, s.name, decode(s.result, 'base64'), s.blob, s.version, s.seconds, s.cost_usd, s.service_retries, {_NOW}
    FROM json_to_recordset(?::json) AS s(
        job text, name text, result text, blob text, version text, seconds float8, cost_usd float8, service_retries int)
    ON CONFLICT (job, name) DO UPDATE SET result = excluded.result, blob = excluded.blob,
        version = excluded.version, seconds = excluded.seconds, at = excluded.at
"""  # noqa: S608
_TRIES = 10


class Enqueue(Together[SqlSession, list[str]]):
    """Store jobs; see `Store.enqueue`."""

    def __init__(self, jobs: Sequence[NewJob]) -> None:
        self.jobs = jobs

    @classmethod
    def apply(
        cls, connection: SqlSession, operations: Sequence[Together[SqlSession, list[str]]]
    ) -> list[list[str] | JobError]:
        """Store the jobs of all *operations*."""
        asked = [cast("Enqueue", operation).jobs for operation in operations]
        ids = iter(_enqueue(connection, [job for jobs in asked for job in jobs]))
        return [[next(ids) for _ in jobs] for jobs in asked]


def _enqueue(session: SqlSession, jobs: Sequence[NewJob]) -> list[str]:
    ids: dict[int, str] = {}
    for _ in range(_TRIES):
        left = {place: job for place, job in enumerate(jobs) if place not in ids}
        if not left:
            return [ids[place] for place in range(len(jobs))]
        stored = {str(id_) for (id_,) in session.rows(_ENQUEUE, (_json(list(left.values())),))}
        for place, job in left.items():
            if job.id in stored:
                stored.remove(job.id)
                ids[place] = job.id
                session.tell(job.id, job.queue, job.user, "enqueued", _bytes({"kind": job.kind}))
        # Who held a key may have ended between two statements: then there is nobody now, and we try again.
        ids.update(_there_already(session, {p: job for p, job in left.items() if p not in ids}))
    problem = "unique keys change hands all the time: try again"
    raise StoreError("PostgreSQL", problem, is_passing=True)


def _there_already(session: SqlSession, jobs: Mapping[int, NewJob]) -> dict[int, str]:
    if not jobs:
        return {}
    found = {str(id_) for (id_,) in session.rows(_FOUND, ([job.id for job in jobs.values()],))}
    keys = [job.unique_key for job in jobs.values() if job.unique_key is not None]
    holders = dict(cast("list[tuple[str, str]]", session.rows(_HOLDERS, (keys,)))) if keys else {}
    return {
        place: job.id if job.id in found else holders[cast("str", job.unique_key)]
        for place, job in jobs.items()
        if job.id in found or job.unique_key in holders
    }


class _OfOwner(Together[SqlSession, None]):
    """A write of the worker that owns a job."""

    changes: ClassVar[str] = ""
    """What is set in the job's row."""
    ends: ClassVar[bool] = False
    """The job is over with it, so that it can be made once only."""

    def __init__(self, job: str, fence: int, *, usd: float = 0.0, retries: int = 0) -> None:
        self.job = job
        self.fence = fence
        self.usd = usd
        self.retries = retries
        self.owner: tuple[str, str | None] | None = None
        """The job's queue and user, once it is clear that it is still the worker's."""

    @property
    def set_to(self) -> dict[str, object]:
        """Values that `changes` names."""
        return {}

    @classmethod
    def apply(
        cls, connection: SqlSession, operations: Sequence[Together[SqlSession, None]]
    ) -> list[JobError | None]:
        """Make *operations*: charge what their jobs have spent, then the rest."""
        asked = cast("Sequence[_OfOwner]", operations)
        _charge(connection, asked, cls.changes)
        owned = [one for one in asked if one.owner is not None]
        cls.store(connection, owned)
        return [None if one.owner is not None else LeaseLostError(one.job, one.fence) for one in asked]

    @classmethod
    def store(cls, session: SqlSession, owned: Sequence[_OfOwner]) -> None:
        """Store what is not in the job's row."""
        raise NotImplementedError

    def tell(self, session: SqlSession, kind: str, data: Mapping[str, object]) -> None:
        """Tell of the job."""
        assert self.owner is not None
        session.tell(self.job, *self.owner, kind, _bytes(data))


class SaveStep(_OfOwner):
    """Store a finished step; see `Store.save_step`."""

    def __init__(self, job: str, fence: int, step: Step) -> None:
        super().__init__(job, fence, usd=step.cost_usd, retries=step.service_retries)
        self.step = step

    @classmethod
    def store(cls, session: SqlSession, owned: Sequence[_OfOwner]) -> None:
        """Store the steps."""
        steps = cast("Sequence[SaveStep]", owned)
        if steps:
            session.send(_STEPS, (_json([{"job": one.job, **_fields(one.step)} for one in steps]),))
        for one in steps:
            step = one.step
            one.tell(session, "step", {"name": step.name, "seconds": step.seconds, "cost_usd": step.cost_usd})


class Note(_OfOwner):
    """Tell something of a running job; see `Store.note`."""

    changes = ", progress = coalesce(w.progress, j.progress)"

    def __init__(self, job: str, fence: int, kind: str, data: Mapping[str, object]) -> None:
        super().__init__(job, fence)
        self.kind = kind
        self.data = data

    @property
    def set_to(self) -> dict[str, object]:
        """How far it is, if it says so."""
        value = self.data.get("value")
        return (
            {"progress": float(value)} if self.kind == "progress" and isinstance(value, int | float) else {}
        )

    @classmethod
    def store(cls, session: SqlSession, owned: Sequence[_OfOwner]) -> None:
        """Tell it."""
        for one in cast("Sequence[Note]", owned):
            one.tell(session, one.kind, one.data)


class Succeed(_OfOwner):
    """End a job well; see `Store.succeed`."""

    changes = (
        f", state = 'succeeded', worker = NULL, finished_at = {_NOW}, result = decode(w.result, 'base64'), "
        "progress = 1.0, error = NULL, cause = NULL"
    )
    ends = True

    def __init__(self, job: str, fence: int, result: bytes, *, usd: float, retries: int) -> None:
        super().__init__(job, fence, usd=usd, retries=retries)
        self.result = result

    @property
    def set_to(self) -> dict[str, object]:
        """Its result."""
        return {"result": b64encode(self.result).decode()}

    @classmethod
    def store(cls, session: SqlSession, owned: Sequence[_OfOwner]) -> None:
        """Tell it."""
        for one in owned:
            one.tell(session, "succeeded", {})


def _charge(session: SqlSession, writes: Sequence[_OfOwner], changes: str) -> None:
    """Note what each write's job has spent, and who still owns it.

    A statement changes a row once, so writes for one job are added up.
    """
    rows: dict[tuple[str, int], dict[str, object]] = {}
    for one in writes:
        one.owner = None  # perhaps it is made again
        if one.ends and (one.job, one.fence) in rows:
            continue
        row = rows.setdefault(
            (one.job, one.fence), {"job": one.job, "fence": one.fence, "usd": 0.0, "retries": 0}
        )
        row["usd"] = cast("float", row["usd"]) + one.usd
        row["retries"] = cast("int", row["retries"]) + one.retries
        row.update(one.set_to)
    found = session.rows(_CHARGE.format(changes=changes), (_json(list(rows.values())),))
    owners = {(job, fence): (queue, user) for job, fence, queue, user in found}
    for one in writes:
        one.owner = cast("tuple[str, str | None] | None", owners.get((one.job, one.fence)))
        if one.ends:  # the second that ends a job comes too late
            owners.pop((one.job, one.fence), None)
    bills = [
        {"job": one.job, "queue": one.owner[0], "user_key": one.owner[1], "usd": one.usd}
        for one in writes
        if one.owner is not None and one.usd
    ]
    if bills:
        session.send(_PAY, (_json(bills),))


def _fields(step: Step) -> dict[str, object]:
    return {name: getattr(step, name) for name in step.__struct_fields__ if name != "at"}


def _bytes(data: Mapping[str, object]) -> bytes:
    return msgspec.json.encode(data)


def _json(rows: object) -> str:
    return msgspec.json.encode(rows).decode()
