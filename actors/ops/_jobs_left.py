"""Say why something could not be done to a job that was named."""

from __future__ import annotations

from collections.abc import Sequence

from ..jobs import DeadLetterOffice, JobReport, JobState, Letter, Outcome

_ENDED = frozenset(state for state in JobState if state.is_final)
_TAKEN = {
    "retry": (_ENDED - {JobState.SUCCEEDED}, "dead, cancelled and discarded jobs are retried"),
    "replay": (_ENDED, "only jobs that have ended are replayed"),
    "edit": (_ENDED, "only jobs that have ended are replayed"),
    "cancel": (frozenset(JobState) - _ENDED, "only unfinished jobs are cancelled"),
    "discard": (frozenset({JobState.DEAD}), "only dead jobs are put aside"),
}
_MOST = 20
"""Ids that are looked at."""


async def looked_up(office: DeadLetterOffice, ids: Sequence[str]) -> dict[str, JobReport | Letter | None]:
    """Look at what was named, before something is done to it."""
    return {id_: await office.show(id_) for id_ in ids[:_MOST]}


def reasons(
    action: str, found: dict[str, JobReport | Letter | None], outcome: Outcome, *, is_of_states: bool
) -> list[str]:
    """Say in a line each why something was not done; *is_of_states*: jobs were asked for by their state."""
    if not found:
        return _reasons_of_query(action, outcome, is_of_states=is_of_states)
    lines = [line for id_, each in found.items() if (line := _reason(action, id_, each)) is not None]
    if outcome.skipped > _refused(action, found):
        lines.append("some are left as they are: another unfinished job has their unique key")
    elif not lines and outcome.matched < len(found):
        lines.append("some are none of what the other options ask for")
    return lines


def _reasons_of_query(action: str, outcome: Outcome, *, is_of_states: bool) -> list[str]:
    if outcome.done:
        return []
    allowed = _TAKEN[action][1]
    if outcome.matched:
        return [f"they are left as they are: {allowed}, and none whose unique key another unfinished job has"]
    if is_of_states:
        return [f"there is nothing like that; {allowed}"]
    if action in ("cancel", "discard"):
        return [f"there is nothing like that: {allowed}"]
    return [f"there is nothing like that among the dead; {allowed}: name others by id, or add --state"]


def _reason(action: str, id_: str, found: JobReport | Letter | None) -> str | None:
    if found is None:
        return f"there is no {'message' if id_.startswith('letter-') else 'job'} {id_}"
    if isinstance(found, Letter):
        is_for_jobs = action in ("edit", "cancel")
        return f"{id_} is a message, not a job: it can be shown and discarded" if is_for_jobs else None
    return None if _fits(action, found) else f"job {id_} is {found.state}: {_TAKEN[action][1]}"


def _refused(action: str, found: dict[str, JobReport | Letter | None]) -> int:
    return sum(isinstance(each, JobReport) and not _fits(action, each) for each in found.values())


def _fits(action: str, job: JobReport) -> bool:
    return job.state in _TAKEN[action][0]
