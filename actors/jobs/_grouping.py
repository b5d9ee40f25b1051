"""Group dead jobs by their cause."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ._records import DeadGroup, Job

_ID = r"\b[0-7][0-9a-hjkmnp-tv-z]{25}\b"
"""Of a job: many errors name it."""
_VARIES = re.compile(rf"{_ID}|0x[0-9a-f]+|[0-9a-f]{{8,}}(?:-[0-9a-f]{{4,}})*|\d+(?:\.\d+)?", re.IGNORECASE)
_LONGEST = 160
"""Characters of an error's text by which dead jobs are grouped."""


def cause_of(step: str | None, error_type: str, text: str) -> str:
    """Say why a job died in words that are the same for all that died so: without numbers and ids."""
    words = _VARIES.sub("#", " ".join(text.split()))[:_LONGEST]
    where = "" if step is None else f"{_VARIES.sub('#', step)}: "
    return f"{where}{error_type}: {words}"


def group_dead(jobs: Iterable[Job]) -> list[DeadGroup]:
    """Group dead *jobs* by kind and cause, the largest group first."""
    groups: dict[tuple[str, str], list[Job]] = {}
    for job in jobs:
        groups.setdefault((job.kind, job.cause or ""), []).append(job)
    found = [_group(kind, cause, sorted(group, key=_ended)) for (kind, cause), group in groups.items()]
    return sorted(found, key=lambda group: (-group.count, group.kind, group.cause))


def _group(kind: str, cause: str, jobs: list[Job]) -> DeadGroup:
    return DeadGroup(
        kind=kind,
        cause=cause,
        count=len(jobs),
        first_at=_ended(jobs[0]),
        last_at=_ended(jobs[-1]),
        sample=jobs[-1].id,
        cost_usd=sum(job.cost_usd for job in jobs),
    )


def _ended(job: Job) -> float:
    return job.finished_at or 0.0
