"""Messages in hand for long, and rings of asks: found in the tasks' frames, whoever looks."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from math import inf

import anyio
import anyio.lowlevel
import pytest

from relight import (
    Actor,
    Child,
    GuardedActor,
    Ref,
    Request,
    Settings,
    StuckHandler,
    System,
    handles,
    open_system,
)
from tests.runtime.desk import Crowd, Desk, Echo, Hold, Log, Note, asking, cell_of, heard, open_desk, settle

pytestmark = pytest.mark.anyio


class Ask(Request[int], frozen=True):
    """Has the actor ask another one."""

    path: str
    then: tuple[str, ...] = ()


class Asker(Actor):
    def __init__(self, systems: list[System]) -> None:
        self.systems = systems

    @handles
    async def on_ask(self, message: Ask) -> int:
        ref = self.systems[0].get(message.path)
        following: Request[int] = Ask(message.then[0], message.then[1:]) if message.then else Echo(1)
        return await ref.ask(following, timeout=inf)

    @handles
    async def echo(self, message: Echo) -> int:
        return message.number


class BusyAsker(Asker):
    concurrency = 2


async def test_a_message_in_hand_ages_and_is_listed_with_what_waits_behind_it() -> None:
    async with open_desk() as (system, ref, log), anyio.create_task_group() as group:
        assert system.stuck(0.0) == []
        await asking(group, ref, Hold(7))
        await asking(group, ref, Echo(8))
        assert [one.seconds for one in system.stuck(0.0)] == [0.0]
        await anyio.sleep(40)
        [one] = system.stuck()
        assert (one.path, one.message, one.queued, one.ring) == ("desk", "Hold", 1, ())
        assert one.seconds == pytest.approx(40.0)
        assert system.stuck(41.0) == []
        log.open()
        await settle()
        assert system.stuck(0.0) == []


async def test_the_same_message_told_again_is_another_one_in_hand() -> None:
    note = Note("again")
    async with open_desk() as (system, ref, log):
        block = anyio.Event()

        class Waiter(Desk):
            @handles
            async def note(self, message: Note) -> None:
                await block.wait()

        waiter = await system.spawn(Child("waiter", partial(Waiter, log)))
        for _ in range(2):
            await waiter.tell(note)
        await settle()
        assert [one.message for one in system.stuck(0.0)] == ["Note"]
        await anyio.sleep(50)
        [one] = system.stuck()
        assert (one.message, one.seconds, one.queued) == ("Note", 50.0, 1)
        first, block = block, anyio.Event()
        first.set()
        await settle()
        assert [one.seconds for one in system.stuck(0.0)] == [0.0]
        block.set()
        assert await ref.ask(Echo(1)) == 1


async def test_the_oldest_comes_first_and_each_handler_has_its_own_age() -> None:
    async with open_desk(Crowd) as (system, ref, log), anyio.create_task_group() as group:
        for number in range(3):
            await asking(group, ref, Hold(number))
            system.stuck(0.0)
            await anyio.sleep(10)
        assert [one.seconds for one in system.stuck(0.0)] == [30.0, 20.0, 10.0]
        log.open()


async def test_a_services_attempt_is_in_hand_like_any_message() -> None:
    class Hanging(GuardedActor):
        @handles
        async def on_hold(self, message: Hold) -> int:
            await anyio.sleep(60.0)
            return message.number

    async with open_system() as system, anyio.create_task_group() as group:
        ref = await system.spawn(Child("provider", Hanging))
        await asking(group, ref, Hold(1))
        system.stuck()
        await anyio.sleep(30)
        [one] = system.stuck()
        assert (one.path, one.message, one.seconds) == ("provider/service", "Hold", 30.0)


class IsolatedAsker(Asker):
    isolated = True


async def spawned(system: System, *paths: str, actor: type[Asker] = Asker) -> list[Ref]:
    return [await system.spawn(Child(path, partial(actor, [system]))) for path in paths]


async def test_a_ring_of_asks_is_named_by_all_its_paths() -> None:
    async with open_system() as system, anyio.create_task_group() as group:
        a, *_ = await spawned(system, "a", "b", "c")
        await asking(group, a, Ask("b", ("c", "a")))
        rings = {one.path: one.ring for one in system.stuck(0.0)}
        assert rings == {"a": ("a", "b", "c"), "b": ("b", "c", "a"), "c": ("c", "a", "b")}
        group.cancel_scope.cancel()


async def test_a_ring_is_seen_through_isolated_handlers() -> None:
    async with open_system() as system, anyio.create_task_group() as group:
        a, *_ = await spawned(system, "a", "b", actor=IsolatedAsker)
        await asking(group, a, Ask("b", ("a",)))
        assert [one.ring for one in system.stuck(0.0) if one.path == "a"] == [("a", "b")]
        group.cancel_scope.cancel()


async def test_who_waits_for_a_ring_without_being_in_it_is_told_apart() -> None:
    async with open_system() as system, anyio.create_task_group() as group:
        a, _, d = await spawned(system, "a", "b", "d")
        await asking(group, a, Ask("b", ("a",)))
        await asking(group, d, Ask("a"))
        rings = {one.path: one.ring for one in system.stuck(0.0)}
        assert rings == {"a": ("a", "b"), "b": ("b", "a"), "d": ()}
        group.cancel_scope.cancel()


async def test_an_actor_that_could_begin_another_message_is_in_no_ring() -> None:
    async with open_system() as system, anyio.create_task_group() as group:
        [a] = await spawned(system, "a")
        await spawned(system, "b", actor=BusyAsker)
        await asking(group, a, Ask("b", ("a",)))
        assert {one.ring for one in system.stuck(0.0)} == {()}
        group.cancel_scope.cancel()


async def test_a_chain_of_asks_is_no_ring() -> None:
    async with open_system() as system, anyio.create_task_group() as group:
        a, _ = await spawned(system, "a", "b")
        log = Log()
        await system.spawn(Child("desk", partial(Desk, log)))

        class Holder(Asker):
            @handles
            async def on_ask(self, message: Ask) -> int:
                return await self.systems[0].get("desk").ask(Hold(1), timeout=inf)

        await system.spawn(Child("holder", partial(Holder, [system])))
        answer = await asking(group, a, Ask("holder", ("desk",)))
        assert [one.ring for one in system.stuck(0.0)] == [(), (), ()]
        log.open()
        await settle()
        assert answer.value == 1


async def test_a_ring_is_reported_once_and_virtual_time_is_not_disturbed() -> None:
    async with open_system(settings=Settings(watchdog_seconds=0.1)) as system:  # noqa: SIM117
        async with anyio.create_task_group() as group:
            events = heard(system)
            a, *_ = await spawned(system, "a", "b")
            await asking(group, a, Ask("b", ("a",)))
            began, count, end = anyio.current_time(), 0, time.monotonic() + 0.5
            while time.monotonic() < end:  # some beats of real time
                await anyio.sleep(1)
                count += 1
            assert anyio.current_time() - began == count
            [(name, fields)] = events
            assert name == "actor.deadlocked"
            assert fields["ring"] in ("a -> b -> a", "b -> a -> b")
            assert (fields["actor_path"], fields["message"]) == (str(fields["ring"])[0], "Ask")
            assert system.watchdog_statistics().blocked == 0
            group.cancel_scope.cancel()


async def test_a_users_own_ask_is_not_taken_for_an_actors() -> None:
    class Asking(Desk):
        @handles
        async def echo(self, message: Echo) -> int:
            return await self.ask(message.number)

        async def ask(self, slot: int) -> int:
            await anyio.sleep_forever()
            return slot

    async with open_desk(Asking) as (system, ref, _log), anyio.create_task_group() as group:
        await asking(group, ref, Echo(1))
        [one] = system.stuck(0.0)
        assert (one.message, one.ring) == ("Echo", ())
        group.cancel_scope.cancel()


async def test_hooks_are_no_messages_in_hand() -> None:
    class Slow(Desk):
        async def stopping(self, reason: object) -> None:
            await anyio.sleep(1)
            listed.append(system.stuck(0.0))

        @asynccontextmanager
        async def lifespan(self) -> AsyncGenerator[None]:
            listed.append(system.stuck(0.0))
            yield

    listed: list[list[StuckHandler]] = []
    async with open_system() as system:
        ref = await system.spawn(Child("slow", partial(Slow, Log())))
        async with anyio.create_task_group() as group:
            group.start_soon(ref.stop)
            await settle()
            listed.append(system.stuck(0.0))
    assert len(listed) == 3
    assert "slow" not in {one.path for found in listed for one in found}


async def test_who_waits_behind_a_long_message_is_in_no_ring() -> None:
    async with open_desk() as (system, ref, log), anyio.create_task_group() as group:
        await asking(group, ref, Hold(7))
        await asking(group, ref, Echo(8))
        hands = system._engine.watchdog.hands
        hands.look()
        await anyio.sleep(10)
        assert hands.new_rings() == []
        log.open()


async def test_a_task_that_has_just_ended_has_nothing_in_hand() -> None:
    async def end() -> None:
        await anyio.lowlevel.checkpoint()

    ended = end()
    ended.close()

    def coroutine_of(_task: object) -> object:
        return ended

    async with open_desk() as (system, ref, _log):
        kernel = cell_of(ref).kernel
        kernel.backend = replace(kernel.backend, coroutine_of=coroutine_of)
        await ref.ask(Echo(1))
        assert system.stuck(0.0) == []
