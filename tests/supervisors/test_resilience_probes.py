"""What other Python libraries were seen to get wrong, each probed here on the whole guard."""

from collections.abc import AsyncGenerator
from random import Random

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from relight.runtime import Message, StreamRequest, handles
from relight.supervisors import (
    Child,
    CircuitBreakerOpenError,
    FailureKind,
    GuardedActor,
    ProviderError,
    System,
    current_attempt,
    open_system,
)
from relight.supervisors.policies import Breaker, Policy
from tests.supervisors.scripted import (
    ONCE,
    Askers,
    Call,
    Outcome,
    Script,
    Step,
    at_rest,
    break_it,
    caught,
    fails,
    hangs,
    name_of,
    ok,
    policy,
    serve,
    server,
    state,
    statistics,
)
from tests.support.clocks import virtual_time

pytestmark = [pytest.mark.anyio, virtual_time]

FIFTY = [str(number) for number in range(50)]


def refused(outcomes: list[Outcome]) -> int:
    return sum(isinstance(outcome.value, CircuitBreakerOpenError) for outcome in outcomes)


async def half_open(system: System, script: Script) -> None:
    """Let it fail until its breaker opens, and wait till that lets probes through."""
    await break_it(system, script)
    await anyio.sleep(30)
    assert state(system) == "half_open"


# --- half-open: a service that has just come back is not stampeded ---


@pytest.mark.parametrize("probes", [1, 2, 5])
async def test_of_fifty_callers_into_a_hung_service_as_many_get_through_as_there_are_probes(
    probes: int,
) -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script, policy(attempts=1, breaker=Breaker(probes=probes)))
        await half_open(system, script)
        script.plan(*[hangs()] * 50)
        async with Askers(ref) as askers:
            askers.rush(FIFTY)
        assert len(script.seen) == probes
        assert refused(askers.outcomes) == 50 - probes
        await at_rest(system)


@pytest.mark.parametrize("probes", [1, 3])
async def test_six_probes_that_are_cancelled_let_through_no_more_at_once(probes: int) -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script, policy(attempts=1, breaker=Breaker(probes=probes)))
        await half_open(system, script)
        script.plan(*[hangs()] * 56)
        async with Askers(ref) as askers:
            for _ in range(6):
                leaver = await askers.ask("leaver")
                await wait_all_tasks_blocked()
                leaver.cancel()
                await wait_all_tasks_blocked()
            assert statistics(system).state == "half_open"
            askers.rush(FIFTY)
        assert script.names.count("leaver") == 6
        assert len(script.seen) == 6 + probes
        assert refused(askers.outcomes) == 50 - probes
        await at_rest(system)


async def test_a_probe_that_hangs_keeps_nobody_out_for_longer_than_its_time() -> None:
    """Also where an attempt may take much longer than that: half-open can't last for ever."""
    script = Script()
    patient = policy(attempts=1, attempt_timeout=10_000.0, call_timeout=20_000.0)
    async with open_system() as system:
        ref = await serve(system, script, patient)
        await half_open(system, script)
        script.plan(hangs(), *[ok(1.0)] * 50)
        async with Askers(ref) as askers:
            hung = await askers.ask("hung")
            await anyio.sleep(59)
            await askers.ask_all(FIFTY)
            await anyio.sleep(1)
            await askers.ask_all(FIFTY)
            await anyio.sleep(1.5)
            assert statistics(system).state == "ok"
            hung.cancel()
        assert refused(askers.outcomes) == 50 + 49
        assert len(script.seen) == 2
        await at_rest(system)


async def test_a_probe_that_takes_longer_than_its_place_lasts_still_closes_the_breaker() -> None:
    script = Script()
    patient = policy(attempts=1, attempt_timeout=300.0)
    async with open_system() as system:
        ref = await serve(system, script, patient)
        await half_open(system, script)
        script.plan(ok(100.0), hangs())
        async with Askers(ref) as askers:
            await askers.ask("long")
            await anyio.sleep(70)
            second = await askers.ask("second")
            await anyio.sleep(31)
            assert statistics(system).state == "ok"
            second.cancel()


# --- a service that fails every second time ---


@pytest.mark.parametrize("pattern", ["alternating", "random"])
async def test_at_an_error_rate_of_one_half_the_breaker_opens(pattern: str) -> None:
    rng = Random(7)
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script, policy(attempts=1, breaker=Breaker(failures=1000)))
        outcomes: list[str | Exception] = []
        for number in range(200):
            is_failing = number % 2 == 1 if pattern == "alternating" else rng.random() < 0.5
            script.outcomes.clear()
            script.plan(server() if is_failing else ok())
            outcomes.append(await caught(lambda: ref.ask(Call())))
            await anyio.sleep(0.1)
        # 20 attempts have to be made first; then it is open for half a minute, and all calls take 20 s.
        rejected = sum(isinstance(outcome, CircuitBreakerOpenError) for outcome in outcomes)
        assert rejected >= 150
        assert statistics(system).state == "breaker_open"


async def test_a_service_that_fails_a_third_of_the_time_is_not_refused() -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script, ONCE)
        for _ in range(100):
            script.plan(ok(), ok(), server())
        for _ in range(300):
            assert not isinstance(await caught(lambda: ref.ask(Call())), CircuitBreakerOpenError)
            await anyio.sleep(0.1)


# --- cancellations never count ---


@pytest.mark.parametrize("how", ["leaves", "deadline"])
async def test_callers_who_leave_open_no_breaker_by_no_rule(how: str) -> None:
    breaker = Breaker(failures=3, window_attempts=1, slow_seconds=0.1, slow_rate=0.1)
    script = Script()
    script.plan(*[hangs()] * 100)
    async with open_system() as system:
        ref = await serve(system, script, policy(attempts=1, breaker=breaker, concurrency=100))
        async with Askers(ref) as askers:
            await askers.ask_all([str(number) for number in range(100)], 5.0 if how == "deadline" else None)
            await anyio.sleep(4)
            for outcome in askers.outcomes:
                if how == "leaves":
                    outcome.cancel()
        found = statistics(system)
        assert found.state == "ok"
        assert found.breaker is not None
        assert (found.breaker.consecutive_failures, found.breaker.recent_attempts) == (0, 0)
        await at_rest(system)


# --- a service that answers, and too late ---


async def test_a_service_that_gets_too_slow_is_left_alone_though_it_answers() -> None:
    breaker = Breaker(slow_seconds=5.0, slow_rate=0.5, window_attempts=10)
    script = Script()
    script.plan(*[ok(5.0)] * 10)
    async with open_system() as system:
        ref = await serve(system, script, policy(breaker=breaker, concurrency=10))
        async with Askers(ref) as askers:
            await askers.ask_all([str(number) for number in range(10)])
        assert all(isinstance(outcome.value, str) for outcome in askers.outcomes)
        assert isinstance(await caught(lambda: ref.ask(Call())), CircuitBreakerOpenError)
        found = statistics(system).breaker
        assert found is not None
        assert found.reason == "slow_rate"
        await anyio.sleep(30)
        script.plan(ok(6.0))
        await ref.ask(Call())
        assert statistics(system).state == "breaker_open"
        await anyio.sleep(60)
        await ref.ask(Call())
        assert statistics(system).state == "ok"


async def test_an_attempt_that_fails_late_is_slow_too() -> None:
    breaker = Breaker(failures=100, failure_rate=None, slow_seconds=5.0, window_attempts=4)
    script = Script()
    script.plan(*[server(after=5.0)] * 4)
    async with open_system() as system:
        ref = await serve(system, script, policy(attempts=1, breaker=breaker))
        async with Askers(ref) as askers:
            await askers.ask_all("abcd")
        found = statistics(system).breaker
        assert found is not None
        assert found.reason == "slow_rate"


class Recite(StreamRequest[int], frozen=True):
    """Asked for numbers, one after another."""


class Reciter(GuardedActor):
    """Takes its time, but begins at once."""

    policy = Policy(breaker=Breaker(slow_seconds=5.0, window_attempts=1, slow_rate=0.1))

    @handles
    async def recite(self, message: Recite) -> AsyncGenerator[int]:
        for number in range(10):
            yield number
            await anyio.sleep(1)


async def test_a_stream_that_flows_is_not_slow_however_long_it_is() -> None:
    async with open_system() as system:
        ref = await system.spawn(Child("svc", Reciter))
        async with ref.stream(Recite()) as numbers:
            assert [number async for number in numbers] == list(range(10))
        assert statistics(system).state == "ok"


# --- callers share no state ---


class Stubborn(Script):
    """Each call fails twice, whoever else is on the way."""

    def choose(self, message: Message) -> Step:
        return ok() if current_attempt().number == 3 else fails(FailureKind.SERVER, after=1.0)


async def test_concurrent_callers_share_no_retry_state() -> None:
    script = Stubborn()
    async with open_system() as system:
        ref = await serve(system, script, policy(attempts=3, breaker=None, concurrency=50, retry_budget=None))
        async with Askers(ref) as askers:
            for name in FIFTY:
                await askers.ask(name)
                await anyio.sleep(0.1)
        assert [outcome.value for outcome in askers.outcomes] == [f"{name} 3" for name in FIFTY]
        for start, name in enumerate(FIFTY):
            mine = [seen for seen in script.seen if name_of(seen.message) == name]
            began = start * 0.1
            assert [seen.attempt.number for seen in mine] == [1, 2, 3]
            assert [seen.at - began for seen in mine] == pytest.approx([0.0, 2.0, 4.0])
            assert len({seen.attempt.idempotency_key for seen in mine}) == 1
        assert len({seen.attempt.idempotency_key for seen in script.seen}) == 50
        await at_rest(system)


async def test_one_caller_who_fails_leaves_the_others_their_attempts() -> None:
    script = Script()
    script.by_name["doomed"] = server()
    async with open_system() as system:
        ref = await serve(system, script, policy(breaker=None))
        async with Askers(ref) as askers:
            await askers.ask("doomed")
            script.plan(server(), server())
            await askers.ask("lucky")
        doomed, lucky = askers.outcomes
        assert isinstance(doomed.error, ProviderError)
        assert lucky.value == "lucky 3"
