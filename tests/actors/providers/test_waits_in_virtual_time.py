"""The providers' real policies, followed through their guards; a minute passes in a millisecond."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import pairwise
from random import Random

import anyio
import msgspec
import pytest

from relight.actors import HttpReply, HttpRequest, HttpService
from relight.actors.providers import (
    Anthropic,
    ChatCompletion,
    ChatMessage,
    ChatReply,
    CreateMessage,
    MessageReply,
    OpenAI,
)
from relight.supervisors import (
    Child,
    FailureKind,
    ProviderBlockedError,
    ProviderError,
    RetriesExhaustedError,
    open_system,
)
from tests.support.clocks import virtual_time

pytestmark = [pytest.mark.anyio, virtual_time]

HELLO = (ChatMessage("user", "Hello?"),)
CHAT = ChatCompletion(model="gpt-4o-mini", messages=HELLO)
MESSAGE = CreateMessage(model="claude-haiku-4-5", messages=HELLO)


def reply(status: int, body: object, **headers: str) -> HttpReply:
    return HttpReply(
        status, {name.replace("_", "-"): value for name, value in headers.items()}, msgspec.json.encode(body)
    )


class Wire:
    """What would come over the network, and when it was asked for."""

    def __init__(self, *replies: HttpReply) -> None:
        self._replies = list(replies)
        self.times: list[float] = []

    def send(self) -> HttpReply:
        self.times.append(anyio.current_time())
        return self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]

    @property
    def gaps(self) -> list[float]:
        return [later - earlier for earlier, later in pairwise(self.times)]


class Offline(HttpService):
    wire: Wire

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None, None]:
        yield

    async def exchange(self, message: HttpRequest) -> HttpReply:
        answer = self.wire.send()
        if answer.is_success:
            return answer
        raise self.failure_of(answer)


class OfflineOpenAI(Offline, OpenAI):
    pass


class OfflineAnthropic(Offline, Anthropic):
    pass


def openai_over(wire: Wire) -> Child:
    def make() -> OpenAI:
        actor = OfflineOpenAI("k")
        actor.wire = wire
        return actor

    return Child("openai", make)


def anthropic_over(wire: Wire) -> Child:
    def make() -> Anthropic:
        actor = OfflineAnthropic("k")
        actor.wire = wire
        return actor

    return Child("anthropic", make)


COMPLETION = reply(200, {"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]})
ANSWER = reply(200, {"content": [], "usage": {"input_tokens": 1, "output_tokens": 1}})
OPENAI_429 = {"error": {"type": "requests", "code": "rate_limit_exceeded", "message": "Rate limit reached."}}
ANTHROPIC_429 = {"type": "error", "error": {"type": "rate_limit_error", "message": "Too many requests."}}


async def chat(wire: Wire, *, timeout: float | None = None) -> ChatReply:
    async with open_system(rng=Random(7)) as system:
        openai = await system.spawn(openai_over(wire))
        return await openai.ask(CHAT, timeout=timeout)


async def create(wire: Wire, *, timeout: float | None = None, seed: int = 7) -> MessageReply:
    async with open_system(rng=Random(seed)) as system:
        anthropic = await system.spawn(anthropic_over(wire))
        return await anthropic.ask(MESSAGE, timeout=timeout)


async def test_openai_is_left_alone_for_a_minute_after_a_rate_limit_without_a_header() -> None:
    wire = Wire(reply(429, OPENAI_429), COMPLETION)
    assert (await chat(wire)).text == "Hi"
    assert wire.gaps == [pytest.approx(60.0)]


async def test_openais_own_wait_comes_before_the_minute() -> None:
    wire = Wire(reply(429, OPENAI_429, retry_after="20"), COMPLETION)
    await chat(wire)
    assert 20.0 <= wire.gaps[0] <= 22.0


async def test_a_spent_openai_account_is_asked_exactly_once() -> None:
    wire = Wire(reply(429, {"error": {"type": "insufficient_quota", "code": "insufficient_quota"}}))
    async with open_system() as system:
        openai = await system.spawn(openai_over(wire))
        with pytest.raises(ProviderError) as caught:
            await openai.ask(CHAT)
        assert caught.value.kind is FailureKind.QUOTA
        with pytest.raises(ProviderBlockedError):
            await openai.ask(CHAT)
        await anyio.sleep(200.0)
    assert len(wire.times) == 1


async def test_a_request_larger_than_openais_limit_is_sent_exactly_once() -> None:
    large = {
        "error": {"type": "tokens", "code": "rate_limit_exceeded", "message": "Request too large for gpt-4o"}
    }
    wire = Wire(reply(429, large))
    with pytest.raises(ProviderError) as caught:
        await chat(wire)
    assert caught.value.kind is FailureKind.BAD_REQUEST
    assert len(wire.times) == 1


async def test_a_conflict_at_openai_is_repeated_exactly_once() -> None:
    wire = Wire(reply(409, {"error": {"message": "conflict"}}))
    with pytest.raises(ProviderError):
        await chat(wire)
    assert len(wire.times) == 2


async def test_anthropic_is_waited_for_longer_each_time_with_jitter() -> None:
    caps = [2.0, 4.0, 8.0, 16.0]
    runs: list[list[float]] = []
    for seed in range(20):
        wire = Wire(reply(429, ANTHROPIC_429))
        with pytest.raises(RetriesExhaustedError) as caught:
            await create(wire, seed=seed)
        assert caught.value.attempts == 5
        runs.append(wire.gaps)
    for gaps in runs:
        assert all(0.0 <= gap <= cap + 1e-6 for gap, cap in zip(gaps, caps, strict=True))
    means = [sum(gaps) / len(runs) for gaps in zip(*runs, strict=True)]
    assert means == sorted(means)
    assert len({tuple(gaps) for gaps in runs}) == len(runs)


async def test_an_overloaded_anthropic_is_asked_five_times_and_a_broken_one_three_times() -> None:
    for status, attempts in ((529, 5), (500, 3)):
        wire = Wire(reply(status, {}))
        with pytest.raises(RetriesExhaustedError):
            await create(wire)
        assert len(wire.times) == attempts


async def test_anthropics_long_windows_are_sat_through() -> None:
    wire = Wire(reply(429, ANTHROPIC_429, retry_after="171"), ANSWER)
    await create(wire, timeout=300.0)
    assert 171.0 <= wire.gaps[0] <= 171.0 * 1.1


@pytest.mark.parametrize(
    ("status", "type_", "message", "code"),
    [
        (400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API.", None),
        (402, "billing_error", "", None),
        (429, "rate_limit_error", "", "enforced_spend_limit_reached"),
    ],
)
async def test_a_spent_anthropic_account_is_asked_exactly_once(
    status: int, type_: str, message: str, code: str | None
) -> None:
    details = None if code is None else {"error_code": code}
    wire = Wire(reply(status, {"error": {"type": type_, "message": message, "details": details}}))
    with pytest.raises(ProviderError) as caught:
        await create(wire)
    assert caught.value.kind is FailureKind.QUOTA
    assert len(wire.times) == 1
