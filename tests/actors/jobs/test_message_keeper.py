"""A worker keeps its system's undeliverable messages in the store, and slows nobody by it."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import cast

import anyio
import msgspec
import pytest

from relight import Actor, Child, Message, Ref, handles, open_system
from relight.actors import Secret
from relight.actors.jobs import (
    DeadLetterOffice,
    DeadMessage,
    Letter,
    MemoryStore,
    Query,
    Queue,
    SqliteStore,
    Store,
    StoreError,
    Worker,
)
from relight.supervisors import System
from tests.actors.jobs.stage import FlakyStore, Stage

pytestmark = pytest.mark.anyio
virtual = pytest.mark.virtual_time


class Paint(Message, frozen=True):
    what: object = "a cat"
    api_key: str = "hush"


class Painter(Actor):
    @handles
    async def paint(self, message: Paint) -> None:
        await anyio.sleep(0.01)


class Studio(Stage):
    """A worker, and a painter to whom messages are not delivered."""

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[tuple[System, Ref]]:
        async with self.working() as system:
            yield system, await system.spawn(Child("painter", Painter))

    async def kept(self) -> list[DeadMessage]:
        """Look at what is kept, oldest first."""
        return (await self.store.dead_messages(Query(), most=10_000))[::-1]


def lose(system: System, ref: Ref, count: int = 1, message: Message | None = None) -> None:
    for _ in range(count):
        system.dead_letters.add(ref, message or Paint(), "overflow")


def numbers(messages: Sequence[DeadMessage]) -> list[int]:
    return sorted(int(each.id.rpartition("-")[2]) for each in messages)


@virtual
async def test_a_message_is_in_the_store_within_a_moment_of_its_death() -> None:
    studio = Studio()
    async with studio.open() as (system, ref):
        await anyio.sleep(50.0)
        lose(system, ref, message=Paint({"title": "x", "password": "hush"}))
        await anyio.sleep(0.2)
        (kept,) = await studio.kept()
        assert (kept.kind, kept.where, kept.cause, kept.source) == ("Paint", "painter", "overflow", "actor")
        assert kept.at == pytest.approx(50.0, abs=1.0)
        assert msgspec.json.decode(kept.content) == {
            "what": {"title": "x", "password": "***"},
            "api_key": "***",
        }


@virtual
async def test_a_burst_is_kept_whole_and_more_than_the_ring_is_counted() -> None:
    studio = Studio()
    async with studio.open() as (system, ref):
        lose(system, ref, 600)
        await anyio.sleep(5.0)
        assert numbers(await studio.kept()) == list(range(1, 601))
        assert studio.facts("message.dropped") == []
        lose(system, ref, 3000)
        await anyio.sleep(5.0)
        (said,) = studio.facts("message.dropped")
        assert (said["count"], said["total"]) == (3000 - 1024, 3000 - 1024)
        assert system.dead_letters.statistics().dropped == 3000 - 1024
        assert numbers(await studio.kept()) == list(range(2601, 3601))  # the thousand newest


@virtual
async def test_a_store_that_is_away_is_waited_for() -> None:
    store = FlakyStore()
    studio = Studio(store)
    async with studio.open() as (system, ref):
        store.is_away = True
        lose(system, ref, 10)
        await anyio.sleep(5.0)
        store.is_away = False
        assert await studio.kept() == []
        await anyio.sleep(10.0)
        assert numbers(await studio.kept()) == list(range(1, 11))
        assert "message.dropped" not in studio.words()


@virtual
async def test_what_the_store_refuses_for_good_is_dropped_and_the_worker_goes_on() -> None:
    class Picky(MemoryStore):
        async def keep_messages(self, messages: Sequence[DeadMessage], *, most: int) -> None:
            if any(b"poison" in each.content for each in messages):
                raise StoreError("a store", "a value can't be stored: sk-proj-0123456789", is_passing=False)
            await super().keep_messages(messages, most=most)

    studio = Studio(Picky(anyio.current_time))
    async with studio.open() as (system, ref):
        lose(system, ref, message=Paint("poison"))
        await anyio.sleep(1.0)
        lose(system, ref)
        await anyio.sleep(1.0)
        assert numbers(await studio.kept()) == [2]
        (said,) = studio.facts("message.dropped")
        assert (said["count"], said["total"]) == (1, 1)
        assert "can't be stored" in str(said["error"])
        assert "0123456789" not in str(said["error"])
    assert "actor.crashed" not in studio.words()


@virtual
async def test_what_was_discarded_does_not_come_back_with_a_new_keeper() -> None:
    studio = Studio()
    async with studio.open() as (system, ref):
        lose(system, ref, 3)
        await anyio.sleep(1.0)
        assert await studio.store.forget_messages([each.id for each in await studio.kept()]) == 3
        system.kill(system.get("jobs/messages"))
        await anyio.sleep(10.0)
        lose(system, ref)
        await anyio.sleep(1.0)
        assert numbers(await studio.kept()) == [4]


@virtual
async def test_a_message_that_is_told_again_leaves_the_store() -> None:
    studio = Studio()
    async with studio.open() as (system, ref):
        lose(system, ref, 3)
        await anyio.sleep(1.0)
        office = DeadLetterOffice(studio.store, system=system, clock=anyio.current_time)
        newest, middle, oldest = [letter.id for letter in await office.letters()]  # each once
        assert (await office.retry(middle)).done == 1
        assert (await office.discard(oldest)).done == 1
        assert [letter.id for letter in await office.letters()] == [newest]
        assert [each.id for each in await studio.kept()] == [newest]
        assert (await office.discard(Query(cause="overflow"))).done == 1
        await anyio.sleep(1.0)
        assert await studio.kept() == []


@virtual
async def test_one_that_was_discarded_before_its_turn_is_not_counted_as_dropped() -> None:
    studio = Studio()
    async with studio.open() as (system, ref):
        lose(system, ref, 3)
        system.dead_letters.discard()
        await anyio.sleep(1.0)
        lose(system, ref, 3)
        system.dead_letters.discard(lambda letter: letter.number < 6)
        await anyio.sleep(1.0)
        assert numbers(await studio.kept()) == [6]
        assert "message.dropped" not in studio.words()


@virtual
async def test_a_refused_message_that_is_told_again_is_another_one() -> None:
    class Deaf(Actor):
        pass

    studio = Studio()
    async with studio.working() as system:
        deaf = await system.spawn(Child("deaf", Deaf))
        await deaf.tell(Paint())
        await anyio.sleep(1.0)
        office = DeadLetterOffice(studio.store, system=system, clock=anyio.current_time)
        await office.retry(Query(cause="unhandled"))
        await anyio.sleep(1.0)
        assert numbers(await studio.kept()) == [2]


@virtual
async def test_none_are_kept_where_none_are_wanted() -> None:
    studio = Studio()
    async with studio.system() as system:
        await Worker(studio.queue, messages=0).start(system)
        ref = await system.spawn(Child("painter", Painter))
        lose(system, ref)
        await anyio.sleep(5.0)
        assert await studio.kept() == []
    assert await studio.kept() == []
    with pytest.raises(ValueError, match=r"Worker\.messages"):
        Worker(studio.queue, messages=-1)


@virtual
async def test_two_workers_of_a_system_keep_each_message_once() -> None:
    studio = Studio()
    async with studio.open() as (system, ref):
        await Worker(studio.queue, id="more-jobs").start(system)
        lose(system, ref, 3)
        await anyio.sleep(1.0)
        assert numbers(await studio.kept()) == [1, 2, 3]


@virtual
async def test_a_worker_that_is_started_in_another_system_keeps_that_ones_messages() -> None:
    studio = Studio()
    worker = Worker(studio.queue)
    for _ in range(2):
        async with studio.system() as system:
            await worker.start(system)
            lose(system, await system.spawn(Child("painter", Painter)))
            await anyio.sleep(1.0)
    assert numbers(await studio.kept()) == [1, 1]


async def test_what_stopped_actors_leave_is_kept_for_the_next_process(closed_store: Store) -> None:
    """Mailboxes are emptied when the worker has stopped already."""
    store = closed_store
    async with open_system() as system:
        ref = await system.spawn(Child("painter", Painter, shutdown=0.05))
        await Worker(Queue(store)).start(system)
        for number in range(200):
            await ref.tell(Paint(f"number {number}"))
    async with store.opened():
        letters = await DeadLetterOffice(store).letters(most=1000)
    assert 100 < len(letters) < 200
    assert {letter.cause for letter in letters} == {"stopped"}
    assert any("number 199" in str(letter.content) for letter in letters)


async def test_a_store_that_is_gone_at_the_end_is_said(tmp_path: Path) -> None:
    words: list[str] = []
    store = SqliteStore(tmp_path / "folder" / "jobs.db")
    store.path.parent.mkdir()
    async with open_system() as system:
        system.events.listen(lambda name, _: words.append(name))
        ref = await system.spawn(Child("painter", Painter, shutdown=0.05))
        await Worker(Queue(store)).start(system)
        for _ in range(100):
            await ref.tell(Paint())
        for file in store.path.parent.iterdir():
            file.unlink()
        store.path.mkdir()
    assert "message.dropped" in words


class Order(msgspec.Struct):
    title: str = "x"
    token: str = "hush"


class Shy(msgspec.Struct):
    pin: str = "4711"

    def __repr__(self) -> str:
        return "<shy>"


class Broken:
    def __repr__(self) -> str:
        raise ValueError("no")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        (True, True),
        (b"abc", "abc"),
        (b"x" * 5000, "5000 bytes"),
        (date(2026, 1, 2), "2026-01-02"),
        (Order(), {"title": "x", "token": "***"}),
        ([Order()], [{"title": "x", "token": "***"}]),
        ({"n": (1, {2})}, {"n": [1, [2]]}),
        (Shy(), "<shy>"),
        (Secret("sk-proj-0123456789"), "Secret('***')"),
        (Broken(), "<Broken: its repr raises ValueError>"),
        (["authorization", "Bearer hush"], ["authorization", "***"]),
        ("postgres://me:hush@db", "postgres://***@db"),
    ],
)
@virtual
async def test_what_is_shown_of_a_message_has_no_secrets(value: object, shown: object) -> None:
    letter = await _kept_of(value)
    assert letter.content == {"what": shown, "api_key": "***"}


_DEEP: list[object] = []
_DEEP.append(_DEEP)


@pytest.mark.parametrize(
    "value",
    [
        "x" * 5_000_000,
        ["word " * 500] * 1000,
        [0.5] * 500_000,
        {str(number): number for number in range(10_000)},
        {"k" * 20_000: 1},
        "\ud800 half a character",
        "\0" * 5000,
        "\N{GRINNING FACE}" * 5000,
        2**5000,
        float("nan"),
        _DEEP,
    ],
    ids=lambda value: f"{type(value).__name__}{str(value)[:8]!a}",
)
@virtual
async def test_a_message_of_any_size_and_kind_is_kept_in_a_few_bytes(value: object) -> None:
    letter = await _kept_of(value)
    assert len(msgspec.json.encode(letter.content)) <= 8 * 1024


async def _kept_of(value: object) -> Letter:
    studio = Studio()
    async with studio.open() as (system, ref):
        lose(system, ref, message=Paint(value))
        await anyio.sleep(1.0)
        (kept,) = await studio.kept()
        shown = await DeadLetterOffice(studio.store).show(kept.id)
        alive = await DeadLetterOffice(studio.store, system=system, clock=anyio.current_time).letters()
    assert len(kept.content) <= 8 * 1024
    assert [letter.id for letter in alive] == [kept.id]
    return cast("Letter", shown)
