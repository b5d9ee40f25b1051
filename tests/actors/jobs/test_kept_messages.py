"""Undeliverable messages in every store: kept, bounded, looked at, forgotten."""

import msgspec
import pytest

from relight.actors.jobs import (
    DeadLetterOffice,
    DeadMessage,
    EmptySelectionError,
    ForeignMessageError,
    JobState,
    Letter,
    LetterSource,
    Query,
    Store,
)
from tests.actors.jobs.desk_help import kill, new

pytestmark = pytest.mark.anyio


def message(number: int, **fields: object) -> DeadMessage:
    return msgspec.structs.replace(
        DeadMessage(
            id=f"letter-5e41e5-{number}",
            source=LetterSource.ACTOR,
            kind="Paint",
            where="app/painter",
            cause="stopped",
            at=1000.0 + number,
            process="studio-77",
            content=b'{"what":"a cat"}',
        ),
        **fields,
    )


async def numbers(store: Store, query: Query | None = None, most: int = 100) -> list[int]:
    kept = await store.dead_messages(query or Query(), most=most)
    return [int(each.id.rpartition("-")[2]) for each in kept]


async def test_messages_are_kept_as_they_are_and_listed_newest_first(store: Store) -> None:
    first, second = message(1), message(2, source=LetterSource.SERVICE, content=b'{"\xc3\xa9":1}')
    await store.keep_messages([first, second], most=10)
    assert await store.dead_messages(Query()) == [second, first]
    assert await store.dead_messages(Query(), most=1) == [second]


async def test_messages_of_one_moment_have_an_order(store: Store) -> None:
    await store.keep_messages([message(number, at=5.0) for number in (2, 1, 3)], most=2)
    assert await numbers(store) == [3, 2]


async def test_one_that_is_kept_already_stays_as_it_is(store: Store) -> None:
    await store.keep_messages([message(1)], most=10)
    await store.keep_messages([message(1, cause="overflow"), message(2)], most=10)
    assert [each.cause for each in await store.dead_messages(Query())] == ["stopped", "stopped"]


async def test_only_the_newest_are_kept(store: Store) -> None:
    await store.keep_messages([message(number) for number in range(30)], most=20)
    await store.keep_messages([message(number) for number in range(30, 35)], most=20)
    assert await numbers(store) == list(range(34, 14, -1))
    await store.keep_messages([message(1)], most=20)  # too old
    assert await numbers(store, most=1) == [34]
    assert len(await numbers(store)) == 20


async def test_messages_are_chosen_by_what_they_have_in_common(store: Store) -> None:
    await store.keep_messages(
        [
            message(1, kind="Draw"),
            message(2, where="app/other"),
            message(3, cause="overflow"),
            message(4),
        ],
        most=10,
    )
    assert await numbers(store, Query(kind="Draw")) == [1]
    assert await numbers(store, Query(queue="app/other")) == [2]
    assert await numbers(store, Query(cause="overflow")) == [3]
    assert await numbers(store, Query(cause="stopped", kind="Paint", queue="app/painter")) == [4]
    assert await numbers(store, Query(ids=frozenset({message(2).id, message(4).id, "job-1"}))) == [4, 2]
    assert await numbers(store, Query(states=frozenset({JobState.DEAD}), kind="Draw")) == [1]


@pytest.mark.parametrize("query", [Query(user="ann"), Query(states=frozenset({JobState.SUCCEEDED}))])
async def test_messages_are_nobodys_and_always_dead(store: Store, query: Query) -> None:
    await store.keep_messages([message(1)], most=10)
    assert await numbers(store, query) == []


async def test_messages_are_forgotten(store: Store) -> None:
    await store.keep_messages([message(number) for number in range(1, 6)], most=10)
    assert await store.forget_messages([message(1).id, message(3).id, "letter-other-1"]) == 2
    assert await store.forget_messages([]) == 0
    assert await numbers(store) == [5, 4, 2]


async def test_old_messages_go_with_old_jobs(store: Store) -> None:
    await store.keep_messages([message(1), message(2), message(3)], most=10)
    assert await store.prune(ended_before=1002.0) == 0
    assert await numbers(store) == [3, 2]


async def test_messages_of_other_processes_are_seen_with_the_dead_jobs(store: Store) -> None:
    await store.enqueue([new(1)])
    await kill(store, 1)
    await store.keep_messages([message(1), message(2), message(3, kind="Draw")], most=10)
    office = DeadLetterOffice(store)
    letters = await office.letters()
    assert [(each.source, each.kind) for each in letters] == [
        ("actor", "Draw"),
        ("actor", "Paint"),
        ("actor", "Paint"),
        ("job", "draw"),
    ]
    assert (letters[0].content, letters[0].process) == ({"what": "a cat"}, "studio-77")
    assert [each.id for each in await office.letters(sources=[LetterSource.JOB])] == ["job-0001"]
    assert len(await office.letters(sources=[LetterSource.ACTOR], most=2)) == 2
    shown = await office.show(message(2).id)
    assert isinstance(shown, Letter)
    assert (shown.where, shown.cause, shown.at) == ("app/painter", "stopped", 1002.0)
    assert await office.show("letter-5e41e5-9") is None
    groups = await office.groups()
    assert [(each.kind, each.count, each.first_at, each.last_at) for each in groups[:1]] == [
        ("Paint", 2, 1001.0, 1002.0)
    ]


@pytest.mark.parametrize("action", ["retry", "replay"])
async def test_a_message_of_another_process_is_not_told_again(store: Store, action: str) -> None:
    await store.enqueue([new(1)])
    await kill(store, 1)
    await store.keep_messages([message(1)], most=10)
    act = getattr(DeadLetterOffice(store), action)
    with pytest.raises(ForeignMessageError, match="studio-77") as caught:
        await act(["job-0001", message(1).id])
    assert (caught.value.id, caught.value.where) == (message(1).id, "app/painter")
    outcome = await act(Query(), everything=True)  # those that can't are not meant
    assert (outcome.matched, outcome.done) == (1, 1)
    assert await numbers(store) == [1]


async def test_messages_of_other_processes_are_discarded(store: Store) -> None:
    await store.enqueue([new(1)])
    await kill(store, 1)
    await store.keep_messages([message(number) for number in range(1, 7)], most=10)
    office = DeadLetterOffice(store)
    assert (await office.discard(message(1).id)).ids == (message(1).id,)
    assert (await office.discard([message(2).id, "letter-5e41e5-99", "job-0001"])).done == 2
    stopped = await office.discard(Query(cause="stopped"), most=1)
    assert (stopped.done, stopped.is_stopped) == (1, True)
    with pytest.raises(EmptySelectionError):
        await office.discard(Query())
    assert (await office.discard(Query(), everything=True, batch=2)).done == 3
    assert await numbers(store) == []


async def test_many_ids_are_asked_for_in_parts(store: Store) -> None:
    kept = [message(number) for number in range(1100)]
    await store.keep_messages(kept, most=2000)
    outcome = await DeadLetterOffice(store).discard([each.id for each in kept], batch=700)
    assert outcome.done == 1100
