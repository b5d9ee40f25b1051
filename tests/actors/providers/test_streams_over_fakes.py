"""Every operation and every stream over the fakes: real HTTP, the providers' own errors, by name."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from relight.actors.fakes import ERRORS, FaultKind, Step
from relight.actors.providers import (
    Anthropic,
    ChatCompletion,
    ChatMessage,
    ChatReply,
    CreateEmbeddings,
    CreateImages,
    CreateMessage,
    CreateResponse,
    MessageReply,
    OpenAI,
    ResponseReply,
    StreamChat,
    StreamMessage,
    StreamResponse,
)
from relight.runtime import Ref, Request, StreamRequest
from relight.supervisors import Child, FailureKind, ProviderError, StreamBrokenError, open_system
from tests.actors.providers.servers import Servers, impatient, opened_servers

pytestmark = pytest.mark.anyio

SAID = (ChatMessage("user", "Tell me of the sea, the wind and the ships."),)
CHAT = StreamChat(model="gpt-4o-mini", messages=SAID)
RESPONSE = StreamResponse(model="gpt-4o-mini", input=SAID)
MESSAGE = StreamMessage(model="claude-haiku-4-5", messages=SAID)
STREAMS = [("openai", CHAT), ("openai", RESPONSE), ("anthropic", MESSAGE)]

streams = pytest.mark.parametrize(("name", "message"), STREAMS, ids=["chat", "response", "message"])


@pytest.fixture(scope="module")
def opened() -> Iterator[Servers]:
    with opened_servers(["openai", "anthropic"]) as servers:
        yield servers


@asynccontextmanager
async def running(servers: Servers, name: str) -> AsyncGenerator[Ref, None]:
    url, key = servers.fakes.url(name), servers.fakes.key(name)
    service, base = (OpenAI, f"{url}/v1") if name == "openai" else (Anthropic, url)
    policy = impatient(service.policy, max_wait=1.0)
    child = Child(name, partial(service, key, base_url=base), policy=policy)
    async with open_system() as system:
        yield await system.spawn(child)


async def read(ref: Ref, message: StreamRequest[Any]) -> str:
    async with ref.stream(message, timeout=30.0) as chunks:
        return "".join([str(getattr(chunk, "text", "")) async for chunk in chunks])


async def failure(servers: Servers, name: str, message: StreamRequest[Any]) -> ProviderError:
    async with running(servers, name) as ref:
        with pytest.raises(ProviderError) as caught:
            await read(ref, message)
    return caught.value


async def test_every_operation_of_openai_answers(servers: Servers) -> None:
    async with running(servers, "openai") as ref:
        chat = await ref.ask(ChatCompletion(model="gpt-4o-mini", messages=SAID))
        response = await ref.ask(CreateResponse(model="gpt-4o-mini", input=SAID))
        embeddings = await ref.ask(CreateEmbeddings(model="text-embedding-3-small", texts=("sea", "wind")))
        images = await ref.ask(CreateImages(model="gpt-image-1", prompt="A ship.", n=2))
        linked = await ref.ask(CreateImages(model="dall-e-3", prompt="A ship.", response_format="url"))
    assert chat.text
    assert response.text
    assert response.usage.output_tokens > 0
    assert [len(vector) for vector in embeddings.vectors] == [1536, 1536]
    assert [image.data is not None and image.data.startswith(b"\x89PNG") for image in images.images] == [
        True,
        True,
    ]
    assert linked.images[0].url is not None


async def test_a_stream_is_the_whole_answer_in_parts(servers: Servers) -> None:
    async with running(servers, "openai") as ref:
        chat = await ref.ask(ChatCompletion(model="gpt-4o-mini", messages=SAID))
        streamed_chat = ChatReply.of(await ref.ask(CHAT))
        response = await ref.ask(CreateResponse(model="gpt-4o-mini", input=SAID))
        streamed_response = ResponseReply.of(await ref.ask(RESPONSE))
    async with running(servers, "anthropic") as ref:
        message = await ref.ask(CreateMessage(model="claude-haiku-4-5", messages=SAID))
        streamed_message = MessageReply.of(await ref.ask(MESSAGE))
    assert (streamed_chat.text, streamed_chat.usage, streamed_chat.finish_reason) == (
        chat.text,
        chat.usage,
        "stop",
    )
    assert (streamed_response.text, streamed_response.usage) == (response.text, response.usage)
    assert (streamed_message.text, streamed_message.usage) == (message.text, message.usage)
    assert not streamed_message.usage.is_estimate


@streams
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (FaultKind.STREAM_ERROR, FailureKind.OVERLOADED),
        (FaultKind.STREAM_RESET, FailureKind.STREAM_BROKEN),
        (FaultKind.STREAM_ENDS, FailureKind.STREAM_BROKEN),
        (FaultKind.TRUNCATED, FailureKind.STREAM_BROKEN),
    ],
)
async def test_a_stream_that_fails_in_the_middle_is_sent_once_and_keeps_what_came(
    servers: Servers, name: str, message: StreamRequest[Any], fault: FaultKind, kind: FailureKind
) -> None:
    servers.script(name, Step(fault=fault))
    error = await failure(servers, name, message)
    assert isinstance(error, StreamBrokenError)
    assert error.kind is kind
    assert isinstance(error.partial, ChatReply | ResponseReply | MessageReply)
    assert error.partial.text
    assert error.partial.usage.is_estimate
    assert len(servers.requests(name)) == 1


@streams
@pytest.mark.parametrize(
    "fault",
    [
        FaultKind.STREAM_ERROR,
        FaultKind.STREAM_RESET,
        FaultKind.STREAM_ENDS,
        FaultKind.HTML_ERROR,
        FaultKind.RESET,
    ],
)
async def test_a_stream_that_fails_before_its_first_word_is_begun_again(
    servers: Servers, name: str, message: StreamRequest[Any], fault: FaultKind
) -> None:
    servers.script(name, Step(fault=fault, after=0))
    async with running(servers, name) as ref:
        assert await read(ref, message)
    assert len(servers.requests(name)) == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("openai", ChatCompletion(model="gpt-4o-mini", messages=SAID)),
        ("openai", CreateResponse(model="gpt-4o-mini", input=SAID)),
        ("openai", CreateEmbeddings(model="text-embedding-3-small", texts=("sea",))),
        ("openai", CreateImages(model="gpt-image-1", prompt="A ship.")),
        ("anthropic", CreateMessage(model="claude-haiku-4-5", messages=SAID)),
    ],
    ids=["chat", "response", "embeddings", "images", "message"],
)
@pytest.mark.parametrize("fault", [FaultKind.WRONG_LENGTH, FaultKind.BROKEN_JSON, FaultKind.TRUNCATED])
async def test_an_answer_that_is_garbled_is_asked_for_again_and_spoils_no_other(
    servers: Servers, name: str, message: Request[object], fault: FaultKind
) -> None:
    servers.script(name, Step(fault=fault))
    async with running(servers, name) as ref:
        await ref.ask(message, timeout=30.0)
        await ref.ask(message, timeout=30.0)
    assert len(servers.requests(name)) == 3


MONEY = FailureKind.QUOTA
KINDS = {
    "rate_limit_tokens": FailureKind.RATE_LIMIT,
    "credit_balance_exhausted": MONEY,
    "organization_spend_limit_exceeded": MONEY,
    "project_spend_limit_exceeded": MONEY,
    "organization_usage_limit_exceeded": MONEY,
    "billing_not_active": MONEY,
    "usage_limit_exceeded": MONEY,
    "image_content_policy_violation": FailureKind.CONTENT_POLICY,
    "invalid_prompt": FailureKind.CONTENT_POLICY,
    "unsupported_country_region_territory": FailureKind.AUTH,
    "timeout": FailureKind.TIMEOUT,
    "conflict": FailureKind.BAD_REQUEST,
    "unprocessable": FailureKind.BAD_REQUEST,
    "azure_content_filter": FailureKind.CONTENT_POLICY,
    "azure_high_demand": FailureKind.OVERLOADED,
    "compatible_flat": FailureKind.BAD_REQUEST,
    "compatible_number": FailureKind.BAD_REQUEST,
    "usage_limits_reached": MONEY,
    "linked_organization_spend_limit_reached": MONEY,
    "linked_organization_billing_unavailable": MONEY,
    "permission_error": FailureKind.AUTH,
    "request_too_large_html": FailureKind.BAD_REQUEST,
    "enforced_spend_limit_reached": MONEY,
    "contract_spend_limit_reached": MONEY,
    "timeout_error": FailureKind.TIMEOUT,
}
NAMED = [(provider, name) for provider, names in ERRORS.items() for name in names]


@pytest.mark.parametrize(("provider", "error"), NAMED)
async def test_each_error_a_provider_has_a_name_for_is_its_kind(
    servers: Servers, provider: str, error: str
) -> None:
    servers.script(provider, Step(error=error, times=5))
    caught = await failure(servers, provider, CHAT if provider == "openai" else MESSAGE)
    assert caught.kind is KINDS[error]
    if not KINDS[error].is_retryable and error != "conflict":
        assert len(servers.requests(provider)) == 1


async def test_the_key_is_in_no_error_of_a_stream(servers: Servers) -> None:
    servers.script("openai", Step(error="compatible_flat"))
    error = await failure(servers, "openai", CHAT)
    assert servers.fakes.key("openai") not in f"{error!r} {vars(error)}"
