"""Streams of Anthropic: what is delivered, and what a break leaves behind."""

from collections.abc import Mapping

import anyio
import anyio.abc
import msgspec
import pytest

from relight.actors import Usage
from relight.actors.providers import (
    Anthropic,
    ChatMessage,
    MessageChunk,
    MessageReply,
    StreamMessage,
    ToolCall,
    ToolCallDelta,
)
from relight.supervisors import FailureKind, ProviderError, StreamBrokenError
from tests.actors.raw_http import STREAM, RawServer, Reply, http, http_json, serve

pytestmark = pytest.mark.anyio

ASK = StreamMessage(model="claude-haiku-4-5", messages=(ChatMessage("user", "Hello?"),))
Event = Mapping[str, object]


def start(**usage: int) -> Event:
    counted = {"input_tokens": 500, "output_tokens": 1, "cache_read_input_tokens": 300} | usage
    message = {"id": "msg_1", "model": "claude-haiku-4-5-20251001", "usage": counted}
    return {"type": "message_start", "message": message}


def begin(index: int, **block: object) -> Event:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, kind: str, **fields: object) -> Event:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind} | fields}


def text(words: str, index: int = 0) -> Event:
    return delta(index, "text_delta", text=words)


def end(stop_reason: str = "end_turn", **usage: int) -> tuple[Event, Event]:
    counted = {"output_tokens": 100} | usage
    delta = {"stop_reason": stop_reason, "stop_sequence": None}
    return {"type": "message_delta", "delta": delta, "usage": counted}, {"type": "message_stop"}


def error(kind: str, message: str = "no") -> Event:
    return {
        "type": "error",
        "error": {"type": kind, "message": message, "details": None},
        "request_id": "req_1",
    }


PING: Event = {"type": "ping"}
OPENED: tuple[Event, ...] = (start(), begin(0, type="text", text=""), PING)
CLOSED: tuple[Event, ...] = ({"type": "content_block_stop", "index": 0}, *end())


def stream(*events: Event | bytes) -> bytes:
    """Write a stream as Anthropic does: each event with its name."""
    written = [
        event
        if isinstance(event, bytes)
        else b"event: %s\ndata: %s\n\n" % (str(event["type"]).encode(), msgspec.json.encode(event))
        for event in events
    ]
    return STREAM + b"".join(written)


async def drain(anthropic: Anthropic, seen: list[MessageChunk]) -> None:
    async for chunk in anthropic.stream_message(ASK):
        seen.append(chunk)  # noqa: PERF401 - a comprehension would lose what came before an error


async def chunks_of(*events: Event | bytes) -> tuple[list[MessageChunk], RawServer]:
    seen: list[MessageChunk] = []
    async with serve(stream(*events)) as server:
        anthropic = Anthropic("k", base_url=server.url)
        async with anthropic.lifespan():
            await drain(anthropic, seen)
    return seen, server


async def failure(reply: Reply) -> tuple[ProviderError, str]:
    """Read a stream to its error; return that, and the text before it."""
    seen: list[MessageChunk] = []
    async with serve(reply) as server:
        anthropic = Anthropic("k", base_url=server.url)
        async with anthropic.lifespan():
            with pytest.raises(ProviderError) as caught:
                await drain(anthropic, seen)
    return caught.value, "".join(chunk.text for chunk in seen)


async def test_the_text_comes_in_parts_and_the_last_one_closes_the_account() -> None:
    chunks, server = await chunks_of(*OPENED, text("Hel"), PING, text("lo."), *CLOSED)
    assert msgspec.json.decode(server.requests[0].partition(b"\r\n\r\n")[2])["stream"] is True
    assert [chunk.text for chunk in chunks] == ["Hel", "lo.", ""]
    assert all(chunk.usage is None and chunk.stop_reason is None for chunk in chunks[:-1])
    last = chunks[-1]
    assert (last.stop_reason, last.id, last.model) == ("end_turn", "msg_1", "claude-haiku-4-5-20251001")
    assert last.usage is not None
    assert msgspec.structs.replace(last.usage, usd=None) == Usage(
        input_tokens=800, output_tokens=100, cached_tokens=300
    )
    assert last.usage.usd == pytest.approx((500 * 1.00 + 300 * 0.10 + 100 * 5.00) / 1e6)


async def test_the_usage_is_cumulative_and_not_added_up() -> None:
    counting = [end(output_tokens=count)[0] for count in (10, 20, 30)]
    chunks, _ = await chunks_of(*OPENED, text("a"), *counting, *end(output_tokens=40, input_tokens=600))
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.input_tokens, chunks[-1].usage.output_tokens) == (900, 40)


async def test_thinking_and_tool_calls_come_in_parts() -> None:
    chunks, _ = await chunks_of(
        start(),
        begin(0, type="thinking", thinking="", signature=""),
        delta(0, "thinking_delta", thinking="hm"),
        delta(0, "signature_delta", signature="c2ln"),
        begin(1, type="text", text=""),
        text("Let me look.", 1),
        begin(2, type="tool_use", id="toolu_1", name="look", input={}),
        delta(2, "input_json_delta", partial_json=""),
        delta(2, "input_json_delta", partial_json='{"at":'),
        delta(2, "input_json_delta", partial_json="1}"),
        *end("tool_use"),
    )
    assert "".join(chunk.thinking for chunk in chunks) == "hm"
    assert "".join(chunk.text for chunk in chunks) == "Let me look."
    assert [part for chunk in chunks for part in chunk.tool_calls] == [
        ToolCallDelta(2, "toolu_1", "look"),
        ToolCallDelta(2, arguments='{"at":'),
        ToolCallDelta(2, arguments="1}"),
    ]
    assert chunks[-1].stop_reason == "tool_use"


async def test_the_parts_of_a_stream_can_be_put_together() -> None:
    chunks, _ = await chunks_of(*OPENED, text("Hel"), text("lo."), *CLOSED)
    assert MessageReply.of(chunks) == MessageReply(
        id="msg_1",
        model="claude-haiku-4-5-20251001",
        text="Hello.",
        stop_reason="end_turn",
        usage=chunks[-1].usage or Usage(),
    )


async def test_what_the_api_may_add_one_day_is_passed_over() -> None:
    news: list[Event] = [
        {"type": "weather", "sky": "grey"},
        begin(1, type="server_tool_use", id="srv_1", name="web_search", input={}),
        begin(2, type="web_search_tool_result", content=[{"url": "u"}]),
        begin(3, type="redacted_thinking", data="xyz"),
        delta(0, "citations_delta", citation={"cited_text": "x"}),
    ]
    chunks, _ = await chunks_of(*OPENED, *news, text("a"), *CLOSED)
    assert "".join(chunk.text for chunk in chunks) == "a"


async def test_a_missing_end_marker_is_a_broken_stream_with_what_came() -> None:
    broken, seen = await failure(stream(*OPENED, text("x" * 40), end()[0]))
    assert isinstance(broken, StreamBrokenError)
    assert (broken.kind, seen) == (FailureKind.STREAM_BROKEN, "x" * 40)
    partial = broken.partial
    assert isinstance(partial, MessageReply)
    assert (partial.text, partial.id, partial.stop_reason) == ("x" * 40, "msg_1", "end_turn")
    assert partial.usage.is_estimate
    assert partial.usage.usd is not None


@pytest.mark.parametrize(("counted", "output"), [(1, 10), (99, 99)])
async def test_the_estimate_is_what_was_counted_or_what_was_read(counted: int, output: int) -> None:
    broken, _ = await failure(stream(start(output_tokens=counted), text("x" * 40)))
    assert isinstance(broken, StreamBrokenError)
    assert isinstance(broken.partial, MessageReply)
    assert msgspec.structs.replace(broken.partial.usage, usd=None) == Usage(
        input_tokens=800, output_tokens=output, cached_tokens=300, is_estimate=True
    )


async def test_what_came_of_thinking_and_tool_calls_is_kept() -> None:
    broken, _ = await failure(
        stream(
            start(),
            delta(0, "thinking_delta", thinking="hm"),
            begin(1, type="tool_use", id="toolu_1", name="look", input={}),
            delta(1, "input_json_delta", partial_json='{"at'),
        )
    )
    assert isinstance(broken, StreamBrokenError)
    assert isinstance(broken.partial, MessageReply)
    assert (broken.partial.thinking, broken.partial.tool_calls) == (
        "hm",
        (ToolCall("toolu_1", "look", '{"at'),),
    )


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (error("overloaded_error", "Overloaded"), FailureKind.OVERLOADED),
        (error("rate_limit_error"), FailureKind.RATE_LIMIT),
        (error("api_error"), FailureKind.SERVER),
        (error("timeout_error"), FailureKind.TIMEOUT),
        (error("authentication_error"), FailureKind.AUTH),
        (error("billing_error"), FailureKind.QUOTA),
        (error("invalid_request_error"), FailureKind.BAD_REQUEST),
        (error("invalid_request_error", "prompt is too long: 3 > 2"), FailureKind.CONTEXT_LENGTH),
        (error("brand_new_error"), FailureKind.SERVER),
        (b"event: error\ndata: <html>\n\n", FailureKind.SERVER),
        (b'event: ping\ndata: {"type"\n\n', FailureKind.INVALID_RESPONSE),
        (b"data: 7\n\n", FailureKind.INVALID_RESPONSE),
        (b'data: {"type": "message_delta", "delta": 7}\n\n', FailureKind.INVALID_RESPONSE),
    ],
)
async def test_an_error_in_the_stream_goes_by_its_type_before_and_after_the_first_part(
    bad: Event | bytes, kind: FailureKind
) -> None:
    plain, _ = await failure(stream(*OPENED, bad, text("late"), *CLOSED))
    assert (type(plain), plain.kind) == (ProviderError, kind)
    broken, seen = await failure(stream(*OPENED, text("Hel"), bad, text("late"), *CLOSED))
    assert isinstance(broken, StreamBrokenError)
    assert (broken.kind, seen) == (kind, "Hel")
    assert isinstance(broken.partial, MessageReply)
    assert broken.partial.text == "Hel"


async def test_the_code_of_an_error_in_the_stream_is_kept() -> None:
    plain, _ = await failure(stream(error("overloaded_error", "Overloaded")))
    assert (plain.code, plain.status, plain.detail) == ("overloaded_error", 200, "Overloaded")


async def test_a_stream_that_the_model_refuses_says_so_at_its_end() -> None:
    broken, seen = await failure(stream(*OPENED, text("Hel"), *end("refusal")))
    assert isinstance(broken, StreamBrokenError)
    assert (broken.kind, broken.code, seen) == (FailureKind.CONTENT_POLICY, "refusal", "Hel")


async def test_pings_alone_keep_no_stream_whole() -> None:
    broken, _ = await failure(stream(start(), PING, PING))
    assert isinstance(broken, StreamBrokenError)
    assert broken.kind is FailureKind.STREAM_BROKEN


async def test_a_connection_that_breaks_is_a_network_failure_at_first_and_a_broken_stream_then() -> None:
    head = STREAM.replace(b"\r\n\r\n", b"\r\nContent-Length: 9999\r\n\r\n")
    plain, _ = await failure(head + stream(*OPENED).removeprefix(STREAM))
    assert (type(plain), plain.kind) == (ProviderError, FailureKind.NETWORK)
    broken, _ = await failure(head + stream(*OPENED, text("a")).removeprefix(STREAM))
    assert (type(broken), broken.kind) == (StreamBrokenError, FailureKind.STREAM_BROKEN)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (http_json(529, error("overloaded_error")), FailureKind.OVERLOADED),
        (http_json(200, error("overloaded_error")), FailureKind.OVERLOADED),
        (http_json(200, {"content": []}), FailureKind.INVALID_RESPONSE),
        (http(413, b"<html>"), FailureKind.BAD_REQUEST),
    ],
)
async def test_an_answer_that_is_no_stream_fails(reply: bytes, kind: FailureKind) -> None:
    plain, _ = await failure(reply)
    assert (type(plain), plain.kind) == (ProviderError, kind)


async def test_nothing_is_waited_for_after_the_end_marker() -> None:
    async def linger(connection: anyio.abc.SocketStream) -> None:
        await connection.send(stream(*OPENED, text("a"), *CLOSED))
        await anyio.sleep_forever()

    async with serve(linger) as server:
        anthropic = Anthropic("k", base_url=server.url)
        with anyio.fail_after(30):
            async with anthropic.lifespan():
                await drain(anthropic, [])


def test_a_stream_is_estimated_as_the_whole_answer_would_be() -> None:
    estimate = Anthropic("k").estimate(msgspec.structs.replace(ASK, max_tokens=100))
    assert estimate is not None
    assert estimate.usd == pytest.approx((ASK.input_tokens * 1.0 + 100 * 5.0) / 1e6)
