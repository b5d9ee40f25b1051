"""The fake of OpenAI beyond chats: responses, embeddings, images, and Azure's paths."""

import math
from base64 import b64decode
from collections.abc import Callable, Coroutine

import httpx2
import pytest

from relight.actors.fakes import Fakes, FaultKind, Step

Ask = Callable[..., Coroutine[None, None, httpx2.Response]]

pytestmark = pytest.mark.anyio

PNG = b"\x89PNG\r\n\x1a\n"


def likeness(one: list[float], other: list[float]) -> float:
    return sum(left * right for left, right in zip(one, other, strict=True))


@pytest.fixture
def post(fakes: Fakes, client: httpx2.AsyncClient) -> Ask:
    async def ask(path: str, *, headers: dict[str, str] | None = None, **body: object) -> httpx2.Response:
        sent = headers or {"authorization": "Bearer fake-openai-key"}
        return await client.post(f"{fakes.url('openai')}{path}", json=body, headers=sent)

    return ask


async def test_a_response_takes_text_and_messages(post: Ask) -> None:
    plain = (await post("/v1/responses", model="m", input="hello")).json()
    parts = [{"type": "input_text", "text": "hello"}]
    listed = (await post("/v1/responses", model="m", input=[{"role": "user", "content": parts}])).json()
    assert plain["output"][0]["content"][0]["text"] == listed["output"][0]["content"][0]["text"]
    assert plain["status"] == "completed"
    assert plain["id"].startswith("resp_")
    assert plain["usage"]["input_tokens"] == 1


async def test_instructions_count_as_input(post: Ask) -> None:
    body = (await post("/v1/responses", model="m", input="hello", instructions="be brief")).json()
    assert body["usage"]["input_tokens"] == 3
    assert body["instructions"] == "be brief"


async def test_the_events_of_a_response_are_numbered(post: Ask) -> None:
    reply = await post("/v1/responses", model="m", input="hello", stream=True)
    numbers = [int(line.rpartition(":")[2].rstrip("}")) for line in reply.text.splitlines() if "data" in line]
    assert numbers == list(range(len(numbers)))


@pytest.mark.parametrize(
    ("fault", "name"),
    [(FaultKind.STREAM_ERROR, "error"), (FaultKind.RESPONSE_FAILED, "response.failed")],
)
async def test_the_stream_of_a_response_tells_a_failure_in_two_ways(
    fakes: Fakes, post: Ask, fault: FaultKind, name: str
) -> None:
    await fakes.script("openai", [Step(fault=fault)])
    reply = await post("/v1/responses", model="m", input="hello", stream=True)
    last = reply.text.rstrip().split("\n\n")[-1]
    assert last.startswith(f"event: {name}\n")
    assert "server_is_overloaded" in last


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/embeddings", "/v1/images/generations"])
async def test_what_makes_no_sense_is_refused(post: Ask, path: str) -> None:
    reply = await post(path, model="m", input={"a": 1}, prompt=3)
    assert reply.status_code == 400
    assert reply.json()["error"]["type"] == "invalid_request_error"


async def test_embeddings_of_like_texts_are_alike(post: Ask) -> None:
    texts = ["the cat sat on the mat", "the cat lay on the mat", "stock prices fell sharply"]
    body = (await post("/v1/embeddings", model="text-embedding-3-small", input=texts)).json()
    one, like, other = (item["embedding"] for item in body["data"])
    assert math.hypot(*one) == pytest.approx(1.0)
    assert likeness(one, like) > 0.6 > 0.3 > likeness(one, other)
    assert body["usage"]["prompt_tokens"] == 16


@pytest.mark.parametrize(
    ("asked", "size"),
    [
        ({"model": "text-embedding-3-large", "input": "a"}, 3072),
        ({"model": "text-embedding-3-small", "input": "a", "dimensions": 256}, 256),
        ({"model": "m", "input": [1, 2, 3]}, 1536),
        ({"model": "m", "input": [[1, 2], [3]]}, 1536),
    ],
)
async def test_an_embedding_has_the_size_asked_for(post: Ask, asked: dict[str, object], size: int) -> None:
    body = (await post("/v1/embeddings", **asked)).json()
    assert {len(item["embedding"]) for item in body["data"]} == {size}


@pytest.mark.parametrize(
    "asked",
    [
        {"input": []},
        {"input": [""]},
        {"input": ["a", 1]},
        {"input": "a", "dimensions": 0},
        {"input": "a", "dimensions": 9999},
    ],
)
async def test_an_embedding_of_nothing_is_refused(post: Ask, asked: dict[str, object]) -> None:
    assert (await post("/v1/embeddings", model="m", **asked)).status_code == 400


async def test_pictures_come_in_the_reply(post: Ask) -> None:
    asked = {"model": "dall-e-3", "prompt": "a cat", "response_format": "b64_json"}
    body = (await post("/v1/images/generations", n=2, **asked)).json()
    pictures = [b64decode(item["b64_json"]) for item in body["data"]]
    assert [picture[:8] for picture in pictures] == [PNG, PNG]
    assert pictures[0] != pictures[1]
    assert body["data"][0]["revised_prompt"] == "a cat"
    assert "usage" not in body


async def test_pictures_can_be_fetched_without_a_key(
    fakes: Fakes, post: Ask, client: httpx2.AsyncClient
) -> None:
    body = (await post("/v1/images/generations", model="dall-e-2", prompt="a cat", n=2)).json()
    picture, other = [await client.get(item["url"]) for item in body["data"]]
    missing = await client.get(f"{fakes.url('openai')}/images/none.png")
    assert picture.content.startswith(PNG)
    assert picture.content != other.content
    assert picture.headers["content-type"] == "image/png"
    assert missing.status_code == 404
    assert [entry.operation for entry in await fakes.log("openai")] == ["images", *["image"] * 3]


async def test_the_newer_models_send_pictures_and_usage_and_no_addresses(post: Ask) -> None:
    path, asked = "/v1/images/generations", {"model": "gpt-image-1", "prompt": "a small cat"}
    body = (await post(path, size="1536x1024", **asked)).json()
    assert b64decode(body["data"][0]["b64_json"]).startswith(PNG)
    assert body["usage"]["input_tokens"] == 3
    assert body["size"] == "1536x1024"
    assert (await post(path, response_format="url", **asked)).status_code == 400


async def test_azure_names_the_model_in_the_path_and_the_key_in_its_own_header(post: Ask) -> None:
    path = "/openai/deployments/my-gpt/chat/completions?api-version=2026-01-01"
    asked = {"messages": [{"role": "user", "content": "hello"}]}
    reply = await post(path, headers={"api-key": "fake-openai-key"}, **asked)
    assert reply.json()["model"] == "my-gpt"
    assert (await post(path, headers={"api-key": "wrong"}, **asked)).status_code == 401
