"""A rate limit shuts the gate for every call of the provider, and opens it gently."""

from math import inf, nan

import anyio
import pytest

from relight.runtime import DeadlineExceededError
from relight.supervisors import ProviderError, RateLimitedError, open_system
from tests.supervisors.scripted import (
    Askers,
    Call,
    Job,
    Script,
    at_rest,
    bug,
    limited,
    listen,
    ok,
    policy,
    serve,
    server,
    statistics,
)
from tests.support.clocks import virtual_time

pytestmark = [pytest.mark.anyio, virtual_time]


async def test_a_rate_limit_keeps_everybody_waiting_until_the_moment_it_named() -> None:
    script = Script()
    script.plan(limited(retry_after=10.0))
    async with open_system() as system:
        ref = await serve(system, script)
        async with Askers(ref) as askers:
            await askers.ask("a")
            await anyio.sleep(1)
            await askers.ask_all("bcd")
            await ref.tell(Job("e"))
            assert statistics(system).state == "paused"
            assert statistics(system).actor.queued == 5
        assert script.names[0] == "a"
        assert sorted(script.names[1:]) == ["a", "b", "c", "d", "e"]
        assert all(10.0 <= moment <= 11.0 for moment in script.moments[1:])
        found = statistics(system)
        assert found.gate.times_shut == 1
        assert 10.0 <= found.gate.seconds_paused <= 11.0
        await at_rest(system)


async def test_a_rate_limit_without_a_hint_waits_for_the_backoff() -> None:
    script = Script()
    script.plan(limited())
    async with open_system() as system:
        ref = await serve(system, script, policy(wait=4.0))
        said = listen(system, "provider.paused")
        await ref.ask(Call())
        assert script.moments == [0.0, 4.0]
        assert said == [{"provider": "svc", "seconds": 4.0, "source": "backoff"}]


async def test_what_can_not_wait_that_long_fails_at_once() -> None:
    """Those in the mailbox, those in line before it, and those who come later."""
    script = Script()
    script.plan(limited(retry_after=60.0, after=1.0))
    async with open_system() as system:
        ref = await serve(system, script, policy(mailbox=2, concurrency=1))
        async with Askers(ref) as askers:
            await askers.ask("first", timeout=500)
            await askers.ask_all(["short", "long", "short in line"], timeout=30)
            patient = await askers.ask("patient in line", timeout=500)
            await anyio.sleep(2)
            late = await askers.ask("late", timeout=30)
        for outcome in [*askers.outcomes[1:4], late]:
            assert isinstance(outcome.error, RateLimitedError)
            assert outcome.error.retry_after is not None
            assert outcome.error.retry_after >= 59.0
        assert [outcome.at for outcome in askers.outcomes[1:4]] == [1.0] * 3
        assert late.at == 2.0
        assert askers.outcomes[0].value == "first 2"
        assert patient.value == "patient in line 1"
        assert script.names == ["first", "first", "patient in line"]
        assert statistics(system).refusals == {"RateLimitedError": 4}
        await at_rest(system)


async def test_told_messages_wait_for_the_gate_however_long_it_is_shut() -> None:
    script = Script()
    script.plan(limited(retry_after=3600.0))
    async with open_system() as system:
        ref = await serve(system, script)
        await ref.tell(Job("a"))
        await ref.tell(Job("b"))
        await anyio.sleep(3590)
        assert script.names == ["a"]
        (letter,) = system.dead_letters.read()
        assert letter.message == Job("a")
        await ref.tell(Job("c"))
        await anyio.sleep(400)
        assert script.names == ["a", "b", "c"]
        assert script.moments[2] >= 3600.0


async def test_a_told_message_in_line_for_a_failed_mailbox_is_sent_on_when_there_is_room() -> None:
    script = Script()
    script.plan(limited(retry_after=60.0, after=1.0))
    async with open_system() as system:
        ref = await serve(system, script, policy(mailbox=1, concurrency=1))
        async with anyio.create_task_group() as tellers:
            for name in "abcd":
                tellers.start_soon(ref.tell, Job(name))
                await anyio.sleep(0.01)
        await anyio.sleep(100)
        assert sorted(script.names) == ["a", "a", "b", "c", "d"]
        await at_rest(system)


async def test_a_queued_call_whose_deadline_comes_before_the_reopening_is_not_kept() -> None:
    """The gate is made longer while it waits."""
    script = Script()
    script.plan(limited(retry_after=10.0, after=2.0), limited(retry_after=100.0, after=5.0))
    async with open_system() as system:
        ref = await serve(system, script)
        async with Askers(ref) as askers:
            await askers.ask_all("ab", timeout=500)
            await anyio.sleep(3)
            queued = await askers.ask("c", timeout=50)
        assert isinstance(queued.error, RateLimitedError)
        assert queued.at == 5.0
        assert statistics(system).gate.times_shut == 1


async def test_who_waits_in_line_is_not_overtaken_when_others_are_refused() -> None:
    script = Script()
    script.plan(limited(retry_after=60.0, after=1.0))
    async with open_system() as system:
        ref = await serve(system, script, policy(attempts=1, mailbox=1, concurrency=1))
        async with Askers(ref) as askers:
            await askers.ask("first")
            await askers.ask("short", timeout=10.0)
            await askers.ask("in line")
            await anyio.sleep(2)
            await askers.ask("late")
        assert script.names == ["first", "in line", "late"]


async def test_after_the_reopening_concurrency_starts_at_a_quarter_and_grows() -> None:
    script = Script()
    script.plan(limited())
    async with open_system() as system:
        ref = await serve(system, script, policy(concurrency=8, wait=10.0))
        async with Askers(ref) as askers:
            await askers.ask("limited")
            await anyio.sleep(1)
            script.plan(*[ok(1.0)] * 100)
            await askers.ask_all([str(number) for number in range(30)])
            await anyio.sleep(9.5)
            in_flight = [statistics(system).bulkhead.in_flight]
            for _ in range(4):
                await anyio.sleep(1)
                in_flight.append(statistics(system).bulkhead.in_flight)
        assert in_flight == [2, 4, 8, 8, 8]
        assert script.peak == 8
        found = statistics(system)
        assert (found.bulkhead.limit, found.bulkhead.cuts) == (8, 1)


async def test_a_rate_limit_is_not_the_breakers_business() -> None:
    script = Script()
    script.plan(*[limited(retry_after=1.0)] * 20)
    async with open_system() as system:
        ref = await serve(system, script, policy(attempts=1, breaker=None))
        for _ in range(20):
            with pytest.raises(ProviderError):
                await ref.ask(Call())
            await anyio.sleep(2)
        assert statistics(system).breaker is None
    async with open_system() as system:
        script.plan(*[limited(retry_after=1.0)] * 20)
        ref = await serve(system, script, policy(attempts=1))
        for _ in range(20):
            with pytest.raises(ProviderError):
                await ref.ask(Call())
            await anyio.sleep(2)
        found = statistics(system)
        assert found.breaker is not None
        assert found.breaker.opened == 0


async def test_a_rate_limit_of_a_call_without_attempts_left_still_pauses_the_others() -> None:
    script = Script()
    script.plan(limited(retry_after=10.0))
    async with open_system() as system:
        ref = await serve(system, script, policy(attempts=1))
        with pytest.raises(ProviderError) as caught:
            await ref.ask(Call("a"))
        assert caught.value.retry_after == 10.0
        assert await ref.ask(Call("b")) == "b 1"
        assert script.moments == [0.0, 10.0]


@pytest.mark.parametrize("nonsense", [inf, nan, -5.0, 0.0])
@pytest.mark.parametrize("attempts", [1, 3])
async def test_a_hint_that_is_none_does_not_shut_the_gate_for_good(nonsense: float, attempts: int) -> None:
    script = Script()
    script.plan(limited(retry_after=nonsense))
    async with open_system() as system:
        ref = await serve(system, script, policy(attempts=attempts))
        if attempts == 1:
            with pytest.raises(ProviderError):
                await ref.ask(Call("a"))
        else:
            assert await ref.ask(Call("a")) == "a 2"
        await ref.ask(Call("b"))
        assert anyio.current_time() == pytest.approx(1.0)


async def test_a_limit_met_by_many_at_once_is_one_pause() -> None:
    script = Script()
    script.plan(*[limited(retry_after=10.0, after=1.0)] * 8)
    async with open_system() as system:
        ref = await serve(system, script)
        async with Askers(ref) as askers:
            await askers.ask_all("abcdefgh")
        assert statistics(system).gate.times_shut == 1
        assert script.moments[8] >= 11.0
        assert len(script.names) == 16
        await at_rest(system)


async def test_calls_go_on_after_a_pause_though_nobody_asks_again() -> None:
    """The gate's own timer calls the workers."""
    script = Script()
    script.plan(limited(retry_after=10.0), ok())
    async with open_system() as system:
        ref = await serve(system, script, policy(attempts=1, concurrency=1))
        async with Askers(ref) as askers:
            await askers.ask("a")
            await askers.ask_all("bcd")
        assert [outcome.at for outcome in askers.outcomes] == [0.0, 10.0, 10.0, 10.0]


async def test_a_pause_outlives_a_restart() -> None:
    script = Script()
    script.plan(limited(retry_after=30.0, after=1.0), bug(after=2.0))
    async with open_system() as system:
        ref = await serve(system, script)
        async with Askers(ref) as askers:
            await askers.ask_all("ab")
            await anyio.sleep(10)
            assert script.incarnations == 2
            await askers.ask("c")
        assert askers.outcomes[0].value == "a 2"
        assert askers.outcomes[2].at >= 31.0


async def test_an_asker_of_a_paused_service_may_give_up_by_its_own_timeout() -> None:
    """The gate may be made longer by nobody: its moment was within reach, the slots were not."""
    script = Script()
    script.plan(limited(retry_after=10.0), ok(20.0))
    async with open_system() as system:
        ref = await serve(system, script, policy(concurrency=1))
        async with Askers(ref) as askers:
            await askers.ask("a")
            await anyio.sleep(1)
            queued = await askers.ask("b", timeout=15.0)
        assert isinstance(queued.error, DeadlineExceededError)
        assert queued.at == 16.0
        await at_rest(system)


async def test_failures_of_other_kinds_do_not_shut_the_gate() -> None:
    script = Script()
    script.plan(server())
    async with open_system() as system:
        ref = await serve(system, script)
        async with Askers(ref) as askers:
            await askers.ask_all("ab")
        assert script.moments == [0.0, 0.0, 1.0]
        assert statistics(system).gate.times_shut == 0
