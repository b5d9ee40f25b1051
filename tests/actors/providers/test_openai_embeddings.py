"""Embeddings: what one attempt sends, and what it makes of the answer."""

import msgspec
import pytest

from relight.actors.providers import CreateEmbeddings, EmbeddingsReply, OpenAI
from relight.supervisors import FailureKind, ProviderError
from tests.actors.raw_http import http_json, serve

pytestmark = pytest.mark.anyio

ASK = CreateEmbeddings(model="text-embedding-3-small", texts=("one", "two"))


def answer(*indices: int) -> dict[str, object]:
    data = [{"object": "embedding", "index": index, "embedding": [index, 0.5]} for index in indices]
    return {
        "data": data,
        "model": "text-embedding-3-small",
        "usage": {"prompt_tokens": 1000, "total_tokens": 1000},
    }


async def reply_to(body: object, message: CreateEmbeddings = ASK) -> tuple[EmbeddingsReply, bytes]:
    async with serve(http_json(200, body)) as server:
        openai = OpenAI("k", base_url=f"{server.url}/v1")
        async with openai.lifespan():
            return await openai.embed(message), server.requests[0]


async def test_embeddings_are_asked_for_as_the_api_wants_it() -> None:
    message = msgspec.structs.replace(ASK, dimensions=2, extra={"user": "u"})
    _, request = await reply_to(answer(0, 1), message)
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/embeddings ")
    assert msgspec.json.decode(body) == {
        "model": "text-embedding-3-small",
        "input": ["one", "two"],
        "encoding_format": "float",
        "dimensions": 2,
        "user": "u",
    }


async def test_vectors_come_in_the_texts_order_with_their_price() -> None:
    reply, _ = await reply_to(answer(1, 0))
    assert reply.vectors == ((0.0, 0.5), (1.0, 0.5))
    assert reply.usage.input_tokens == 1000
    assert reply.usage.usd == pytest.approx(1000 * 0.02 / 1e6)


@pytest.mark.parametrize("indices", [(0,), (0, 1, 2), (0, 0), (0, 1, 1), (1, 2), ()])
async def test_vectors_that_do_not_match_the_texts_fail(indices: tuple[int, ...]) -> None:
    with pytest.raises(ProviderError, match="for 2 texts") as caught:
        await reply_to(answer(*indices))
    assert caught.value.kind is FailureKind.INVALID_RESPONSE


@pytest.mark.parametrize("vector", ["[1, NaN]", '"AAAA"', "[[1]]", "null"])
async def test_vectors_that_are_none_fail(vector: str) -> None:
    body = msgspec.Raw(f'{{"data": [{{"index": 0, "embedding": {vector}}}]}}'.encode())
    with pytest.raises(ProviderError) as caught:
        await reply_to(body, msgspec.structs.replace(ASK, texts=("one",)))
    assert caught.value.kind is FailureKind.INVALID_RESPONSE


def test_embeddings_are_estimated_by_their_texts() -> None:
    estimate = OpenAI("k").estimate(CreateEmbeddings(model="text-embedding-3-small", texts=("x" * 400,)))
    assert estimate is not None
    assert estimate.usd == pytest.approx(104 * 0.02 / 1e6)
