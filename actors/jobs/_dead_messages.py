"""Undeliverable messages, shown as dead letters among dead jobs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from ...runtime import DeadLetter, cell_of, redact_mapping
from ._dead_records import Letter, LetterGroup, LetterSource
from ._records import JobState, Query

_OF_ACTORS = frozenset({"stopped", "unhandled", "overflow"})
_PREFIX = "letter-"


def letter_of(letter: DeadLetter, now: float) -> Letter:
    """Describe a message; *now* is the moment in seconds since 1970."""
    message = letter.message
    fields = {name: cast("object", getattr(message, name)) for name in message.__struct_fields__}
    return Letter(
        source=LetterSource.ACTOR if letter.reason in _OF_ACTORS else LetterSource.SERVICE,
        id=f"{_PREFIX}{letter.number}",
        kind=type(message).__name__,
        where=letter.ref.path,
        cause=letter.reason,
        at=now - (cell_of(letter.ref).kernel.now() - letter.at),
        error=letter.reason,
        content=redact_mapping(fields),
    )


def wanted(letter: DeadLetter, query: Query) -> bool:
    """Tell whether a message is among what is asked for. None is of a user's."""
    return (
        query.user is None
        and (not query.states or JobState.DEAD in query.states)
        and (not query.ids or f"{_PREFIX}{letter.number}" in query.ids)
        and query.queue in (None, letter.ref.path)
        and query.kind in (None, type(letter.message).__name__)
        and query.cause in (None, letter.reason)
    )


def groups_of(letters: Iterable[DeadLetter], now: float) -> list[LetterGroup]:
    """Group messages by type and reason."""
    groups: dict[tuple[LetterSource, str, str], LetterGroup] = {}
    for letter in letters:
        shown = letter_of(letter, now)
        key = (shown.source, shown.kind, shown.cause)
        before = groups.get(key)
        groups[key] = LetterGroup(
            source=shown.source,
            kind=shown.kind,
            cause=shown.cause,
            count=1 if before is None else before.count + 1,
            first_at=shown.at if before is None else before.first_at,
            last_at=shown.at,
            sample=shown.id,
        )
    return list(groups.values())
