"""The Responses API: what one attempt sends, and what it makes of the answer, whole or in a stream."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import msgspec
import pytest

from relight.actors import Usage
from relight.actors.providers import (
    ChatMessage,
    CreateResponse,
    ImagePart,
    OpenAI,
    ResponseChunk,
    ResponseReply,
    StreamResponse,
    TextPart,
    Tool,
    ToolCall,
    ToolCallDelta,
)
from relight.supervisors import FailureKind, ProviderError, StreamBrokenError
from tests.actors.raw_http import RawServer, Reply, events, http, http_json, serve

pytestmark = pytest.mark.anyio

ASK = CreateResponse(model="gpt-4o-mini", input="Hello?")
STREAM_ASK = StreamResponse(model="gpt-4o-mini", input="Hello?")


def answer(*more: Mapping[str, object], **changes: object) -> dict[str, object]:
    said = {"type": "message", "content": [{"type": "output_text", "text": "Hello.", "logprobs": None}]}
    usage = {
        "input_tokens": 1000,
        "output_tokens": 100,
        "input_tokens_details": {"cached_tokens": 400},
        "output_tokens_details": {"reasoning_tokens": 30},
    }
    thought = {"type": "reasoning", "content": None}
    output: list[Mapping[str, object]] = [thought, said, *more]
    return {
        "id": "resp_1",
        "model": "gpt-4o-mini-2024-07-18",
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "output": output,
        "usage": usage,
    } | changes


@asynccontextmanager
async def running(reply: Reply) -> AsyncGenerator[tuple[OpenAI, RawServer], None]:
    async with serve(reply) as server:
        openai = OpenAI("k", base_url=f"{server.url}/v1")
        async with openai.lifespan():
            yield openai, server


async def reply_to(reply: Reply, message: CreateResponse = ASK) -> ResponseReply:
    async with running(reply) as (openai, _):
        return await openai.respond(message)


async def sent_for(message: CreateResponse) -> dict[str, object]:
    async with running(http_json(200, answer())) as (openai, server):
        await openai.respond(message)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/responses ")
    return msgspec.json.decode(body, type=dict[str, object])


async def test_a_text_is_sent_as_it_is() -> None:
    message = CreateResponse(
        model="m",
        input="Hi",
        instructions="Be brief.",
        max_output_tokens=10,
        previous_response_id="resp_0",
        extra={"store": False},
    )
    assert await sent_for(message) == {
        "model": "m",
        "input": "Hi",
        "instructions": "Be brief.",
        "max_output_tokens": 10,
        "previous_response_id": "resp_0",
        "store": False,
    }


async def test_turns_pictures_and_tools_are_sent_as_the_api_wants_them() -> None:
    turns = (
        ChatMessage("user", (TextPart("What is this?"), ImagePart("https://example.org/a.png"))),
        ChatMessage("assistant", (TextPart("Let me look."),), tool_calls=(ToolCall("c1", "look", "{}"),)),
        ChatMessage("tool", "a cat", tool_call_id="c1"),
    )
    message = CreateResponse(model="m", input=turns, tools=(Tool("look"),), tool_choice="look")
    assert await sent_for(message) == {
        "model": "m",
        "input": [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is this?"},
                    {"type": "input_image", "image_url": "https://example.org/a.png", "detail": "auto"},
                ],
            },
            {"role": "assistant", "content": [{"type": "output_text", "text": "Let me look."}]},
            {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "a cat"},
        ],
        "tools": [
            {
                "type": "function",
                "name": "look",
                "description": "",
                "parameters": {"type": "object", "properties": {}},
                "strict": False,
            }
        ],
        "tool_choice": {"type": "function", "name": "look"},
    }


async def test_an_answer_is_read_with_its_usage_and_its_price() -> None:
    reply = await reply_to(http_json(200, answer()))
    assert (reply.id, reply.model, reply.text, reply.status) == (
        "resp_1",
        "gpt-4o-mini-2024-07-18",
        "Hello.",
        "completed",
    )
    assert msgspec.structs.replace(reply.usage, usd=None) == Usage(
        input_tokens=1000, output_tokens=100, cached_tokens=400, reasoning_tokens=30
    )
    assert reply.usage.usd == pytest.approx((600 * 0.15 + 400 * 0.075 + 100 * 0.60) / 1e6)


async def test_what_the_model_wants_called_is_read() -> None:
    call = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"at":1}'}
    odd = {"type": "some_call", "name": "x", "arguments": {"a": 1}}
    reply = await reply_to(http_json(200, answer(call, odd)))
    assert reply.tool_calls == (ToolCall("c1", "look", '{"at":1}'),)
    assert reply.tool_calls[0].decoded() == {"at": 1}


async def test_an_answer_that_was_cut_is_returned() -> None:
    cut = answer(status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    assert (await reply_to(http_json(200, cut))).status == "incomplete"


REFUSED = {"type": "message", "content": [{"type": "refusal", "refusal": "I can't"}]}


@pytest.mark.parametrize(
    ("raw", "kind", "code"),
    [
        (answer(REFUSED), FailureKind.CONTENT_POLICY, "refusal"),
        (
            answer(status="incomplete", incomplete_details={"reason": "content_filter"}),
            FailureKind.CONTENT_POLICY,
            "content_filter",
        ),
        (
            answer(status="failed", error={"code": "rate_limit_exceeded", "message": "slow"}),
            FailureKind.RATE_LIMIT,
            "rate_limit_exceeded",
        ),
        (answer(status="failed", error={"code": "server_error", "message": "x"}), FailureKind.SERVER, None),
        (answer(status="failed", error={"code": "vector_store_timeout"}), FailureKind.SERVER, None),
        (answer(status="failed"), FailureKind.SERVER, "server_error"),
        ({"id": "resp_1"}, FailureKind.INVALID_RESPONSE, None),
    ],
)
async def test_an_answer_that_is_none_fails(raw: object, kind: FailureKind, code: str | None) -> None:
    with pytest.raises(ProviderError) as caught:
        await reply_to(http_json(200, raw))
    assert caught.value.kind is kind
    assert code is None or caught.value.code == code


# --- in a stream ----------------------------------------------------------------------------------


def event(kind: str, **fields: object) -> dict[str, object]:
    return {"type": f"response.{kind}"} | fields


CREATED = event("created", response=answer(status="in_progress", output=[], usage=None))
HEL = event("output_text.delta", output_index=0, delta="Hel")
LO = event("output_text.delta", output_index=0, delta="lo.")
COMPLETED = event("completed", response=answer())


async def drain(openai: OpenAI, seen: list[ResponseChunk]) -> None:
    async for chunk in openai.stream_response(STREAM_ASK):
        seen.append(chunk)  # noqa: PERF401 - a comprehension would lose what came before an error


async def chunks_of(*data: object) -> list[ResponseChunk]:
    seen: list[ResponseChunk] = []
    async with running(events(*data)) as (openai, server):
        await drain(openai, seen)
    assert msgspec.json.decode(server.requests[0].partition(b"\r\n\r\n")[2])["stream"] is True
    return seen


async def failure(reply: Reply) -> ProviderError:
    async with running(reply) as (openai, _):
        with pytest.raises(ProviderError) as caught:
            await drain(openai, [])
    return caught.value


async def test_the_text_comes_in_parts_and_the_last_one_closes_the_account() -> None:
    added = event("output_item.added", output_index=0, item={"type": "message", "content": []})
    empty = event("output_text.delta", output_index=0, delta="")
    chunks = await chunks_of(CREATED, event("in_progress"), added, empty, HEL, LO, COMPLETED)
    assert [chunk.text for chunk in chunks] == ["Hel", "lo.", ""]
    last = chunks[-1]
    assert (last.status, last.id, last.model) == ("completed", "resp_1", "gpt-4o-mini-2024-07-18")
    assert last.usage is not None
    assert (last.usage.input_tokens, last.usage.output_tokens, last.usage.is_estimate) == (1000, 100, False)


async def test_a_stream_without_a_usage_ends_with_an_estimate_that_says_so() -> None:
    chunks = await chunks_of(CREATED, HEL, event("completed", response=answer(usage=None)), "[DONE]")
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.output_tokens, chunks[-1].usage.is_estimate) == (1, True)


async def test_tool_calls_come_in_parts() -> None:
    item = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": ""}
    chunks = await chunks_of(
        CREATED,
        event("output_item.added", output_index=1, item=item),
        event("function_call_arguments.delta", output_index=1, delta='{"at":1}'),
        COMPLETED,
    )
    assert [delta for chunk in chunks for delta in chunk.tool_calls] == [
        ToolCallDelta(1, "c1", "look"),
        ToolCallDelta(1, arguments='{"at":1}'),
    ]


async def test_the_parts_of_a_stream_can_be_put_together() -> None:
    chunks = await chunks_of(CREATED, HEL, LO, COMPLETED)
    assert ResponseReply.of(chunks) == await reply_to(http_json(200, answer()))


async def test_a_clean_early_end_is_a_broken_stream_with_what_came() -> None:
    error = await failure(events(CREATED, HEL))
    assert isinstance(error, StreamBrokenError)
    assert error.kind is FailureKind.STREAM_BROKEN
    assert isinstance(error.partial, ResponseReply)
    assert (error.partial.text, error.partial.id, error.partial.status) == ("Hel", "resp_1", "in_progress")
    assert error.partial.usage.is_estimate


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        ({"type": "error", "code": "rate_limit_exceeded", "message": "slow"}, FailureKind.RATE_LIMIT),
        ({"type": "error", "code": None, "message": "?"}, FailureKind.SERVER),
        (
            event("failed", response=answer(status="failed", error={"code": "server_error", "message": "x"})),
            FailureKind.SERVER,
        ),
        (event("incomplete", response=answer(incomplete_details={"reason": "content_filter"})), None),
        ({"delta": "no type"}, FailureKind.INVALID_RESPONSE),
        (event("created", response=7), FailureKind.INVALID_RESPONSE),
        (event("completed", response={"id": 1}), FailureKind.INVALID_RESPONSE),
        (event("output_item.added", item=[]), FailureKind.INVALID_RESPONSE),
        ("{", FailureKind.INVALID_RESPONSE),
    ],
)
async def test_an_error_in_the_stream_is_typed(bad: object, kind: FailureKind | None) -> None:
    kind = kind or FailureKind.CONTENT_POLICY
    error = await failure(events(CREATED, bad))
    assert (type(error), error.kind) == (ProviderError, kind)
    error = await failure(events(CREATED, HEL, bad))
    assert isinstance(error, StreamBrokenError)
    assert error.kind is kind


async def test_an_error_status_is_what_it_is_anywhere_else() -> None:
    assert (await failure(http(503))).kind is FailureKind.OVERLOADED


def test_a_response_is_estimated_by_its_input_and_its_longest_answer() -> None:
    message = CreateResponse(model="gpt-4o", input="x" * 400, instructions="y" * 40, max_output_tokens=100)
    estimate = OpenAI("k").estimate(message)
    assert estimate is not None
    assert estimate.usd == pytest.approx((104 + 14) * 2.5e-6 + 100 * 10e-6)
