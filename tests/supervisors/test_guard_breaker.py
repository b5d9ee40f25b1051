"""The circuit breaker of a service, as its callers meet it."""

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import pytest
from anyio import wait_all_tasks_blocked

from relight.runtime import ActorCrashedError, handles
from relight.supervisors import (
    Child,
    CircuitBreakerOpenError,
    FailureKind,
    ProviderError,
    RetriesExhaustedError,
    RetryKey,
    TransitionKey,
    open_system,
)
from relight.supervisors.policies import Breaker, CircuitState
from tests.supervisors.scripted import (
    ONCE,
    Askers,
    Call,
    Job,
    Script,
    Scripted,
    at_rest,
    break_it,
    bug,
    caught,
    fails,
    hangs,
    limited,
    listen,
    ok,
    policy,
    serve,
    server,
    state,
    statistics,
)
from tests.support.clocks import virtual_time

pytestmark = [pytest.mark.anyio, virtual_time]

BRITTLE = Breaker(failures=1)
CLOSED, HALF_OPEN, OPEN = CircuitState.CLOSED, CircuitState.HALF_OPEN, CircuitState.OPEN


async def test_five_failures_in_a_row_open_it_and_the_sixth_call_is_refused() -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script, ONCE)
        await break_it(system, script, 4)
        assert state(system) == "ok"
        await break_it(system, script, 1)
        assert state(system) == "breaker_open"
        with pytest.raises(CircuitBreakerOpenError) as refused:
            await ref.ask(Call())
        assert refused.value.retry_after == pytest.approx(30.0)
        assert refused.value.provider == "svc"
        assert script.seen == []
        found = statistics(system)
        assert found.refusals == {"CircuitBreakerOpenError": 1}
        assert {key.outcome: count for key, count in found.calls.items()} == {"failed": 5, "rejected": 1}


async def test_a_success_starts_the_count_again() -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script, ONCE)
        for _ in range(3):
            await break_it(system, script, 4)
            await ref.ask(Call())
        assert state(system) == "ok"


@pytest.mark.parametrize("harmless", [FailureKind.BAD_REQUEST, FailureKind.NOT_FOUND])
async def test_what_does_not_count_neither_opens_nor_resets(harmless: FailureKind) -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script, ONCE)
        await break_it(system, script, 4)
        script.plan(fails(harmless))
        await caught(lambda: ref.ask(Call()))
        assert state(system) == "ok"
        await break_it(system, script, 1)
        assert state(system) == "breaker_open"


async def test_attempts_count_not_calls() -> None:
    script = Script()
    script.plan(*[server()] * 5)
    async with open_system() as system:
        ref = await serve(system, script)
        await caught(lambda: ref.ask(Call(), timeout=5))
        assert len(script.seen) == 3
        error = await caught(lambda: ref.ask(Call(), timeout=5))
        assert len(script.seen) == 5
        assert isinstance(error, CircuitBreakerOpenError)


async def test_after_thirty_seconds_exactly_one_probe_is_let_through() -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script, ONCE)
        await break_it(system, script)
        await anyio.sleep(29.9)
        assert isinstance(await caught(lambda: ref.ask(Call())), CircuitBreakerOpenError)
        await anyio.sleep(0.1)
        assert state(system) == "half_open"
        script.plan(ok(1.0))
        async with Askers(ref) as askers:
            await askers.ask_all("abcde")
            await anyio.sleep(0.5)
            await askers.ask("late")
        assert script.names == ["a"]
        assert askers.outcomes[0].value == "a 1"
        for outcome in askers.outcomes[1:]:
            assert isinstance(outcome.error, CircuitBreakerOpenError)
            assert outcome.error.retry_after is None
            assert outcome.at < 31.0
        assert state(system) == "ok"
        assert await ref.ask(Call("b")) == "b 1"


@pytest.mark.parametrize("at_once", [True, False])
async def test_of_fifty_callers_into_a_hung_half_open_service_one_gets_through(*, at_once: bool) -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script, ONCE)
        await break_it(system, script)
        await anyio.sleep(30)
        script.plan(*[hangs()] * 50)
        async with Askers(ref) as askers:
            names = [str(number) for number in range(50)]
            askers.rush(names) if at_once else await askers.ask_all(names)
        assert len(script.seen) == 1
        refused = [
            outcome for outcome in askers.outcomes if isinstance(outcome.value, CircuitBreakerOpenError)
        ]
        assert len(refused) == 49
        assert all(outcome.at == 30.0 for outcome in refused)
        (probe,) = (outcome for outcome in askers.outcomes if outcome not in refused)
        assert isinstance(probe.error, ProviderError)
        assert probe.error.kind is FailureKind.TIMEOUT
        assert state(system) == "breaker_open"
        await at_rest(system)


async def test_a_probe_that_hangs_gives_its_permit_back_by_its_timeout() -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script, ONCE)
        await break_it(system, script)
        await anyio.sleep(30)
        script.plan(hangs())
        assert isinstance(await caught(lambda: ref.ask(Call())), ProviderError)
        assert anyio.current_time() == 60.0
        await anyio.sleep(60)
        assert await ref.ask(Call("a")) == "a 1"
        assert state(system) == "ok"


@pytest.mark.parametrize("how", ["leaves", "deadline"])
async def test_a_cancelled_probe_gives_its_permit_back_at_once(how: str) -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script, ONCE)
        await break_it(system, script)
        await anyio.sleep(30)
        script.plan(hangs())
        async with Askers(ref) as askers:
            probe = await askers.ask("probe", timeout=1.0 if how == "deadline" else None)
            await anyio.sleep(0.5)
            if how == "leaves":
                probe.cancel()
        await wait_all_tasks_blocked()
        assert state(system) == "half_open"
        assert await ref.ask(Call("next")) == "next 1"
        assert state(system) == "ok"


async def test_a_probe_that_ends_in_a_bug_gives_its_permit_back() -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script, ONCE)
        await break_it(system, script)
        await anyio.sleep(30)
        script.plan(bug())
        await caught(lambda: ref.ask(Call()))
        assert await ref.ask(Call("next")) == "next 1"
        assert state(system) == "ok"


async def test_a_probe_that_ends_with_the_services_connection_gives_its_permit_back() -> None:
    class Fragile(Scripted):
        @asynccontextmanager
        async def lifespan(self) -> AsyncGenerator[None]:
            async with anyio.create_task_group() as group:
                group.start_soon(self._break)
                yield

        async def _break(self) -> None:
            await anyio.sleep(35)
            raise ConnectionResetError

    script = Script()
    async with open_system() as system:
        ref = await system.spawn(Child("svc", lambda: Fragile(script), policy=ONCE))
        await break_it(system, script)
        await anyio.sleep(30)
        script.plan(hangs())
        assert isinstance(await caught(lambda: ref.ask(Call())), ActorCrashedError)
        assert await ref.ask(Call("next")) == "next 1"
        assert state(system) == "ok"


async def test_a_probe_that_is_declined_gives_its_permit_back() -> None:
    class Choosy(Scripted):
        declines = (KeyError,)

        @handles
        async def call(self, message: Call) -> str:
            if message.name == "unwanted":
                raise KeyError
            return str(await self._script.attempt(message, 1))

    script = Script()
    async with open_system() as system:
        ref = await system.spawn(Child("svc", lambda: Choosy(script), policy=ONCE))
        await break_it(system, script)
        await anyio.sleep(30)
        assert isinstance(await caught(lambda: ref.ask(Call("unwanted"))), KeyError)
        assert state(system) == "half_open"
        assert await ref.ask(Call("next")) == "next 1"


async def test_a_probe_that_is_limited_gives_its_permit_back() -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script, ONCE)
        await break_it(system, script)
        await anyio.sleep(30)
        script.plan(limited(retry_after=5.0))
        await caught(lambda: ref.ask(Call()))
        assert await ref.ask(Call("next")) == "next 1"
        assert anyio.current_time() == 35.0
        assert state(system) == "ok"


async def test_each_failed_probe_doubles_the_wait_up_to_five_minutes() -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script, ONCE)
        await break_it(system, script)
        waits: list[float] = []
        for _ in range(6):
            refused = await caught(lambda: ref.ask(Call()))
            assert isinstance(refused, CircuitBreakerOpenError)
            assert refused.retry_after is not None
            waits.append(refused.retry_after)
            await anyio.sleep(refused.retry_after)
            script.plan(server())
            assert isinstance(await caught(lambda: ref.ask(Call())), ProviderError)
        assert waits == pytest.approx([30.0, 60.0, 120.0, 240.0, 300.0, 300.0])
        assert len(script.seen) == 6


async def test_a_closed_breaker_has_forgotten_how_long_it_was_open() -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script, ONCE)
        await break_it(system, script)
        await anyio.sleep(30)
        await break_it(system, script, 1)
        await anyio.sleep(60)
        await ref.ask(Call())
        await break_it(system, script)
        refused = await caught(lambda: ref.ask(Call()))
        assert isinstance(refused, CircuitBreakerOpenError)
        assert refused.retry_after == pytest.approx(30.0)


async def test_what_is_queued_when_it_opens_is_refused_at_once() -> None:
    script = Script()
    script.plan(*[server()] * 5)
    async with open_system() as system:
        ref = await serve(system, script, policy(attempts=1, concurrency=1, mailbox=3))
        async with Askers(ref) as askers:
            await askers.ask_all([str(number) for number in range(20)])  # most of them wait in line
        assert len(script.seen) == 5
        for outcome in askers.outcomes[5:]:
            assert isinstance(outcome.error, CircuitBreakerOpenError)
            assert outcome.at == 0.0
        await at_rest(system)


async def test_told_messages_that_are_refused_become_dead_letters() -> None:
    script = Script()
    script.by_name["broken"] = server(after=1.0)
    async with open_system() as system:
        ref = await serve(system, script, policy(concurrency=5, mailbox=2, attempts=1, breaker=BRITTLE))
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(ref.tell, Job("broken"))
            await anyio.sleep(0.5)
            for number in range(4):  # two are taken, two wait in line
                group.start_soon(ref.tell, Job(str(number)))
            await anyio.sleep(1)
        await ref.tell(Job("late"))
        ref.tell_nowait(Job("later"))
        reasons = Counter(letter.reason for letter in system.dead_letters.read())
        assert reasons == {"ProviderError": 5, "CircuitBreakerOpenError": 6}
        assert statistics(system).refusals == {"CircuitBreakerOpenError": 6}
        await at_rest(system)


async def test_a_teller_in_line_who_was_cancelled_has_not_sent() -> None:
    script = Script()
    script.by_name["broken"] = server(after=1.0)
    async with open_system() as system:
        ref = await serve(system, script, policy(concurrency=5, mailbox=1, attempts=1, breaker=BRITTLE))
        for _ in range(5):
            await ref.tell(Job("broken"))
            await anyio.lowlevel.checkpoint()
        async with anyio.create_task_group() as group:
            await ref.tell(Job("taken"))
            group.start_soon(ref.tell, Job("in line"))
            await anyio.sleep(0.5)
            group.cancel_scope.cancel()
        await anyio.sleep(1)
        assert sorted(letter.reason for letter in system.dead_letters.read()) == (
            ["CircuitBreakerOpenError"] + ["ProviderError"] * 5
        )


# --- retries and the open breaker ---


async def test_a_retry_falling_due_while_it_is_open_waits_if_the_reopening_fits_its_deadline() -> None:
    script = Script()
    script.plan(server())
    async with open_system() as system:
        ref = await serve(system, script, policy(wait=10.0))
        async with Askers(ref) as askers:
            patient = await askers.ask("patient")
            await anyio.sleep(1)
            script.plan(*[fails(FailureKind.NETWORK, retryable=False)] * 4)
            for _ in range(4):
                await caught(lambda: ref.ask(Call()))
            assert state(system) == "breaker_open"
        assert patient.value == "patient 2"
        assert script.moments[-1] == 31.0
        assert state(system) == "ok"
        await at_rest(system)


async def test_a_retry_falling_due_fails_if_the_reopening_comes_too_late_for_it() -> None:
    script = Script()
    script.plan(server())
    async with open_system() as system:
        ref = await serve(system, script, policy(wait=10.0))
        async with Askers(ref) as askers:
            hurried = await askers.ask("hurried", timeout=20.0)
            await anyio.sleep(1)
            script.plan(*[fails(FailureKind.NETWORK, retryable=False)] * 4)
            for _ in range(4):
                await caught(lambda: ref.ask(Call()))
        assert isinstance(hurried.error, CircuitBreakerOpenError)
        assert hurried.error.retry_after == pytest.approx(21.0)
        assert hurried.at == 10.0
        assert statistics(system).retries == {RetryKey("Call", FailureKind.SERVER, "breaker_open"): 1}
        await at_rest(system)


async def test_a_told_retry_that_is_refused_becomes_a_dead_letter() -> None:
    script = Script()
    script.plan(server())
    breaker = Breaker(open_seconds=500.0, open_cap=500.0)
    async with open_system() as system:
        ref = await serve(system, script, policy(wait=10.0, breaker=breaker))
        await ref.tell(Job("a"))
        await anyio.sleep(1)
        script.plan(*[fails(FailureKind.NETWORK, retryable=False)] * 4)
        for _ in range(4):
            await caught(lambda: ref.ask(Call()))
        await anyio.sleep(10)
        (letter,) = system.dead_letters.read()
        assert letter.reason == "CircuitBreakerOpenError"
        await at_rest(system)


async def test_a_probe_is_not_retried_its_failure_is_the_verdict() -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script)
        script.plan(*[fails(FailureKind.NETWORK, retryable=False)] * 5)
        for _ in range(5):
            await caught(lambda: ref.ask(Call()))
        await anyio.sleep(30)
        script.seen.clear()
        script.plan(server())
        error = await caught(lambda: ref.ask(Call()))
        assert isinstance(error, ProviderError)
        assert not isinstance(error, RetriesExhaustedError)
        assert len(script.seen) == 1
        assert state(system) == "breaker_open"


@pytest.mark.parametrize("wait", [0.0, 1.0])
async def test_retries_that_fall_due_while_the_probe_is_out_wait_for_its_verdict(wait: float) -> None:
    """With no wait between attempts they must not spin meanwhile."""
    script = Script()
    script.plan(server(after=1.0), server(after=1.0), ok(20.0))
    async with open_system() as system:
        breaker = Breaker(failures=2, open_seconds=5.0)
        ref = await serve(system, script, policy(wait=wait, breaker=breaker))
        async with Askers(ref) as askers:
            await askers.ask_all("ab")
        assert sorted(str(outcome.value) for outcome in askers.outcomes) == ["a 2", "b 2"]
        assert len(script.seen) == 4
        probe, follower = script.moments[2:]
        assert 6.0 <= probe <= 7.0
        assert probe + 20.0 <= follower <= probe + 21.1
        await at_rest(system)


# --- what does not count ---


@pytest.mark.parametrize("how", ["leaves", "deadline"])
async def test_six_cancelled_calls_do_not_open_it(how: str) -> None:
    script = Script()
    script.plan(*[hangs()] * 6)
    async with open_system() as system:
        ref = await serve(system, script, ONCE)
        async with Askers(ref) as askers:
            for _ in range(6):
                outcome = await askers.ask("a", timeout=1.0 if how == "deadline" else None)
                await anyio.sleep(0.5)
                if how == "leaves":
                    outcome.cancel()
                    await anyio.lowlevel.checkpoint()
        assert state(system) == "ok"
        found = statistics(system)
        assert found.breaker is not None
        assert found.breaker.consecutive_failures == 0
        assert found.failures == {}
        await at_rest(system)


async def test_bugs_are_not_the_breakers_business() -> None:
    script = Script()
    script.plan(*[bug()] * 5)
    async with open_system() as system:
        ref = await serve(system, script, policy(intensity=100))
        for _ in range(5):
            await caught(lambda: ref.ask(Call()))
        found = statistics(system)
        assert found.failures == {FailureKind.BUG: 5}
        assert found.breaker is not None
        assert found.breaker.consecutive_failures == 0


async def test_a_verdict_from_before_it_opened_is_dropped() -> None:
    """A success that was begun before says nothing about the time after it."""
    script = Script()
    script.plan(ok(10.0))
    async with open_system() as system:
        ref = await serve(system, script, ONCE)
        async with Askers(ref) as askers:
            slow = await askers.ask("slow")
            await anyio.sleep(1)
            await break_it(system, script)
        assert slow.value == "slow 1"
        assert state(system) == "breaker_open"


async def test_without_a_breaker_nothing_is_refused() -> None:
    script = Script()
    script.plan(*[server()] * 50)
    async with open_system() as system:
        ref = await serve(system, script, policy(attempts=1, breaker=None))
        for _ in range(50):
            assert isinstance(await caught(lambda: ref.ask(Call())), ProviderError)
        assert await ref.ask(Call("a")) == "a 1"
        assert statistics(system).breaker is None
        assert state(system) == "ok"


async def test_several_probes_have_to_succeed_when_the_policy_says_so() -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script, policy(attempts=1, breaker=Breaker(probes=3)))
        await break_it(system, script)
        await anyio.sleep(30)
        script.plan(*[ok(1.0)] * 9)
        async with Askers(ref) as askers:
            await askers.ask_all("abcdef")
        assert script.names == ["a", "b", "c"]
        assert state(system) == "ok"


# --- events ---


async def test_each_transition_is_said_once() -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script, ONCE)
        said = listen(system, "breaker.transition")
        await break_it(system, script)
        await anyio.sleep(30)
        await break_it(system, script, 1)
        await anyio.sleep(60)
        await ref.ask(Call())
        facts = ("from", "to", "reason", "failures", "next_probe_in")
        assert [tuple(event[fact] for fact in facts) for event in said] == [
            ("closed", "open", "failures", 5, 30.0),
            ("open", "half_open", None, 5, None),
            ("half_open", "open", "probe_failed", 6, 60.0),
            ("open", "half_open", None, 6, None),
            ("half_open", "closed", None, 0, None),
        ]
        assert {(event["provider"], event["breaker"], event["cause"]) for event in said} == {
            ("svc", "svc", "auto")
        }
        found = statistics(system)
        assert found.breaker_transitions == {
            TransitionKey(CLOSED, OPEN, "auto"): 1,
            TransitionKey(OPEN, HALF_OPEN, "auto"): 2,
            TransitionKey(HALF_OPEN, OPEN, "auto"): 1,
            TransitionKey(HALF_OPEN, CLOSED, "auto"): 1,
        }
        assert found.breaker is not None
        assert (found.breaker.opened, found.breaker.half_opened, found.breaker.closed) == (2, 2, 1)


async def test_it_is_seen_as_half_open_in_time_though_nobody_calls() -> None:
    script = Script()
    async with open_system() as system:
        await serve(system, script, ONCE)
        said = listen(system, "breaker.transition")
        await break_it(system, script)
        await anyio.sleep(30.0)
        await anyio.lowlevel.checkpoint()
        assert [event["to"] for event in said] == ["open", "half_open"]
