"""DeadMessage: what a store keeps of a message that could not be delivered."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable

import msgspec

from ...runtime import DeadLetter, cell_of
from ._dead_records import Letter, LetterSource
from ._message_content import content_of, encode_content, plain
from ._records import JobState, Query

_OF_ACTORS = frozenset({"stopped", "unhandled", "overflow"})
_PREFIX = "letter-"
_LONGEST_NAME = 512
"""Characters of a path, a type or a reason."""


class DeadMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message that could not be delivered, as a store keeps it: what may be shown of it, no more."""

    id: str
    """``letter-``, its system's series, and its number there."""
    source: LetterSource
    kind: str
    """The message's type."""
    where: str
    """The path of the actor it was meant for."""
    cause: str
    at: float
    """When, in seconds since 1970, by the clock of the process it was in."""
    process: str
    """Which that was: host and process id."""
    content: bytes
    """Its fields as JSON, without secrets, 8 KiB at the most."""


def name_of(letter: DeadLetter) -> str:
    """Return the id of a message of this process."""
    return f"{_PREFIX}{cell_of(letter.ref).kernel.dead_letters.series}-{letter.number}"


def is_name(id_: str) -> bool:
    """Tell whether an id may be a message's."""
    return id_.startswith(_PREFIX)


def start_of(letter: DeadLetter, clock: Callable[[], float]) -> float:
    """Return when the clock of a message's system showed 0, in seconds since 1970.

    Read it once for all messages of a list: two readings differ by a little, more than two messages do.
    """
    return clock() - cell_of(letter.ref).kernel.now()


def letter_of(letter: DeadLetter, start: float) -> Letter:
    """Describe a message of this process; *start* is its system's `start_of`."""
    return Letter(
        source=_source(letter),
        id=name_of(letter),
        kind=plain(type(letter.message).__name__, _LONGEST_NAME),
        where=plain(letter.ref.path, _LONGEST_NAME),
        cause=plain(letter.reason, _LONGEST_NAME),
        at=start + letter.at,
        error=plain(letter.reason, _LONGEST_NAME),
        content=content_of(letter.message),
        process=this_process(),
    )


def message_of(letter: DeadLetter, start: float) -> DeadMessage:
    """Return what is kept of a message of this process; *start* is its system's `start_of`."""
    shown = letter_of(letter, start)
    return DeadMessage(
        id=shown.id,
        source=shown.source,
        kind=shown.kind,
        where=shown.where,
        cause=shown.cause,
        at=shown.at,
        process=this_process(),
        content=encode_content(shown.content),
    )


def letter_of_kept(message: DeadMessage) -> Letter:
    """Describe a message that was kept."""
    return Letter(
        source=message.source,
        id=message.id,
        kind=message.kind,
        where=message.where,
        cause=message.cause,
        at=message.at,
        error=message.cause,
        content=msgspec.json.decode(message.content),
        process=message.process,
    )


def is_wanted(message: DeadLetter | DeadMessage, query: Query) -> bool:
    """Tell whether a message is among what is asked for. None is of a user's."""
    if isinstance(message, DeadMessage):
        facts = (message.id, message.where, message.kind, message.cause)
    else:
        facts = (name_of(message), message.ref.path, type(message.message).__name__, message.reason)
    id_, where, kind, cause = facts
    return (
        may_be_message(query)
        and (not query.ids or id_ in query.ids)
        and query.queue in (None, where)
        and query.kind in (None, kind)
        and query.cause in (None, cause)
    )


def may_be_message(query: Query) -> bool:
    """Tell whether messages are among what is asked for."""
    return query.user is None and (not query.states or JobState.DEAD in query.states)


def this_process() -> str:
    """Name this process for people."""
    return f"{platform.node() or 'host'}-{os.getpid()}"


def _source(letter: DeadLetter) -> LetterSource:
    return LetterSource.ACTOR if letter.reason in _OF_ACTORS else LetterSource.SERVICE
