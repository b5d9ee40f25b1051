"""Streams of OpenAI and its kin: what is delivered, and what a break leaves behind."""

import anyio
import anyio.abc
import msgspec
import pytest

from relight.actors import Usage
from relight.actors.providers import (
    ChatChunk,
    ChatMessage,
    ChatReply,
    OpenAI,
    StreamChat,
    ToolCall,
    ToolCallDelta,
)
from relight.supervisors import FailureKind, ProviderError, StreamBrokenError
from tests.actors.raw_http import STREAM, RawServer, Reply, events, http, http_json, serve

pytestmark = pytest.mark.anyio

ASK = StreamChat(model="gpt-4o-mini", messages=(ChatMessage("user", "Hello?"),))
USAGE = {"prompt_tokens": 1000, "completion_tokens": 100}


def part(content: str | None = None, finish_reason: str | None = None, **delta: object) -> dict[str, object]:
    choice = {"index": 0, "delta": {"content": content} | delta, "finish_reason": finish_reason}
    return {"id": "chatcmpl-1", "model": "gpt-4o-mini-2024-07-18", "choices": [choice]}


COUNTED: dict[str, object] = {"id": "chatcmpl-1", "choices": [], "usage": USAGE}
WHOLE = events(part("", role="assistant"), part("Hel"), part("lo."), part(None, "stop"), COUNTED, "[DONE]")


async def drain(openai: OpenAI, message: StreamChat, seen: list[ChatChunk]) -> None:
    async for chunk in openai.stream_chat(message):
        seen.append(chunk)  # noqa: PERF401 - a comprehension would lose what came before an error


async def chunks_of(
    reply: Reply, message: StreamChat = ASK, **options: str
) -> tuple[list[ChatChunk], RawServer]:
    seen: list[ChatChunk] = []
    async with serve(reply) as server:
        openai = OpenAI("k", base_url=server.url, **options)  # type: ignore[arg-type]
        async with openai.lifespan():
            await drain(openai, message, seen)
    return seen, server


async def failure(reply: Reply, **options: str) -> tuple[ProviderError, str]:
    """Read a stream to its error; return that, and the text before it."""
    seen: list[ChatChunk] = []
    async with serve(reply) as server:
        openai = OpenAI("k", base_url=server.url, **options)  # type: ignore[arg-type]
        async with openai.lifespan():
            with pytest.raises(ProviderError) as caught:
                await drain(openai, ASK, seen)
    return caught.value, "".join(chunk.text for chunk in seen)


async def test_a_stream_is_asked_for_with_its_usage() -> None:
    _, server = await chunks_of(WHOLE)
    body = msgspec.json.decode(server.requests[0].partition(b"\r\n\r\n")[2])
    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})


async def test_the_usage_is_not_asked_for_where_the_server_refuses_that() -> None:
    _, server = await chunks_of(WHOLE, msgspec.structs.replace(ASK, include_usage=False))
    assert "stream_options" not in msgspec.json.decode(server.requests[0].partition(b"\r\n\r\n")[2])


async def test_the_text_comes_in_parts_and_the_last_one_closes_the_account() -> None:
    chunks, _ = await chunks_of(WHOLE)
    assert [chunk.text for chunk in chunks] == ["Hel", "lo.", ""]
    assert all(chunk.usage is None and chunk.finish_reason is None for chunk in chunks[:-1])
    last = chunks[-1]
    assert (last.finish_reason, last.id, last.model) == ("stop", "chatcmpl-1", "gpt-4o-mini-2024-07-18")
    assert last.usage is not None
    assert (last.usage.input_tokens, last.usage.output_tokens, last.usage.is_estimate) == (1000, 100, False)
    assert last.usage.usd == pytest.approx((1000 * 0.15 + 100 * 0.60) / 1e6)


async def test_a_stream_without_a_usage_ends_with_an_estimate_that_says_so() -> None:
    chunks, _ = await chunks_of(events(part("x" * 40), part(None, "stop"), "[DONE]"))
    assert chunks[-1].usage is not None
    usage = msgspec.structs.replace(chunks[-1].usage, usd=None)
    assert usage == Usage(input_tokens=ASK.input_tokens, output_tokens=10, is_estimate=True)


async def test_a_stream_that_counts_along_ends_with_its_last_count() -> None:
    counting = [part("a") | {"usage": {"prompt_tokens": 5, "completion_tokens": n}} for n in (1, 2)]
    chunks, _ = await chunks_of(events(*counting, part(None, "stop"), "[DONE]"))
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.output_tokens, chunks[-1].usage.is_estimate) == (2, False)


async def test_tool_calls_come_in_parts() -> None:
    def call(index: int, **fields: object) -> dict[str, object]:
        return part(None, tool_calls=[{"index": index} | fields])

    reply = events(
        call(0, id="call_1", type="function", function={"name": "look", "arguments": ""}),
        call(0, function={"arguments": '{"at":'}),
        call(0, function={"arguments": "1}"}),
        part(None, "tool_calls"),
        "[DONE]",
    )
    chunks, _ = await chunks_of(reply)
    assert [delta for chunk in chunks for delta in chunk.tool_calls] == [
        ToolCallDelta(0, "call_1", "look"),
        ToolCallDelta(0, arguments='{"at":'),
        ToolCallDelta(0, arguments="1}"),
    ]
    assert chunks[-1].finish_reason == "tool_calls"


async def test_the_parts_of_a_stream_can_be_put_together() -> None:
    chunks, _ = await chunks_of(WHOLE)
    assert ChatReply.of(chunks) == ChatReply(
        id="chatcmpl-1",
        model="gpt-4o-mini-2024-07-18",
        text="Hello.",
        finish_reason="stop",
        usage=chunks[-1].usage or Usage(),
    )
    assert ChatReply.of([]).text == ""


async def test_tool_calls_of_servers_that_do_not_number_them_are_told_apart() -> None:
    calls = [{"id": f"c{n}", "function": {"name": "look", "arguments": "{}"}} for n in (1, 2)]
    chunks, _ = await chunks_of(events(part(None, tool_calls=calls), part(None, "tool_calls")))
    assert ChatReply.of(chunks).tool_calls == (ToolCall("c1", "look", "{}"), ToolCall("c2", "look", "{}"))


async def test_other_choices_than_the_first_are_left_out() -> None:
    other = {"choices": [{"index": 1, "delta": {"content": "no"}, "finish_reason": "length"}]}
    chunks, _ = await chunks_of(events(part("yes"), other, part(None, "stop"), "[DONE]"))
    assert [chunk.text for chunk in chunks] == ["yes", ""]
    assert chunks[-1].finish_reason == "stop"


# --- how it may end ---------------------------------------------------------------------------------


async def test_a_clean_early_end_is_a_broken_stream_with_what_came() -> None:
    error, seen = await failure(events(part("Hel"), part("lo")))
    assert isinstance(error, StreamBrokenError)
    assert (error.kind, seen) == (FailureKind.STREAM_BROKEN, "Hello")
    partial = error.partial
    assert isinstance(partial, ChatReply)
    assert (partial.text, partial.finish_reason, partial.id) == ("Hello", None, "chatcmpl-1")
    assert msgspec.structs.replace(partial.usage, usd=None) == Usage(
        input_tokens=ASK.input_tokens, output_tokens=2, is_estimate=True
    )
    assert partial.usage.usd is not None


async def test_what_came_of_a_tool_call_is_kept() -> None:
    call = {"index": 0, "id": "call_1", "function": {"name": "look", "arguments": '{"at'}}
    error, _ = await failure(events(part(None, tool_calls=[call])))
    assert isinstance(error, StreamBrokenError)
    assert isinstance(error.partial, ChatReply)
    assert error.partial.tool_calls == (ToolCall("call_1", "look", '{"at'),)


ENDS = {
    "reason and done": events(part("a"), part(None, "stop"), "[DONE]"),
    "reason": events(part("a"), part(None, "stop")),
    "done": events(part("a"), "[DONE]"),
    "neither": events(part("a")),
}


@pytest.mark.parametrize(
    ("end_marker", "whole"),
    [
        ("finish_reason", {"reason and done", "reason"}),
        ("done", {"reason and done", "reason", "done"}),
        ("any", {"reason and done", "reason", "done", "neither"}),
    ],
)
async def test_which_end_is_whole_can_be_chosen(end_marker: str, whole: set[str]) -> None:
    for name, reply in ENDS.items():
        if name in whole:
            chunks, _ = await chunks_of(reply, end_marker=end_marker)
            assert [chunk.text for chunk in chunks] == ["a", ""]
        else:
            error, _ = await failure(reply, end_marker=end_marker)
            assert error.kind is FailureKind.STREAM_BROKEN


async def test_a_connection_that_breaks_in_mid_stream_is_a_broken_stream_whatever_the_end_marker() -> None:
    cut = STREAM.replace(b"\r\n\r\n", b"\r\nContent-Length: 9999\r\n\r\n") + b"data: %s\n\n" % (
        msgspec.json.encode(part("Hel"))
    )
    error, seen = await failure(cut, end_marker="any")
    assert isinstance(error, StreamBrokenError)
    assert (error.kind, seen) == (FailureKind.STREAM_BROKEN, "Hel")
    assert isinstance(error.__cause__, ProviderError)
    assert error.__cause__.kind is FailureKind.NETWORK


async def test_a_connection_that_breaks_before_the_first_part_is_a_network_failure() -> None:
    error, _ = await failure(STREAM.replace(b"\r\n\r\n", b"\r\nContent-Length: 9999\r\n\r\n"))
    assert (type(error), error.kind) == (ProviderError, FailureKind.NETWORK)


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        ({"error": {"message": "full", "type": "server_error"}}, FailureKind.SERVER),
        ({"error": {"code": "server_is_overloaded"}}, FailureKind.OVERLOADED),
        ({"error": {"type": "tokens", "code": "rate_limit_exceeded"}}, FailureKind.RATE_LIMIT),
        ({"error": {"code": 429, "message": "later"}}, FailureKind.RATE_LIMIT),
        ({"error": {"code": "insufficient_quota"}}, FailureKind.QUOTA),
        ({"error": {"message": "Provider returned error"}}, FailureKind.SERVER),
        ({"error": "gone"}, FailureKind.SERVER),
        ('{"choices": [', FailureKind.INVALID_RESPONSE),
        ({"choices": 7}, FailureKind.INVALID_RESPONSE),
        ([], FailureKind.INVALID_RESPONSE),
        ("", FailureKind.INVALID_RESPONSE),
    ],
)
async def test_an_error_in_the_stream_is_typed_before_and_after_the_first_part(
    bad: object, kind: FailureKind
) -> None:
    error, _ = await failure(events(bad, part("late"), part(None, "stop")))
    assert (type(error), error.kind) == (ProviderError, kind)
    error, seen = await failure(events(part("Hel"), bad, part("late"), part(None, "stop")))
    assert isinstance(error, StreamBrokenError)
    assert (error.kind, seen) == (kind, "Hel")
    assert isinstance(error.partial, ChatReply)
    assert error.partial.text == "Hel"


async def test_an_event_called_error_is_one_whatever_its_form() -> None:
    error, _ = await failure(STREAM + b'event: error\ndata: {"message": "full", "code": 503}\n\n')
    assert (error.kind, error.detail) == (FailureKind.OVERLOADED, "full")


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (events(part("Hel"), part(None, "content_filter"), "[DONE]"), "content_filter"),
        (events(part("Hel"), part(refusal="I "), part(refusal="can't"), part(None, "stop")), "refusal"),
    ],
)
async def test_a_stream_that_is_declined_says_so_at_its_end(reply: bytes, code: str) -> None:
    error, seen = await failure(reply)
    assert isinstance(error, StreamBrokenError)
    assert (error.kind, error.code, seen) == (FailureKind.CONTENT_POLICY, code, "Hel")


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (http_json(429, {"error": {"code": "insufficient_quota"}}), FailureKind.QUOTA),
        (http_json(200, {"choices": [{"message": {"content": "whole"}}]}), FailureKind.INVALID_RESPONSE),
        (http(502, b"<html>"), FailureKind.SERVER),
        (events("x" * 5_000_000), FailureKind.INVALID_RESPONSE),
    ],
    ids=["error", "no stream", "page", "huge event"],
)
async def test_an_answer_that_is_no_stream_fails(reply: bytes, kind: FailureKind) -> None:
    error, _ = await failure(reply)
    assert (type(error), error.kind) == (ProviderError, kind)


async def test_the_connection_is_kept_after_a_whole_stream() -> None:
    body = WHOLE.partition(b"\r\n\r\n")[2]
    reply = http(200, body, "content-type: text/event-stream")
    async with serve(reply) as server:
        openai = OpenAI("k", base_url=server.url)
        async with openai.lifespan():
            for _ in range(2):
                await drain(openai, ASK, [])
    assert server.connections == 1


async def test_a_key_that_is_echoed_in_a_stream_is_in_no_error() -> None:
    key = "sk-0123456789"
    async with serve(events({"error": {"message": f"bad {key}", "code": "invalid_api_key"}})) as server:
        openai = OpenAI(key, base_url=server.url)
        async with openai.lifespan():
            with pytest.raises(ProviderError) as caught:
                await drain(openai, ASK, [])
    assert caught.value.kind is FailureKind.AUTH
    assert key not in f"{caught.value!r} {vars(caught.value)}"


async def test_parts_come_as_they_are_written() -> None:
    read = anyio.Event()

    async def slowly(stream: anyio.abc.SocketStream) -> None:
        await stream.send(events(part("Hel")))
        await read.wait()
        await stream.send(events(part("lo"), part(None, "stop"), "[DONE]").removeprefix(STREAM))

    async with serve(slowly) as server:
        openai = OpenAI("k", base_url=server.url)
        async with openai.lifespan():
            texts: list[str] = []
            async for chunk in openai.stream_chat(ASK):
                texts.append(chunk.text)
                read.set()
    assert texts == ["Hel", "lo", ""]


def test_a_stream_is_estimated_as_the_whole_answer_would_be() -> None:
    estimate = OpenAI("k").estimate(msgspec.structs.replace(ASK, max_tokens=100))
    assert estimate is not None
    assert estimate.usd == pytest.approx((ASK.input_tokens * 0.15 + 100 * 0.60) / 1e6)
