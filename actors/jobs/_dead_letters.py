"""The office of dead letters: where people look at what died, and decide about it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from math import inf

import msgspec

from ...runtime import DeadLetter, redact
from ...supervisors import System
from ._dead_messages import groups_of, letter_of, wanted
from ._dead_records import KEPT_IDS, Letter, LetterGroup, LetterSource, Outcome, Selection, query_of
from ._function import AnyJobFunction
from ._ids import IdMaker
from ._queue import Queue
from ._records import Job, JobState, NewJob, Query
from ._replay import Arguments, new_arguments, replay_of
from ._report import JobReport, report_of
from ._store import Store

_DEAD = frozenset({JobState.DEAD})
_ENDED = frozenset(state for state in JobState if state.is_final)
_UNFINISHED = frozenset(JobState) - _ENDED
_EVERY = Query()


class DeadLetterOffice:
    """Look at dead jobs and at undeliverable messages, and decide what becomes of them.

        office = DeadLetterOffice(store, queues=[queue], system=system)
        for group in await office.groups():
            print(group.count, group.kind, group.cause)
        await office.retry(Query(cause="RateLimitedError: openai: ..."))

    What is done to many is done in batches, newest first, each job once: one that dies again meanwhile is
    not taken up again. *Retry* goes on from a job's finished steps; *replay* makes a new job that begins
    from scratch; *discard* puts a dead job aside. An undeliverable message is told again by either of the
    first two, and forgotten by the third. Cancelled in the middle, the batches before are done.

    Args:
        store: Where the jobs are; open.
        queues: With their job functions, arguments are checked and shown by name.
        system: Whose undeliverable messages are shown too.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        store: Store,
        *,
        queues: Sequence[Queue] = (),
        system: System | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._functions = {
            (queue.name, kind): function for queue in queues for kind, function in queue.functions.items()
        }
        self._system = system
        self._clock = clock
        self._ids = IdMaker(clock)

    # --- looking --------------------------------------------------------------------------------------

    async def letters(
        self, query: Query = _EVERY, *, after: str | None = None, most: int = 100
    ) -> list[Letter]:
        """List dead letters: undeliverable messages first, then dead jobs, each newest first.

        Args:
            query: Which ones; of messages, *kind* is their type, *queue* the actor's path, *cause* why.
            after: Only jobs older than this id, for the next page.
            most: So many.
        """
        letters = [] if after is not None else self._messages(query)
        shown = [letter_of(letter, self._clock()) for letter in reversed(letters[-most:])]
        if len(shown) < most:
            states = query.states or _DEAD
            query = msgspec.structs.replace(query, states=states)
            jobs = await self._store.jobs(query, after=after, most=most - len(shown))
            shown += [_letter_of_job(job) for job in jobs]
        return shown

    async def groups(self, query: Query = _EVERY) -> list[LetterGroup]:
        """Group dead letters by kind and cause, the largest group first."""
        groups = groups_of(self._messages(query), self._clock())
        for dead in await self._store.dead_groups(query):
            groups.append(
                LetterGroup(
                    source=LetterSource.JOB,
                    kind=dead.kind,
                    cause=redact(dead.cause),
                    count=dead.count,
                    first_at=dead.first_at,
                    last_at=dead.last_at,
                    sample=dead.sample,
                    cost_usd=dead.cost_usd,
                )
            )
        return sorted(groups, key=lambda group: (-group.count, group.kind, group.cause))

    async def show(self, id: str) -> JobReport | Letter | None:  # noqa: A002 - the name people know
        """Show all there is to know of a job in any state, or of a message; None: there is none."""
        for letter in self._messages(Query(ids=frozenset({id}))):
            return letter_of(letter, self._clock())
        detail = await self._store.job(id)
        return None if detail is None else report_of(detail, self._function(detail.job))

    # --- deciding -------------------------------------------------------------------------------------

    async def retry(
        self,
        selection: Selection,
        *,
        everything: bool = False,
        batch: int = 100,
        most: int | None = None,
        should_stop: Callable[[int], bool] | None = None,
    ) -> Outcome:
        """Go on with dead jobs from their finished steps, with all their attempts; tell messages again.

        Args:
            selection: An id, ids, or a query. By id also cancelled and discarded jobs.
            everything: All dead letters are meant, where the query names none.
            batch: So many at a time.
            most: So many in all.
            should_stop: Asked after each batch with the number done so far.

        Raises:
            EmptySelectionError: Nothing is selected.
        """
        query = query_of(selection, _DEAD, everything=everything)
        sweep = _Sweep(self._store, batch, most, should_stop)
        await sweep.messages(self._messages(query), self._tell_again)
        await sweep.jobs(query, lambda jobs: self._store.retry([job.id for job in jobs]))
        return sweep.outcome()

    async def discard(
        self,
        selection: Selection,
        *,
        everything: bool = False,
        batch: int = 100,
        most: int | None = None,
        should_stop: Callable[[int], bool] | None = None,
    ) -> Outcome:
        """Put dead jobs aside, forget messages; as `retry` otherwise.

        Raises:
            EmptySelectionError: Nothing is selected.
        """
        query = query_of(selection, _DEAD, everything=everything)
        sweep = _Sweep(self._store, batch, most, should_stop)
        await sweep.messages(self._messages(query), self._forget)
        await sweep.jobs(query, lambda jobs: self._store.discard([job.id for job in jobs]))
        return sweep.outcome()

    async def replay(
        self,
        selection: Selection,
        *,
        everything: bool = False,
        batch: int = 100,
        most: int | None = None,
        should_stop: Callable[[int], bool] | None = None,
    ) -> Outcome:
        """Make new jobs with the arguments of ended ones, from scratch; returns the new ids.

        A dead one is put aside then: its replay has taken its place. A replay that was interrupted can
        simply be repeated: of the same death it makes one job. Messages are told again.

        Raises:
            EmptySelectionError: Nothing is selected.
            JobArgumentsError: The arguments of one no longer fit its job function; those before are done.
        """
        query = query_of(selection, _DEAD, everything=everything)
        sweep = _Sweep(self._store, batch, most, should_stop)
        await sweep.messages(self._messages(query), self._tell_again)
        await sweep.jobs(query, lambda jobs: self._replay(jobs, None))
        return sweep.outcome()

    async def edit(
        self,
        selection: Selection,
        arguments: Arguments,
        *,
        everything: bool = False,
        batch: int = 100,
        most: int | None = None,
        should_stop: Callable[[int], bool] | None = None,
    ) -> Outcome:
        """Do as `replay`, with other arguments.

        Args:
            selection: Which jobs.
            arguments: The new ones: values, JSON bytes, or a function of the old ones.
            everything: As of `retry`.
            batch: As of `retry`.
            most: As of `retry`.
            should_stop: As of `retry`.

        Raises:
            EmptySelectionError: Nothing is selected.
            JobArgumentsError: They don't fit; jobs before the one it says so of are done.
        """
        query = query_of(selection, _DEAD, everything=everything)
        sweep = _Sweep(self._store, batch, most, should_stop)
        await sweep.jobs(query, lambda jobs: self._replay(jobs, arguments))
        return sweep.outcome()

    async def cancel(
        self,
        selection: Selection,
        *,
        everything: bool = False,
        batch: int = 100,
        most: int | None = None,
        should_stop: Callable[[int], bool] | None = None,
    ) -> Outcome:
        """Cancel unfinished jobs; a running one is asked to end.

        Raises:
            EmptySelectionError: Nothing is selected.
        """
        query = query_of(selection, _UNFINISHED, everything=everything)
        sweep = _Sweep(self._store, batch, most, should_stop)
        await sweep.jobs(query, self._cancel)
        return sweep.outcome()

    # --- inside ---------------------------------------------------------------------------------------

    async def _replay(self, jobs: Sequence[Job], arguments: Arguments | None) -> list[str]:
        ended = [job for job in jobs if job.state.is_final]
        new = [self._again(job, arguments) for job in ended]
        stored = await self._store.enqueue(new)
        done = [(job, made.id) for job, made, id_ in zip(ended, new, stored, strict=True) if made.id == id_]
        await self._store.discard([job.id for job, _ in done if job.state is JobState.DEAD])
        return [id_ for _, id_ in done]

    def _again(self, job: Job, arguments: Arguments | None) -> NewJob:
        given = None if arguments is None else new_arguments(job, arguments)
        new = replay_of(job, self._function(job), given)
        if job.state is JobState.DEAD:
            return new
        return msgspec.structs.replace(new, id=self._ids.new())

    async def _cancel(self, jobs: Sequence[Job]) -> list[str]:
        unfinished = [job.id for job in jobs if not job.state.is_final]
        return list(await self._store.cancel(unfinished))

    def _function(self, job: Job) -> AnyJobFunction | None:
        return self._functions.get((job.queue, job.kind))

    def _messages(self, query: Query) -> list[DeadLetter]:
        if self._system is None:
            return []
        return [letter for letter in self._system.dead_letters.read() if wanted(letter, query)]

    async def _tell_again(self, numbers: frozenset[int]) -> int:
        assert self._system is not None
        return await self._system.dead_letters.replay(lambda letter: letter.number in numbers)

    async def _forget(self, numbers: frozenset[int]) -> int:
        assert self._system is not None
        return self._system.dead_letters.discard(lambda letter: letter.number in numbers)


class _Sweep:
    """Do something to all that are selected, a batch at a time."""

    def __init__(
        self, store: Store, batch: int, most: int | None, should_stop: Callable[[int], bool] | None
    ) -> None:
        if batch < 1:
            raise ValueError(f"batch must be at least 1, got {batch!r}")
        self._store = store
        self._batch = batch
        self._left = inf if most is None else most
        self._should_stop = should_stop
        self._matched = 0
        self._done = 0
        self._ids: list[str] = []
        self._is_stopped = False

    async def messages(
        self, letters: Sequence[DeadLetter], act: Callable[[frozenset[int]], Awaitable[int]]
    ) -> None:
        """Do it to messages."""
        for chunk in _chunks(letters, self._batch):
            chosen = chunk[: int(min(self._left, len(chunk)))]
            self._is_stopped = self._is_stopped or len(chosen) < len(chunk)
            if not chosen:
                return
            done = await act(frozenset(letter.number for letter in chosen))
            self._count(len(chosen), done, [f"letter-{letter.number}" for letter in chosen])

    async def jobs(self, query: Query, act: Callable[[Sequence[Job]], Awaitable[list[str]]]) -> None:
        """Do it to jobs, the newest first."""
        for part in _parts(query, self._batch):
            after: str | None = None
            # By id, not by what is left of them: each has its turn once, whatever it is made into.
            while page := await self._store.jobs(part, after=after, most=self._batch):
                after = page[-1].id
                chosen = page[: int(min(self._left, len(page)))]
                self._is_stopped = self._is_stopped or len(chosen) < len(page)
                if not chosen:
                    return
                done = await act(chosen)
                self._count(len(chosen), len(done), done)

    def outcome(self) -> Outcome:
        """Return what came of it."""
        return Outcome(
            matched=self._matched, done=self._done, ids=tuple(self._ids), is_stopped=self._is_stopped
        )

    def _count(self, matched: int, done: int, ids: Sequence[str]) -> None:
        self._matched += matched
        self._done += done
        self._left -= matched
        self._ids.extend(ids[: KEPT_IDS - len(self._ids)])
        if self._should_stop is not None and self._should_stop(self._done):
            self._is_stopped = True
            self._left = 0


def _chunks(letters: Sequence[DeadLetter], size: int) -> Iterator[Sequence[DeadLetter]]:
    for first in range(0, len(letters), size):
        yield letters[first : first + size]


def _parts(query: Query, size: int) -> Iterator[Query]:
    """Split a query with many ids: a database takes so many values only."""
    if not query.ids:
        yield query
    ids = sorted(query.ids, reverse=True)
    for first in range(0, len(ids), size):
        yield msgspec.structs.replace(query, ids=frozenset(ids[first : first + size]))


def _letter_of_job(job: Job) -> Letter:
    return Letter(
        source=LetterSource.JOB,
        id=job.id,
        kind=job.kind,
        where=job.queue,
        cause=redact(job.cause or ""),
        at=job.finished_at or job.created_at,
        error=redact(job.error or ""),
        attempts=job.attempt,
        user=job.user,
        cost_usd=job.cost_usd,
    )
