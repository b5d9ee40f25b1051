"""The fake of OpenAI speaks as OpenAI does."""

import json
from collections.abc import Callable, Coroutine

import httpx2
import pytest

from relight.actors.fakes import Fakes, FaultKind, Step

Ask = Callable[..., Coroutine[None, None, httpx2.Response]]

pytestmark = pytest.mark.anyio


async def test_a_completion_has_the_usual_shape(chat: Ask) -> None:
    body = (await chat("Say something about the sea")).json()
    (choice,) = body["choices"]
    usage = body["usage"]
    assert body["object"] == "chat.completion"
    assert body["id"].startswith("chatcmpl-")
    assert body["model"] == "gpt-4o-mini"
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["role"] == "assistant"
    assert usage["prompt_tokens"] == 5
    assert usage["completion_tokens"] == len(choice["message"]["content"].split())
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


async def test_every_reply_carries_a_request_id_of_its_own_and_the_rate_limit(chat: Ask) -> None:
    good, bad = await chat(), await chat(key="wrong")
    ids = {reply.headers["x-request-id"] for reply in (good, bad)}
    assert len(ids) == 2
    for reply in (good, bad):
        assert int(reply.headers["x-ratelimit-remaining-requests"]) < int(
            reply.headers["x-ratelimit-limit-requests"]
        )
        assert reply.headers["x-ratelimit-reset-requests"].endswith("ms")


async def test_whoever_asks_for_a_json_list_gets_one_of_that_length(chat: Ask) -> None:
    text = (
        "Answer with a JSON list of 4 panel prompts.\nAnna crosses the flooded square. The Clockmaker waits."
    )
    body = (await chat(text)).json()
    panels = json.loads(body["choices"][0]["message"]["content"])
    assert len(panels) == len(set(panels)) == 4
    assert any("Clockmaker" in panel for panel in panels)


async def test_the_same_prompt_gets_the_same_answer_and_another_one_another(chat: Ask) -> None:
    prompts = ["Anna crosses the square.", "Anna crosses the square.", "Bela crosses the square."]
    first, same, other = [(await chat(text)).json()["choices"][0] for text in prompts]
    assert first == same != other


async def test_an_answer_longer_than_the_limit_is_cut(chat: Ask) -> None:
    body = (await chat("Tell me of the flooded city", max_tokens=3)).json()
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["completion_tokens"] == 3


async def test_content_may_come_in_parts(chat: Ask) -> None:
    parts = [{"type": "text", "text": "JSON list of two things about the Clockmaker"}]
    body = (await chat(messages=[{"role": "user", "content": parts}])).json()
    assert len(json.loads(body["choices"][0]["message"]["content"])) == 2


async def test_a_wrong_key_is_refused(chat: Ask) -> None:
    reply = await chat(key="wrong")
    assert reply.status_code == 401
    assert reply.json()["error"]["type"] == "invalid_request_error"
    assert reply.json()["error"]["code"] == "invalid_api_key"


async def test_a_missing_key_is_refused(fakes: Fakes, client: httpx2.AsyncClient) -> None:
    assert (await client.post(f"{fakes.url('openai')}/v1/chat/completions", json={})).status_code == 401


@pytest.mark.parametrize("more", [{"messages": 3}, {"model": None}])
async def test_a_request_that_makes_no_sense_is_refused(chat: Ask, more: dict[str, object]) -> None:
    reply = await chat(**more)
    assert reply.status_code == 400
    assert reply.json()["error"]["type"] == "invalid_request_error"


async def test_another_path_is_not_found(fakes: Fakes, client: httpx2.AsyncClient) -> None:
    reply = await client.post(f"{fakes.url('openai')}/v1/engines")
    assert reply.status_code == 404
    assert reply.json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("fault", "status", "type_", "code"),
    [
        (FaultKind.RATE_LIMIT, 429, "requests", "rate_limit_exceeded"),
        (FaultKind.SLOW_DOWN, 429, "rate_limit_error", "slow_down"),
        (FaultKind.TOO_LARGE, 429, "tokens", "rate_limit_exceeded"),
        (FaultKind.QUOTA, 429, "insufficient_quota", "insufficient_quota"),
        (FaultKind.AUTH, 401, "invalid_request_error", "invalid_api_key"),
        (FaultKind.CONTEXT_LENGTH, 400, "invalid_request_error", "context_length_exceeded"),
        (FaultKind.CONTENT_POLICY, 400, "invalid_request_error", "content_policy_violation"),
        (FaultKind.NOT_FOUND, 404, "invalid_request_error", "model_not_found"),
        (FaultKind.SERVER_ERROR, 500, "server_error", None),
        (FaultKind.UNAVAILABLE, 503, "service_unavailable_error", "server_is_overloaded"),
        (FaultKind.OVERLOADED, 503, "service_unavailable_error", "server_is_overloaded"),
    ],
)
async def test_an_error_has_the_documented_status_type_and_code(
    fakes: Fakes, chat: Ask, fault: FaultKind, status: int, type_: str, code: str | None
) -> None:
    await fakes.script("openai", [Step(fault=fault)])
    reply = await chat()
    error = reply.json()["error"]
    assert (reply.status_code, error["type"], error["code"]) == (status, type_, code)
    assert error.keys() == {"message", "type", "param", "code"}


async def test_the_text_of_a_bare_429_still_says_when_to_try_again(fakes: Fakes, chat: Ask) -> None:
    await fakes.script("openai", [Step(fault=FaultKind.RATE_LIMIT_BARE, retry_after=1.5)])
    reply = await chat()
    assert "retry-after" not in reply.headers
    assert "Please try again in 1.5s." in reply.json()["error"]["message"]


async def test_a_scripted_answer_is_put_into_the_usual_shape(fakes: Fakes, chat: Ask) -> None:
    await fakes.script("openai", [Step(answer="not a JSON list")])
    body = (await chat("JSON list of 4 prompts")).json()
    assert body["choices"][0]["message"]["content"] == "not a JSON list"
    assert body["usage"]["completion_tokens"] == 4
