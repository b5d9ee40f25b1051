"""The retry budget: what a total outage costs, and what becomes of a call that gets no retry."""

import anyio
import pytest

from relight.runtime import Ref, RefusalError, handles
from relight.supervisors import (
    Child,
    FailureKind,
    GuardedActor,
    ProviderError,
    RetriesExhaustedError,
    RetryKey,
    open_system,
)
from relight.supervisors.policies import Breaker, Concurrency, Fixed, Policy, Retry, RetryBudget
from tests.supervisors.scripted import (
    Askers,
    Call,
    Script,
    at_rest,
    caught,
    fails,
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

NO_RETRY = RetryBudget(share=0.0, per_minute=0.0)
ONE = RetryBudget(share=0.0, per_minute=1.0)


def down() -> Script:
    script = Script()
    script.then = server()
    return script


async def test_the_budget_is_on_by_default() -> None:
    assert Policy().retry_budget == RetryBudget(share=0.3, per_minute=10.0, window=60.0)


@pytest.mark.parametrize("breaker", [None, Breaker()], ids=["breaker off", "breaker on"])
async def test_a_total_outage_costs_at_most_1_4_attempts_a_call(breaker: Breaker | None) -> None:
    """At 200 calls a minute, for ten minutes, with retries that could triple it."""
    script, calls = down(), 2000
    async with open_system() as system:
        ref = await serve(system, script, policy(wait=2.0, breaker=breaker, concurrency=50))
        async with Askers(ref) as askers:
            for _ in range(calls):
                await askers.ask()
                await anyio.sleep(60.0 / 200)
        assert all(isinstance(outcome.value, Exception) for outcome in askers.outcomes)
        assert statistics(system).attempts == len(script.seen)
        assert len(script.seen) <= 1.4 * calls
        if breaker is None:
            assert len(script.seen) >= 1.3 * calls
        await at_rest(system)


async def test_without_a_budget_it_costs_three() -> None:
    script = down()
    async with open_system() as system:
        ref = await serve(system, script, policy(breaker=None, concurrency=50, retry_budget=None))
        async with Askers(ref) as askers:
            for _ in range(200):
                await askers.ask()
                await anyio.sleep(60.0 / 200)
        assert len(script.seen) == 600
        assert statistics(system).retry_budget is None


class Outer(GuardedActor):
    """A service that calls a service."""

    def __init__(self, inner: Ref) -> None:
        self._inner = inner

    @handles
    async def call(self, message: Call) -> str:
        return await self._inner.ask(Call(message.name))

    def classify(self, error: Exception) -> ProviderError | None:
        if isinstance(error, RefusalError):
            return ProviderError("outer", FailureKind.OVERLOADED, str(error), retry_after=error.retry_after)
        return super().classify(error)


@pytest.mark.parametrize("breaker", [None, Breaker()], ids=["breaker off", "breaker on"])
async def test_nested_services_do_not_multiply_their_retries(breaker: Breaker | None) -> None:
    script, calls = down(), 600
    async with open_system() as system:
        inner = await serve(system, script, policy(wait=2.0, breaker=breaker, concurrency=50))
        middle = await system.spawn(
            Child("middle", lambda: Outer(inner), policy=policy(breaker=breaker, concurrency=50))
        )
        outer = await system.spawn(
            Child("outer", lambda: Outer(middle), policy=policy(breaker=breaker, concurrency=50))
        )
        async with Askers(outer) as askers:
            for _ in range(calls):
                await askers.ask()
                await anyio.sleep(60.0 / 200)
        assert len(script.seen) <= 1.4 * calls
        assert all(isinstance(outcome.value, Exception) for outcome in askers.outcomes)


async def test_a_call_without_a_retry_fails_with_its_last_error_and_says_so() -> None:
    async with open_system() as system:
        said = listen(system, "provider.retries_denied")
        ref = await serve(system, down(), policy(retry_budget=ONE, breaker=None))
        async with Askers(ref) as askers:
            first = await askers.ask()
            await anyio.sleep(0.1)
            second = await askers.ask()
            third = await askers.ask()
        assert isinstance(first.error, RetriesExhaustedError)
        assert isinstance(second.error, RetriesExhaustedError)
        assert (second.at, second.error.attempts, second.error.retryable) == (0.1, 1, False)
        assert "the retry budget is spent" in str(second.error)
        assert isinstance(second.error.__cause__, ProviderError)
        assert isinstance(third.error, RetriesExhaustedError)
        found = statistics(system)
        # The first one's second retry, and the others' first.
        assert found.retries[RetryKey("Call", FailureKind.SERVER, "retry_budget")] == 3
        assert found.retries_total == 1
        assert found.retry_budget is not None
        assert (found.retry_budget.calls, found.retry_budget.retries) == (3, 1)
        assert (found.retry_budget.granted, found.retry_budget.refused) == (0, 3)
        assert said == [{"provider": "svc", "reason": "retry_budget"}]
        await at_rest(system)


async def test_a_denial_is_told_again_after_a_retry_was_granted() -> None:
    async with open_system() as system:
        said = listen(system, "provider.retries_denied")
        ref = await serve(system, down(), policy(attempts=2, retry_budget=ONE, breaker=None))
        for _ in range(4):
            assert isinstance(await caught(lambda: ref.ask(Call())), RetriesExhaustedError)
            await anyio.sleep(40.0)
        assert len(said) == 2


async def test_a_retry_after_a_rate_limit_is_free() -> None:
    script = Script()
    script.plan(limited(), limited())
    async with open_system() as system:
        ref = await serve(system, script, policy(retry_budget=NO_RETRY))
        assert await ref.ask(Call("a")) == "a 3"
        assert statistics(system).retries_total == 2


async def test_a_retry_that_nobody_waits_for_is_given_back() -> None:
    script = Script()
    script.plan(server(), server())
    async with open_system() as system:
        ref = await serve(system, script, policy(wait=30.0, retry_budget=ONE))
        async with Askers(ref) as askers:
            leaver = await askers.ask("leaver")
            await anyio.sleep(1)
            leaver.cancel()
            await anyio.sleep(1)
            patient = await askers.ask("patient")
        assert patient.value == "patient 2"
        await at_rest(system)


async def test_a_retry_that_the_breaker_refuses_is_given_back() -> None:
    script = Script()
    script.plan(server(), fails(FailureKind.SERVER, after=0.5))
    async with open_system() as system:
        breaker = Breaker(failures=2, open_seconds=300.0)
        ref = await serve(system, script, policy(wait=2.0, breaker=breaker, retry_budget=ONE))
        async with Askers(ref) as askers:
            await askers.ask("retried", timeout=20.0)
            await askers.ask("opens it")
        found = statistics(system)
        assert found.retries[RetryKey("Call", FailureKind.SERVER, "breaker_open")] == 1
        assert found.retry_budget is not None
        assert (found.retry_budget.granted, found.retry_budget.retries) == (0, 0)


async def test_retries_that_wait_when_the_service_stops_are_given_back() -> None:
    script = down()
    async with open_system() as system:
        ref = await serve(system, script, policy(wait=30.0))
        async with Askers(ref) as askers:
            await askers.ask()
            await anyio.sleep(1)
            ledger = statistics(system).retry_budget
            assert ledger is not None
            assert ledger.granted == 1
            await ref.stop()
        assert len(script.seen) == 1


async def test_the_budget_is_each_services_own() -> None:
    """Also where services share an account: one that is ill must not use up the others' retries."""
    ill, well = down(), Script()
    well.plan(server(), ok())
    shared = Policy(
        retry=Retry(backoff=Fixed(1.0)),
        breaker=None,
        concurrency=Concurrency(4),
        retry_budget=ONE,
        account="acme",
    )
    async with open_system() as system:
        ref = await serve(system, ill, shared)
        assert isinstance(await caught(lambda: ref.ask(Call())), RetriesExhaustedError)
        assert len(ill.seen) == 2
        other = await system.spawn(Child("other", well, policy=shared))
        assert other is not ref
        assert await caught(lambda: other.ask(Call())) is not None
        assert len(well.seen) == 2
