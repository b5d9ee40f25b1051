"""Money: what is over the budget is refused before it is sent, and what it did cost is charged."""

from collections.abc import AsyncGenerator
from math import nan

import anyio
import pytest

from relight.runtime import Message, Ref, Request, StreamRequest, UnhandledMessageError, handles
from relight.supervisors import (
    BudgetExceededError,
    Charge,
    Child,
    Estimate,
    FailureKind,
    GuardedActor,
    GuardStatistics,
    ProviderError,
    RetriesExhaustedError,
    RetryKey,
    SpendingStatistics,
    StreamBrokenError,
    System,
    follows_limits,
    open_system,
    report_limits,
)
from relight.supervisors.policies import Allowance, CostBudget, Policy, RateReport
from relight.testing import Fail
from tests.supervisors.scripted import (
    Askers,
    Call,
    Job,
    Script,
    Scripted,
    at_rest,
    bug,
    caught,
    fails,
    hangs,
    limited,
    listen,
    name_of,
    ok,
    policy,
    server,
    statistics,
)
from tests.support.clocks import virtual_time

pytestmark = [pytest.mark.anyio, virtual_time]


class UnknownModel(Request[None], frozen=True):
    """What the service has a price, but no handler for."""

    model: str = "m1"


class Priced(Scripted):
    """Costs what its script says: an estimate by model, a charge by the call's name."""

    def __init__(self, script: Script, charges: dict[str, float | None]) -> None:
        super().__init__(script)
        self._charges = charges

    def charge(self, message: Message, reply: object) -> Charge | None:
        name = name_of(message)
        return Charge(self._charges[name]) if name in self._charges else None


class Talk(StreamRequest[str], frozen=True):
    pass


class Talker(GuardedActor):
    """Says one word, and breaks."""

    def __init__(self, error: ProviderError) -> None:
        self._error = error

    @handles
    async def talk(self, message: Talk) -> AsyncGenerator[str]:
        yield "once"
        raise self._error

    def estimate(self, message: Message) -> Estimate | None:
        return Estimate("m1", 0.4)

    def charge(self, message: Message, reply: object) -> Charge | None:
        return Charge(0.1) if reply == "half" else None


ONE_DOLLAR = CostBudget(usd_per_minute=1.0)


async def start(
    system: System, script: Script, budget: Policy, charges: dict[str, float | None] | None = None
) -> Ref:
    service = Child("svc", lambda: Priced(script, charges or {}), policy=budget)
    return await system.spawn(service)


def spending(found: GuardStatistics) -> SpendingStatistics:
    assert found.spending is not None
    return found.spending


def script_of(usd: float | None = 0.4) -> Script:
    return Script(prices={"m1": usd})


async def test_what_is_over_the_budget_is_refused_before_it_is_sent() -> None:
    script = script_of(0.4)
    async with open_system() as system:
        said = listen(system, "provider.budget_spent")
        ref = await start(system, script, policy(cost_budget=ONE_DOLLAR))
        await ref.ask(Call("a"))
        await ref.ask(Call("b"))
        await anyio.sleep(10)
        assert isinstance(await caught(lambda: ref.ask(Call("c"))), BudgetExceededError)
        with pytest.raises(BudgetExceededError, match=r"0\.8 of 1 USD a minute") as refused:
            await ref.ask(Call("c"))
        error = refused.value
        assert (error.provider, error.scope, error.window) == ("svc", "svc", "minute")
        assert error.limit_usd == 1.0
        assert error.spent_usd == pytest.approx(0.8)
        assert error.retry_after is not None
        assert 50.0 <= error.retry_after <= 51.0
        assert script.names == ["a", "b"]
        assert [event["scope"] for event in said] == ["svc"]
        assert statistics(system).refusals == {"BudgetExceededError": 2}
        assert spending(statistics(system)).refused == 2
        await anyio.sleep(error.retry_after)
        assert await ref.ask(Call("d")) == "d 1"
        await at_rest(system)


async def test_calls_in_flight_together_can_not_spend_the_same_money() -> None:
    script = script_of(0.4)
    script.plan(ok(5.0), ok(5.0))
    async with open_system() as system:
        ref = await start(system, script, policy(cost_budget=ONE_DOLLAR))
        async with Askers(ref) as askers:
            await askers.ask_all("abc")
            await anyio.sleep(1)
            assert spending(statistics(system)).purses[0].reserved_usd == pytest.approx(0.8)
        assert [type(outcome.value) for outcome in askers.outcomes] == [str, str, BudgetExceededError]
        third = askers.outcomes[2].error
        assert isinstance(third, BudgetExceededError)
        assert third.retry_after is None


async def test_where_nothing_is_left_it_is_refused_in_the_senders_stack() -> None:
    """Also when every slot hangs."""
    script = script_of(1.0)
    script.plan(hangs())
    async with open_system() as system:
        ref = await start(system, script, policy(concurrency=1, cost_budget=ONE_DOLLAR))
        async with Askers(ref) as askers:
            first = await askers.ask("a")
            late = await askers.ask("b")
            await anyio.sleep(1)
            assert isinstance(late.error, BudgetExceededError)
            await ref.tell(Job("told"))
            first.cancel()
        # What is told costs nothing here, so it is not refused.
        assert system.dead_letters.read() == []
        await at_rest(system)


async def test_a_told_message_without_money_becomes_a_dead_letter() -> None:
    class Told(Priced):
        def estimate(self, message: Message) -> Estimate | None:
            return Estimate("m1", 1.0)

    script = script_of()
    async with open_system() as system:
        ref = await system.spawn(
            Child("svc", lambda: Told(script, {}), policy=policy(cost_budget=ONE_DOLLAR))
        )
        await ref.tell(Job("a"))
        await anyio.sleep(1)
        await ref.tell(Job("b"))
        await anyio.sleep(1)
        assert script.names == ["a"]
        (letter,) = system.dead_letters.read()
        assert (letter.message, letter.reason) == (Job("b"), "BudgetExceededError")


async def test_what_it_did_cost_replaces_the_estimate() -> None:
    script = script_of(0.4)
    async with open_system() as system:
        ref = await start(
            system, script, policy(cost_budget=ONE_DOLLAR), {"cheap": 0.1, "dear": 0.8, "unknown": None}
        )
        await ref.ask(Call("cheap"))
        await ref.ask(Call("dear"))
        found = spending(statistics(system))
        assert found.first_usd == pytest.approx(0.9)
        assert found.retry_usd == 0.0
        assert (found.unpriced, found.unreported) == (0, 0)
        assert isinstance(await caught(lambda: ref.ask(Call("c"))), BudgetExceededError)


@pytest.mark.parametrize("charge", [None, nan, -1.0])
async def test_where_nobody_knows_what_it_cost_the_estimate_stands_and_is_counted(
    charge: float | None,
) -> None:
    script = script_of(0.4)
    async with open_system() as system:
        ref = await start(system, script, policy(cost_budget=ONE_DOLLAR), {"a": charge})
        await ref.ask(Call("a"))
        found = spending(statistics(system))
        assert (found.first_usd, found.unreported) == (0.4, 1)


async def test_what_costs_nothing_passes_though_nothing_is_left() -> None:
    script = script_of(1.0)
    async with open_system() as system:
        ref = await start(system, script, policy(cost_budget=ONE_DOLLAR))
        await ref.ask(Call("a"))
        await ref.ask(Call("b", model="free"))
        assert script.names == ["a", "b"]
        found = spending(statistics(system))
        assert (found.first_usd, found.unpriced, found.unreported) == (1.0, 0, 1)


async def test_the_unpriced_pass_while_anything_is_left_and_are_counted() -> None:
    script = script_of(None)
    async with open_system() as system:
        ref = await start(system, script, policy(cost_budget=ONE_DOLLAR), {"b": 1.0})
        await ref.ask(Call("a"))
        await ref.ask(Call("b"))
        found = spending(statistics(system))
        assert (found.first_usd, found.unpriced, found.unreported) == (1.0, 2, 1)
        assert isinstance(await caught(lambda: ref.ask(Call("c"))), BudgetExceededError)


async def test_the_unpriced_are_refused_where_the_budget_says_so() -> None:
    script = script_of(None)
    async with open_system() as system:
        budget = CostBudget(usd_per_day=1.0, unpriced="refuse")
        ref = await start(system, script, policy(cost_budget=budget))
        with pytest.raises(BudgetExceededError, match="nobody knows what m1 costs") as refused:
            await ref.ask(Call("a"))
        assert (refused.value.window, refused.value.retry_after) == ("", None)
        assert script.names == []


async def test_retries_are_charged_apart() -> None:
    script = script_of(0.2)
    script.plan(fails(FailureKind.NETWORK), ok())
    async with open_system() as system:
        ref = await start(system, script, policy(cost_budget=ONE_DOLLAR))
        await ref.ask(Call("a"))
        found = spending(statistics(system))
        assert found.first_usd == pytest.approx(0.2)
        assert found.retry_usd == pytest.approx(0.2)
        assert found.purses[0].retry_usd == pytest.approx(0.2)
        assert statistics(system).retry_cost_usd == {"m1": pytest.approx(0.2)}


@pytest.mark.parametrize("no", [limited(), Fail(FailureKind.SERVER, "", status=503)])
async def test_an_answer_that_says_no_costs_nothing(no: Fail) -> None:
    script = script_of(0.9)
    async with open_system() as system:
        ref = await start(system, script, policy(cost_budget=ONE_DOLLAR))
        script.plan(no)
        await ref.ask(Call("a"))
        found = spending(statistics(system))
        assert (found.first_usd, found.retry_usd) == (0.0, 0.9)
        # The first attempt was answered; the second one's reply does not say what it cost.
        assert found.unreported == 1


async def test_an_error_inside_a_success_may_have_cost_its_estimate() -> None:
    script = script_of(0.4)
    async with open_system() as system:
        ref = await start(system, script, policy(cost_budget=ONE_DOLLAR))
        script.plan(Fail(FailureKind.CONTENT_POLICY, "", status=200))
        await caught(lambda: ref.ask(Call("a")))
        assert spending(statistics(system)).first_usd == pytest.approx(0.4)


@pytest.mark.parametrize("kind", [FailureKind.RATE_LIMIT, FailureKind.QUOTA, FailureKind.SERVER])
@pytest.mark.parametrize(
    ("partial", "usd"),
    [("half", 0.1), ("something", 0.4), (None, 0.4)],
    ids=["what came is known", "what came is not", "nothing is told"],
)
@pytest.mark.parametrize("is_said", [True, False])
async def test_a_stream_that_breaks_costs_what_came_whatever_broke_it(
    kind: FailureKind, partial: str | None, usd: float, is_said: bool
) -> None:
    error = ProviderError("svc", kind, status=429)
    if is_said:
        error = StreamBrokenError("svc", kind, partial=partial, status=429)
    async with open_system() as system:
        ref = await system.spawn(Child("svc", lambda: Talker(error), policy=policy(cost_budget=ONE_DOLLAR)))
        async with ref.stream(Talk()) as chunks:
            with pytest.raises(StreamBrokenError):
                _ = [chunk async for chunk in chunks]
        found = spending(statistics(system))
        assert found.first_usd == pytest.approx(usd if is_said else 0.4)
        assert found.unreported == (0 if is_said and partial == "half" else 1)


async def test_a_retry_over_the_budget_is_not_made() -> None:
    script = script_of(0.6)
    script.plan(server())
    async with open_system() as system:
        said = listen(system, "provider.retries_denied")
        ref = await start(system, script, policy(cost_budget=ONE_DOLLAR))
        with pytest.raises(RetriesExhaustedError, match="the cost budget is spent") as failed:
            await ref.ask(Call("a"))
        assert failed.value.attempts == 1
        assert failed.value.retry_after is not None
        assert 60.0 <= failed.value.retry_after <= 61.0
        found = statistics(system)
        assert found.retries == {RetryKey("Call", FailureKind.SERVER, "cost_budget"): 1}
        assert found.retry_budget is not None
        assert found.retry_budget.granted == 0
        assert said == [{"provider": "svc", "reason": "cost_budget"}]
        await at_rest(system)


async def test_a_retry_is_made_when_there_is_money_again_by_then() -> None:
    script = script_of(0.6)
    script.plan(server())
    async with open_system() as system:
        ref = await start(system, script, policy(wait=65.0, cost_budget=ONE_DOLLAR))
        assert await ref.ask(Call("a")) == "a 2"


async def test_a_retry_whose_money_was_spent_meanwhile_is_not_made() -> None:
    script = script_of(0.4)
    script.plan(server())
    async with open_system() as system:
        ref = await start(system, script, policy(wait=10.0, cost_budget=ONE_DOLLAR))
        async with Askers(ref) as askers:
            first = await askers.ask("a")
            await anyio.sleep(1)
            await askers.ask("b")
        assert isinstance(first.error, RetriesExhaustedError)
        assert first.at == 10.0
        assert script.names == ["a", "b"]
        key = RetryKey("Call", FailureKind.SERVER, "cost_budget")
        assert statistics(system).retries == {key: 1}
        await at_rest(system)


@pytest.mark.parametrize("how", ["leaves", "times out", "bug"])
async def test_an_attempt_that_is_cut_short_may_have_cost_its_estimate(how: str) -> None:
    script = script_of(0.4)
    script.plan(bug() if how == "bug" else hangs())
    async with open_system() as system:
        budget = policy(attempts=1, attempt_timeout=5.0, cost_budget=ONE_DOLLAR)
        ref = await start(system, script, budget)
        async with Askers(ref) as askers:
            asker = await askers.ask("a")
            await anyio.sleep(1)
            if how == "leaves":
                asker.cancel()
        found = spending(await at_rest(system))
        assert (found.first_usd, found.unreported) == (0.4, 1)
        assert found.purses[0].reserved_usd == 0.0


async def test_a_message_nobody_handles_costs_nothing() -> None:
    script = script_of(1.0)
    async with open_system() as system:
        ref = await start(system, script, policy(cost_budget=ONE_DOLLAR))
        with pytest.raises(UnhandledMessageError):
            await ref.ask(UnknownModel())
        await ref.ask(Call("a"))
        assert spending(await at_rest(system)).first_usd == 1.0


async def test_a_budget_alone_does_not_follow_the_providers_limits() -> None:
    class Reporting(Priced):
        @handles
        async def call(self, message: Call) -> str:
            report_limits(RateReport(Allowance(0.0)))
            return str(follows_limits())

    async with open_system() as system:
        service = Child("svc", lambda: Reporting(script_of(), {}), policy=policy(cost_budget=ONE_DOLLAR))
        ref = await system.spawn(service)
        assert await ref.ask(Call("a")) == "False"
        assert await ref.ask(Call("b"), timeout=1.0) == "False"


async def test_without_a_budget_nobody_asks_for_estimates() -> None:
    class Unasked(Priced):
        def estimate(self, message: Message) -> Estimate | None:
            raise AssertionError

        def charge(self, message: Message, reply: object) -> Charge | None:
            raise AssertionError

    async with open_system() as system:
        ref = await system.spawn(Child("svc", lambda: Unasked(Script(), {}), policy=policy()))
        await ref.ask(Call("a"))
        found = statistics(system)
        assert (found.spending, found.rate_limit) == (None, None)
