"""Stop, kill and the end of the system, with calls in hand, queued, in line and waiting for a retry."""

from collections.abc import Awaitable, Callable

import anyio
import pytest

from relight.runtime import ActorCrashedError, ActorStoppedError, MailboxClosedError, Ref, handles
from relight.supervisors import Child, FailureKind, GuardedActor, ProviderError, System, open_system
from relight.supervisors.policies import Fixed
from tests.supervisors.scripted import (
    PROVIDER,
    Askers,
    Call,
    Job,
    Script,
    at_rest,
    bug,
    caught,
    hangs,
    listen,
    ok,
    policy,
    serve,
    server,
    statistics,
)
from tests.support.clocks import virtual_time

pytestmark = [pytest.mark.anyio, virtual_time]


async def stop(system: System, ref: Ref) -> None:
    await ref.stop()


async def kill(system: System, ref: Ref) -> None:
    await ref.stop(timeout=0)


Ending = Callable[[System, Ref], Awaitable[None]]


async def fill(askers: Askers, script: Script, ref: Ref) -> None:
    """Have two calls in hand, two waiting for a retry, two queued and two in line."""
    script.by_name |= {"hand": ok(2.0), "hung": hangs(), "retry": server()}
    await askers.ask_all(["retry", "retry"])
    await anyio.sleep(0.1)
    await askers.ask_all(["hand", "hung", "queued", "queued"])
    await askers.ask_all(["line", "line"])
    await anyio.sleep(0.1)


@pytest.mark.parametrize("end", [stop, kill])
async def test_every_asker_is_answered(end: Ending) -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script, policy(concurrency=2, mailbox=8, wait=60.0))
        async with Askers(ref) as askers:
            await fill(askers, script, ref)
            began = anyio.current_time()
            await end(system, ref)
            took = anyio.current_time() - began
        outcomes = {outcome.name: outcome for outcome in askers.outcomes}
        for name in ("queued", "line", "retry"):
            assert isinstance(outcomes[name].error, ActorStoppedError | MailboxClosedError)
            assert outcomes[name].at == pytest.approx(began, abs=0.001)
        assert isinstance(outcomes["hung"].error, ActorStoppedError)
        if end is stop:
            assert outcomes["hand"].value == "hand 1"
            assert took == pytest.approx(5.0)
        else:
            assert isinstance(outcomes["hand"].error, ActorStoppedError)
            assert took == 0.0
        assert system.actors() == []
        assert script.running == 0


async def test_the_end_of_the_system_answers_every_asker() -> None:
    script = Script()
    outcomes: list[str | Exception] = []
    async with anyio.create_task_group() as group:

        async def ask(ref: Ref, name: str) -> None:
            outcomes.append(await caught(lambda: ref.ask(Call(name))))

        async with open_system() as system:
            ref = await serve(system, script, policy(concurrency=2, mailbox=8, wait=60.0))
            script.by_name |= {"hand": ok(2.0), "hung": hangs(), "retry": server()}
            for name in ("retry", "hand", "hung", "queued", *["line"] * 10):
                group.start_soon(ask, ref, name)
                await anyio.sleep(0.01)
        assert anyio.current_time() < 6.0
    assert len(outcomes) == 14
    assert [outcome for outcome in outcomes if isinstance(outcome, str)] == ["hand 1"]
    for outcome in outcomes:
        assert isinstance(outcome, str | ActorStoppedError | MailboxClosedError)


async def test_an_attempt_that_fails_while_its_service_stops_is_not_retried() -> None:
    """Nobody would be there to make it."""
    script = Script()
    script.plan(server(after=1.0), server(after=1.0))
    async with open_system() as system:
        ref = await serve(system, script)
        async with Askers(ref) as askers:
            await askers.ask("asked")
            await ref.tell(Job("told"))
            await anyio.sleep(0.5)
            await ref.stop()
        (outcome,) = askers.outcomes
        assert isinstance(outcome.error, ProviderError)
        assert outcome.at == 1.0
        assert [letter.message for letter in system.dead_letters.read()] == [Job("told")]
        statistics_then = ref.statistics()
        assert statistics_then.queued == 0
        assert statistics_then.accepted == statistics_then.handled + statistics_then.dead_letters


async def test_an_attempt_that_times_out_while_its_service_stops_is_not_retried() -> None:
    script = Script()
    script.plan(hangs())
    async with open_system() as system:
        ref = await serve(system, script, policy(attempt_timeout=3.0), shutdown=10.0)
        async with Askers(ref) as askers:
            await askers.ask("a")
            await anyio.sleep(1)
            await ref.stop()
        assert isinstance(askers.outcomes[0].error, ProviderError)
        assert askers.outcomes[0].at == 3.0


@pytest.mark.parametrize("end", [stop, kill])
async def test_it_ends_in_the_middle_of_a_restart_while_old_attempts_finish(end: Ending) -> None:
    script = Script()
    script.plan(ok(3.0), bug(after=0.5))
    async with open_system() as system:
        ref = await serve(system, script, policy(restart_backoff=Fixed(60.0)))
        async with Askers(ref) as askers:
            await askers.ask_all(["old", "bug"])
            await anyio.sleep(1)
            await askers.ask("queued")
            await end(system, ref)
            assert anyio.current_time() == (3.0 if end is stop else 1.0)
        old, _, queued = askers.outcomes
        assert isinstance(queued.error, ActorStoppedError)
        assert queued.at == 1.0
        assert (old.value == "old 1") if end is stop else isinstance(old.error, ActorStoppedError)
        assert system.actors() == []
        await serve(system, script)


async def test_it_ends_while_it_is_failed() -> None:
    script = Script()
    script.plan(bug())
    async with open_system() as system:
        ref = await serve(system, script, policy(intensity=0))
        await caught(lambda: ref.ask(Call()))
        await anyio.sleep(1)
        assert statistics(system).state == "failed"
        await ref.stop()
        assert system.actors() == []
        await anyio.sleep(100)
        assert script.incarnations == 1


async def test_a_stop_keeps_to_the_time_it_is_given() -> None:
    script = Script()
    script.plan(hangs())
    async with open_system() as system:
        ref = await serve(system, script, shutdown=20.0)
        async with Askers(ref) as askers:
            await askers.ask("a")
            await anyio.sleep(1)
            await ref.stop(timeout=2.0)
            assert anyio.current_time() == pytest.approx(3.0)
        assert isinstance(askers.outcomes[0].error, ActorStoppedError)


async def test_a_stop_that_cuts_its_attempts_off_is_no_overrun_of_its_supervisor() -> None:
    script = Script()
    script.plan(hangs())
    async with open_system() as system:
        said = listen(system, "actor.stop_overran", "actor.stuck")
        ref = await serve(system, script, shutdown=2.0)
        async with Askers(ref) as askers:
            await askers.ask("a")
            await anyio.sleep(1)
            await ref.stop()
        assert anyio.current_time() == pytest.approx(3.0)
        assert said == []
        assert system.actors() == []


async def test_a_stopped_service_refuses_with_its_end_not_with_its_guard() -> None:
    script = Script()
    script.plan(*[server()] * 5)
    async with open_system() as system:
        ref = await serve(system, script, policy(attempts=1))
        for _ in range(5):
            await caught(lambda: ref.ask(Call()))
        await ref.stop()
        assert isinstance(await caught(lambda: ref.ask(Call())), MailboxClosedError)
        with pytest.raises(MailboxClosedError):
            await ref.tell(Job())


async def test_a_told_attempt_that_is_cut_off_has_ended() -> None:
    script = Script()
    script.plan(hangs())
    async with open_system() as system:
        ref = await serve(system, script, shutdown=1.0)
        await ref.tell(Job("a"))
        await anyio.sleep(1)
        await ref.stop()
        actor = ref.statistics()
        assert (actor.accepted, actor.handled, actor.dead_letters) == (1, 1, 0)
        assert script.seen[0].outcome == "cancelled"


class Clinging(GuardedActor):
    """Its handler hangs in a shield, as one does that closes a dead connection."""

    policy = policy(concurrency=1, attempt_timeout=5.0)

    @handles
    async def call(self, message: Call) -> str:
        if message.name:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(1000)
        if message.name == "raises":
            raise ProviderError(PROVIDER, FailureKind.SERVER)
        if message.name == "is cancelled":
            await anyio.sleep(1)
        return "answer"


@pytest.mark.parametrize("name", ["answers", "raises", "is cancelled"])
async def test_an_attempt_that_does_not_unwind_is_left_behind(name: str) -> None:
    async with open_system() as system:
        said = listen(system, "actor.stuck")
        ref = await system.spawn(Child(PROVIDER, Clinging, shutdown=2.0))
        async with Askers(ref) as askers:
            await askers.ask(name)
            await anyio.sleep(1)
            await ref.stop()
            assert anyio.current_time() <= 5.0
        assert isinstance(askers.outcomes[0].error, ActorStoppedError)
        assert len(said) == 1
        assert system.actors() == []
        again = await system.spawn(Child(PROVIDER, Clinging))
        assert await again.ask(Call()) == "answer"
        await anyio.sleep(1000)
        actor = ref.statistics()
        assert (actor.accepted, actor.handled, actor.late_replies) == (1, 1, 0)
        await at_rest(system)


@pytest.mark.parametrize("name", ["answers", "raises", "is cancelled"])
async def test_an_attempt_that_outlives_its_crashed_incarnation_gives_back_its_slot(name: str) -> None:
    """The next incarnation has all of them, and a half-open breaker its permit."""

    class Crashing(Clinging):
        policy = policy(concurrency=2, attempt_timeout=5.0)

        @handles
        async def job(self, message: Job) -> None:
            raise KeyError

    async with open_system() as system:
        said = listen(system, "actor.stuck")
        ref = await system.spawn(Child(PROVIDER, Crashing))
        async with Askers(ref) as askers:
            await askers.ask(name)
            await ref.tell(Job())
            await anyio.sleep(10)
            assert len(said) == 1
            assert statistics(system).bulkhead.in_flight == 0
        assert isinstance(askers.outcomes[0].error, ActorCrashedError | ProviderError)
        await anyio.sleep(1000)
        assert await ref.ask(Call()) == "answer"
        assert (await at_rest(system)).restarts == 1
