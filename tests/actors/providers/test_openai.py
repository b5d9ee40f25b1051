"""OpenAI: what one attempt sends, and what it makes of the answer."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec
import pytest

from relight.actors import DEFAULT_PRICES, HttpRequest, Price, Usage
from relight.actors.providers import ChatCompletion, ChatMessage, ChatReply, OpenAI
from relight.runtime import SettingsError
from relight.supervisors import FailureKind, ProviderError
from tests.actors.raw_http import http, http_json, serve

ASK = ChatCompletion(
    model="gpt-4o-mini", messages=(ChatMessage("system", "Be brief."), ChatMessage("user", "Hello?"))
)


def answer(**changes: object) -> dict[str, object]:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}
    usage = {
        "prompt_tokens": 1000,
        "completion_tokens": 100,
        "prompt_tokens_details": {"cached_tokens": 400, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 30},
    }
    return {
        "id": "chatcmpl-1",
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [choice],
        "usage": usage,
    } | changes


def choice(content: str | None, finish_reason: str | None, **message: object) -> dict[str, object]:
    return answer(choices=[{"message": {"content": content} | message, "finish_reason": finish_reason}])


@asynccontextmanager
async def running(base_url: str, *, key: str | None = "k") -> AsyncGenerator[OpenAI, None]:
    openai = OpenAI(key, base_url=base_url)
    async with openai.lifespan():
        yield openai


async def reply_to(raw: bytes, message: ChatCompletion = ASK) -> ChatReply:
    async with serve(raw) as server, running(server.url) as openai:
        return await openai.complete(message)


async def failure_of(raw: bytes) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await reply_to(raw)
    return caught.value


@pytest.mark.anyio
async def test_a_chat_is_sent_as_the_api_wants_it() -> None:
    message = ChatCompletion(
        model="m",
        messages=(ChatMessage("user", "Hi"),),
        temperature=0.5,
        max_tokens=10,
        response_format={"type": "json_object"},
        extra={"seed": 7},
    )
    async with serve(http_json(200, answer())) as server, running(f"{server.url}/v1") as openai:
        await openai.complete(message)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/chat/completions ")
    assert b"\r\nauthorization: bearer k\r\n" in head.lower()
    assert msgspec.json.decode(body) == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "temperature": 0.5,
        "max_tokens": 10,
        "response_format": {"type": "json_object"},
        "seed": 7,
    }


@pytest.mark.anyio
async def test_what_was_not_chosen_is_not_sent() -> None:
    async with serve(http_json(200, answer())) as server, running(server.url) as openai:
        await openai.complete(ASK)
    assert set(msgspec.json.decode(server.requests[0].partition(b"\r\n\r\n")[2])) == {"model", "messages"}


@pytest.mark.anyio
async def test_an_answer_is_read_with_its_usage_and_its_price() -> None:
    reply = await reply_to(http_json(200, answer()))
    assert (reply.id, reply.model, reply.text, reply.finish_reason) == (
        "chatcmpl-1",
        "gpt-4o-mini-2024-07-18",
        "Hello.",
        "stop",
    )
    usd = (600 * 0.15 + 400 * 0.075 + 100 * 0.60) / 1e6
    assert msgspec.structs.replace(reply.usage, usd=None) == Usage(
        input_tokens=1000, output_tokens=100, cached_tokens=400, reasoning_tokens=30
    )
    assert reply.usage.usd == pytest.approx(usd)


@pytest.mark.anyio
async def test_a_compatible_servers_meagre_answer_is_enough() -> None:
    reply = await reply_to(
        http_json(200, {"choices": [{"message": {"content": "Hi", "extra": 1}, "finish_reason": None}]})
    )
    assert (reply.text, reply.model, reply.finish_reason, reply.usage) == ("Hi", "gpt-4o-mini", None, Usage())


@pytest.mark.anyio
async def test_an_answer_that_was_cut_is_returned() -> None:
    assert (await reply_to(http_json(200, choice("Hel", "length")))).finish_reason == "length"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("raw", "kind", "code"),
    [
        (http_json(200, choice("Hel", "content_filter")), FailureKind.CONTENT_POLICY, "content_filter"),
        (http_json(200, choice(None, "stop", refusal="I can't")), FailureKind.CONTENT_POLICY, "refusal"),
        (http_json(200, answer(choices=[])), FailureKind.INVALID_RESPONSE, None),
        (http_json(200, {"id": "x"}), FailureKind.INVALID_RESPONSE, None),
        (http(200, b'{"id": "chatcmpl-1", "cho'), FailureKind.INVALID_RESPONSE, None),
        (http(200, b"<html>"), FailureKind.INVALID_RESPONSE, None),
        (http_json(200, {"error": {"message": "later", "code": 429}}), FailureKind.RATE_LIMIT, "429"),
        (http_json(429, {"error": {"code": "insufficient_quota"}}), FailureKind.QUOTA, "insufficient_quota"),
        (b"HTTP/1.1 200 OK\r\ncont", FailureKind.NETWORK, None),
    ],
)
async def test_an_answer_that_is_none_fails(raw: bytes, kind: FailureKind, code: str | None) -> None:
    error = await failure_of(raw)
    assert (error.kind, error.code, error.retryable) == (kind, code, None)


def test_only_openai_itself_gets_the_limit_under_its_new_name() -> None:
    """Read off the request, as nothing may be sent to the real API."""
    message = ChatCompletion(model="m", messages=(), max_tokens=5)
    assert OpenAI("k")._payload(message)["max_completion_tokens"] == 5
    assert OpenAI("k", base_url="http://localhost/v1")._payload(message)["max_tokens"] == 5


def test_an_attempt_is_estimated_by_its_prompt_and_its_longest_answer() -> None:
    openai = OpenAI("k")
    short = openai.estimate(
        ChatCompletion(model="gpt-4o", messages=(ChatMessage("user", "x" * 400),), max_tokens=100)
    )
    assert short is not None
    assert short.model == "gpt-4o"
    assert short.usd == pytest.approx((104 * 2.50 + 100 * 10.0) / 1e6)


def test_the_estimate_of_an_unknown_model_has_no_price() -> None:
    estimate = OpenAI("k").estimate(ChatCompletion(model="mine", messages=()))
    assert estimate is not None
    assert estimate.usd is None


def test_other_requests_are_not_estimated() -> None:
    assert OpenAI("k").estimate(HttpRequest("GET", "/models")) is None


def test_it_is_built_from_the_environment() -> None:
    openai = OpenAI.from_env({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://localhost:1/v1"})
    assert openai.base_url == "http://localhost:1/v1"
    assert (
        OpenAI.from_env({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": ""}).base_url
        == "https://api.openai.com/v1"
    )
    with pytest.raises(SettingsError, match="OPENAI_API_KEY"):
        OpenAI.from_env({})


def test_own_prices_are_used() -> None:
    prices = DEFAULT_PRICES.with_prices({"mine": Price(input=1e6)})
    estimate = OpenAI("k", prices=prices).estimate(ChatCompletion(model="mine", messages=ASK.messages))
    assert estimate is not None
    assert estimate.usd is not None
    assert estimate.usd >= 1.0
