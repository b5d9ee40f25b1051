"""The figures Prometheus sees are those the guard counted."""

import math
import random
import re

import anyio
import anyio.lowlevel
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from relight import (
    Breaker,
    Child,
    CircuitBreaker,
    Estimate,
    Exponential,
    FailureKind,
    FallbackRef,
    Fixed,
    GuardedActor,
    Message,
    Policy,
    ProviderError,
    RefusalError,
    Request,
    Retry,
    RetryConfig,
    System,
    handles,
    open_system,
    retry_with_backoff,
)
from relight.actors import PlainCalls
from relight.actors.ops import SystemCollector, scrape
from tests.support.clocks import virtual_time

QUICK = Policy(retry=Retry(attempts=3, backoff=Fixed(0.1)), breaker=Breaker(failures=5, open_seconds=30.0))


class Draw(Request[str], frozen=True):
    model: str
    prompt: str = "a secret prompt"


class Painter(GuardedActor):
    policy = QUICK

    def __init__(self, *script: FailureKind | None) -> None:
        self._script = list(script)

    @handles
    async def draw(self, message: Draw) -> str:
        kind = self._script.pop(0) if self._script else None
        if kind is not None:
            raise ProviderError("painter", kind)
        return "drawn"

    def estimate(self, message: Message) -> Estimate:
        assert isinstance(message, Draw)
        return Estimate(message.model, 0.25 if message.model == "priced" else None)


def figure(system: System, name: str, **labels: str) -> float:
    """Read one figure from a scrape: what a monitoring system would see."""
    for family in text_string_to_metric_families(scrape(system)):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
    return math.nan


async def ask(system: System, model: str = "priced") -> str:
    return await system.get("painter").ask(Draw(model))


SERVER = FailureKind.SERVER


@pytest.mark.anyio
@virtual_time
async def test_a_retry_is_counted_with_its_reason_and_outcome_and_a_first_try_is_not() -> None:
    async with open_system(rng=random.Random(1)) as system:
        await system.spawn(Child("painter", lambda: Painter(SERVER, SERVER, None)))
        await ask(system)
        labels = {"provider": "painter", "operation": "Draw", "reason": "server"}
        assert figure(system, "retry_attempts_total", **labels, outcome="failed") == 1
        assert figure(system, "retry_attempts_total", **labels, outcome="success") == 1
        assert figure(system, "provider_attempts_total", provider="painter") == 3
        assert figure(system, "provider_calls_total", outcome="retried_ok", model="priced") == 1


@pytest.mark.anyio
@virtual_time
async def test_the_cost_of_retries_is_estimated_and_an_unknown_price_is_flagged_not_zero() -> None:
    async with open_system() as system:
        await system.spawn(Child("painter", lambda: Painter(SERVER, None, SERVER, None)))
        await ask(system, "priced")
        await ask(system, "unheard-of")
        assert figure(system, "retry_cost_estimate", provider="painter", model="priced") == 0.25
        assert figure(system, "retry_unpriced_total", model="unheard-of") == 1
        assert math.isnan(figure(system, "retry_cost_estimate", model="unheard-of"))


@pytest.mark.anyio
@virtual_time
async def test_the_breaker_is_seen_closed_open_half_open_and_closed_again() -> None:
    async with open_system() as system:
        await system.spawn(Child("painter", lambda: Painter(*[SERVER] * 5)))
        seen = [figure(system, "circuit_breaker_state", provider="painter")]
        for _ in range(2):
            with pytest.raises((ProviderError, RefusalError)):
                await system.get("painter").ask(Draw("priced"), timeout=5.0)
        seen.append(figure(system, "circuit_breaker_state", provider="painter"))
        await anyio.sleep(30.5)
        seen.append(figure(system, "circuit_breaker_state", provider="painter"))
        await ask(system)
        seen.append(figure(system, "circuit_breaker_state", provider="painter"))
        assert seen == [0, 2, 1, 0]
        transitions = {"provider": "painter", "cause": "auto"}
        for old, new in (("closed", "open"), ("open", "half_open"), ("half_open", "closed")):
            labels = {**transitions, "from": old, "to": new}
            assert figure(system, "circuit_breaker_transitions_total", **labels) == 1


@pytest.mark.anyio
@virtual_time
async def test_call_times_fill_a_histogram_whose_buckets_add_up() -> None:
    async with open_system() as system:
        await system.spawn(Child("painter", lambda: Painter(SERVER, None)))
        await ask(system)
        await ask(system)
        name = "provider_call_duration_seconds"
        assert figure(system, f"{name}_bucket", le="+Inf", outcome="ok") == 1
        assert figure(system, f"{name}_bucket", le="0.08", outcome="retried_ok") == 0
        assert figure(system, f"{name}_count", outcome="retried_ok") == 1
        assert figure(system, f"{name}_sum", outcome="retried_ok") >= 0.1


@pytest.mark.anyio
async def test_no_label_shows_what_was_asked() -> None:
    async with open_system() as system:
        await system.spawn(Child("painter", Painter))
        await ask(system)
        assert "a secret prompt" not in scrape(system)


@pytest.mark.anyio
async def test_models_beyond_the_cap_become_other_and_are_counted() -> None:
    async with open_system() as system:
        await system.spawn(Child("painter", Painter))
        for number in range(70):
            await ask(system, f"model-{number}")
        registry = CollectorRegistry()
        registry.register(SystemCollector(system))
        text = scrape(system)
        models = set(re.findall(r'provider_calls_total{[^}]*model="([^"]*)"', text))
        assert len(models) == 65
        assert figure(system, "provider_calls_total", model="other") == 6
        assert figure(system, "metrics_label_overflow_total", metric="provider_calls") > 0


@pytest.mark.anyio
@virtual_time
async def test_restarts_stay_counted_when_the_actor_is_gone() -> None:
    class Bug(GuardedActor):
        policy = Policy(restart_backoff=Exponential(1.0, cap=1.0))

        @handles
        async def draw(self, message: Draw) -> str:
            raise KeyError(message.model)

    async with open_system() as system:
        ref = await system.spawn(Child("painter", Bug))
        with pytest.raises(Exception, match="crashed"):
            await ref.ask(Draw("m"))
        with pytest.raises(Exception, match="crashed"):
            await ref.ask(Draw("m"))  # handled by the next incarnation
        await ref.stop()  # before its second restart is due
        assert figure(system, "actor_restarts_total", actor_kind="Bug") == 1


@pytest.mark.anyio
async def test_dead_letters_are_counted_by_type_and_reason() -> None:
    class Note(Message, frozen=True):
        pass

    async with open_system() as system:
        ref = await system.spawn(Child("painter", Painter))
        await ref.tell(Note())
        while not ref.statistics().dead_letters:
            await anyio.lowlevel.checkpoint()
        assert figure(system, "dead_letters_total", type="Note", reason="unhandled") == 1
        assert figure(system, "dead_letters") == 1
        assert figure(system, "dead_letters_dropped_total") == 0
        system.dead_letters.note_dropped(5)
        assert figure(system, "dead_letters_dropped_total") == 5


@pytest.mark.anyio
@virtual_time
async def test_plain_calls_are_shown_by_the_services_metrics() -> None:
    calls, clock = PlainCalls(), 100.0
    errors: list[Exception] = [ConnectionError(), ConnectionError(), TimeoutError(), ValueError("odd")]

    @retry_with_backoff(RetryConfig(jitter=False), operation_name="load", provider="site", calls=calls)
    async def load() -> None:
        if errors:
            raise errors.pop(0)

    breaker = CircuitBreaker(1, 10.0, "weather", clock=lambda: clock, calls=calls)
    with pytest.raises(ConnectionError), breaker.attempt():
        raise ConnectionError
    with pytest.raises(TimeoutError):
        await load()
    with pytest.raises(ValueError, match="odd"):
        await load()
    await load()
    async with open_system() as system:
        registry = CollectorRegistry()
        registry.register(SystemCollector(system, calls))
        site = {"provider": "site"}
        retry = {**site, "operation": "load", "reason": "network"}
        call = {**site, "operation": "load", "model": ""}
        weather = {"provider": "weather", "breaker": "weather"}
        assert registry.get_sample_value("retry_attempts_total", {**retry, "outcome": "failed"}) == 2
        assert registry.get_sample_value("provider_calls_total", {**call, "outcome": "ok"}) == 1
        assert registry.get_sample_value("provider_calls_total", {**call, "outcome": "failed"}) == 2
        assert registry.get_sample_value("provider_attempts_total", site) == 5
        assert registry.get_sample_value("provider_retry_wait_seconds_total", site) == 3.0
        failed = {**site, "reason": "timeout"}
        assert registry.get_sample_value("provider_attempt_failures_total", failed) == 1
        assert registry.get_sample_value("circuit_breaker_state", weather) == 2
        opened = {**weather, "from": "closed", "to": "open", "cause": "auto"}
        assert registry.get_sample_value("circuit_breaker_transitions_total", opened) == 1
        alone = list(SystemCollector(system, None).collect())
        assert not [
            sample for metric in alone for sample in metric.samples if "site" in sample.labels.values()
        ]


@pytest.mark.anyio
async def test_a_fallback_is_counted_at_the_provider_that_did_not_answer() -> None:
    async with open_system() as system:
        once = Policy(retry=Retry(attempts=1))
        first = await system.spawn(Child("first", lambda: Painter(FailureKind.SERVER), policy=once))
        second = await system.spawn(Child("second", Painter))
        assert await FallbackRef(first, second).ask(Draw("m")) == "drawn"
        assert figure(system, "provider_fallbacks_total", provider="first", to="second", reason="server") == 1
