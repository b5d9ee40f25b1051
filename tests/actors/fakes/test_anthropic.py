"""The fake of Anthropic speaks as Anthropic does."""

from collections.abc import Callable, Coroutine
from datetime import datetime

import httpx2
import pytest

from relight.actors.fakes import Fakes, FaultKind, Step

Ask = Callable[..., Coroutine[None, None, httpx2.Response]]

pytestmark = pytest.mark.anyio


async def test_a_message_has_the_usual_shape(message: Ask) -> None:
    body = (await message("Say something about the sea", system="Be brief")).json()
    (part,) = body["content"]
    assert (body["type"], body["role"], body["stop_reason"]) == ("message", "assistant", "end_turn")
    assert body["id"].startswith("msg_")
    assert part["type"] == "text"
    assert body["usage"]["input_tokens"] == 7
    assert body["usage"]["output_tokens"] == len(part["text"].split())


async def test_a_scene_gets_an_outline_made_of_its_words(message: Ask) -> None:
    scene = (
        "Outline this scene.\nAnna crosses the square. The Clockmaker waits. They quarrel. The bell rings."
    )
    text = (await message(scene)).json()["content"][0]["text"]
    assert [line[:2] for line in text.splitlines()[-4:]] == ["1.", "2.", "3.", "4."]
    assert "Characters: Anna, Clockmaker" in text
    assert "bell rings" in text


async def test_an_answer_longer_than_the_limit_is_cut(message: Ask) -> None:
    body = (await message("Tell me of the flooded city", max_tokens=3)).json()
    assert body["stop_reason"] == "max_tokens"
    assert body["usage"]["output_tokens"] == 3


async def test_replies_carry_the_request_id_and_the_rate_limit_with_a_moment_as_reset(message: Ask) -> None:
    reply = await message()
    assert reply.headers["request-id"].startswith("req_")
    assert reply.headers["anthropic-organization-id"]
    assert int(reply.headers["anthropic-ratelimit-requests-limit"]) > 0
    assert datetime.fromisoformat(reply.headers["anthropic-ratelimit-requests-reset"]).tzinfo is not None


async def test_the_key_is_taken_from_either_header(fakes: Fakes, client: httpx2.AsyncClient) -> None:
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}
    for headers in ({"x-api-key": "fake-anthropic-key"}, {"authorization": "Bearer fake-anthropic-key"}):
        url = f"{fakes.url('anthropic')}/v1/messages"
        reply = await client.post(url, json=body, headers={**headers, "anthropic-version": "2026-10-21"})
        assert reply.status_code == 200


async def test_a_wrong_key_is_refused(message: Ask) -> None:
    reply = await message(key="wrong")
    assert reply.status_code == 401
    assert reply.json()["error"]["type"] == "authentication_error"


@pytest.mark.parametrize("more", [{"max_tokens": None}, {"messages": "hello"}])
async def test_a_request_that_makes_no_sense_is_refused(message: Ask, more: dict[str, object]) -> None:
    reply = await message(**more)
    assert reply.status_code == 400
    assert reply.json()["error"]["type"] == "invalid_request_error"


async def test_the_version_header_is_required(fakes: Fakes, client: httpx2.AsyncClient) -> None:
    reply = await client.post(
        f"{fakes.url('anthropic')}/v1/messages", headers={"x-api-key": "fake-anthropic-key"}
    )
    assert reply.status_code == 400
    assert "anthropic-version" in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    ("fault", "status", "type_"),
    [
        (FaultKind.RATE_LIMIT, 429, "rate_limit_error"),
        (FaultKind.QUOTA, 400, "invalid_request_error"),
        (FaultKind.TOO_LARGE, 413, "request_too_large"),
        (FaultKind.CONTEXT_LENGTH, 400, "invalid_request_error"),
        (FaultKind.NOT_FOUND, 404, "not_found_error"),
        (FaultKind.SERVER_ERROR, 500, "api_error"),
        (FaultKind.OVERLOADED, 529, "overloaded_error"),
    ],
)
async def test_an_error_has_the_documented_status_and_type(
    fakes: Fakes, message: Ask, fault: FaultKind, status: int, type_: str
) -> None:
    await fakes.script("anthropic", [Step(fault=fault)])
    reply = await message()
    body = reply.json()
    assert (reply.status_code, body["type"], body["error"]["type"]) == (status, "error", type_)
    assert body["request_id"] == reply.headers["request-id"]


async def test_growing_too_fast_is_told_from_an_ordinary_rate_limit(fakes: Fakes, message: Ask) -> None:
    await fakes.script("anthropic", [Step(fault=FaultKind.SLOW_DOWN)])
    reply = await message()
    assert reply.json()["error"]["details"] == {"error_code": "ramp_limit_exceeded"}
    assert reply.headers["retry-after"] == "1"


async def test_an_overload_says_that_it_may_be_retried(fakes: Fakes, message: Ask) -> None:
    await fakes.script("anthropic", [Step(fault=FaultKind.OVERLOADED)])
    assert (await message()).headers["x-should-retry"] == "true"
