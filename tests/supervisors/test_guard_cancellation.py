"""Askers that leave, deadlines and timeouts: an attempt is cancelled, and nothing is left behind."""

import gc
import weakref
from collections.abc import Callable

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from relight.runtime import AskTimeoutError, DeadlineExceededError, handles
from relight.supervisors import Child, FailureKind, GuardedActor, ProviderError, RetryKey, open_system
from relight.supervisors.policies import Concurrency, Policy
from tests.supervisors.scripted import (
    Askers,
    Call,
    Job,
    Outcome,
    Script,
    Step,
    at_rest,
    caught,
    fails,
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


async def test_an_asker_who_leaves_cancels_the_attempt_and_gives_back_its_slot() -> None:
    script = Script()
    script.plan(hangs(), hangs())
    async with open_system() as system:
        ref = await serve(system, script, policy(concurrency=1))
        async with Askers(ref) as askers:
            first = await askers.ask("first")
            await anyio.sleep(1)
            second = await askers.ask("second")
            await anyio.sleep(1)
            first.cancel()
            await wait_all_tasks_blocked()
            assert [seen.outcome for seen in script.seen] == ["cancelled", "under way"]
            second.cancel()
        found = await at_rest(system)
        assert {key.outcome: count for key, count in found.calls.items()} == {"cancelled": 2}
        assert await ref.ask(Call("next")) == "next 1"


async def test_a_deadline_in_mid_attempt_is_a_cancellation() -> None:
    script = Script()
    script.plan(hangs())
    async with open_system() as system:
        ref = await serve(system, script)
        with pytest.raises(AskTimeoutError):
            await ref.ask(Call(), timeout=3.0)
        found = await at_rest(system)
        assert anyio.current_time() == 3.0
        assert script.seen[0].outcome == "cancelled"
        assert found.failures == {}
        assert found.retries == {}


async def test_a_deadline_before_the_call_began_is_said_as_such() -> None:
    script = Script()
    script.plan(ok(10.0))
    async with open_system() as system:
        ref = await serve(system, script, policy(concurrency=1))
        async with Askers(ref) as askers:
            await askers.ask("first")
            queued = await askers.ask("queued", timeout=3.0)
        assert isinstance(queued.error, DeadlineExceededError)
        assert script.names == ["first"]
        found = await at_rest(system)
        assert found.actor.abandoned == 1


async def test_the_default_deadline_covers_all_attempts() -> None:
    script = Script()
    script.plan(*[hangs()] * 10)
    async with open_system() as system:
        ref = await serve(system, script, policy(attempts=10, breaker=None))
        with pytest.raises(AskTimeoutError):
            await ref.ask(Call())
        assert anyio.current_time() == pytest.approx(180.0)
        assert len(script.seen) == 6


async def test_an_asker_who_leaves_takes_its_waiting_retry_along() -> None:
    script = Script()
    script.plan(server())
    async with open_system() as system:
        ref = await serve(system, script, policy(wait=10.0))
        async with Askers(ref) as askers:
            outcome = await askers.ask("a")
            await anyio.sleep(1)
            assert statistics(system).waiting_retries == 1
            outcome.cancel()
        found = await at_rest(system)
        assert found.actor.abandoned == 1
        assert {key.outcome for key in found.calls} == {"cancelled"}
        await anyio.sleep(20)
        assert script.names == ["a"]


async def test_an_asker_who_leaves_takes_its_due_retry_along() -> None:
    script = Script()
    script.plan(server(), ok(20.0))
    async with open_system() as system:
        ref = await serve(system, script, policy(concurrency=1))
        async with Askers(ref) as askers:
            outcome = await askers.ask("a")
            await anyio.sleep(0.5)
            await askers.ask("b")
            await anyio.sleep(5)
            assert (statistics(system).waiting_retries, statistics(system).actor.queued) == (0, 1)
            outcome.cancel()
        found = await at_rest(system)
        assert script.names == ["a", "b"]
        assert found.actor.abandoned == 1


async def test_a_deadline_takes_a_waiting_retry_along() -> None:
    """The breaker keeps it waiting beyond what it was promised."""
    script = Script()
    script.plan(server(), ok(20.0))
    async with open_system() as system:
        ref = await serve(system, script, policy(concurrency=1))
        async with Askers(ref) as askers:
            outcome = await askers.ask("a", timeout=5.0)
            await anyio.sleep(0.5)
            await askers.ask("b")
        assert isinstance(outcome.error, AskTimeoutError)
        assert outcome.at == 5.0
        await at_rest(system)


async def test_a_cancelled_retry_is_counted_as_one() -> None:
    script = Script()
    script.plan(server(), hangs())
    async with open_system() as system:
        ref = await serve(system, script)
        await caught(lambda: ref.ask(Call(), timeout=5.0))
        found = await at_rest(system)
        assert found.retries == {RetryKey("Call", FailureKind.SERVER, "cancelled"): 1}


async def test_an_asker_who_leaves_in_the_moment_of_the_timeout_is_not_retried_for() -> None:
    script = Script()
    script.plan(hangs())
    async with open_system() as system:
        ref = await serve(system, script)
        async with Askers(ref) as askers:
            await askers.ask("a", timeout=30.0)
        await anyio.sleep(10)
        await at_rest(system)
        assert script.names == ["a"]
        assert await ref.ask(Call("b")) == "b 1"


def leave(outcome: Outcome) -> None:
    outcome.cancel()


def stay(_: Outcome) -> None: ...


@pytest.mark.parametrize("moment", [0.0, 1.0, 1.5, 2.0, 2.5, 3.0, 30.0, 31.0, 32.0, 33.0, 34.0])
@pytest.mark.parametrize("who", [leave, stay])
@pytest.mark.parametrize("concurrency", [1, 2])
async def test_a_call_ended_at_any_moment_leaves_the_service_as_good_as_new(
    moment: float, who: Callable[[Outcome], None], concurrency: int
) -> None:
    """In each wait of a call: attempt, backoff, due retry, attempt timeout, and at their very ends."""
    script = Script()
    script.by_name["other"] = ok(0.7)
    async with open_system() as system:
        ref = await serve(system, script, policy(concurrency=concurrency))
        script.plan(server(after=1.0), ok(1.0), hangs())
        async with Askers(ref) as askers:
            outcome = await askers.ask("a", timeout=None if who is leave else max(moment, 0.001))
            for _ in range(3):
                await askers.ask("b")
            await anyio.sleep(moment)
            who(outcome)
        await anyio.sleep(100)
        await at_rest(system)
        script.steps.clear()
        async with Askers(ref) as askers:
            await askers.ask_all(["other"] * 4)
        assert {outcome.value for outcome in askers.outcomes} == {"other 1"}
        assert statistics(system).bulkhead.peak == concurrency


async def test_a_handler_that_turns_its_cancellation_into_an_error_is_still_timed_out() -> None:
    class Clumsy(GuardedActor):
        policy = Policy(concurrency=Concurrency(1))

        @handles
        async def call(self, message: Call) -> str:
            try:
                await anyio.sleep(1000)
            except BaseException:  # noqa: BLE001 - that is what is wrong with it
                raise KeyError("clumsy") from None
            return "never"

    async with open_system() as system:
        ref = await system.spawn(Child("svc", Clumsy))
        async with Askers(ref) as askers:
            leaver = await askers.ask("leaver")
            await anyio.sleep(1)
            leaver.cancel()
        found = await at_rest(system)
        assert found.failures == {}
        async with Askers(ref) as askers:
            await askers.ask("timed out", timeout=40.0)
            await anyio.sleep(30.5)
            assert statistics(system).failures == {FailureKind.TIMEOUT: 1}
        await at_rest(system)
        assert statistics(system).restarts == 0


class Shielded(GuardedActor):
    """Its handlers take so many seconds, in a shield, as one does that closes a dead connection."""

    policy = policy(attempts=1, concurrency=1)

    @handles
    async def call(self, message: Call) -> str:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(float(message.name))
        return "after all"


async def test_a_handler_that_answers_in_spite_of_its_cancellation_has_answered() -> None:
    async with open_system() as system:
        ref = await system.spawn(Child("svc", Shielded))
        assert await ref.ask(Call("33")) == "after all"
        assert anyio.current_time() == 33.0
        async with Askers(ref) as askers:
            left = await askers.ask("8", timeout=5.0)
        assert isinstance(left.error, AskTimeoutError)
        await anyio.sleep(10)
        found = await at_rest(system)
        assert found.actor.late_replies == 1


async def test_an_attempt_that_does_not_unwind_after_its_timeout_gives_up_its_slot() -> None:
    async with open_system() as system:
        ref = await system.spawn(Child("svc", Shielded))
        said = listen(system, "actor.stuck")
        async with Askers(ref) as askers:
            await askers.ask("1000")
            await askers.ask("2")
        stuck, following = askers.outcomes
        assert isinstance(stuck.error, ProviderError)
        assert stuck.error.kind is FailureKind.TIMEOUT
        assert stuck.at == 35.0
        assert (following.value, following.at) == ("after all", 37.0)
        assert said == [{"actor_path": "svc/service", "reason": "timeout"}]
        await at_rest(system)
        await anyio.sleep(1000)
        found = await at_rest(system)
        assert (found.restarts, found.actor.late_replies, found.attempts) == (0, 0, 2)


async def test_an_attempt_that_does_not_unwind_when_its_asker_leaves_gives_up_its_slot() -> None:
    async with open_system() as system:
        ref = await system.spawn(Child("svc", Shielded))
        async with Askers(ref) as askers:
            leaver = await askers.ask("1000")
            await anyio.sleep(1)
            leaver.cancel()
            await askers.ask("2")
        assert askers.outcomes[1].at == 8.0
        await anyio.sleep(1000)
        await at_rest(system)


@pytest.mark.parametrize(
    ("steps", "timeout"),
    [
        ([], None),
        ([server()], None),
        ([server()] * 3, None),
        ([fails(FailureKind.BAD_REQUEST)], None),
        ([hangs()], 5.0),
        ([server(), hangs()], 5.0),
        ([server(after=4.5)], 5.0),
        ([hangs()] * 3, None),
    ],
)
async def test_nothing_of_a_call_is_kept_when_it_has_ended(steps: list[Step], timeout: float | None) -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script)
        kept: list[weakref.ref[Call]] = []

        async def make_call() -> None:
            call = Call("a")
            kept.append(weakref.ref(call))
            script.plan(*steps)
            await caught(lambda: ref.ask(call, timeout=timeout))

        await make_call()
        script.steps.clear()
        script.attempts.clear()
        await anyio.sleep(500)
        assert await ref.ask(Call("b")) == "b 1"
        gc.collect()
        assert [call() for call in kept] == [None]


async def test_told_attempts_are_ended_by_nobody_but_their_timeout() -> None:
    script = Script()
    script.plan(hangs(), ok())
    async with open_system() as system:
        ref = await serve(system, script)
        await ref.tell(Job("a"))
        await anyio.sleep(100)
        assert script.moments == [0.0, 31.0]
        await at_rest(system)


async def test_slots_are_free_again_after_a_storm_of_timeouts() -> None:
    script = Script()
    script.plan(*[hangs()] * 50, *[fails(FailureKind.NETWORK)] * 50)
    async with open_system() as system:
        ref = await serve(system, script, policy(concurrency=4, breaker=None))
        async with Askers(ref) as askers:
            for number in range(60):
                await askers.ask(str(number), timeout=10.0 + number)
        await anyio.sleep(200)
        await at_rest(system)
        script.steps.clear()
        async with Askers(ref) as askers:
            await askers.ask_all("abcd")
        assert statistics(system).bulkhead.peak == 4
