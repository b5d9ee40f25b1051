"""What people do with dead letters: which ones they choose, and what comes of it."""

from __future__ import annotations

import enum
from collections.abc import Collection

import msgspec

from ._checks import check_each, check_ids, check_kind
from ._errors import EmptySelectionError
from ._records import JobState, Query


class LetterSource(enum.StrEnum):
    """Where a dead letter comes from."""

    JOB = "job"
    """A job that used up its attempts."""
    ACTOR = "actor"
    """A message that no actor will handle: it has stopped, has no handler or no room for it."""
    SERVICE = "service"
    """A message that a service's guard refused."""


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter: a dead job, or a message that could not be delivered."""

    source: LetterSource
    id: str
    """The job's; of a message ``letter-``, its system's series, and its number there."""
    kind: str
    """The job function, or the message's type."""
    where: str
    """The queue, or the actor's path."""
    cause: str
    at: float
    """When it died, in seconds since 1970."""
    error: str = ""
    content: object = None
    """A message's fields, without secrets. Of a job see `DeadLetterOffice.show`."""
    attempts: int = 0
    """Attempts a job has used."""
    user: str | None = None
    cost_usd: float = 0.0
    process: str | None = None
    """Of a message: host and process id of where it died."""


class LetterGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Dead letters of one kind that died of the same cause."""

    source: LetterSource
    kind: str
    cause: str
    count: int
    first_at: float
    last_at: float
    sample: str
    """Id of the newest."""
    cost_usd: float = 0.0


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an action on several dead letters."""

    matched: int
    """How many were found."""
    done: int
    """How many it was done to."""
    ids: tuple[str, ...]
    """Of these, or of the new jobs; the first thousand."""
    is_stopped: bool = False
    """It was stopped, or *most* were done, before all had their turn."""
    deadlines_removed: int = 0
    """How many of the jobs retried have no deadline any more, since theirs had passed."""

    @property
    def skipped(self) -> int:
        """How many were left as they are: another state by now, or another job holds their unique key."""
        return self.matched - self.done


Selection = str | Collection[str] | Query
"""An id, some ids, or what they have in common."""

KEPT_IDS = 1000


def check_query(query: object) -> None:
    """Refuse what is no query.

    Raises:
        JobSpecError: It is none.
    """
    check_kind("query", query, Query, "a query", "write Query(kind=...)")


def query_of(selection: Selection, states: Collection[JobState], *, everything: bool) -> Query:
    """Return what is selected.

    Args:
        selection: As a person said it.
        states: In which jobs are looked for where it names neither ids nor states.
        everything: The person said that all are meant.

    Raises:
        EmptySelectionError: Nothing is selected, and not everything is meant.
        JobSpecError: It is none of these.
    """
    if isinstance(selection, str) and selection:
        return Query(ids=frozenset({selection}))
    if not isinstance(selection, Query):
        if not selection:
            raise EmptySelectionError
        check_each("selection", selection, "name an id, ids, or a Query")
        check_ids("selection", selection, "name an id, ids, or a Query")
        return Query(ids=frozenset(selection))
    if not everything and msgspec.structs.replace(selection, states=frozenset()) == Query():
        raise EmptySelectionError
    if selection.states or selection.ids:
        return selection
    return msgspec.structs.replace(selection, states=frozenset(states))
