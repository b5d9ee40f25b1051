"""The office of dead letters: looking, retrying, replaying, editing, discarding."""

from dataclasses import dataclass
from functools import partial
from typing import cast

import msgspec
import pytest

from relight import Actor, Child, Message, handles, open_system
from relight.actors.jobs import (
    DeadLetterOffice,
    EmptySelectionError,
    JobArgumentsError,
    JobContext,
    JobReport,
    JobState,
    Letter,
    MemoryStore,
    Query,
    Queue,
    Store,
    Worker,
)
from tests.actors.jobs.desk_help import FAILURE, kill, new, state

pytestmark = pytest.mark.anyio


async def test_dead_jobs_are_grouped_by_cause(store: Store) -> None:
    await store.enqueue([new(number) for number in range(1, 5)])
    await kill(store, 1, 2, steps=1)
    await kill(store, 3, failure=msgspec.structs.replace(FAILURE, cause="KeyError: 'x'"))
    groups = await DeadLetterOffice(store).groups()
    assert [(group.count, group.cause) for group in groups] == [
        (2, "draw: ValueError: no ink left"),
        (1, "KeyError: 'x'"),
    ]
    assert groups[0].cost_usd == 1.5
    assert groups[0].source == "job"


async def test_jobs_whose_errors_name_them_are_of_one_cause() -> None:
    queue = Queue(MemoryStore())

    @queue.job(attempts=1)
    async def draw(job: JobContext) -> None:
        raise ValueError(f"no ink for {job.id}")

    async with open_system() as system:
        await Worker(queue).start(system)
        for id_ in await queue.enqueue_many(draw, [(), ()]):
            await queue.wait(id_, 10.0)
    (group,) = await DeadLetterOffice(queue.store).groups()
    assert (group.count, group.cause) == (2, "ValueError: no ink for #")


async def test_a_dead_job_is_shown_with_all_its_history_and_no_secret(store: Store) -> None:
    args = b'[{"text": "a cat", "api_key": "hush"}, "postgres://me:hush@db"]'
    await store.enqueue([new(1, args=args)])
    await kill(store, 1, steps=2)
    report = await DeadLetterOffice(store).show("job-0001")
    assert isinstance(report, JobReport)
    assert report.arguments == [{"text": "a cat", "api_key": "***"}, "postgres://***@db"]
    assert [step.name for step in report.steps] == ["step-0", "step-1"]
    assert report.cost_usd == 1.25
    (attempt,) = report.attempts
    assert "no ink left" in attempt.traceback
    assert await DeadLetterOffice(store).show("job-0002") is None
    assert "hush" not in repr(report)


async def test_arguments_are_named_where_the_job_function_is_known(store: Store) -> None:
    queue = _drawing(store)
    await store.enqueue([new(1, args=b'["a cat", "hush"]')])
    report = await DeadLetterOffice(store, queues=[queue]).show("job-0001")
    assert isinstance(report, JobReport)
    assert report.arguments == {"what": "a cat", "token": "***"}


async def test_a_retried_job_goes_on_with_its_steps(store: Store) -> None:
    await store.enqueue([new(1)])
    await kill(store, 1, steps=2)
    outcome = await DeadLetterOffice(store).retry("job-0001")
    assert (outcome.matched, outcome.done, outcome.ids) == (1, 1, ("job-0001",))
    (claimed,) = await store.claim("w", ["q"], 1)
    assert len(claimed.steps) == 2


async def test_a_replayed_job_begins_from_scratch_and_takes_the_dead_ones_place(store: Store) -> None:
    await store.enqueue([new(1, user="ann", priority=3)])
    await kill(store, 1, steps=2)
    outcome = await DeadLetterOffice(store).replay("job-0001")
    assert await state(store, 1) is JobState.DISCARDED
    (claimed,) = await store.claim("w", ["q"], 1)
    assert claimed.steps == ()
    assert (claimed.job.id,) == outcome.ids
    assert (claimed.job.replay_of, claimed.job.user, claimed.job.priority) == ("job-0001", "ann", 3)
    assert claimed.job.args == b'["a cat"]'


async def test_an_interrupted_replay_can_be_repeated(store: Store) -> None:
    """What was stored before the process died is not stored again."""
    await store.enqueue([new(1)])
    await kill(store, 1)
    before = await store.job("job-0001")
    assert before is not None
    broken = _NoDiscard(store)
    with pytest.raises(RuntimeError):
        await DeadLetterOffice(cast("Store", broken)).replay("job-0001")
    await DeadLetterOffice(store).replay("job-0001")
    assert len(await store.jobs(Query(states=frozenset({JobState.QUEUED})))) == 1


async def test_a_succeeded_job_can_be_replayed_again_and_again(store: Store) -> None:
    await store.enqueue([new(1)])
    await store.register("w", 60.0, {})
    (claimed,) = await store.claim("w", ["q"], 1)
    await store.succeed("job-0001", claimed.job.fence, b"1", cost_usd=0.0, retries=0)
    office = DeadLetterOffice(store)
    assert (await office.replay("job-0001")).ids != (await office.replay("job-0001")).ids
    assert await state(store, 1) is JobState.SUCCEEDED


async def test_an_edited_job_has_other_arguments(store: Store) -> None:
    await store.enqueue([new(1)])
    await kill(store, 1)
    await DeadLetterOffice(store).edit("job-0001", ["a dog"])
    (claimed,) = await store.claim("w", ["q"], 1)
    assert (claimed.job.args, claimed.job.replay_of) == (b'["a dog"]', "job-0001")


async def test_edited_arguments_can_be_made_from_the_old_ones(store: Store) -> None:
    await store.enqueue([new(1), new(2, args=b'["a cow"]')])
    await kill(store, 1, 2)
    office = DeadLetterOffice(store)
    await office.edit(Query(kind="draw"), lambda old: [f"{old[0]} in a hat"])
    made = await store.jobs(Query(states=frozenset({JobState.QUEUED})))
    assert sorted(job.args for job in made) == [b'["a cat in a hat"]', b'["a cow in a hat"]']


@pytest.mark.parametrize("bad", [b"{", b'{"what": "a dog"}', b'["***", "x"]', [object()]])
async def test_bad_arguments_change_nothing(store: Store, bad: bytes | list[object]) -> None:
    await store.enqueue([new(1)])
    await kill(store, 1)
    with pytest.raises(JobArgumentsError):
        await DeadLetterOffice(store).edit("job-0001", bad)
    assert await state(store, 1) is JobState.DEAD


async def test_edited_arguments_are_checked_by_the_functions_types(store: Store) -> None:
    queue = _drawing(store)
    await store.enqueue([new(1, args=b'["a cat", "t"]', unique_key="q/draw/a cat")])
    await kill(store, 1)
    office = DeadLetterOffice(store, queues=[queue])
    with pytest.raises(JobArgumentsError, match="Expected `str`"):
        await office.edit("job-0001", [7, "t"])
    await office.edit("job-0001", ["a dog", "t"])
    (job,) = await store.jobs(Query(states=frozenset({JobState.QUEUED})))
    assert job.unique_key == "q/draw/a dog"


async def test_a_replay_is_skipped_while_another_job_holds_its_unique_key(store: Store) -> None:
    await store.enqueue([new(1, unique_key="k")])
    await kill(store, 1)
    await store.enqueue([new(2, unique_key="k")])
    outcome = await DeadLetterOffice(store).replay("job-0001")
    assert (outcome.matched, outcome.done, outcome.skipped) == (1, 0, 1)
    assert await state(store, 1) is JobState.DEAD


@pytest.mark.parametrize("action", ["retry", "replay", "discard", "cancel"])
async def test_nothing_selected_is_not_everything(store: Store, action: str) -> None:
    await store.enqueue([new(1)])
    await kill(store, 1)
    act = getattr(DeadLetterOffice(store), action)
    nothing: list[str] = []
    for empty in (Query(), Query(states=frozenset({JobState.DEAD})), nothing):
        with pytest.raises(EmptySelectionError):
            await act(empty)
    assert await state(store, 1) is JobState.DEAD


async def test_everything_is_everything_that_is_dead(store: Store) -> None:
    await store.enqueue([new(number) for number in range(1, 8)])
    await kill(store, *range(1, 6))
    outcome = await DeadLetterOffice(store).discard(Query(), everything=True, batch=2)
    assert (outcome.matched, outcome.done) == (5, 5)
    assert await state(store, 6) is JobState.QUEUED


async def test_many_are_done_in_batches_that_can_be_stopped(store: Store) -> None:
    await store.enqueue([new(number) for number in range(1, 11)])
    await kill(store, *range(1, 11))
    counts: list[int] = []

    def stop(done: int) -> bool:
        counts.append(done)
        return done >= 6

    outcome = await DeadLetterOffice(store).retry(Query(kind="draw"), batch=3, should_stop=stop)
    assert (counts, outcome.done, outcome.is_stopped) == ([3, 6], 6, True)
    rest = await DeadLetterOffice(store).retry(Query(kind="draw"), batch=3, most=2)
    assert (rest.done, rest.is_stopped) == (2, True)


async def test_many_ids_are_looked_up_in_batches(store: Store) -> None:
    await store.enqueue([new(number) for number in range(1, 8)])
    await kill(store, *range(1, 8))
    ids = [f"job-{number:04}" for number in range(1, 12)]
    outcome = await DeadLetterOffice(store).discard(ids, batch=2)
    assert outcome.done == 7


async def test_unfinished_jobs_are_cancelled(store: Store) -> None:
    await store.enqueue([new(1), new(2, user="ann")])
    assert (await DeadLetterOffice(store).cancel(Query(user="ann"))).done == 1
    assert [await state(store, 1), await state(store, 2)] == [JobState.QUEUED, JobState.CANCELLED]


class Paint(Message, frozen=True):
    what: str
    api_key: str = "hush"


@dataclass
class Log:
    open: bool = False
    seen: int = 0


class Deaf(Actor):
    def __init__(self, log: Log) -> None:
        self._log = log

    @handles
    async def paint(self, message: Paint) -> None:
        self._log.seen += 1


async def test_undeliverable_messages_are_seen_in_the_same_place() -> None:
    store = MemoryStore()
    await store.enqueue([new(1)])
    await kill(store, 1)
    async with open_system() as system:
        ref = await system.spawn(Child("deaf", partial(Deaf, Log())))
        system.dead_letters.add(ref, Paint("a cat"), "stopped")
        system.dead_letters.add(ref, Paint("a dog"), "circuit breaker is open")
        office = DeadLetterOffice(store, system=system)
        letters = await office.letters()
        assert [(letter.source, letter.kind) for letter in letters] == [
            ("service", "Paint"),
            ("actor", "Paint"),
            ("job", "draw"),
        ]
        assert letters[0].content == {"what": "a dog", "api_key": "***"}
        shown = await office.show(letters[1].id)
        assert isinstance(shown, Letter)
        assert shown.content == {"what": "a cat", "api_key": "***"}
        assert [(g.source, g.count) for g in await office.groups()] == [
            ("service", 1),
            ("actor", 1),
            ("job", 1),
        ]
        assert (await office.discard(letters[1].id)).done == 1
        assert [letter.source for letter in await office.letters(most=1)] == ["service"]


async def test_messages_stay_in_their_order_however_long_each_takes_to_describe() -> None:
    async with open_system() as system:
        ref = await system.spawn(Child("deaf", partial(Deaf, Log())))
        large = "a cat " * 200_000
        for _ in range(5):
            system.dead_letters.add(ref, Paint(large), "overflow")
        letters = await DeadLetterOffice(MemoryStore(), system=system).letters()
    assert [letter.id.rpartition("-")[2] for letter in letters] == ["5", "4", "3", "2", "1"]


async def test_an_undeliverable_message_is_told_again() -> None:
    log = Log()
    async with open_system() as system:
        ref = await system.spawn(Child("deaf", partial(Deaf, log)))
        for what in ("a cat", "a dog", "a cow"):
            system.dead_letters.add(ref, Paint(what), "overflow")
        office = DeadLetterOffice(MemoryStore(), system=system)
        newest, middle, oldest = [letter.id for letter in await office.letters()]
        assert (await office.retry(middle)).done == 1
        assert [letter.id for letter in await office.letters()] == [newest, oldest]
        assert (await office.retry(Query(cause="overflow"), most=1)).done == 1
        assert len(await office.letters()) == 1
        assert await office.letters(Query(user="ann")) == []
    assert log.seen == 2


def _drawing(store: Store) -> Queue:
    queue = Queue(store, "q")

    def key(what: str, token: str) -> str:
        return what

    @queue.job(unique=key)
    async def draw(job: JobContext, what: str, token: str) -> str:
        return what + token

    return queue


class _NoDiscard:
    """A store whose process dies before a replayed job is put aside."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> object:
        if name == "discard":
            raise RuntimeError
        return getattr(self._store, name)


async def test_a_retry_says_how_many_deadlines_it_has_removed(store: Store) -> None:
    await store.enqueue([new(1, timeout=-1.0), new(2, timeout=-1.0), new(3, timeout=600.0), new(4)])
    await kill(store, 3, 4)
    outcome = await DeadLetterOffice(store).retry(Query(), everything=True, batch=2)
    assert (outcome.done, outcome.deadlines_removed) == (4, 2)
    await kill(store, 4)
    outcome = await DeadLetterOffice(store).retry(Query(), everything=True)
    assert (outcome.done, outcome.deadlines_removed) == (1, 0)
