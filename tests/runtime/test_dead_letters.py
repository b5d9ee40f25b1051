"""Dead letters: counted, kept, sampled to the log, replayed."""

from functools import partial

import anyio
import pytest

from relight import Child, open_system
from tests.runtime.desk import (
    Boom,
    Desk,
    Echo,
    Hold,
    Log,
    Narrow,
    Note,
    Unknown,
    asking,
    heard,
    open_desk,
    settle,
)

pytestmark = pytest.mark.anyio


async def test_a_dead_letter_says_what_was_meant_for_whom_and_when() -> None:
    async with open_desk() as (system, ref, _log):
        await anyio.sleep(7)
        await ref.tell(Unknown())
        await settle()
        [letter] = system.dead_letters.read()
        assert (letter.ref, letter.message, letter.reason) == (ref, Unknown(), "unhandled")
        assert letter.at == pytest.approx(anyio.current_time())


async def test_dead_letters_are_counted_by_type_and_reason() -> None:
    async with open_desk() as (system, ref, _log):
        for _ in range(3):
            await ref.tell(Unknown())
        await settle()
        statistics = system.dead_letters.statistics()
        assert (statistics.total, statistics.kept) == (3, 3)
        assert statistics.counts == {("Unknown", "unhandled"): 3}


async def test_what_could_not_be_kept_elsewhere_is_counted() -> None:
    async with open_desk() as (system, _ref, _log):
        assert system.dead_letters.statistics().dropped == 0
        system.dead_letters.note_dropped(3)
        system.dead_letters.note_dropped(4)
        assert system.dead_letters.statistics().dropped == 7


async def test_the_ring_keeps_the_newest_and_counts_all() -> None:
    async with open_desk() as (system, ref, _log):
        for number in range(1500):
            await ref.tell(Unknown())
            if number % 500 == 0:
                await settle()
        await settle()
        statistics = system.dead_letters.statistics()
        assert (statistics.total, statistics.kept) == (1500, 1024)


async def test_the_log_gets_a_sample() -> None:
    async with open_desk() as (system, ref, _log):
        events = heard(system)
        for _ in range(2000):
            await ref.tell(Unknown())
            await settle()
        counts = [fields["count"] for name, fields in events if name == "message.dead_lettered"]
        assert counts == [*range(1, 101), 1000, 2000]


async def test_replay_tells_each_letter_again() -> None:
    log = Log()
    async with open_system() as system:
        ref = await system.spawn(Child("desk", partial(Narrow, log)))
        for _ in range(3):
            await ref.tell(Unknown())
            await settle()
        assert await system.dead_letters.replay() == 3
        await settle()
        assert system.dead_letters.statistics().total == 6
        assert system.dead_letters.statistics().kept == 3


async def test_replay_keeps_letters_to_the_dead() -> None:
    async with open_desk(shutdown=1.0) as (system, ref, log), anyio.create_task_group() as group:
        other = await system.spawn(Child("other", partial(Desk, log)))
        await other.tell(Unknown())
        await asking(group, ref, Hold())
        await ref.tell(Note("kept"))
        await ref.stop()
        assert await system.dead_letters.replay() == 1
        await settle()
        assert [letter.message for letter in system.dead_letters.read()] == [Note("kept"), Unknown()]


async def test_a_cancelled_replay_loses_nothing() -> None:
    async with open_desk(Narrow) as (system, ref, log), anyio.create_task_group() as group:
        for _ in range(5):
            await ref.tell(Unknown())
            await settle()
        await asking(group, ref, Hold())
        with anyio.move_on_after(1):
            await system.dead_letters.replay()  # one goes into the mailbox, the next waits for room
        assert len(system.dead_letters.read()) == 4
        log.open()
        await settle()
        assert len(system.dead_letters.read()) == 5


async def test_a_replay_whose_actor_stops_meanwhile_goes_on_with_the_others() -> None:
    async with open_desk(Narrow, shutdown=1.0) as (system, ref, log), anyio.create_task_group() as group:
        other = await system.spawn(Child("other", partial(Desk, log)))
        for _ in range(3):
            await ref.tell(Unknown())
            await settle()
        await other.tell(Unknown())
        await settle()
        await asking(group, ref, Hold())
        taken: list[int] = []

        async def replay() -> None:
            taken.append(await system.dead_letters.replay())

        group.start_soon(replay)
        await settle()
        await ref.stop()
        await settle()
        assert taken == [2]  # the one that found room, and the other actor's
        assert len(system.dead_letters.read()) == 4


async def test_an_ask_that_failed_is_not_kept_for_replay() -> None:
    """Its asker was told and decides; a replay would make a paid call twice."""
    async with open_desk(shutdown=1.0) as (system, ref, _log), anyio.create_task_group() as group:
        await asking(group, ref, Hold())
        queued = await asking(group, ref, Echo(5))
        await ref.stop()
        assert queued.error is not None
        assert ref.statistics().dead_letters == 1
        assert system.dead_letters.read() == []


async def test_what_crashed_its_handler_is_no_dead_letter() -> None:
    async with open_desk() as (system, ref, _log):
        await ref.tell(Boom())
        await settle()
        assert system.dead_letters.read() == []


async def test_only_what_is_wanted_is_told_again_or_forgotten() -> None:
    async with open_desk() as (system, ref, _log):
        for text in ("one", "two", "three"):
            system.dead_letters.add(ref, Note(text), "overflow")
        assert await system.dead_letters.replay(lambda letter: letter.number == 2) == 1
        await settle()
        assert [letter.message for letter in system.dead_letters.read()] == [Note("one"), Note("three")]
        assert system.dead_letters.discard(lambda letter: letter.message == Note("one")) == 1
        assert system.dead_letters.discard() == 1
        assert system.dead_letters.read() == []
        assert system.dead_letters.statistics().total == 3


async def test_who_waits_for_a_dead_letter_is_woken_by_it() -> None:
    async with open_desk() as (system, ref, _log):
        woken: list[int] = []

        async def wait(number: int) -> None:
            await system.dead_letters.wait_after(number)
            woken.append(number)

        async with anyio.create_task_group() as group:
            for number in (0, 0, 1):
                group.start_soon(wait, number)
            await settle()
            assert woken == []
            await ref.tell(Unknown())
            await settle()
            assert woken == [0, 0]
            await system.dead_letters.wait_after(0)  # at once: it is there
            await ref.tell(Unknown())
        assert woken == [0, 0, 1]


async def test_the_series_of_two_systems_differ() -> None:
    async with open_desk() as (one, _, _), open_desk() as (other, _, _):
        assert one.dead_letters.series != other.dead_letters.series
