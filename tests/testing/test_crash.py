"""Crash on purpose: in its turn, as a handler that raised, for whatever stands in a tree."""

import anyio
import pytest

from relight import (
    Actor,
    ActorCrashedError,
    ActorState,
    Child,
    DynamicSupervisor,
    Exit,
    FailureKind,
    Fixed,
    MailboxClosedError,
    Policy,
    Pool,
    ProviderBlockedError,
    ProviderError,
    Request,
    Retry,
    Supervisor,
    System,
    handles,
    open_system,
)
from relight.testing import (
    CrashOnPurposeError,
    Fail,
    FlakyService,
    Recorder,
    capture_events,
    crash,
    settle,
    wait_until_idle,
)
from tests.testing.actors import Add, Counter, Host, Nap, Note, Service, real_time

pytestmark = pytest.mark.anyio


async def test_the_actor_is_restarted_when_it_returns(virtual_system: System) -> None:
    counter = await virtual_system.spawn(Child("counter", Counter))
    await counter.ask(Add(5))
    with capture_events(virtual_system) as events:
        assert await crash(counter) is ActorState.RUNNING
    assert events.named("actor.crashed", actor_path="counter", error_type="CrashOnPurposeError")
    assert counter.statistics().restarts == 1
    assert await counter.ask(Add(1)) == 1


@real_time
async def test_it_works_in_real_time(relight_system: System) -> None:
    counter = await relight_system.spawn(Child("counter", Counter))
    assert await crash(counter) is ActorState.RUNNING
    assert counter.statistics().restarts == 1


async def test_the_error_is_the_one_given(virtual_system: System) -> None:
    counter = await virtual_system.spawn(Child("counter", Counter))
    down = virtual_system.monitor(counter)
    error = OSError("disk")
    await crash(counter, error)
    assert (await down.wait()).reason.error is error


async def test_messages_before_it_are_handled_first_and_later_ones_after_the_restart(
    virtual_system: System,
) -> None:
    far = Recorder()

    class Relay(Actor):
        @handles
        async def note(self, message: Note) -> None:
            await anyio.sleep(1)
            await far.tell(Note(f"{message.text} {self.ref.statistics().restarts}"))

    relay = await virtual_system.spawn(Child("relay", Relay))
    await relay.tell(Note("before"))
    async with anyio.create_task_group() as group:
        group.start_soon(crash, relay)
        await settle()
        await relay.tell(Note("after"))
    await wait_until_idle(virtual_system)
    assert far.messages == [Note("before 0"), Note("after 1")]


async def test_other_calls_in_hand_fail_as_in_any_crash(virtual_system: System) -> None:
    host = await virtual_system.spawn(Child("host", Host))
    caught: list[BaseException | None] = []

    async def ask() -> None:
        try:
            await host.ask(Nap(60))
        except ActorCrashedError as error:
            caught.append(error.__cause__)

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await settle()
        await crash(host)
    assert [type(error) for error in caught] == [CrashOnPurposeError]


async def test_a_service_crashes_behind_its_guard(virtual_system: System) -> None:
    service = await virtual_system.spawn(Child("service", Service, policy=Policy(restart_backoff=Fixed(2.0))))
    began = anyio.current_time()
    assert await crash(service) is ActorState.RUNNING
    assert anyio.current_time() - began == pytest.approx(2.0)
    assert await service.ask(Add(3)) == 3


async def test_a_service_that_takes_every_message_crashes_too(virtual_system: System) -> None:
    script = FlakyService.script()
    flaky = await virtual_system.spawn(Child("flaky", script))
    await crash(flaky)
    assert (script.attempts, script.incarnations) == ([], 2)


async def test_a_guard_that_refuses_says_so(virtual_system: System) -> None:
    script = FlakyService.script([Fail(FailureKind.AUTH)])
    flaky = await virtual_system.spawn(Child("flaky", script))
    with pytest.raises(ProviderError):
        await flaky.ask(Add())
    with pytest.raises(ProviderBlockedError):
        await crash(flaky)


async def test_a_supervisor_crashes_with_its_children(virtual_system: System) -> None:
    top = await virtual_system.spawn(Supervisor("top", children=[Child("counter", Counter)]))
    counter = virtual_system.get("top/counter")
    assert await crash(top) is ActorState.RUNNING
    assert not counter.is_alive
    assert await virtual_system.get("top/counter").ask(Add(1)) == 1


async def test_a_dynamic_supervisor_crashes(virtual_system: System) -> None:
    top = await virtual_system.spawn(DynamicSupervisor("top"))
    await top.start_child(Child("counter", Counter))
    await crash(top)
    assert virtual_system.find("top/counter") is None


async def test_a_pool_loses_one_member(virtual_system: System) -> None:
    pool = await virtual_system.spawn(Pool("pool", Child("member", Counter), size=2))
    assert await crash(pool) is ActorState.RUNNING
    assert sorted(member.statistics().restarts for member in pool.members()) == [0, 1]


async def test_it_says_who_is_given_up_or_not_restarted(virtual_system: System) -> None:
    top = await virtual_system.spawn(
        Supervisor("top", intensity=0, children=[Child("counter", Counter)], restart="temporary")
    )
    assert await crash(virtual_system.get("top/counter")) is ActorState.STOPPED
    assert not top.ref.is_alive
    once = await virtual_system.spawn(Child("once", Counter, restart="temporary"))
    assert await crash(once) is ActorState.STOPPED
    with pytest.raises(MailboxClosedError):
        await crash(once)


async def test_an_exit_is_a_crash_that_is_none(virtual_system: System) -> None:
    counter = await virtual_system.spawn(Child("counter", Counter, restart="transient"))
    assert await crash(counter, Exit()) is ActorState.STOPPED


async def test_a_restart_that_comes_late_is_not_waited_for(virtual_system: System) -> None:
    counter = await virtual_system.spawn(Child("counter", Counter, backoff=Fixed(60.0)))
    began = anyio.current_time()
    assert await crash(counter) is ActorState.RESTARTING
    assert anyio.current_time() == began
    assert virtual_system.restarts_due() == [("counter", began + 60.0)]


async def test_a_turn_that_does_not_come_fails(virtual_system: System) -> None:
    counter = await virtual_system.spawn(Child("counter", Counter))
    await counter.tell(Nap(60))
    with pytest.raises(AssertionError, match="counter: its turn to crash did not come within 2 s"):
        await crash(counter, timeout=2)


async def test_an_error_that_is_an_answer_is_refused(virtual_system: System) -> None:
    class Polite(Counter):
        declines = (KeyError,)

    polite = await virtual_system.spawn(Child("polite", Polite))
    with pytest.raises(AssertionError, match="polite: KeyError is an answer of this actor, not a crash"):
        await crash(polite, KeyError("k"))
    policy = Policy(retry=Retry(backoff=Fixed(0.1)))
    service = await virtual_system.spawn(Child("service", Service, policy=policy))
    with pytest.raises(AssertionError, match="ProviderError is an answer"):
        await crash(service, ProviderError("service", FailureKind.SERVER))


async def test_what_is_no_actor_takes_no_notice() -> None:
    recorder = Recorder()
    with pytest.raises(AssertionError, match="its turn to crash did not come"):
        await crash(recorder)
    recorder.reply(Request, None)
    with pytest.raises(AssertionError, match="recorder: took no notice"):
        await crash(recorder)


async def test_the_root_crashes_for_good() -> None:
    async with open_system() as system:
        with capture_events(system) as events:
            assert await crash(system.root) is ActorState.STOPPED
        assert events.named("system.root_crashed")
