"""Agent: asks services by name, has no retry code, and asks again for what makes no sense."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import Annotated, Any

import anyio
import msgspec
import pytest

from relight import (
    Agent,
    AskTimeoutError,
    Child,
    FailureKind,
    NoSuchActorError,
    OutputValidationError,
    Pool,
    ProviderBlockedError,
    ProviderError,
    Ref,
    Request,
    RetriesExhaustedError,
    RetryConfig,
    StreamRequest,
    System,
    Validated,
    handles,
    json_reply,
    open_system,
    retry_with_backoff,
)
from relight.actors import PLAIN_CALLS, Service, Usage, repair_chat
from relight.actors.providers import ChatCompletion, ChatMessage, ChatReply, CreateMessage
from relight.runtime import Errand
from relight.supervisors.policies import Breaker, Fixed, Policy, Retry
from relight.testing import Delay, Fail, FlakyScript, FlakyService, Ok, capture_events
from tests.support.clocks import virtual_time

pytestmark = [pytest.mark.anyio, virtual_time]

QUESTION = ChatCompletion(model="m", messages=(ChatMessage("user", "A comic, as JSON."),))


class Page(msgspec.Struct, frozen=True):
    title: str
    panels: Annotated[int, msgspec.Meta(ge=1)]


class Do(Errand[Any], frozen=True):
    """Has an agent do something, in a handler."""

    what: Callable[[Any], Awaitable[object]]

    async def carry_out(self, actor: object) -> object:
        return await self.what(actor)


class Writer(Agent):
    retry = RetryConfig(jitter=False)


def chat(text: str, usd: float | None = 0.5) -> ChatReply:
    usage = Usage(input_tokens=10, output_tokens=3, usd=usd)
    return ChatReply(id="1", model="m", text=text, finish_reason="stop", usage=usage)


def said(text: str, usd: float | None = 0.5) -> Ok:
    return Ok(chat(text, usd))


GOOD_TEXT = '{"title": "Rats", "panels": 4}'
BAD_TEXT = '{"title": "Rats", "panels": 0}'
GOOD = said(GOOD_TEXT)
BAD = said(BAD_TEXT)
PROSE = said("Here is your comic!")


class Stage:
    """An agent, and a model that answers as it is told to."""

    def __init__(self, system: System, writer: Ref, script: FlakyScript[FlakyService]) -> None:
        self.system = system
        self.writer = writer
        self.script = script

    async def do(self, what: Callable[[Writer], Awaitable[object]], *, timeout: float | None = None) -> Any:
        return await self.writer.ask(Do(what), timeout=timeout)

    @property
    def asked(self) -> list[ChatCompletion]:
        return [seen.message for seen in self.script.attempts if isinstance(seen.message, ChatCompletion)]


async def stage(system: System, *outcomes: Ok | Fail | Delay) -> Stage:
    policy = Policy(retry=Retry(attempts=3, backoff=Fixed(1.0)), breaker=Breaker(failures=99))
    script = FlakyService.script(outcomes, then=GOOD, provider="openai")
    await system.spawn(Child("openai", script, policy=policy, name="llm"))
    return Stage(system, await system.spawn(Child("writer", Writer)), script)


async def test_a_service_is_asked_by_ref_by_path_and_by_name() -> None:
    async with open_system() as system:
        on = await stage(system)

        async def ask_all(agent: Writer) -> None:
            for to in (system.get("openai"), "openai", "llm"):
                assert (await agent.ask(to, QUESTION)).text == GOOD_TEXT

        await on.do(ask_all)
        await on.do(lambda agent: agent.tell("llm", QUESTION))
        with pytest.raises(Exception, match="crashed on Do") as caught:
            await on.do(lambda agent: agent.ask("nobody", QUESTION))
        assert isinstance(caught.value.__cause__, NoSuchActorError)


async def test_a_stream_is_read_by_name_too() -> None:
    class Talk(StreamRequest[str], frozen=True):
        pass

    class Talker(Service):
        @handles
        async def talk(self, message: Talk) -> AsyncGenerator[str]:
            for letter in "abc":
                yield letter

    async def main(agent: Writer) -> list[str]:
        async with agent.stream("talker", Talk()) as letters:
            return [letter async for letter in letters]

    async with open_system() as system:
        await system.spawn(Child("talker", Talker))
        assert await (await stage(system)).do(main) == ["a", "b", "c"]


async def test_a_pool_is_found_as_a_pool() -> None:
    async with open_system() as system:
        on = await stage(system)
        pool = await system.spawn(Pool("pool", Child("member", FlakyService.script(then=GOOD)), size=2))

        async def find(agent: Writer) -> object:
            return agent.service("pool")

        assert await on.do(find) == pool


async def test_a_function_is_retried_within_the_request_s_deadline() -> None:
    calls = 0

    async def load(name: str) -> str:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise ConnectionError("no route")
        return name

    async with open_system() as system:
        on = await stage(system)
        with capture_events(system) as events:
            began = anyio.current_time()
            assert await on.do(lambda agent: agent.execute_with_retry(load, "page")) == "page"
            assert anyio.current_time() - began == 3.0
        assert [event.name for event in events] == ["retry.scheduled", "retry.scheduled", "retry.succeeded"]
        assert len({event.fields["correlation_id"] for event in events}) == 1
        calls = -10
        with pytest.raises(Exception, match="crashed on Do") as caught:
            await on.do(lambda agent: agent.execute_with_retry(load, "page"), timeout=2.5)
        assert isinstance(caught.value.__cause__, ConnectionError)
        assert calls == -8


async def test_another_configuration_and_a_name_may_be_given() -> None:
    async def fail() -> None:
        raise ValueError("odd")

    async def main(agent: Writer) -> None:
        config = RetryConfig(max_retries=5, initial_delay=0.0, retryable_exceptions=(ValueError,))
        with pytest.raises(ValueError, match="odd"):
            await agent.execute_with_retry(fail, config=config, operation_name="the odd step")

    async with open_system() as system:
        await (await stage(system)).do(main)
    (counted,) = [each for each in PLAIN_CALLS.statistics() if each.operation == "the odd step"]
    assert counted.attempts == 5


async def test_a_function_that_blocks_is_refused() -> None:
    async def main(agent: Writer) -> None:
        with pytest.raises(TypeError, match="run one that blocks in a thread"):
            await agent.execute_with_retry(lambda: 3)  # type: ignore[arg-type, return-value]  # pyright: ignore[reportArgumentType]

    async with open_system() as system:
        await (await stage(system)).do(main)


async def test_a_retry_around_a_service_is_warned_of_once() -> None:
    async def main(agent: Writer) -> None:
        for _ in range(2):
            await agent.execute_with_retry(partial(agent.ask, "openai", QUESTION), operation_name="write")

    async with open_system() as system:
        on = await stage(system)
        with capture_events(system) as events:
            await on.do(main)
        (warning,) = events.named("retry.nested")
        assert warning.fields["outer"] == "Writer.execute_with_retry(write)"
        assert warning.fields["inner"] == "the guard of openai"


async def test_what_a_service_could_not_do_crashes_no_agent() -> None:
    async def main(agent: Writer) -> None:
        await agent.ask("openai", QUESTION)

    async with open_system() as system:
        on = await stage(system, Fail(FailureKind.QUOTA))
        with pytest.raises(ProviderError, match="quota"):
            await on.do(main)
        with pytest.raises(ProviderBlockedError):
            await on.do(main)
        assert on.writer.statistics().restarts == 0


async def test_layers_do_not_multiply_the_attempts_of_a_service() -> None:
    async def main(agent: Writer) -> None:
        await agent.execute_with_retry(retry_with_backoff()(partial(agent.ask, "openai", QUESTION)))

    async with open_system() as system:
        on = await stage(system, *[Fail(FailureKind.SERVER)] * 27)
        with pytest.raises(RetriesExhaustedError):
            await on.do(main)
        assert len(on.script.attempts) == 3


async def ask(agent: Writer, **options: Any) -> Validated[Page, ChatReply]:
    return await agent.ask_validated("openai", QUESTION, validate=json_reply(Page), **options)


async def test_a_valid_reply_is_returned_with_what_it_was_made_into() -> None:
    async with open_system() as system:
        on = await stage(system, GOOD)
        done: Validated[Page, ChatReply] = await on.do(ask)
    assert (done.value, done.attempts) == (Page("Rats", 4), 1)
    assert done.reply.text == '{"title": "Rats", "panels": 4}'
    assert done.usage is not None
    assert done.usage.usd == 0.5


async def test_a_reply_that_is_not_valid_is_asked_for_again_with_what_is_wrong() -> None:
    async with open_system() as system:
        on = await stage(
            system, BAD, PROSE, said('Sure:\n```json\n{"title": "Rats", "panels": 4}\n```\n', 1.0)
        )
        with capture_events(system) as events:
            done = await on.do(ask)
        assert (done.value, done.attempts) == (Page("Rats", 4), 3)
        assert done.usage == Usage(input_tokens=30, output_tokens=9, usd=2.0)
        first, second, third = on.asked
        assert first == QUESTION
        assert second.messages[:2] == (*QUESTION.messages, ChatMessage("assistant", BAD_TEXT))
        assert second.messages[2].role == "user"
        assert "Expected `int` >= 1 - at `$.panels`" in str(second.messages[2].content)
        assert len(third.messages) == 5
        assert [event.fields["attempt"] for event in events.named("reply.invalid")] == [1, 2]
        assert events.named("reply.invalid")[0].says(
            operation="ChatCompletion", attempts=3, error_type="ValidationError"
        )


async def test_after_its_attempts_it_is_given_up_with_the_last_reply_and_the_cost() -> None:
    async def main(agent: Writer) -> OutputValidationError:
        with pytest.raises(
            OutputValidationError, match="not valid after 2 replies: Expected `int` >= 1"
        ) as caught:
            await ask(agent, attempts=2)
        return caught.value

    async with open_system() as system:
        on = await stage(system, PROSE, BAD, GOOD)
        error = await on.do(main)
        assert len(on.asked) == 2
    assert (error.attempts, error.reply, error.message) == (2, BAD.reply, on.asked[1])
    assert error.usage.usd == 1.0
    assert isinstance(error.__cause__, msgspec.ValidationError)


async def test_a_cost_that_is_unknown_once_is_unknown_in_all() -> None:
    async with open_system() as system:
        on = await stage(system, said("no", None), GOOD)
        done = await on.do(ask)
    assert done.usage.usd is None
    assert done.usage.input_tokens == 20


async def test_a_check_of_one_s_own_counts_too() -> None:
    def check(page: Page) -> None:
        if page.panels > 3:
            raise ValueError(f"at most 3 panels, not {page.panels}")

    async def main(agent: Writer) -> Any:
        return await agent.ask_validated("openai", QUESTION, validate=json_reply(Page, check))

    async with open_system() as system:
        on = await stage(system, GOOD, said('{"title": "Rats", "panels": 3}'))
        assert (await on.do(main)).value.panels == 3
        assert "at most 3 panels, not 4" in str(on.asked[1].messages[-1].content)


async def test_the_guard_s_retries_are_not_multiplied() -> None:
    failing = Fail(FailureKind.SERVER)

    async def main(agent: Writer) -> ProviderError:
        with pytest.raises(RetriesExhaustedError) as caught:
            await ask(agent)
        return caught.value

    async with open_system() as system:
        on = await stage(system, BAD, failing, failing, failing)
        error = await on.do(main)
        assert len(on.script.attempts) == 4
    assert error.__notes__ == ["1 replies before it were not valid, and cost 0.5 USD"]


async def test_all_replies_share_the_time() -> None:
    async def main(agent: Writer) -> float:
        began = anyio.current_time()
        with pytest.raises(AskTimeoutError):
            await ask(agent, timeout=5.0)
        return anyio.current_time() - began

    async with open_system() as system:
        on = await stage(system, Delay(3.0, BAD), Delay(3.0, GOOD))
        assert await on.do(main) == 5.0
        assert len(on.asked) == 2


async def test_a_repair_of_one_s_own_makes_the_next_message() -> None:
    class Count(Request[int], frozen=True):
        hint: str = ""

    def positive(number: int) -> int:
        if number < 0:
            raise ValueError("too small")
        return number

    def repair(message: Request[int], reply: int, error: Exception) -> Count:
        return Count(f"{reply} is {error}")

    async def main(agent: Writer) -> Any:
        return await agent.ask_validated("openai", Count(), validate=positive, repair=repair)

    async with open_system() as system:
        on = await stage(system, Ok(-1), Ok(1))
        done = await on.do(main)
        assert (done.value, done.usage) == (1, None)
        assert on.script.attempts[1].message == Count("-1 is too small")
        with pytest.raises(TypeError, match="Count has no chat messages"):
            repair_chat(Count(), 3, ValueError())


async def test_an_empty_answer_is_shown_as_one() -> None:
    message = CreateMessage(model="m", messages=QUESTION.messages)
    again = repair_chat(message, GOOD.reply, ValueError("no"))
    assert again.model == "m"
    assert again.messages[1] == ChatMessage("assistant", GOOD_TEXT)
    empty = repair_chat(message, chat(""), ValueError("no"))
    assert empty.messages[1] == ChatMessage("assistant", "(nothing)")


async def test_attempts_are_bounded() -> None:
    async def main(agent: Writer) -> None:
        for attempts in (0, 11):
            with pytest.raises(ValueError, match=r"attempts must be 1\.\.10"):
                await ask(agent, attempts=attempts)

    async with open_system() as system:
        await (await stage(system)).do(main)


async def test_an_agent_handles_messages_as_every_actor() -> None:
    class Write(Request[str], frozen=True):
        text: str

    class Simple(Agent):
        @handles
        async def write(self, message: Write) -> str:
            done = await self.ask_validated("openai", QUESTION, validate=json_reply(Page))
            return f"{message.text} {done.value.title}"

    async with open_system() as system:
        await stage(system)
        simple = await system.spawn(Child("simple", Simple))
        assert await simple.ask(Write("The")) == "The Rats"
