"""Images: what one attempt sends, and what it makes of the answer."""

from base64 import b64encode

import msgspec
import pytest

from relight.actors import DEFAULT_PRICES, Price
from relight.actors.providers import CreateImages, ImagesReply, MadeImage, OpenAI
from relight.supervisors import FailureKind, ProviderError
from tests.actors.raw_http import http, http_json, serve

pytestmark = pytest.mark.anyio

ASK = CreateImages(model="painter", prompt="A cat.", n=2)
PRICES = DEFAULT_PRICES.with_prices({"painter": Price(image=0.04), "counter": Price(input=5.0, output=40.0)})
PNG = b"\x89PNG\r\n\x1a\n"


async def reply_to(raw: bytes, message: CreateImages = ASK) -> tuple[ImagesReply, bytes]:
    async with serve(raw) as server:
        openai = OpenAI("k", base_url=f"{server.url}/v1", prices=PRICES)
        async with openai.lifespan():
            return await openai.paint(message), server.requests[0]


async def test_images_are_asked_for_as_the_api_wants_it() -> None:
    message = CreateImages(
        model="m", prompt="A cat.", size="1024x1024", quality="low", extra={"background": "transparent"}
    )
    _, request = await reply_to(http_json(200, {"data": [{"url": "u"}]}), message)
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/images/generations ")
    assert msgspec.json.decode(body) == {
        "model": "m",
        "prompt": "A cat.",
        "n": 1,
        "size": "1024x1024",
        "quality": "low",
        "background": "transparent",
    }


async def test_images_come_as_bytes_or_as_addresses() -> None:
    data = [
        {"b64_json": b64encode(PNG).decode()},
        {"url": "https://x/1.png", "revised_prompt": "A grey cat."},
    ]
    reply, _ = await reply_to(http_json(200, {"created": 1, "data": data}))
    assert reply.images == (
        MadeImage(data=PNG),
        MadeImage(url="https://x/1.png", revised_prompt="A grey cat."),
    )


async def test_images_are_charged_by_the_piece() -> None:
    reply, _ = await reply_to(http_json(200, {"data": [{"url": "1"}, {"url": "2"}]}))
    assert reply.usage.images == 2
    assert reply.usage.usd == pytest.approx(0.08)


async def test_images_are_charged_by_the_token_where_the_model_is() -> None:
    body = {
        "data": [{"url": "1"}],
        "usage": {"input_tokens": 50, "output_tokens": 4160, "total_tokens": 4210},
    }
    reply, _ = await reply_to(http_json(200, body), msgspec.structs.replace(ASK, model="counter"))
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (50, 4160)
    assert reply.usage.usd == pytest.approx((50 * 5 + 4160 * 40) / 1e6)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (http_json(200, {"data": []}), FailureKind.INVALID_RESPONSE),
        (http_json(200, {"data": [{"revised_prompt": "x"}]}), FailureKind.INVALID_RESPONSE),
        (http_json(200, {"data": [{"b64_json": ""}]}), FailureKind.INVALID_RESPONSE),
        (http_json(200, {"data": [{"b64_json": "!!!"}]}), FailureKind.INVALID_RESPONSE),
        (http(200, b'{"data": [{"b64_json": "aaa'), FailureKind.INVALID_RESPONSE),
        (http_json(400, {"error": {"code": "content_policy_violation"}}), FailureKind.CONTENT_POLICY),
        (http_json(400, {"error": {"code": "moderation_blocked"}}), FailureKind.CONTENT_POLICY),
    ],
)
async def test_an_answer_that_is_none_fails(raw: bytes, kind: FailureKind) -> None:
    with pytest.raises(ProviderError) as caught:
        await reply_to(raw)
    assert caught.value.kind is kind


def test_images_are_estimated_by_the_piece() -> None:
    estimate = OpenAI("k", prices=PRICES).estimate(ASK)
    assert estimate is not None
    assert estimate.usd == pytest.approx(0.08)
