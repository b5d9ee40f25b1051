"""What type checkers know of decorated functions, breakers, agents and fallbacks. Only they run this file."""

from functools import partial
from typing import assert_type

from relight import (
    Adaptation,
    Agent,
    CircuitBreaker,
    FallbackRef,
    Ref,
    Request,
    RetryConfig,
    Validated,
    json_reply,
    retry_with_backoff,
)
from relight.actors.providers import ChatCompletion, ChatReply, MessageReply, chat_as_anthropic


class Count(Request[int], frozen=True):
    text: str


@retry_with_backoff
def double(number: int, *, twice: bool = False) -> int:
    return number * (4 if twice else 2)


@retry_with_backoff(RetryConfig(max_retries=2), operation_name="load")
async def load(url: str) -> bytes:
    return url.encode()


class Client:
    @retry_with_backoff()
    async def get(self, path: str) -> str:
        return path


breaker = CircuitBreaker(failure_threshold=5, timeout=60.0, name="weather")


@breaker
async def fetch(city: str) -> float:
    return float(len(city))


async def check_functions() -> None:
    assert_type(double(1, twice=True), int)
    assert_type(await load("/"), bytes)
    assert_type(await Client().get("/"), str)
    assert_type(await fetch("Oslo"), float)
    assert_type(breaker.call(double, 1, twice=True), int)
    assert_type(await breaker.call(load, "/"), bytes)
    double("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await load(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await breaker.call(load, 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def check_agent(agent: Agent, ref: Ref, question: ChatCompletion) -> None:
    assert_type(await agent.ask(ref, Count("a")), int)
    assert_type(await agent.ask("counter", Count("a"), timeout=1.0), int)
    assert_type(await agent.execute_with_retry(load, "/"), bytes)
    assert_type(await agent.execute_with_retry(partial(fetch, city="Oslo")), float)
    await agent.execute_with_retry(load, 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    done = await agent.ask_validated("openai", question, validate=json_reply(dict[str, int]))
    assert_type(done, Validated[dict[str, int], ChatReply])
    assert_type(done.value, dict[str, int])
    assert_type(done.reply.text, str)


async def check_fallback(openai: Ref, anthropic: Ref, question: ChatCompletion) -> None:
    adaptation = chat_as_anthropic("claude")
    assert_type(adaptation, Adaptation[ChatCompletion, MessageReply, ChatReply])
    chat = FallbackRef(openai, anthropic, adapt={anthropic: adaptation})
    assert_type(await chat.ask(question), ChatReply)
