"""Mailbox: order, backpressure, overflow."""

import random
from collections import defaultdict
from functools import partial
from typing import cast

import anyio
import anyio.lowlevel
import pytest

from relight import (
    Child,
    DeadlineExceededError,
    MailboxClosedError,
    MailboxFullError,
    Overflow,
    open_system,
)
from tests.runtime.desk import (
    Answer,
    Boom,
    Crowd,
    Desk,
    Echo,
    Hold,
    Log,
    Narrow,
    Note,
    asking,
    cell_of,
    open_desk,
    settle,
    telling,
)

pytestmark = pytest.mark.anyio


async def test_messages_of_one_sender_are_handled_in_the_order_sent() -> None:
    async with open_desk() as (_, ref, log):
        for number in range(200):
            await ref.tell(Note(number))
        await ref.ask(Echo(200))
        assert log == list(range(201))


async def test_told_and_asked_messages_keep_one_order() -> None:
    async with open_desk() as (_, ref, log):
        for number in range(0, 20, 2):
            await ref.tell(Note(number))
            await ref.ask(Echo(number + 1))
        assert log == list(range(20))


@pytest.mark.parametrize("seed", range(5))
async def test_each_sender_keeps_its_order_across_a_full_mailbox_and_restarts(seed: int) -> None:
    rng = random.Random(seed)
    async with open_desk(Narrow) as (system, ref, log):
        ref = await system.spawn(Child("busy", partial(Narrow, log), restart="permanent"))

        async def send(name: int) -> None:
            for number in range(20):
                await ref.tell(Note((name, number)))
                if rng.random() < 0.3:
                    await anyio.sleep(rng.random())

        async with anyio.create_task_group() as group:
            for name in range(5):
                group.start_soon(send, name)
            for _ in range(4):
                await anyio.sleep(rng.random())
                await ref.tell(Boom())
        await settle()
        by_sender: dict[object, list[object]] = defaultdict(list)
        for entry in log:
            assert isinstance(entry, tuple)
            name, number = cast("tuple[int, int]", entry)
            by_sender[name].append(number)
        assert by_sender == {name: list(range(20)) for name in range(5)}
        assert ref.statistics().restarts == 4


async def test_tell_waits_while_the_mailbox_is_full() -> None:
    async with open_desk(Narrow) as (_, ref, log), anyio.create_task_group() as group:
        await asking(group, ref, Hold())
        await ref.tell(Note("queued"))
        told = await telling(group, ref, Note("waited"))
        assert not told.is_in
        assert ref.statistics().waiting == 1
        log.open()
        await settle()
        assert told.is_in
        assert log[-2:] == ["queued", "waited"]


async def test_waiting_senders_are_admitted_in_the_order_they_came() -> None:
    async with open_desk(Narrow) as (_, ref, log), anyio.create_task_group() as group:
        await asking(group, ref, Hold())
        for number in range(10):
            if number % 2:
                await telling(group, ref, Note(number))
            else:
                await asking(group, ref, Echo(number))
        log.open()
        await settle()
        assert log[2:] == list(range(10))


async def test_a_newcomer_does_not_overtake_a_sender_in_line() -> None:
    async with open_desk(Narrow) as (_, ref, log), anyio.create_task_group() as group:
        first = await asking(group, ref, Hold(1))
        await ref.tell(Hold(2))
        await telling(group, ref, Note("in line"))
        log.open()
        await first_in(first)
        with pytest.raises(MailboxFullError):
            ref.tell_nowait(Note("newcomer"))
        await settle()
        log.open()
        await settle()
        assert "in line" in log
        assert "newcomer" not in log


async def first_in(answer: Answer[int]) -> None:
    """Wait until an answer is in, without letting everybody run until all wait."""
    while not answer.is_in:
        await anyio.lowlevel.checkpoint()


async def test_a_sender_cancelled_in_line_has_not_sent() -> None:
    async with open_desk(Narrow) as (_, ref, log), anyio.create_task_group() as group:
        await asking(group, ref, Hold())
        await ref.tell(Note("queued"))
        told = await telling(group, ref, Note("cancelled"))
        kept = await telling(group, ref, Note("kept"))
        told.scope.cancel()
        await settle()
        assert ref.statistics().waiting == 1
        log.open()
        await settle()
        assert not told.is_in
        assert kept.is_in
        assert log[-2:] == ["queued", "kept"]


async def test_a_sender_cancelled_in_the_tick_its_turn_comes_is_either_in_or_out() -> None:
    """It looks alive until it runs: what counts is whether it was told that its message went in."""
    async with open_desk(Narrow) as (_, ref, log), anyio.create_task_group() as group:
        await asking(group, ref, Hold())
        await ref.tell(Note("queued"))
        told = await telling(group, ref, Note("either"))
        log.open()
        told.scope.cancel()
        await settle()
        assert told.is_in == ("either" in log)


async def test_a_cancelled_asker_in_line_is_not_handled() -> None:
    async with open_desk(Narrow) as (_, ref, log), anyio.create_task_group() as group:
        await asking(group, ref, Hold())
        await ref.tell(Note("queued"))
        asked = await asking(group, ref, Echo(5))
        asked.scope.cancel()
        await settle()
        log.open()
        await settle()
        assert 5 not in log
        assert ref.statistics().abandoned == 0  # it was never taken


async def test_senders_who_gave_up_are_swept_from_a_line_that_does_not_move() -> None:
    async with open_desk(Narrow) as (_, ref, log), anyio.create_task_group() as group:
        await asking(group, ref, Hold())
        await ref.tell(Note("queued"))
        kept = await telling(group, ref, Note("kept"))
        for _ in range(500):
            with pytest.raises(DeadlineExceededError):
                await ref.ask(Echo(), timeout=0.1)
        assert ref.statistics().waiting == 1
        line = cell_of(ref).senders
        assert line is not None
        assert len(line) < 130
        log.open()
        await settle()
        assert kept.is_in


async def test_tell_nowait_sends_while_there_is_room() -> None:
    async with open_desk() as (_, ref, log):
        for number in range(10):
            ref.tell_nowait(Note(number))
        await settle()
        assert log == list(range(10))


async def test_tell_nowait_hands_the_message_back_when_the_mailbox_is_full() -> None:
    async with open_desk(Narrow) as (_, ref, log), anyio.create_task_group() as group:
        await asking(group, ref, Hold())
        ref.tell_nowait(Note("queued"))
        message = Note("refused")
        with pytest.raises(
            MailboxFullError, match=r"Note not taken: the mailbox is full \(1 messages\)"
        ) as caught:
            ref.tell_nowait(message)
        assert caught.value.message is message
        assert caught.value.ref is ref
        assert caught.value.capacity == 1
        log.open()


async def test_tell_with_room_does_not_let_others_run() -> None:
    async with open_desk() as (_, ref, log):
        await ref.tell(Note("first"))
        assert log == []


async def test_a_closed_mailbox_hands_the_message_back() -> None:
    async with open_desk() as (_, ref, _log):
        await ref.stop()
        message = Echo()
        with pytest.raises(MailboxClosedError) as told:
            await ref.tell(message)
        with pytest.raises(MailboxClosedError) as asked:
            await ref.ask(message)
        assert told.value.message is asked.value.message is message
        with pytest.raises(MailboxClosedError, match="desk: Echo not taken: the actor has stopped"):
            ref.tell_nowait(message)


async def test_a_waiting_teller_gets_its_message_back_when_the_actor_stops() -> None:
    async with open_desk(Narrow, shutdown=1.0) as (_, ref, _log), anyio.create_task_group() as group:
        await asking(group, ref, Hold())
        await ref.tell(Note("queued"))
        told = await telling(group, ref, Note("waited"))
        await ref.stop()
        assert isinstance(told.error, MailboxClosedError)
        assert told.error.message == Note("waited")


class Newest(Crowd):
    concurrency = 1
    mailbox = 2
    overflow = Overflow.DROP_NEWEST


class Oldest(Newest):
    overflow = Overflow.DROP_OLDEST


async def test_drop_newest_drops_the_message_that_finds_no_room() -> None:
    async with open_desk(Newest) as (system, ref, log), anyio.create_task_group() as group:
        await asking(group, ref, Hold())
        for number in range(4):
            await ref.tell(Note(number))
        assert [letter.message for letter in system.dead_letters.read()] == [Note(2), Note(3)]
        log.open()
        await settle()
        assert log[2:] == [0, 1]


async def test_drop_oldest_drops_the_oldest_told_message() -> None:
    async with open_desk(Oldest) as (system, ref, log), anyio.create_task_group() as group:
        await asking(group, ref, Hold())
        for number in range(4):
            ref.tell_nowait(Note(number))
        assert [letter.message for letter in system.dead_letters.read()] == [Note(0), Note(1)]
        assert {letter.reason for letter in system.dead_letters.read()} == {"overflow"}
        log.open()
        await settle()
        assert log[2:] == [2, 3]


async def test_drop_oldest_leaves_asks_alone() -> None:
    async with open_desk(Oldest) as (system, ref, log), anyio.create_task_group() as group:
        await asking(group, ref, Hold())
        asked = await asking(group, ref, Echo(1))
        await ref.tell(Note(2))
        await ref.tell(Note(3))
        assert [letter.message for letter in system.dead_letters.read()] == [Note(2)]
        log.open()
        await settle()
        assert asked.value == 1
        assert log[2:] == [1, 3]


async def test_drop_oldest_waits_when_only_asks_are_queued() -> None:
    async with open_desk(Oldest) as (_, ref, log), anyio.create_task_group() as group:
        await asking(group, ref, Hold())
        for number in range(2):
            await asking(group, ref, Echo(number))
        told = await telling(group, ref, Note("waits"))
        assert not told.is_in
        with pytest.raises(MailboxFullError):
            ref.tell_nowait(Note())
        log.open()
        await settle()
        assert told.is_in


@pytest.mark.parametrize("actor", [Oldest, Newest])
async def test_an_ask_waits_for_room_whatever_the_overflow_policy(actor: type[Newest]) -> None:
    async with open_desk(actor) as (system, ref, log), anyio.create_task_group() as group:
        await asking(group, ref, Hold())
        await ref.tell(Note(0))
        await ref.tell(Note(1))
        asked = await asking(group, ref, Echo(2))
        assert ref.statistics().waiting == 1
        assert system.dead_letters.read() == []
        log.open()
        await settle()
        assert asked.value == 2


async def test_statistics_tell_how_full_the_mailbox_is_and_was() -> None:
    async with open_desk(Crowd) as (_, ref, log), anyio.create_task_group() as group:
        for _ in range(3):
            await asking(group, ref, Hold())
        for number in range(5):
            await ref.tell(Note(number))
        statistics = ref.statistics()
        assert (statistics.in_hand, statistics.queued, statistics.accepted) == (3, 5, 8)
        assert statistics.queued_peak == 5
        assert statistics.capacity == 1024
        log.open()
        await settle()
        statistics = ref.statistics()
        assert (statistics.in_hand, statistics.queued, statistics.handled) == (0, 0, 8)
        assert statistics.queued_peak == 5


async def test_concurrency_bounds_how_many_messages_are_in_hand() -> None:
    async with open_desk(Crowd) as (_, ref, log), anyio.create_task_group() as group:
        for number in range(5):
            await asking(group, ref, Hold(number))
        assert log == [("holds", 0), ("holds", 1), ("holds", 2)]
        log.open()
        await settle()
        assert ("holds", 4) in log
        log.open()


async def test_actors_of_one_system_do_not_wait_for_each_other() -> None:
    log = Log()
    async with open_system() as system, anyio.create_task_group() as group:
        first = await system.spawn(Child("first", partial(Desk, log)))
        second = await system.spawn(Child("second", partial(Desk, log)))
        await asking(group, first, Hold())
        assert await second.ask(Echo(2)) == 2
        log.open()
