"""One operation of a service may be retried and timed otherwise than the rest."""

import anyio
import pytest
from msgspec.structs import replace

from relight.runtime import Actor, ActorCrashedError, AskTimeoutError, Request, handles
from relight.supervisors import Child, FailureKind, ProviderError, RetriesExhaustedError, open_system
from relight.supervisors.policies import Fixed, OperationPolicy, Policy, Retry
from relight.testing import Crash, Delay, Fail, FlakyService, Hang, Ok
from tests.supervisors.scripted import policy, statistics
from tests.support.clocks import virtual_time

pytestmark = [pytest.mark.anyio, virtual_time]

SERVER = Fail(FailureKind.SERVER)
LIMITED = Fail(FailureKind.RATE_LIMIT)


class Chat(Request[object], frozen=True):
    """What is asked most."""


class Paint(Request[object], frozen=True):
    """Slow and dear."""


def with_paint(retry: Retry | None = None, **times: float) -> Policy:
    own = OperationPolicy(retry=retry, **times)
    return replace(policy(attempts=3, wait=1.0, breaker=None), by_operation={"paint": own})


async def test_an_operation_has_its_own_attempts_and_waits() -> None:
    script = FlakyService.script(then=SERVER)
    async with open_system() as system:
        service = Child("svc", script, policy=with_paint(Retry(attempts=2, backoff=Fixed(10.0))))
        ref = await system.spawn(service)
        with pytest.raises(RetriesExhaustedError):
            await ref.ask(Paint())
        with pytest.raises(RetriesExhaustedError):
            await ref.ask(Chat())
    assert [seen.at for seen in script.attempts_of(Paint)] == [0.0, 10.0]
    assert [seen.at for seen in script.attempts_of(Chat)] == [10.0, 11.0, 12.0]


async def test_an_operation_has_its_own_time_for_an_attempt() -> None:
    script = FlakyService.script(then=Hang())
    async with open_system() as system:
        ref = await system.spawn(
            Child("svc", script, policy=with_paint(Retry(attempts=1), attempt_timeout=90.0))
        )
        with pytest.raises(ProviderError, match=r"no answer within 90 s"):
            await ref.ask(Paint())
        with pytest.raises(RetriesExhaustedError, match=r"no answer within 30 s"):
            await ref.ask(Chat())
    (seen,) = script.attempts_of(Paint)
    assert seen.ended_at == 90.0
    assert [(seen.ended_at or 0.0) - seen.at for seen in script.attempts_of(Chat)] == [30.0] * 3


async def test_a_rate_limit_without_a_hint_pauses_the_provider_as_the_operation_says() -> None:
    script = FlakyService.script([LIMITED])
    own = Retry(attempts=1, backoff_by_kind={FailureKind.RATE_LIMIT: Fixed(25.0)})
    async with open_system() as system:
        ref = await system.spawn(Child("svc", script, policy=with_paint(own)))
        with pytest.raises(ProviderError):
            await ref.ask(Paint())
        await ref.ask(Chat())
        assert statistics(system).gate.seconds_paused == 25.0
    assert [seen.at for seen in script.attempts_of(Chat)] == [25.0]


async def test_an_operation_has_its_own_time_for_a_call() -> None:
    script = FlakyService.script(then=Hang())
    async with open_system() as system:
        ref = await system.spawn(Child("svc", script, policy=with_paint(call_timeout=7.0)))
        with pytest.raises(AskTimeoutError):
            await ref.ask(Paint())
        assert anyio.current_time() == 7.0
        with pytest.raises(AskTimeoutError):
            await ref.ask(Paint(), timeout=2.0)
        assert anyio.current_time() == 9.0, "what the caller says comes first"
        with pytest.raises(RetriesExhaustedError):
            await ref.ask(Chat())


async def test_the_time_of_an_operation_can_only_shorten_an_inherited_deadline() -> None:
    class Agent(Actor):
        @handles
        async def chat(self, message: Chat) -> object:
            return await service.ask(Paint())

    script = FlakyService.script(then=Hang())
    async with open_system() as system:
        service = await system.spawn(Child("svc", script, policy=with_paint(call_timeout=7.0)))
        agent = await system.spawn(Child("agent", Agent))
        with pytest.raises(AskTimeoutError):
            await agent.ask(Chat(), timeout=3.0)
        assert anyio.current_time() == 3.0
        with pytest.raises(ActorCrashedError):
            await agent.ask(Chat(), timeout=30.0)
        assert anyio.current_time() == 10.0


async def test_the_longest_attempt_of_any_operation_may_finish_beside_a_new_incarnation() -> None:
    script = FlakyService.script(by_type={Paint: [Delay(60.0, Ok("painted"))], Chat: [Crash(KeyError())]})
    async with open_system() as system, anyio.create_task_group() as group:
        ref = await system.spawn(Child("svc", script, policy=with_paint(attempt_timeout=90.0)))

        async def paint() -> None:
            assert await ref.ask(Paint()) == "painted"

        group.start_soon(paint)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(ActorCrashedError):
            await ref.ask(Chat())
    assert [seen.outcome for seen in script.attempts_of(Paint)] == ["answered"]
