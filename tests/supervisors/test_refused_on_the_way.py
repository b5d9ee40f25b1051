"""A service whose handler asks another service, which refuses: a failure, and no crash."""

import pytest

from relight.runtime import Ref, Request, handles
from relight.supervisors import (
    BudgetExceededError,
    Child,
    CircuitBreakerOpenError,
    FailureKind,
    GuardedActor,
    ProviderError,
    System,
    open_system,
)
from relight.supervisors.policies import Breaker, Policy
from tests.supervisors.scripted import at_rest, statistics

OUTER = "svc"
TOUCHY = Policy(breaker=Breaker(failures=1))


class Summarise(Request[str], frozen=True):
    """Ask the outer service."""


class Complete(Request[str], frozen=True):
    """Ask the inner one."""


class Model(GuardedActor):
    """The inner service."""

    @handles
    async def complete(self, message: Complete) -> str:
        return "done"


class Summariser(GuardedActor):
    """The outer service."""

    def __init__(self, model: Ref) -> None:
        self._model = model

    @handles
    async def summarise(self, message: Summarise) -> str:
        return await self._model.ask(Complete())


class Declining(Summariser):
    """Hands such refusals to its caller as they are."""

    declines = (CircuitBreakerOpenError,)


class Poor(Summariser):
    """Is refused for a while."""

    @handles
    async def summarise(self, message: Summarise) -> str:
        raise BudgetExceededError("model", retry_after=7.0)


async def serve(system: System, kind: type[Summariser]) -> Ref:
    """Start both; the inner one refuses."""
    model = await system.spawn(Child("model", Model))
    system.force_breaker("model", "open")
    return await system.spawn(Child(OUTER, lambda: kind(model), policy=TOUCHY))


@pytest.mark.anyio
async def test_a_refusal_on_the_way_is_a_failure_that_is_not_retried_and_does_not_count() -> None:
    async with open_system() as system:
        outer = await serve(system, Summariser)
        for _ in range(3):
            with pytest.raises(ProviderError, match=r"svc: refused: .*forced open") as caught:
                await outer.ask(Summarise())
            assert (caught.value.provider, caught.value.kind) == (OUTER, FailureKind.REFUSED)
            assert caught.value.attempts == 1
            assert isinstance(caught.value.__cause__, CircuitBreakerOpenError)
        found = statistics(system)
        assert (found.state, found.restarts, found.attempts) == ("ok", 0, 3)
        assert found.failures == {FailureKind.REFUSED: 3}
        await at_rest(system)
        system.force_breaker("model", None)
        assert await outer.ask(Summarise()) == "done"


@pytest.mark.anyio
async def test_a_refusal_on_the_way_says_when_to_come_again() -> None:
    async with open_system() as system:
        outer = await serve(system, Poor)
        with pytest.raises(ProviderError, match="try again in 7 s") as caught:
            await outer.ask(Summarise())
        assert caught.value.retry_after == 7.0


@pytest.mark.anyio
async def test_a_refusal_that_the_service_declines_goes_to_its_caller_as_it_is() -> None:
    async with open_system() as system:
        outer = await serve(system, Declining)
        with pytest.raises(CircuitBreakerOpenError, match="model"):
            await outer.ask(Summarise())
        assert statistics(system).failures == {}
