"""Anthropic: what one attempt sends, and what it makes of the answer."""

import msgspec
import pytest

from relight.actors import HttpRequest, Usage
from relight.actors.providers import Anthropic, ChatMessage, CreateMessage, MessageReply
from relight.runtime import SettingsError
from relight.supervisors import FailureKind, ProviderError
from tests.actors.raw_http import http, http_json, serve

ASK = CreateMessage(model="claude-haiku-4-5", messages=(ChatMessage("user", "Hello?"),))


def answer(**changes: object) -> dict[str, object]:
    usage = {
        "input_tokens": 500,
        "output_tokens": 100,
        "cache_creation_input_tokens": 200,
        "cache_read_input_tokens": 300,
    }
    content = [
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": "Hel"},
        {"type": "text", "text": "lo."},
    ]
    return {
        "id": "msg_1",
        "type": "message",
        "model": "claude-haiku-4-5-20251001",
        "content": content,
        "stop_reason": "end_turn",
        "usage": usage,
    } | changes


async def reply_to(raw: bytes) -> MessageReply:
    async with serve(raw) as server:
        anthropic = Anthropic("k", base_url=server.url)
        async with anthropic.lifespan():
            return await anthropic.create(ASK)


@pytest.mark.anyio
async def test_a_message_is_sent_as_the_api_wants_it() -> None:
    message = CreateMessage(
        model="m",
        messages=(ChatMessage("user", "Hi"),),
        max_tokens=10,
        system="Be brief.",
        extra={"top_k": 3},
    )
    async with serve(http_json(200, answer())) as server:
        anthropic = Anthropic("k", base_url=server.url)
        async with anthropic.lifespan():
            await anthropic.create(message)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/messages ")
    lines = {line.lower() for line in head.split(b"\r\n")}
    assert {b"x-api-key: k", b"anthropic-version: 2023-06-01"} <= lines
    assert b"authorization" not in head.lower()
    assert msgspec.json.decode(body) == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 10,
        "system": "Be brief.",
        "top_k": 3,
    }


@pytest.mark.anyio
async def test_an_answer_is_read_with_its_usage_and_its_price() -> None:
    reply = await reply_to(http_json(200, answer()))
    assert (reply.id, reply.model, reply.text, reply.stop_reason) == (
        "msg_1",
        "claude-haiku-4-5-20251001",
        "Hello.",
        "end_turn",
    )
    usd = (500 * 1.00 + 300 * 0.10 + 200 * 1.25 + 100 * 5.00) / 1e6
    assert msgspec.structs.replace(reply.usage, usd=None) == Usage(
        input_tokens=1000, output_tokens=100, cached_tokens=300, cache_write_tokens=200
    )
    assert reply.usage.usd == pytest.approx(usd)


@pytest.mark.anyio
@pytest.mark.parametrize("reason", ["max_tokens", "model_context_window_exceeded", "stop_sequence"])
async def test_an_answer_that_was_cut_is_returned(reason: str) -> None:
    assert (await reply_to(http_json(200, answer(stop_reason=reason)))).stop_reason == reason


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (http_json(200, answer(stop_reason="refusal")), FailureKind.CONTENT_POLICY),
        (http_json(200, {"id": "msg_1"}), FailureKind.INVALID_RESPONSE),
        (http(200, b'{"id": "msg'), FailureKind.INVALID_RESPONSE),
        (http_json(200, {"type": "error", "error": {"type": "overloaded_error"}}), FailureKind.OVERLOADED),
        (http_json(529, {"type": "error", "error": {"type": "overloaded_error"}}), FailureKind.OVERLOADED),
        (http(413, b"<html>"), FailureKind.BAD_REQUEST),
    ],
)
async def test_an_answer_that_is_none_fails(raw: bytes, kind: FailureKind) -> None:
    with pytest.raises(ProviderError) as caught:
        await reply_to(raw)
    assert caught.value.kind is kind


def test_an_attempt_is_estimated_by_its_prompt_and_its_longest_answer() -> None:
    message = CreateMessage(
        model="claude-opus-5", messages=(ChatMessage("user", "x" * 400),), max_tokens=100, system="y" * 40
    )
    estimate = Anthropic("k").estimate(message)
    assert estimate is not None
    assert estimate.usd == pytest.approx((104 + 14) * 5e-6 + 100 * 25e-6)


def test_other_requests_are_not_estimated() -> None:
    assert Anthropic("k").estimate(HttpRequest("GET", "/v1/models")) is None


def test_it_is_built_from_the_environment() -> None:
    built = Anthropic.from_env({"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "http://localhost:1"})
    assert built.base_url == "http://localhost:1"
    assert Anthropic.from_env({"ANTHROPIC_API_KEY": "k"}).base_url == "https://api.anthropic.com"
    with pytest.raises(SettingsError, match="ANTHROPIC_API_KEY"):
        Anthropic.from_env({})
