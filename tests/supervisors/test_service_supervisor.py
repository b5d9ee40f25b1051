"""The lifecycle of a service: bugs end an incarnation, too many of them make the service *failed*."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from random import Random

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from relight.runtime import (
    NORMAL,
    Actor,
    ActorCrashedError,
    ActorStoppedError,
    Exit,
    Message,
    Overflow,
    Ref,
    RelightError,
    StartError,
    handles,
)
from relight.supervisors import (
    Child,
    Estimate,
    FailureKind,
    GuardedActor,
    ProviderError,
    ProviderFailedError,
    ProviderSettings,
    Restart,
    Settings,
    Supervisor,
    open_system,
)
from relight.supervisors.policies import Concurrency, Exponential, Fixed, Policy, Retry
from tests.supervisors.scripted import (
    PROVIDER,
    STEADY,
    Askers,
    BugError,
    Call,
    Job,
    Script,
    Scripted,
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


class Leave(Message, frozen=True):
    pass


# --- a bug ---


async def test_a_bug_crashes_its_call_and_nobody_elses() -> None:
    script = Script()
    script.plan(ok(5.0), bug(after=1.0), ok(5.0))
    async with open_system() as system:
        ref = await serve(system, script)
        async with Askers(ref) as askers:
            await askers.ask_all("abc")
            await anyio.sleep(1.5)
            assert statistics(system).state == "restarting"
            await askers.ask("queued")
        first, crashed, third, queued = askers.outcomes
        assert isinstance(crashed.error, ActorCrashedError)
        assert isinstance(crashed.error.__cause__, BugError)
        assert (first.value, third.value) == ("a 1", "c 1")
        assert (first.at, third.at) == (5.0, 5.0)
        assert (queued.value, queued.at) == ("queued 1", 2.0)
        assert [seen.incarnation for seen in script.seen] == [1, 1, 1, 2]
        assert script.names.count("b") == 1  # what crashed it is not delivered again
        found = await at_rest(system)
        assert found.restarts == 1
        assert found.failures == {FailureKind.BUG: 1}
        assert {key.outcome: count for key, count in found.calls.items()} == {"ok": 3, "failed": 1}


async def test_the_old_incarnation_is_left_in_order_when_its_last_attempt_has_ended() -> None:
    script = Script()
    script.plan(ok(5.0), bug(after=1.0))
    async with open_system() as system:
        ref = await serve(system, script, policy(concurrency=2))
        async with Askers(ref) as askers:
            await askers.ask_all("ab")
            await anyio.sleep(2.5)
            assert script.life == ["open 1", "open 2"]
            script.plan(*[ok(0.3)] * 100)
            await askers.ask_all("c" * 40)  # never a moment without work
            await anyio.sleep(3)
            assert script.life == ["open 1", "open 2", "stop 1", "close 1"]
        assert statistics(system).restarts == 1


async def test_an_attempt_that_outlives_its_incarnation_is_timed_out_and_retried_by_the_next() -> None:
    script = Script()
    script.plan(hangs(), bug(after=1.0))
    async with open_system() as system:
        ref = await serve(system, script)
        async with Askers(ref) as askers:
            await askers.ask_all("ab")
        assert askers.outcomes[0].value == "a 2"
        assert [seen.incarnation for seen in script.seen] == [1, 1, 2]
        await at_rest(system)


async def test_what_is_queued_waits_quietly_for_the_restart_while_old_attempts_end() -> None:
    """A slot that comes back while no incarnation runs is not used."""
    script = Script()
    script.plan(ok(1.5), bug(after=1.0))
    async with open_system() as system:
        ref = await serve(system, script)
        async with Askers(ref) as askers:
            await askers.ask_all("ab")
            await anyio.sleep(1.2)
            await askers.ask("queued")
        assert [outcome.at for outcome in askers.outcomes] == [1.5, 1.0, 2.0]


async def test_several_bugs_at_once_are_one_restart() -> None:
    script = Script()
    script.plan(*[bug(after=1.0)] * 5)
    async with open_system() as system:
        ref = await serve(system, script)
        async with Askers(ref) as askers:
            await askers.ask_all("abcde")
        assert all(isinstance(outcome.error, ActorCrashedError) for outcome in askers.outcomes)
        await anyio.sleep(10)
        assert statistics(system).restarts == 1


async def test_a_bug_in_an_old_incarnation_does_not_touch_the_new_one() -> None:
    script = Script()
    script.plan(bug(after=10.0), bug(after=1.0))
    async with open_system() as system:
        ref = await serve(system, script)
        async with Askers(ref) as askers:
            await askers.ask_all("ab")
            await anyio.sleep(5)
            script.plan(ok(20.0))
            await askers.ask("c")
        assert isinstance(askers.outcomes[0].error, ActorCrashedError)
        assert askers.outcomes[2].value == "c 1"
        assert statistics(system).restarts == 1
        assert statistics(system).failures == {FailureKind.BUG: 2}


async def test_a_retry_of_an_old_attempt_is_made_by_the_new_incarnation() -> None:
    script = Script()
    script.plan(server(after=1.5), bug(after=1.0))
    async with open_system() as system:
        ref = await serve(system, script)
        async with Askers(ref) as askers:
            await askers.ask_all("ab")
        assert askers.outcomes[0].value == "a 2"
        assert [seen.incarnation for seen in script.seen] == [1, 1, 2]


async def test_restarts_back_off_as_the_policy_says() -> None:
    script = Script()
    doubling = Exponential(1.0, cap=30.0, jitter="none")
    async with open_system() as system:
        ref = await serve(system, script, policy(restart_backoff=doubling, intensity=100, period=1000.0))
        downtimes: list[float] = []
        for _ in range(4):
            script.plan(bug())
            await caught(lambda: ref.ask(Call()))
            crashed = anyio.current_time()
            await ref.ask(Call())
            downtimes.append(anyio.current_time() - crashed)
        assert downtimes == pytest.approx([1.0, 2.0, 4.0, 8.0])


async def test_the_childs_own_backoff_goes_before_the_policys() -> None:
    script = Script()
    script.plan(bug())
    async with open_system() as system:
        child = Child(PROVIDER, lambda: Scripted(script), policy=STEADY, backoff=Fixed(7.0))
        ref = await system.spawn(child)
        await caught(lambda: ref.ask(Call()))
        await ref.ask(Call())
        assert anyio.current_time() == pytest.approx(7.0)


async def test_an_exit_of_a_service_is_a_restart_and_no_bug() -> None:
    class Leaving(GuardedActor):
        policy = STEADY

        @handles
        async def call(self, message: Call) -> str:
            raise Exit

    async with open_system() as system:
        ref = await system.spawn(Child(PROVIDER, Leaving))
        assert isinstance(await caught(lambda: ref.ask(Call())), ActorStoppedError)
        await anyio.sleep(2)
        assert statistics(system).restarts == 1
        assert statistics(system).failures == {}


async def test_an_exception_the_service_declines_with_is_the_answer() -> None:
    class NoSuchVoiceError(RelightError):
        pass

    class Choosy(GuardedActor):
        declines = (NoSuchVoiceError,)

        @handles
        async def call(self, message: Call) -> str:
            raise NoSuchVoiceError(message.name)

        @handles
        async def job(self, message: Job) -> None:
            raise NoSuchVoiceError(message.name)

    async with open_system() as system:
        ref = await system.spawn(Child(PROVIDER, Choosy))
        assert isinstance(await caught(lambda: ref.ask(Call())), NoSuchVoiceError)
        await ref.tell(Job())
        found = await at_rest(system)
        assert (found.restarts, found.failures, found.state) == (0, {}, "ok")
        assert [letter.reason for letter in system.dead_letters.read()] == ["NoSuchVoiceError"]


@pytest.mark.parametrize("broken", ["classify", "estimate"])
async def test_a_bug_in_what_a_service_says_of_its_calls_is_a_bug_of_the_service(broken: str) -> None:
    """It must not get any further, and slot and permit come back."""
    script = Script()
    script.plan(server())

    class Confused(Scripted):
        def classify(self, error: Exception) -> ProviderError | None:
            if broken == "classify":
                raise KeyError("unknown status")
            return super().classify(error)

        def estimate(self, message: Message) -> Estimate | None:
            raise KeyError("unknown model")

    async with open_system() as system:
        child = Child(PROVIDER, lambda: Confused(script), policy=policy(concurrency=1))
        ref = await system.spawn(child)
        error = await caught(lambda: ref.ask(Call("a")))
        assert isinstance(error, ActorCrashedError)
        assert isinstance(error.__cause__, KeyError)
        assert await ref.ask(Call("b")) == "b 1"
        found = await at_rest(system)
        assert found.failures[FailureKind.BUG] == 1
        assert found.restarts == 1


async def test_a_crashed_lifespan_ends_the_attempts_in_hand() -> None:
    class Leaky(GuardedActor):
        policy = STEADY

        @asynccontextmanager
        async def lifespan(self) -> AsyncGenerator[None]:
            async with anyio.create_task_group() as group:
                group.start_soon(self._break)
                yield

        async def _break(self) -> None:
            await anyio.sleep(10)
            raise ConnectionResetError

        @handles
        async def call(self, message: Call) -> str:
            await anyio.sleep(7)
            return "done"

    async with open_system() as system:
        ref = await system.spawn(Child(PROVIDER, Leaky))
        assert await caught(lambda: ref.ask(Call())) == "done"
        error = await caught(lambda: ref.ask(Call()))
        assert isinstance(error, ActorCrashedError)
        assert anyio.current_time() == 10.0
        assert await caught(lambda: ref.ask(Call())) == "done"
        assert anyio.current_time() == 18.0
        found = await at_rest(system)
        assert found.failures == {}


async def test_a_monitor_set_while_the_service_restarts_reports_the_end_that_was() -> None:
    """Though attempts of the incarnation that has ended are still under way."""
    script = Script()
    script.plan(ok(5.0), bug(after=0.5))
    async with open_system() as system:
        ref = await serve(system, script)
        before = system.monitor(ref)
        async with Askers(ref) as askers:
            await askers.ask_all("ab")
            await anyio.sleep(1)
            during = system.monitor(ref).down
            assert during == before.down
            assert during is not None
            assert (during.incarnation, str(during.reason)) == (1, "crashed: BugError")
            await anyio.sleep(1)
            assert system.monitor(ref).down is None


# --- failed ---


async def crash_it(ref: Ref, script: Script, times: int) -> None:
    for _ in range(times):
        script.steps.appendleft(bug())
        assert isinstance(await caught(lambda: ref.ask(Call("crash"), timeout=100)), ActorCrashedError)
    await wait_all_tasks_blocked()


async def test_a_service_that_crashes_too_often_fails_its_calls_at_once_and_comes_back() -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script, policy(intensity=2))
        said = listen(system, "provider.failed", "provider.recovered")
        await crash_it(ref, script, 3)
        failed_at = anyio.current_time()
        assert statistics(system).state == "failed"
        with pytest.raises(ProviderFailedError) as refused:
            await ref.ask(Call())
        assert refused.value.retry_after == pytest.approx(30.0)
        await ref.tell(Job())
        (letter,) = system.dead_letters.read()
        assert letter.reason == "ProviderFailedError"
        await anyio.sleep(29.9)
        assert isinstance(await caught(lambda: ref.ask(Call())), ProviderFailedError)
        await anyio.sleep(0.2)
        assert await ref.ask(Call("back")) == "back 1"
        assert anyio.current_time() - failed_at == pytest.approx(30.1)
        assert statistics(system).state == "ok"
        assert said == [{"provider": PROVIDER, "next_probe_in": 30.0}, {"provider": PROVIDER}]


async def test_what_waits_when_it_fails_is_refused() -> None:
    script = Script()
    script.plan(bug(after=1.0))
    async with open_system() as system:
        ref = await serve(system, script, policy(intensity=0, concurrency=1, mailbox=2))
        async with Askers(ref) as askers:
            await askers.ask_all("abcdef")
        for outcome in askers.outcomes[1:]:
            assert isinstance(outcome.error, ProviderFailedError)
            assert outcome.at == 1.0
        await at_rest(system)


async def test_a_retry_waits_for_the_service_to_come_back() -> None:
    script = Script()
    script.plan(server(after=1.0), bug(after=2.0))
    async with open_system() as system:
        ref = await serve(system, script, policy(intensity=0, wait=2.0))
        async with Askers(ref) as askers:
            await askers.ask_all("ab")
        assert askers.outcomes[0].value == "a 2"
        assert askers.outcomes[0].at == 32.0


async def test_one_that_crashes_right_after_its_trial_has_failed_again() -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script, policy(intensity=3))
        await crash_it(ref, script, 4)
        for _ in range(3):
            await anyio.sleep(30.1)
            await crash_it(ref, script, 1)
            assert statistics(system).state == "failed"
        await anyio.sleep(30.1)
        await anyio.sleep(30.1)  # it ran long enough: the trial is over
        await crash_it(ref, script, 3)
        assert statistics(system).state == "restarting"


async def test_a_service_that_can_not_be_started_again_fails_and_is_tried_again() -> None:
    script = Script()
    broken = [False]

    def make() -> Actor:
        if broken[0]:
            raise OSError("no route")
        return Scripted(script)

    async with open_system() as system:
        ref = await system.spawn(Child(PROVIDER, make, policy=policy(intensity=2)))
        said = listen(system, "actor.start_failed", "provider.failed")
        broken[0] = True
        await crash_it(ref, script, 1)
        await anyio.sleep(5)
        assert statistics(system).state == "failed"
        assert [event.get("error_type") for event in said] == ["OSError", "OSError", None]
        await anyio.sleep(100)
        assert isinstance(await caught(lambda: ref.ask(Call())), ProviderFailedError)
        broken[0] = False
        await anyio.sleep(60)
        assert await ref.ask(Call("back")) == "back 1"


async def test_while_it_can_not_be_started_its_refusals_say_when_it_is_tried_again() -> None:
    script = Script()
    broken = [False]

    def make() -> Actor:
        if broken[0]:
            raise OSError("no route")
        return Scripted(script)

    async with open_system() as system:
        ref = await system.spawn(Child(PROVIDER, make, policy=policy(intensity=0)))
        broken[0] = True
        await crash_it(ref, script, 1)
        for _ in range(3):
            await anyio.sleep(25)
            error = await caught(lambda: ref.ask(Call()))
            assert isinstance(error, ProviderFailedError)
            assert error.retry_after == pytest.approx(5.0)
            await anyio.sleep(5)


# --- the restart type of the child spec ---


class Leaving(Scripted):
    """Leaves when it is told to."""

    @handles
    async def leave(self, message: Leave) -> None:
        raise Exit(NORMAL)


@pytest.mark.parametrize("restart", [Restart.TRANSIENT, Restart.TEMPORARY])
async def test_a_service_that_ends_by_itself_is_over_where_its_spec_says_so(restart: Restart) -> None:
    async with open_system() as system:
        child = Child(PROVIDER, partial(Leaving, Script()), restart=restart, policy=STEADY)
        tree = await system.spawn(Supervisor("tree", children=[child]))
        ref = system.get(f"tree/{PROVIDER}")
        await ref.tell(Leave())
        await anyio.sleep(2)
        assert not ref.is_alive
        known = [(status.id, status.ref) for status in await tree.which_children()]
        assert known == ([(PROVIDER, None)] if restart == "transient" else [])
        assert system.services() == []


async def test_a_temporary_service_that_crashes_is_over_and_its_crash_is_reported_once() -> None:
    script = Script()
    script.plan(bug())
    async with open_system() as system:
        child = Child(PROVIDER, partial(Leaving, script), restart="temporary", policy=STEADY)
        ref = await system.spawn(child)
        said = listen(system, "actor.crashed")
        assert isinstance(await caught(lambda: ref.ask(Call())), ActorCrashedError)
        await anyio.sleep(2)
        assert not ref.is_alive
        assert [event["actor_path"] for event in said] == [f"{PROVIDER}/service"]


async def test_a_transient_service_that_crashes_comes_back() -> None:
    script = Script()
    script.plan(bug())
    async with open_system() as system:
        ref = await system.spawn(
            Child(PROVIDER, partial(Leaving, script), restart="transient", policy=STEADY)
        )
        assert isinstance(await caught(lambda: ref.ask(Call())), ActorCrashedError)
        assert await ref.ask(Call("back")) == "back 1"


# --- a full mailbox ---


@pytest.mark.parametrize(
    ("overflow", "handled"), [(Overflow.DROP_NEWEST, ["a", "b"]), (Overflow.DROP_OLDEST, ["a", "c"])]
)
async def test_a_full_mailbox_drops_told_messages_where_the_service_says_so(
    overflow: Overflow, handled: list[str]
) -> None:
    script = Script()
    script.plan(ok(after=1.0))

    class Dropping(Scripted):
        pass

    Dropping.overflow = overflow
    async with open_system() as system:
        narrow = policy(concurrency=1, mailbox=1)
        ref = await system.spawn(Child(PROVIDER, partial(Dropping, script), policy=narrow))
        await ref.tell(Job("a"))
        await anyio.wait_all_tasks_blocked()
        await ref.tell(Job("b"))
        with anyio.fail_after(0.5):
            await ref.tell(Job("c"))
        await anyio.sleep(3)
        assert [seen.name for seen in script.seen] == handled
        (letter,) = system.dead_letters.read()
        assert letter.reason == "overflow"
        await at_rest(system)


async def test_idempotency_keys_of_two_systems_with_the_same_seed_differ() -> None:
    script = Script()
    for _ in range(2):
        async with open_system(rng=Random(1)) as system:
            ref = await serve(system, script)
            await ref.ask(Call())
    assert len({seen.attempt.idempotency_key for seen in script.seen}) == 2


# --- neighbours ---


@pytest.mark.slow
async def test_a_provider_that_goes_wrong_is_nothing_to_its_neighbour() -> None:
    """A raises an unexpected exception 100 times a minute for ten minutes."""
    sick, well = Script(), Script()
    sick.by_name["bug"] = bug()
    well.by_name["call"] = ok(0.2)
    children = [
        Child("sick", lambda: Scripted(sick), policy=policy(restart_backoff=Exponential(1.0, cap=30.0))),
        Child("well", lambda: Scripted(well), policy=STEADY),
    ]
    async with open_system() as system:
        tree = await system.spawn(Supervisor("providers", intensity=5, period=60.0, children=children))
        outcomes: list[str | Exception] = []
        async with Askers(system.get("providers/well")) as askers:
            for _ in range(1000):
                await askers.ask("call")
                outcomes.append(
                    await caught(lambda: system.get("providers/sick").ask(Call("bug"), timeout=1.0))
                )
                await anyio.sleep(0.6)
        assert {outcome.value for outcome in askers.outcomes} == {"call 1"}
        assert all(outcome.at >= 0 for outcome in askers.outcomes)
        found = statistics(system, "well")
        assert (found.restarts, found.failures, found.refusals) == (0, {}, {})
        assert found.latencies == pytest.approx([0.2] * 1000)
        assert well.incarnations == 1
        assert tree.ref.statistics().restarts == 0
        assert statistics(system, "sick").state == "failed"
        assert any(isinstance(outcome, ProviderFailedError) for outcome in outcomes)
        assert all(isinstance(outcome, RelightError) for outcome in outcomes)
        sick.by_name.clear()
        await anyio.sleep(61)
        assert await system.get("providers/sick").ask(Call("back")) == "back 1"


# --- how a service is set up ---


async def test_a_service_with_a_name_is_found_by_it() -> None:
    script = Script()
    async with open_system() as system:
        ref = await system.spawn(Child(PROVIDER, lambda: Scripted(script), name="images"))
        assert system.get("images") is system.get(PROVIDER) is ref
        await ref.stop()
        assert system.find("images") is None
        await system.spawn(Child(PROVIDER, lambda: Scripted(script), name="images"))


async def test_a_service_is_spawned_and_stopped_again_and_again() -> None:
    script = Script()
    async with open_system() as system:
        for number in range(1, 5):
            ref = await serve(system, script)
            assert await ref.ask(Call("a")) == "a 1"
            assert script.incarnations == number
            await ref.stop()
            assert system.actors() == []


class Configured(GuardedActor):
    policy = Policy(retry=Retry(attempts=2, backoff=Fixed(5.0)), concurrency=Concurrency(3))

    def __init__(self, script: Script) -> None:
        self._script = script

    @handles
    async def call(self, message: Call) -> str:
        return str(await self._script.attempt(message, 1))


@pytest.mark.parametrize(
    ("settings", "of_child", "attempts"),
    [
        (Settings(), None, 2),
        (Settings(providers={PROVIDER: ProviderSettings(attempts=4)}), None, 4),
        (Settings(providers={"other": ProviderSettings(attempts=4)}), None, 2),
        (Settings(providers={PROVIDER: ProviderSettings(attempts=4)}), policy(attempts=5, breaker=None), 5),
    ],
)
async def test_the_policy_is_the_childs_else_the_settings_else_the_classs(
    settings: Settings, of_child: Policy | None, attempts: int
) -> None:
    script = Script()
    script.by_name["a"] = server()
    async with open_system(settings=settings) as system:
        ref = await system.spawn(Child(PROVIDER, lambda: Configured(script), policy=of_child))
        await caught(lambda: ref.ask(Call("a")))
        assert len(script.seen) == attempts


async def test_settings_that_contradict_the_policy_fail_the_start_and_nothing_else() -> None:
    script = Script()
    settings = Settings(providers={PROVIDER: ProviderSettings(breaker_open_seconds=1000.0)})
    async with open_system(settings=settings) as system:
        other = await system.spawn(Child("other", lambda: Scripted(script)))
        with pytest.raises(StartError, match="breaker_open_seconds"):
            await system.spawn(Child(PROVIDER, lambda: Scripted(script)))
        assert await other.ask(Call("a")) == "a 1"


async def test_a_service_whose_lifespan_fails_does_not_start() -> None:
    class Unreachable(GuardedActor):
        @asynccontextmanager
        async def lifespan(self) -> AsyncGenerator[None]:
            raise ConnectionRefusedError
            yield

    async with open_system() as system:
        with pytest.raises(StartError):
            await system.spawn(Child(PROVIDER, Unreachable))
        assert system.actors() == []
        assert system.services() == []


async def test_the_factory_of_a_service_is_called_once_an_incarnation() -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script, policy(intensity=10))
        assert script.incarnations == 1
        await crash_it(ref, script, 2)
        await ref.ask(Call())
        assert script.incarnations == 3
