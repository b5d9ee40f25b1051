"""What the SQL stores do with the step of a run that has lost its job; see `Store.save_late`."""

from __future__ import annotations

import msgspec

from ._records import Job, Step, is_same_step, told_of_drop
from ._sql_rows import STEP_COLUMNS, marks, step_of
from ._sql_session import SqlSession
from ._sql_writes import charge_step, known, tell_of


def save_late(session: SqlSession, job: str, run: int, step: Step) -> bool:
    """Store a step, if no run has begun since the one that finished it."""
    found = known(session, [job])  # nobody claims it meanwhile
    if not found:
        return False
    there = session.rows(
        f"SELECT {STEP_COLUMNS} FROM relight_step WHERE job = ? AND name = ?",  # noqa: S608
        (job, step.name),
    )
    if there and is_same_step(step_of(there[0]), step):
        return True
    if there or found[0].runs != run:
        _drop(session, found[0], run, step)
        return False
    values = [getattr(step, name) for name in step.__struct_fields__ if name != "at"]
    session.send(
        f"INSERT INTO relight_step (job, {STEP_COLUMNS}) VALUES ({marks(len(values) + 2)})",  # noqa: S608
        (job, *values, session.now()),
    )
    charge_step(session, job, (found[0].queue, found[0].user), step, session.now())
    tell_of(session, found[0], "step", step.told)
    return True


def _drop(session: SqlSession, job: Job, run: int, step: Step) -> None:
    """Note what it cost, once: its event tells that this was done."""
    told = told_of_drop(run, step)
    if not session.rows(
        "SELECT 1 FROM relight_event WHERE job = ? AND kind = 'step_dropped' AND data = ?",
        (job.id, msgspec.json.encode(told)),
    ):
        charge_step(session, job.id, (job.queue, job.user), step, session.now())
        tell_of(session, job, "step_dropped", told)
