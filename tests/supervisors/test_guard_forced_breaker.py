"""A breaker held by an operator, on the running system."""

from typing import Literal

import anyio
import pytest

from relight import (
    Child,
    CircuitBreakerOpenError,
    NoSuchActorError,
    Pool,
    ProviderError,
    RelightError,
    Supervisor,
    open_system,
)
from relight.actors.ops import scrape
from relight.supervisors import TransitionKey
from relight.supervisors.policies import CircuitState
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

CLOSED, HALF_OPEN, OPEN = CircuitState.CLOSED, CircuitState.HALF_OPEN, CircuitState.OPEN


async def test_forced_open_it_refuses_every_call_and_says_that_it_was_forced() -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script, ONCE)
        system.force_breaker("svc", "open")
        await anyio.sleep(10_000)
        with pytest.raises(CircuitBreakerOpenError, match="forced open, until an operator") as refused:
            await ref.ask(Call())
        assert refused.value.is_forced
        assert refused.value.retry_after is None
        await ref.tell(Job())
        (letter,) = system.dead_letters.read()
        assert letter.reason == "CircuitBreakerOpenError"
        assert script.seen == []
        assert state(system) == "forced_open"
        await at_rest(system)


async def test_an_open_breaker_that_was_not_forced_says_so() -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script, ONCE)
        await break_it(system, script)
        refused = await caught(lambda: ref.ask(Call()))
        assert isinstance(refused, CircuitBreakerOpenError)
        assert not refused.is_forced


async def test_forcing_it_open_refuses_what_is_queued_and_lets_what_is_in_hand_finish() -> None:
    script = Script()
    script.plan(ok(5.0))
    async with open_system() as system:
        ref = await serve(system, script, policy(attempts=1, concurrency=1))
        async with Askers(ref) as askers:
            await askers.ask_all("abc")
            await anyio.sleep(1)
            system.force_breaker(ref, "open")
        first, *others = askers.outcomes
        assert (first.value, first.at) == ("a 1", 5.0)
        assert [outcome.at for outcome in others] == [1.0, 1.0]
        assert all(isinstance(outcome.error, CircuitBreakerOpenError) for outcome in others)
        await at_rest(system)


async def test_a_retry_that_falls_due_while_it_is_forced_open_fails() -> None:
    """It would wait for a person, that is for nobody knows how long."""
    script = Script()
    script.plan(server())
    async with open_system() as system:
        ref = await serve(system, script, policy(wait=10.0))
        async with Askers(ref) as askers:
            outcome = await askers.ask("a")
            await anyio.sleep(1)
            system.force_breaker("svc", "open")
        assert isinstance(outcome.error, CircuitBreakerOpenError)
        assert outcome.at == 10.0
        await at_rest(system)


async def test_given_back_from_forced_open_it_lets_a_probe_go_first() -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script, ONCE)
        system.force_breaker("svc", "open")
        system.force_breaker("svc", None)
        assert state(system) == "half_open"
        script.plan(*[hangs()] * 50)
        async with Askers(ref) as askers:
            askers.rush([str(number) for number in range(50)])
        assert len(script.seen) == 1


async def test_forced_closed_an_open_breaker_lets_everybody_pass_whatever_fails() -> None:
    script = Script()
    script.plan(*[server()] * 50)
    async with open_system() as system:
        ref = await serve(system, script, ONCE)
        for _ in range(6):
            await caught(lambda: ref.ask(Call()))
        assert state(system) == "breaker_open"
        system.force_breaker("svc", "closed")
        for _ in range(45):
            assert isinstance(await caught(lambda: ref.ask(Call())), ProviderError)
        assert state(system) == "ok"
        assert await ref.ask(Call("a")) == "a 1"
        system.force_breaker("svc", None)
        assert state(system) == "ok"


async def test_metrics_only_refuses_nobody_and_counts_what_it_would_have_done() -> None:
    script = Script()
    script.plan(*[server()] * 12)
    async with open_system() as system:
        ref = await serve(system, script, ONCE)
        system.force_breaker("svc", "metrics_only")
        for _ in range(12):
            assert isinstance(await caught(lambda: ref.ask(Call())), ProviderError)
        assert state(system) == "ok"
        text = scrape(system)
        assert 'circuit_breaker_would_open_total{breaker="svc",provider="svc"} 2.0' in text
        assert 'circuit_breaker_forced{breaker="svc",provider="svc",to="metrics_only"} 1.0' in text
        system.force_breaker("svc", None)
        assert "circuit_breaker_forced{" not in scrape(system)


async def test_what_an_operator_does_is_said_and_counted_apart() -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script, ONCE)
        forced = listen(system, "breaker.forced")
        turned = listen(system, "breaker.transition")
        system.force_breaker("svc", "closed")
        system.force_breaker("svc", "open")
        system.force_breaker("svc", "open")
        system.force_breaker("svc", None)
        await ref.ask(Call())
        assert [(event["forced"], event["state"]) for event in forced] == [
            ("closed", "closed"),
            ("open", "open"),
            (None, "half_open"),
        ]
        assert [
            (event["to"], event["cause"], event["reason"], event["next_probe_in"]) for event in turned
        ] == [
            ("open", "forced", "forced", None),
            ("half_open", "forced", None, None),
            ("closed", "auto", None, None),
        ]
        assert statistics(system).breaker_transitions == {
            TransitionKey(CLOSED, OPEN, "forced"): 1,
            TransitionKey(OPEN, HALF_OPEN, "forced"): 1,
            TransitionKey(HALF_OPEN, CLOSED, "auto"): 1,
        }
        labels = 'breaker="svc",cause="forced",from="closed",provider="svc",to="open"'
        assert f"circuit_breaker_transitions_total{{{labels}}} 1.0" in scrape(system)


async def test_it_lasts_over_a_restart_of_the_service() -> None:
    script = Script()
    script.plan(bug(after=1.0))
    async with open_system() as system:
        ref = await serve(system, script, ONCE)
        async with Askers(ref) as askers:
            await askers.ask("a")
            await anyio.sleep(0.5)
            system.force_breaker("svc", "open")
        await anyio.sleep(10)
        assert statistics(system).restarts == 1
        assert isinstance(await caught(lambda: ref.ask(Call())), CircuitBreakerOpenError)


async def test_the_timer_of_an_opening_before_does_not_undo_it() -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script, ONCE)
        await break_it(system, script)
        system.force_breaker("svc", "open")
        await anyio.sleep(31)
        assert isinstance(await caught(lambda: ref.ask(Call())), CircuitBreakerOpenError)
        assert state(system) == "forced_open"


@pytest.mark.parametrize("name", ["svc", "providers/svc", "alias"])
async def test_a_service_is_found_by_its_id_path_or_name(name: str) -> None:
    script = Script()
    async with open_system() as system:
        child = Child("svc", lambda: Scripted(script), policy=ONCE, name="alias")
        await system.spawn(Supervisor("providers", children=[child]))
        system.force_breaker(name, "open")
        assert state(system) == "forced_open"


async def test_an_id_means_all_services_that_have_it() -> None:
    script = Script()
    async with open_system() as system:
        for team in ("one", "two"):
            child = Child("svc", lambda: Scripted(script), policy=ONCE)
            await system.spawn(Supervisor(team, children=[child]))
        system.force_breaker("svc", "open")
        assert [service.state for service in system.services()] == ["forced_open", "forced_open"]
        system.force_breaker("two/svc", None)
        assert [service.state for service in system.services()] == ["forced_open", "half_open"]


@pytest.mark.parametrize("by_ref", [True, False])
async def test_a_pool_means_all_its_members(*, by_ref: bool) -> None:
    script = Script()
    async with open_system() as system:
        template = Child("svc", lambda: Scripted(script), policy=ONCE)
        pool = await system.spawn(Pool("painters", template, size=3))
        await serve(system, script, ONCE)
        system.force_breaker(pool if by_ref else "painters", "open")
        states = [service.state for service in system.services()]
        assert sorted(states) == ["forced_open", "forced_open", "forced_open", "ok"]


async def test_a_supervisor_means_all_below_it_or_none() -> None:
    script = Script()
    async with open_system() as system:
        guarded = Child("guarded", lambda: Scripted(script), policy=ONCE)
        bare = Child("bare", lambda: Scripted(script), policy=policy(breaker=None))
        await system.spawn(Supervisor("providers", children=[guarded, bare]))
        with pytest.raises(RelightError, match="bare: has no breaker"):
            system.force_breaker("providers", "open")
        assert [service.state for service in system.services()] == ["ok", "ok"]


async def test_what_can_not_be_forced_is_refused() -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script, policy(breaker=None))
        with pytest.raises(
            RelightError, match=r"svc: has no breaker to force: give its policy a Breaker\(\)"
        ):
            system.force_breaker("svc", "open")
        with pytest.raises(NoSuchActorError, match="elsewhere"):
            system.force_breaker("elsewhere", "open")
        await ref.stop()
        with pytest.raises(NoSuchActorError, match="svc"):
            system.force_breaker(ref, "open")


async def test_an_unknown_state_is_refused() -> None:
    async with open_system() as system:
        await serve(system, Script())
        with pytest.raises(ValueError, match="a breaker is forced"):
            system.force_breaker("svc", "ajar")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("forced", ["closed", "metrics_only"])
async def test_a_rate_limit_still_shuts_the_gate(forced: Literal["closed", "metrics_only"]) -> None:
    """The breaker alone is forced: what the provider asks for holds."""
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script, ONCE)
        system.force_breaker("svc", forced)
        script.plan(limited(retry_after=5.0))
        await caught(lambda: ref.ask(Call()))
        await ref.ask(Call())
        assert anyio.current_time() == 5.0
