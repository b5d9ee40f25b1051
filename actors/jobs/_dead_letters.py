"""The office of dead letters: where people look at what died, and decide about it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

import msgspec

from ...runtime import redact
from ...supervisors import System
from ._checks import check_callable, check_each, check_ids, check_kind, check_store, check_whole
from ._dead_messages import DeadMessages
from ._dead_records import Letter, LetterGroup, LetterSource, Outcome, Selection, check_query, query_of
from ._errors import JobSpecError
from ._function import AnyJobFunction
from ._ids import IdMaker
from ._queue import Queue
from ._records import Job, JobState, NewJob, Query
from ._replay import Arguments, new_arguments, replay_of
from ._report import JobReport, report_of
from ._store import Store
from ._sweep import Sweep

_DEAD = frozenset({JobState.DEAD})
_ENDED = frozenset(state for state in JobState if state.is_final)
_UNFINISHED = frozenset(JobState) - _ENDED
_EVERY = Query()
_SOURCES = frozenset(LetterSource)


class DeadLetterOffice:
    """Look at dead jobs and at undeliverable messages, and decide what becomes of them.

        office = DeadLetterOffice(store, queues=[queue], system=system)
        for group in await office.groups():
            print(group.count, group.kind, group.cause)
        await office.retry(Query(cause="RateLimitedError: openai: ..."))

    What is done to many is done in batches, newest first, each job once: one that dies again meanwhile is
    not taken up again. *Retry* goes on from a job's finished steps; *replay* makes a new job that begins
    from scratch; *discard* puts a dead job aside. An undeliverable message of *system* is told again by
    either of the first two; any is forgotten by the third. Those of other processes, and of earlier ones, are
    seen where a worker kept them. Cancelled in the middle, the batches before are done.

    Args:
        store: Where the jobs are; open.
        queues: With their job functions, arguments are checked and shown by name.
        system: Whose undeliverable messages can be told again, and are shown in any case.
        clock: Seconds since 1970.

    Raises:
        JobSpecError: One of these is of another type.
    """

    def __init__(
        self,
        store: Store,
        *,
        queues: Sequence[Queue] = (),
        system: System | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        check_store("DeadLetterOffice.store", store)
        check_each("DeadLetterOffice.queues", queues, "write queues=[queue]")
        for queue in queues:
            check_kind("DeadLetterOffice.queues", queue, Queue, "queues", "write queues=[queue]")
        if system is not None:
            check_kind(
                "DeadLetterOffice.system", system, System, "a system", "it is what open_system() gives"
            )
        check_callable("DeadLetterOffice.clock", clock, "a function that returns seconds since 1970")
        self._store = store
        self._functions = {
            (queue.name, kind): function for queue in queues for kind, function in queue.functions.items()
        }
        self._messages = DeadMessages(store, system, clock)
        self._ids = IdMaker(clock)

    # --- looking --------------------------------------------------------------------------------------

    async def letters(
        self,
        query: Query = _EVERY,
        *,
        after: str | None = None,
        most: int = 100,
        sources: Collection[LetterSource] = _SOURCES,
    ) -> list[Letter]:
        """List dead letters: undeliverable messages first, then dead jobs, each newest first.

        Args:
            query: Which ones; of messages, *kind* is their type, *queue* the actor's path, *cause* why.
            after: Only jobs older than this id, for the next page.
            most: So many.
            sources: Only those that come from here.

        Raises:
            JobSpecError: One of these is of another type, or out of range.
        """
        check_query(query)
        check_whole("letters: most", most, 1)
        check_each("letters: sources", sources, "write sources=[LetterSource.JOB]")
        for source in sources:
            if source not in _SOURCES:
                raise JobSpecError("letters: sources", f"must be of LetterSource, got {source!r}")
        if after is not None:
            check_ids("letters: after", [after], "it is the last job's of the page before")
        messages = [] if after is not None else await self._messages.letters(query)
        shown = [letter for letter in messages if letter.source in sources][:most]
        if len(shown) < most and LetterSource.JOB in sources:
            query = msgspec.structs.replace(query, states=query.states or _DEAD)
            jobs = await self._store.jobs(query, after=after, most=most - len(shown))
            shown += [_letter_of_job(job) for job in jobs]
        return shown

    async def groups(self, query: Query = _EVERY) -> list[LetterGroup]:
        """Group dead letters by kind and cause, the largest group first."""
        check_query(query)
        groups = await self._messages.groups(query)
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
        check_ids("show: id", [id], "it is what enqueue returned, or a letter's")
        for letter in await self._messages.letters(Query(ids=frozenset({id}))):
            return letter
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

        A job's deadline holds on where it lies ahead, and is removed where it has passed; the outcome says
        of how many.

        Args:
            selection: An id, ids, or a query. By id also cancelled and discarded jobs.
            everything: All dead letters are meant, where the query names none.
            batch: So many at a time.
            most: So many in all.
            should_stop: Asked after each batch with the number done so far.

        Raises:
            EmptySelectionError: Nothing is selected.
            ForeignMessageError: A message is named that is not in this process; nothing was done.
        """
        query = query_of(selection, _DEAD, everything=everything)
        sweep = Sweep(self._store, batch, most, should_stop)
        await sweep.messages(await self._messages.to_tell(query), self._messages.tell_again)
        removed = 0

        async def again(jobs: Sequence[Job]) -> list[str]:
            nonlocal removed
            done = await self._store.retry([job.id for job in jobs])
            removed += await self._without_deadline(jobs, done)
            return done

        await sweep.jobs(query, again)
        return msgspec.structs.replace(sweep.outcome(), deadlines_removed=removed)

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
        sweep = Sweep(self._store, batch, most, should_stop)
        await sweep.messages(await self._messages.to_forget(query), self._messages.forget)
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
            ForeignMessageError: A message is named that is not in this process; nothing was done.
            JobArgumentsError: The arguments of one no longer fit its job function; those before are done.
        """
        query = query_of(selection, _DEAD, everything=everything)
        sweep = Sweep(self._store, batch, most, should_stop)
        await sweep.messages(await self._messages.to_tell(query), self._messages.tell_again)
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
        _check_arguments(arguments)
        query = query_of(selection, _DEAD, everything=everything)
        sweep = Sweep(self._store, batch, most, should_stop)
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
        sweep = Sweep(self._store, batch, most, should_stop)
        await sweep.jobs(query, self._cancel)
        return sweep.outcome()

    # --- inside ---------------------------------------------------------------------------------------

    async def _without_deadline(self, before: Sequence[Job], done: Collection[str]) -> int:
        """Count the jobs that had a deadline before they were retried and have none now."""
        had = frozenset(job.id for job in before if job.deadline is not None).intersection(done)
        if not had:
            return 0
        now = await self._store.jobs(Query(ids=had), most=len(had))
        return sum(job.deadline is None for job in now)

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


def _check_arguments(arguments: object) -> None:
    if isinstance(arguments, str) or not (callable(arguments) or isinstance(arguments, Sequence)):
        problem = f"must be a list of values, JSON as bytes, or a function of the old ones, got {arguments!r}"
        raise JobSpecError("edit: arguments", problem)


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
