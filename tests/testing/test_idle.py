"""Idle: nothing queued, in hand, starting, stopping or soon to be restarted; and who is busy is said."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

import anyio
import pytest

from relight import Actor, Child, ExitReason, FailureKind, Fixed, Policy, Pool, Retry, Supervisor, System
from relight.testing import Fail, FlakyService, Hang, Ok, settle, wait_until_idle
from tests.testing.actors import Add, Counter, Nap, Note, real_time

pytestmark = pytest.mark.anyio

QUICK = Policy(retry=Retry(backoff=Fixed(2.0)), restart_backoff=Fixed(2.0))


class Slow(Actor):
    """Takes its time on the way in and out."""

    async def started(self) -> None:
        await anyio.sleep(2)

    async def stopping(self, reason: ExitReason) -> None:
        await anyio.sleep(2)


async def test_an_idle_system_is_idle_at_once(virtual_system: System) -> None:
    await virtual_system.spawn(Child("counter", Counter))
    began = anyio.current_time()
    await wait_until_idle(virtual_system)
    assert anyio.current_time() == began


async def test_queued_and_handled_messages_are_waited_for_to_the_moment(virtual_system: System) -> None:
    counter = await virtual_system.spawn(Child("counter", Counter))
    began = anyio.current_time()
    for seconds in (0.3, 1.5):
        await counter.tell(Nap(seconds))
    await wait_until_idle(virtual_system)
    assert anyio.current_time() - began == pytest.approx(1.8)


@real_time
async def test_it_waits_in_real_time_too(relight_system: System) -> None:
    counter = await relight_system.spawn(Child("counter", Counter))
    for _ in range(3):
        await counter.tell(Nap(0.01))
    await counter.tell(Note())
    await wait_until_idle(relight_system)
    assert counter.statistics().handled == 4


async def test_what_others_are_about_to_send_is_waited_for(virtual_system: System) -> None:
    counter = await virtual_system.spawn(Child("counter", Counter))
    async with anyio.create_task_group() as group:
        group.start_soon(counter.tell, Nap(1))
        await wait_until_idle(virtual_system)
        assert counter.statistics().handled == 1


async def test_starts_and_stops_are_waited_for(virtual_system: System) -> None:
    began = anyio.current_time()
    async with anyio.create_task_group() as group:
        group.start_soon(virtual_system.spawn, Child("slow", Slow))
        await wait_until_idle(virtual_system)
        assert anyio.current_time() - began == pytest.approx(2)
        group.start_soon(virtual_system.get("slow").stop)
        await wait_until_idle(virtual_system)
        assert anyio.current_time() - began == pytest.approx(4)


async def test_a_retry_and_a_restart_that_are_due_in_time_are_waited_for(virtual_system: System) -> None:
    script = FlakyService.script([Fail(FailureKind.SERVER), Ok(1)])
    flaky = await virtual_system.spawn(Child("flaky", script, policy=QUICK))
    began = anyio.current_time()
    await flaky.tell(Note())
    await wait_until_idle(virtual_system)
    assert anyio.current_time() - began == pytest.approx(2)
    assert script.left == 0


@pytest.mark.parametrize(("timeout", "waited"), [(5.0, 3.0), (2.0, 0.0)])
async def test_a_restart_is_waited_for_if_it_comes_soon(
    virtual_system: System, timeout: float, waited: float
) -> None:
    counter = await virtual_system.spawn(Child("counter", Counter, backoff=Fixed(3.0)))
    began = anyio.current_time()
    await counter.tell(Nap(-1.0))  # raises: there is no such sleep
    await wait_until_idle(virtual_system, timeout=timeout)
    assert anyio.current_time() - began == pytest.approx(waited)
    assert counter.statistics().restarts == (1 if waited else 0)


async def test_who_is_busy_is_said(virtual_system: System) -> None:
    script = FlakyService.script([Hang()])
    flaky = await virtual_system.spawn(Child("flaky", script))
    counter = await virtual_system.spawn(Child("counter", Counter))
    await flaky.tell(Note())
    await counter.tell(Nap(60))
    await counter.tell(Note())
    with pytest.raises(AssertionError) as caught:
        await wait_until_idle(virtual_system, timeout=2)
    text = str(caught.value)
    assert "not idle within 2 s" in text
    assert "counter: 1 queued, 1 in hand" in text
    assert "flaky/service: 1 in hand" in text
    assert "workers: 2 at work, 0 pieces of work ready" in text


async def test_a_start_that_hangs_is_said(virtual_system: System) -> None:
    class Hanging(Actor):
        @asynccontextmanager
        async def lifespan(self) -> AsyncGenerator[None, None]:
            await anyio.sleep_forever()
            yield

    async with anyio.create_task_group() as group:
        group.start_soon(virtual_system.spawn, Supervisor("top", children=[Child("hanging", Hanging)]))
        await settle()
        with pytest.raises(AssertionError, match=r"top/hanging: starting"):
            await wait_until_idle(virtual_system)
        group.cancel_scope.cancel()


async def test_deadlines_are_waited_for_on_request_and_named(virtual_system: System) -> None:
    script = FlakyService.script([Fail(FailureKind.RATE_LIMIT, retry_after=50.0)])
    flaky = await virtual_system.spawn(Child("flaky", script, policy=Policy(retry=Retry(attempts=1))))
    began = anyio.current_time()
    await flaky.tell(Note())
    await wait_until_idle(virtual_system)
    assert anyio.current_time() == began
    with pytest.raises(AssertionError, match=r"timer in 4[0-9.]+ s: flaky/service: ActorCell.kick"):
        await wait_until_idle(virtual_system, timers=True)
    await wait_until_idle(virtual_system, timers=True, timeout=100)
    assert anyio.current_time() - began >= 50


async def test_each_kind_of_deadline_is_named(virtual_system: System) -> None:
    script = FlakyService.script([Hang(), Fail(FailureKind.SERVER)])
    flaky = await virtual_system.spawn(Child("flaky", script, policy=QUICK))
    async with anyio.create_task_group() as group:
        for _ in range(2):
            group.start_soon(partial(flaky.ask, Add(), timeout=100))
        await settle()
        with pytest.raises(AssertionError) as caught:
            await wait_until_idle(virtual_system, timers=True, timeout=1)
        text = str(caught.value)
        assert "flaky/service: the deadline of Add" in text
        assert "flaky/service: the deadline of an attempt" in text
        assert "flaky/service: GuardedQueue.wait_for_retry" in text
        group.cancel_scope.cancel()


async def test_a_deadline_of_a_pool_is_named(virtual_system: System) -> None:
    pool = await virtual_system.spawn(Pool("pool", Child("member", Counter), size=2))
    for _ in range(4):
        await pool.tell(Nap(60))
    await pool.resize(1)
    await settle()
    with pytest.raises(AssertionError, match=r"pool: Restarter.remind"):
        await wait_until_idle(virtual_system, timers=True, timeout=1)
