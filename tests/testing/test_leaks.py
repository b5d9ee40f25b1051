"""Leaks: each kind is seen, and the report says whose it is."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest

from relight import Actor, Child, FailureKind, Message, Policy, Ref, Retry, System, handles
from relight.runtime import Cell
from relight.testing import (
    Fail,
    FlakyService,
    Hang,
    assert_no_leaks,
    crash,
    no_leaks,
    settle,
    wait_until_idle,
)
from tests.testing.actors import Add, Counter, Host, Nap, Note, real_time

pytestmark = pytest.mark.anyio


async def leaks(system: System, **options: bool) -> str:
    """Return the report."""
    with pytest.raises(AssertionError) as caught:
        await assert_no_leaks(system, timeout=1, **options)
    return str(caught.value)


async def test_a_system_at_rest_leaks_nothing(virtual_system: System) -> None:
    async with no_leaks(virtual_system):
        host = await virtual_system.spawn(Child("host", Host, name="the-host"))
        assert await host.ask(Add(1)) == 1
        await crash(host)
        await host.stop()
    await assert_no_leaks(virtual_system)


@real_time
async def test_it_waits_for_what_is_ending_in_real_time_too(relight_system: System) -> None:
    counter = await relight_system.spawn(Child("counter", Counter))
    await counter.tell(Nap(0.02))
    await assert_no_leaks(relight_system)


async def test_a_restarted_lifespan_is_no_leak(virtual_system: System) -> None:
    host = await virtual_system.spawn(Child("host", Host))
    with pytest.raises(AssertionError, match=r"task .*sleep_forever"):  # its own task group's
        async with no_leaks(virtual_system):
            await crash(host)
    plain = await virtual_system.spawn(Child("plain", Living))
    async with no_leaks(virtual_system):
        await crash(plain)


class Living(Actor):
    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None, None]:
        yield


async def test_messages_and_permits_are_reported(virtual_system: System) -> None:
    counter = await virtual_system.spawn(Child("counter", Counter))
    await counter.tell(Nap(60))
    await counter.tell(Note())
    report = await leaks(virtual_system)
    assert "counter: 1 queued, 1 in hand" in report
    assert "counter: 1 of 1 permits taken" in report
    assert "counter: 1 workers in it" in report


async def test_slots_of_a_service_are_reported(virtual_system: System) -> None:
    flaky = await virtual_system.spawn(Child("flaky", FlakyService.script([Hang()])))
    await flaky.tell(Note())
    assert "flaky: 1 slots of the bulkhead taken" in await leaks(virtual_system)


async def test_deadlines_are_reported_unless_they_are_left_out(virtual_system: System) -> None:
    script = FlakyService.script([Fail(FailureKind.RATE_LIMIT, retry_after=50.0)])
    flaky = await virtual_system.spawn(Child("flaky", script, policy=Policy(retry=Retry(attempts=1))))
    await flaky.tell(Note())
    assert "flaky/service: ActorCell.kick" in await leaks(virtual_system)
    await assert_no_leaks(virtual_system, timers=False)
    await assert_no_leaks(virtual_system, timeout=100)


async def test_monitors_are_reported(virtual_system: System) -> None:
    counter = await virtual_system.spawn(Child("counter", Counter))
    monitor = virtual_system.monitor(counter)
    assert "counter: 1 monitors, still held by somebody" in await leaks(virtual_system)
    async with no_leaks(virtual_system):
        assert monitor.down is None
    more = [monitor]
    with pytest.raises(AssertionError, match="counter: 1 monitors"):
        async with no_leaks(virtual_system, timeout=1):
            more.append(virtual_system.monitor(counter))
    more.clear()
    del monitor
    await assert_no_leaks(virtual_system)


async def test_senders_in_line_are_reported(virtual_system: System) -> None:
    class Narrow(Counter):
        mailbox = 1

    narrow = await virtual_system.spawn(Child("narrow", Narrow))
    async with anyio.create_task_group() as group:
        await narrow.tell(Nap(60))
        await settle()
        for _ in range(2):
            group.start_soon(narrow.tell, Note())
        assert "narrow: 1 queued, 1 in hand, 1 waiting for room" in await leaks(virtual_system)
        group.cancel_scope.cancel()


def _cell(ref: Ref | None) -> Cell:
    assert isinstance(ref, Cell)
    return ref


async def test_dead_actors_that_are_still_held_are_reported(virtual_system: System) -> None:
    counter = _cell(await virtual_system.spawn(Child("counter", Counter)))
    other = _cell(await virtual_system.spawn(Child("other", Counter)))
    registry = counter.kernel.registry
    await counter.stop()
    registry.claim("ghost", counter)
    state, other.state = other.state, counter.state
    report = await leaks(virtual_system)
    assert "counter: has ended and is still registered as 'ghost'" in report
    assert "other: has ended and is still held by its supervisor" in report
    other.state = state
    registry.claim("counter", counter)
    registry.forget(counter)
    await assert_no_leaks(virtual_system)


async def test_actors_left_running_are_reported(virtual_system: System) -> None:
    with pytest.raises(AssertionError, match="left: an actor more than before, registered as 'alias'"):
        async with no_leaks(virtual_system, timeout=1):
            await virtual_system.spawn(Child("left", Counter, name="alias"))


class Open(Message, frozen=True):
    task: Callable[[], object]


class Opener(Actor):
    @handles
    async def open(self, message: Open) -> None:
        message.task()


async def test_tasks_left_running_are_reported(virtual_system: System) -> None:
    opener = await virtual_system.spawn(Child("opener", Opener))
    async with anyio.create_task_group() as group:
        with pytest.raises(AssertionError, match="sleep_forever: started and not ended"):
            async with no_leaks(virtual_system, timeout=1):
                await opener.tell(Open(lambda: group.start_soon(anyio.sleep_forever)))
        group.cancel_scope.cancel()


async def test_a_task_with_the_id_of_one_that_has_ended_is_reported(
    virtual_system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An id is an address in memory: the next task may get it."""
    running_tasks = anyio.get_running_tasks

    def with_one_id() -> list[anyio.TaskInfo]:
        tasks = running_tasks()
        for task in tasks:
            task.id = 1
        return tasks

    monkeypatch.setattr(anyio, "get_running_tasks", with_one_id)
    async with anyio.create_task_group() as group:
        with pytest.raises(AssertionError, match="sleep_forever: started and not ended"):
            async with no_leaks(virtual_system, timeout=1):
                group.start_soon(anyio.sleep_forever)
        group.cancel_scope.cancel()


async def test_a_lifespan_that_outlives_its_actor_is_reported(virtual_system: System) -> None:
    class Clinging(Actor):
        @asynccontextmanager
        async def lifespan(self) -> AsyncGenerator[None, None]:
            yield
            with anyio.CancelScope(shield=True):
                await anyio.sleep(100)

    async def start_and_stop() -> None:
        clinging = await virtual_system.spawn(Child("clinging", Clinging, shutdown=1.0))
        await clinging.stop()

    with pytest.raises(AssertionError, match="lifespans: 1 tasks still in one, their actors have ended"):
        async with no_leaks(virtual_system, timeout=10):
            await start_and_stop()


async def test_an_error_of_the_block_is_not_hidden(virtual_system: System) -> None:
    with pytest.raises(KeyError):
        async with no_leaks(virtual_system):
            await _leave_behind(virtual_system)


async def _leave_behind(system: System) -> None:
    await system.spawn(Child("left", Counter))
    raise KeyError


async def test_what_is_ending_is_waited_for(virtual_system: System) -> None:
    async with no_leaks(virtual_system, timeout=10):
        counter = await virtual_system.spawn(Child("counter", Counter))
        await counter.tell(Nap(4))
        await wait_until_idle(virtual_system)
        await counter.tell(Nap(4))
        async with anyio.create_task_group() as group:
            group.start_soon(counter.stop)
