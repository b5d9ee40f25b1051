"""The undeliverable messages of a system and of a store, as one list."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

import msgspec

from ...runtime import DeadLetter
from ...supervisors import System
from ._dead_message import DeadMessage, is_name, is_wanted, letter_of, letter_of_kept, name_of, start_of
from ._dead_records import Letter, LetterGroup, LetterSource
from ._errors import ForeignMessageError
from ._records import Query
from ._store import Store

_MOST = 10_000
"""More than a store keeps."""
_PART = 500
"""Ids asked for at a time: a database takes so many values only."""
_EVERY = Query()


class DeadMessages:
    """Look at undeliverable messages, and decide about them.

    Those of *system* are alive: they can be told again. What the store has besides can only be looked at.

    Args:
        store: Which keeps some; open.
        system: Whose messages are alive; None: none are.
        clock: Seconds since 1970.
    """

    def __init__(self, store: Store, system: System | None, clock: Callable[[], float]) -> None:
        self._store = store
        self._system = system
        self._clock = clock

    async def letters(self, query: Query, most: int = _MOST) -> list[Letter]:
        """List messages, newest first."""
        alive = self._described(self._alive(query)[-most:])
        kept = await self._kept(query, most)
        letters = [*alive.values(), *(letter_of_kept(each) for each in kept if each.id not in alive)]
        return sorted(letters, key=lambda letter: letter.at, reverse=True)[:most]

    async def groups(self, query: Query) -> list[LetterGroup]:
        """Group messages by type and reason."""
        return _groups(await self.letters(query))

    async def to_tell(self, query: Query) -> list[str]:
        """Return the ids of those that can be told again.

        Raises:
            ForeignMessageError: One is named that can't.
        """
        alive = [name_of(each) for each in reversed(self._alive(query))]
        if query.ids:
            for each in await self._kept(query, _MOST):
                if each.id not in alive:
                    raise ForeignMessageError(each.id, each.where, each.process)
        return alive

    async def to_forget(self, query: Query) -> list[str]:
        """Return the ids of those that can be forgotten."""
        return [letter.id for letter in await self.letters(query)]

    async def tell_again(self, ids: Collection[str]) -> int:
        """Tell messages that are alive again; returns how many were taken."""
        assert self._system is not None
        taken = await self._system.dead_letters.replay(lambda letter: name_of(letter) in ids)
        still = {name_of(each) for each in self._alive(_EVERY)}
        await self._store.forget_messages([id_ for id_ in ids if id_ not in still])
        return taken

    async def forget(self, ids: Collection[str]) -> int:
        """Forget messages, here and in the store; returns how many."""
        alive = {name_of(each) for each in self._alive(_EVERY)}.intersection(ids)
        if self._system is not None:
            self._system.dead_letters.discard(lambda letter: name_of(letter) in alive)
        kept = await self._store.forget_messages([id_ for id_ in ids if id_ not in alive])
        await self._store.forget_messages(alive)
        return len(alive) + kept

    async def _kept(self, query: Query, most: int) -> list[DeadMessage]:
        if not query.ids:
            return await self._store.dead_messages(query, most=most)
        kept: list[DeadMessage] = []
        named = sorted(id_ for id_ in query.ids if is_name(id_))
        for first in range(0, len(named), _PART):
            part = msgspec.structs.replace(query, ids=frozenset(named[first : first + _PART]))
            kept.extend(await self._store.dead_messages(part, most=most))
        return kept

    def _described(self, letters: Sequence[DeadLetter]) -> dict[str, Letter]:
        """Describe messages of this process, the newest first, by their ids."""
        if not letters:
            return {}
        start = start_of(letters[0], self._clock)
        return {name_of(each): letter_of(each, start) for each in reversed(letters)}

    def _alive(self, query: Query) -> list[DeadLetter]:
        if self._system is None:
            return []
        return [letter for letter in self._system.dead_letters.read() if is_wanted(letter, query)]


def _groups(letters: Iterable[Letter]) -> list[LetterGroup]:
    groups: dict[tuple[LetterSource, str, str], LetterGroup] = {}
    for letter in letters:  # the newest first
        key = (letter.source, letter.kind, letter.cause)
        before = groups.get(key)
        if before is not None:
            groups[key] = msgspec.structs.replace(before, count=before.count + 1, first_at=letter.at)
            continue
        groups[key] = LetterGroup(
            source=letter.source,
            kind=letter.kind,
            cause=letter.cause,
            count=1,
            first_at=letter.at,
            last_at=letter.at,
            sample=letter.id,
        )
    return list(groups.values())
