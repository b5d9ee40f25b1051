"""Rows of the SQL stores as the records that callers see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import msgspec

from ._records import Attempt, Event, Job, JobState, Query, Step

Row = Sequence[object]

_NAMES = {"user": "user_key", "limit": "key_limit"}
"""Fields whose names are words of SQL."""

_STATES = {str(state): state for state in JobState}
_MOST_MARKS = 512


def _columns(record: type[msgspec.Struct]) -> str:
    return ", ".join(_NAMES.get(name, name) for name in record.__struct_fields__)


JOB_COLUMNS = _columns(Job)
ATTEMPT_COLUMNS = _columns(Attempt)
STEP_COLUMNS = _columns(Step)
EVENT_COLUMNS = "job, queue, user_key, kind, at, data"


def job_of(row: Row) -> Job:
    """Read a row of `JOB_COLUMNS`."""
    values = _values(Job, row)
    values["state"] = _STATES[cast("str", values["state"])]
    values["is_cancel_requested"] = bool(values["is_cancel_requested"])
    return Job(**values)


def attempt_of(row: Row) -> Attempt:
    """Read a row of `ATTEMPT_COLUMNS`."""
    values = _values(Attempt, row)
    values["is_spent"] = bool(values["is_spent"])
    return Attempt(**values)


def step_of(row: Row) -> Step:
    """Read a row of `STEP_COLUMNS`."""
    return Step(**_values(Step, row))


def _values(record: type[msgspec.Struct], row: Row) -> dict[str, Any]:
    return dict(zip(record.__struct_fields__, row, strict=True))


def event_of(cursor: str, row: Row) -> Event:
    """Read a row of `EVENT_COLUMNS`."""
    job, queue, user, kind, at, data = row
    return Event(
        cursor=cursor,
        job=cast("str", job),
        queue=cast("str", queue),
        user=cast("str | None", user),
        kind=cast("str", kind),
        at=cast("float", at),
        data=msgspec.json.decode(cast("bytes", data), type=dict[str, object]),
    )


def where(query: Query) -> tuple[str, list[object]]:
    """Return a condition that holds for the jobs of *query*, and its values."""
    conditions, values = ["1 = 1"], list[object]()
    for column, value in (
        ("queue", query.queue),
        ("kind", query.kind),
        ("user_key", query.user),
        ("cause", query.cause),
    ):
        if value is not None:
            conditions.append(f"{column} = ?")
            values.append(value)
    for column, choice in (("state", query.states), ("id", query.ids)):
        if choice:
            conditions.append(f"{column} IN ({marks(len(choice))})")
            values.extend(sorted(map(str, choice)))
    return " AND ".join(conditions), values


def marks(count: int) -> str:
    """Return so many placeholders."""
    return ", ".join("?" * count)


def chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Split *ids* for statements with a placeholder for each, few of them different.

    The last is repeated up to a power of two: a database plans a statement once and knows it again.
    """
    for start in range(0, len(ids), _MOST_MARKS):
        some = ids[start : start + _MOST_MARKS]
        yield [*some, *[some[-1]] * ((1 << (len(some) - 1).bit_length()) - len(some))]
