"""FlakyService: scripted outcomes behind the real guard, attempts written down."""

import anyio
import pytest

from relight import (
    ActorCrashedError,
    Child,
    CircuitBreakerOpenError,
    Concurrency,
    FailureKind,
    Fixed,
    Policy,
    ProviderError,
    RetriesExhaustedError,
    Retry,
    System,
    current_attempt,
)
from relight.runtime import Message
from relight.testing import Crash, Delay, Fail, FlakyService, Hang, Ok, Outcome, settle
from tests.testing.actors import Add, Nap, Note

pytestmark = pytest.mark.anyio

STEADY = Policy(retry=Retry(backoff=Fixed(1.0)), restart_backoff=Fixed(1.0), attempt_timeout=30.0)


async def test_attempts_go_as_the_script_says_and_are_written_down(virtual_system: System) -> None:
    script = FlakyService.script([Fail(FailureKind.SERVER), Delay(2.0, Fail(FailureKind.NETWORK)), Ok(42)])
    flaky = await virtual_system.spawn(Child("flaky", script, policy=STEADY))
    began = anyio.current_time()
    assert await flaky.ask(Add(1)) == 42
    assert [attempt.number for attempt in script.attempts] == [1, 2, 3]
    assert [attempt.at - began for attempt in script.attempts] == pytest.approx([0.0, 1.0, 4.0])
    assert [attempt.outcome for attempt in script.attempts] == ["failed", "failed", "answered"]
    assert [attempt.ended_at for attempt in script.attempts] == pytest.approx(
        [began, began + 3.0, began + 4.0]
    )
    assert {attempt.message for attempt in script.attempts} == {Add(1)}
    assert len({attempt.attempt.idempotency_key for attempt in script.attempts}) == 1
    assert {attempt.attempt.deadline - began for attempt in script.attempts} == {180.0}
    assert script.left == 0


async def test_the_facts_of_a_failure_reach_the_caller(virtual_system: System) -> None:
    fail = Fail(
        FailureKind.RATE_LIMIT, "slow down", retry_after=500.0, status=429, code="limit", retryable=False
    )
    script = FlakyService.script([fail], provider="acme")
    flaky = await virtual_system.spawn(Child("flaky", script, policy=STEADY))
    with pytest.raises(ProviderError) as caught:
        await flaky.ask(Add())
    error = caught.value
    assert (error.provider, error.kind, error.detail, error.status, error.code, error.retry_after) == (
        ("acme", FailureKind.RATE_LIMIT, "slow down", 429, "limit", 500.0)
    )


async def test_what_comes_after_the_script_is_said_too(virtual_system: System) -> None:
    script = FlakyService.script(then=Fail(FailureKind.SERVER))
    flaky = await virtual_system.spawn(Child("flaky", script, policy=STEADY))
    for _ in range(2):
        with pytest.raises((RetriesExhaustedError, CircuitBreakerOpenError)):
            await flaky.ask(Add())
    script.then = Ok(5)
    await anyio.sleep(60)
    assert await flaky.ask(Add()) == 5


async def test_messages_of_a_type_may_have_a_script_of_their_own(virtual_system: System) -> None:
    script = FlakyService.script([Ok(1)], by_type={Nap: [Ok(0.5)]}, then=Ok(-1)).add(Ok(2)).on(Nap, Ok(0.7))
    flaky = await virtual_system.spawn(Child("flaky", script, policy=STEADY))
    assert script.left == 4
    replies = [await flaky.ask(message) for message in (Nap(), Add(), Nap(), Add(), Nap(), Add())]
    assert replies == [0.5, 1, 0.7, 2, -1, -1]
    assert [attempt.message for attempt in script.attempts_of(Nap)] == [Nap()] * 3


async def test_a_reply_may_be_a_function_of_the_request(virtual_system: System) -> None:
    async def later(message: Message) -> str:
        await anyio.sleep(1)
        return f"{type(message).__name__} {current_attempt().number}"

    script = FlakyService.script([Ok(lambda message: message), Ok(later)])
    flaky = await virtual_system.spawn(Child("flaky", script, policy=STEADY))
    assert [await flaky.ask(Add(3)) for _ in range(2)] == [Add(3), "Add 1"]


async def test_a_hanging_attempt_ends_by_its_timeout_or_with_its_asker(virtual_system: System) -> None:
    script = FlakyService.script([Hang(), Ok(1), Hang()])
    flaky = await virtual_system.spawn(Child("flaky", script, policy=STEADY))
    began = anyio.current_time()
    assert await flaky.ask(Add()) == 1
    assert anyio.current_time() - began == pytest.approx(31.0)
    with anyio.move_on_after(5):
        await flaky.ask(Add())
    await settle()
    assert [attempt.outcome for attempt in script.attempts] == ["cancelled", "answered", "cancelled"]


async def test_a_crash_is_a_bug_of_the_service_and_the_script_goes_on(virtual_system: System) -> None:
    bug = KeyError("choices")
    script = FlakyService.script([Crash(bug), Crash(), Ok(1)])
    flaky = await virtual_system.spawn(Child("flaky", script, policy=STEADY))
    for expected in (bug, None):
        with pytest.raises(ActorCrashedError) as caught:
            await flaky.ask(Add())
        assert expected is None or caught.value.__cause__ is expected
    assert await flaky.ask(Add()) == 1
    assert [(seen.outcome, seen.incarnation) for seen in script.attempts] == [
        ("crashed", 1),
        ("crashed", 2),
        ("answered", 3),
    ]
    assert script.incarnations == 3


async def test_attempts_in_flight_are_counted(virtual_system: System) -> None:
    script = FlakyService.script(then=Delay(1.0, Ok(1)))
    policy = Policy(concurrency=Concurrency(3))
    flaky = await virtual_system.spawn(Child("flaky", script, policy=policy))
    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(flaky.ask, Add())
        await settle()
        assert script.in_flight == 3
    assert (script.in_flight, script.in_flight_peak) == (0, 3)


async def test_told_messages_are_attempts_too(virtual_system: System) -> None:
    script = FlakyService.script()
    flaky = await virtual_system.spawn(Child("flaky", script, policy=STEADY))
    await flaky.tell(Note())
    await settle()
    assert [(seen.message, seen.outcome) for seen in script.attempts] == [(Note(), "answered")]


async def test_without_a_script_it_answers_nothing(virtual_system: System) -> None:
    flaky = await virtual_system.spawn(Child("flaky", FlakyService))
    assert await flaky.ask(Add()) is None


async def test_a_subclass_makes_its_own_kind(virtual_system: System) -> None:
    class Priced(FlakyService):
        pass

    script = Priced.script([Ok(1)])
    assert type(script()) is Priced


@pytest.mark.parametrize("seconds", [-1.0, float("inf"), float("nan")])
def test_a_delay_is_a_time(seconds: float) -> None:
    with pytest.raises(ValueError, match=r"Delay\.seconds must be seconds >= 0"):
        Delay(seconds)


def test_outcomes_are_one_type() -> None:
    outcomes: list[Outcome] = [Ok(), Fail(FailureKind.AUTH), Hang(), Crash(), Delay(1.0)]
    assert isinstance(outcomes[-1], Delay)
    assert outcomes[-1].then == Ok()
