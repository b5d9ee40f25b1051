"""Whatever a provider answers, it ends as a typed error or as a typed reply; never as anything else."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import anyio
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relight.actors import EventStream, HttpReply, HttpRequest, HttpStream
from relight.actors.providers import (
    PROVIDERS,
    Anthropic,
    ChatCompletion,
    ChatMessage,
    CreateEmbeddings,
    CreateImages,
    CreateMessage,
    CreateResponse,
    OpenAI,
    StreamChat,
    StreamMessage,
    StreamResponse,
)
from relight.supervisors import ProviderError

SAID = (ChatMessage("user", "Hello?"),)


def typed(kind: str, rest: dict[str, object]) -> bytes:
    return msgspec.json.encode(rest | {"type": kind})


WORDS = """
    error code type message details choices delta content finish_reason usage prompt_tokens index id model
    output response status item input text refusal tool_calls function name arguments stop_reason
    content_block thinking partial_json data embedding b64_json url retry_after input_tokens
    incomplete_details
"""
KINDS = """
    message_start content_block_start content_block_delta message_delta message_stop ping error
    response.created response.output_text.delta response.output_item.added
    response.function_call_arguments.delta response.completed response.failed response.incomplete
"""
NAMES = st.sampled_from(WORDS.split())
TYPES = st.sampled_from(KINDS.split())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 600) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(NAMES, JSON, max_size=5)
EVENTS = st.builds(typed, TYPES, OBJECTS)
DATA = st.one_of(
    EVENTS, JSON.map(msgspec.json.encode), st.sampled_from([b"[DONE]", b"", b"{", b"<html>", b"\xff"])
)
STREAMS = st.lists(
    st.one_of(DATA.map(lambda data: b"data: " + data + b"\n\n"), st.binary(max_size=20)), max_size=8
)
BODIES = st.one_of(DATA, st.binary(max_size=50))


class Answered:
    """Stands in for the connection, so that thousands of answers cost no sockets."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    async def send(self, message: HttpRequest) -> HttpReply:
        return HttpReply(200, {}, self.body)

    @asynccontextmanager
    async def stream(self, message: HttpRequest) -> AsyncGenerator[HttpStream]:
        pieces = [self.body[at : at + 7] for at in range(0, len(self.body), 7)]

        async def receive() -> bytes:
            return pieces.pop(0) if pieces else b""

        yield HttpStream(200, {}, receive)


async def _all(chunks: AsyncIterator[object]) -> list[object]:
    return [chunk async for chunk in chunks]


def run(provider: OpenAI | Anthropic, body: bytes, ask: Callable[[], object]) -> None:
    provider._client = Answered(body)  # type: ignore[assignment]

    async def attempt() -> None:
        try:
            asked = ask()
            await (_all(asked) if isinstance(asked, AsyncIterator) else asked)  # type: ignore[misc]
        except ProviderError as error:
            assert error.kind.value  # noqa: PT017 - any kind will do

    anyio.run(attempt, backend="asyncio")


@settings(max_examples=150)
@given(STREAMS.map(b"".join), st.sampled_from(["finish_reason", "done", "any"]))
def test_any_stream_ends_typed(body: bytes, end_marker: str) -> None:
    openai = OpenAI("sk-key", end_marker=end_marker)  # type: ignore[arg-type]
    anthropic = Anthropic("sk-key")
    run(openai, body, lambda: openai.stream_chat(StreamChat(model="m", messages=SAID)))
    run(openai, body, lambda: openai.stream_response(StreamResponse(model="m", input="x")))
    run(anthropic, body, lambda: anthropic.stream_message(StreamMessage(model="m", messages=SAID)))


@settings(max_examples=150)
@given(BODIES)
def test_any_answer_ends_typed(body: bytes) -> None:
    openai, anthropic = OpenAI("sk-key"), Anthropic("sk-key")
    run(openai, body, lambda: openai.complete(ChatCompletion(model="m", messages=SAID)))
    run(openai, body, lambda: openai.respond(CreateResponse(model="m", input="x")))
    run(openai, body, lambda: openai.embed(CreateEmbeddings(model="m", texts=("x",))))
    run(openai, body, lambda: openai.paint(CreateImages(model="m", prompt="x")))
    run(anthropic, body, lambda: anthropic.create(CreateMessage(model="m", messages=SAID)))


@pytest.mark.parametrize("provider", PROVIDERS)
@given(status=st.integers(100, 999), body=BODIES, wait=st.text(max_size=12) | st.floats().map(str))
def test_any_error_is_classified_and_its_wait_makes_sense(
    provider: type[OpenAI], status: int, body: bytes, wait: str
) -> None:
    headers = {"retry-after": wait, "retry-after-ms": wait, "content-type": wait}
    now = datetime(2026, 11, 22, tzinfo=UTC)
    error = provider.errors.classify("p", status, headers, body, now=now)
    assert error.retry_after is None or 0 < error.retry_after < float("inf")


def test_the_stand_in_reads_as_the_connection_does() -> None:
    openai = OpenAI("k")
    openai._client = Answered(b"data: 1\n\n")  # type: ignore[assignment]

    async def main() -> list[str]:
        async with openai.exchange_events(HttpRequest("GET", "/")) as events:
            assert isinstance(events, EventStream)
            return [event.data async for event in events]

    assert anyio.run(main) == ["1"]
