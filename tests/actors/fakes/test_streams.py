"""Answers that come as streams, and what can become of them on the wire."""

import json
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import httpx2
import pytest

from relight.actors.fakes import Fakes, FaultKind, FaultPlan, LogEntry, Step

Ask = Callable[..., Coroutine[None, None, httpx2.Response]]
Event = dict[str, Any]

pytestmark = pytest.mark.anyio

CHAT_PIECES = 8
"""Of the answer "one two three four five": the role, the words, the finish reason and the end."""
ANSWER = "one two three four five"


def events(text: str) -> list[str]:
    return [event for event in text.split("\n\n") if event]


def documents(text: str) -> list[Event]:
    """Read what each event carries, its name checked on the way."""
    found: list[Event] = []
    for event in events(text):
        name, _, data = event.rpartition("data: ")
        if data == "[DONE]":
            continue
        document: Event = json.loads(data)
        assert name in {"", f"event: {document.get('type')}\n"}
        found.append(document)
    return found


async def wait_ended(fakes: Fakes, provider: str) -> LogEntry:
    """Wait until the fake has done with its requests; return the last."""
    with anyio.fail_after(30.0):
        while (await fakes.statistics(provider)).in_flight:  # noqa: ASYNC110 - another process
            await anyio.sleep(0.01)
    return (await fakes.log(provider))[-1]


@pytest.fixture
def received(fakes: Fakes, client: httpx2.AsyncClient) -> Callable[[Step], Coroutine[None, None, str]]:
    """Stream a chat that meets a step, and return what came before it ended or broke."""

    async def receive(step: Step) -> str:
        await fakes.script("openai", [step])
        body = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "stream": True}
        headers = {"authorization": "Bearer fake-openai-key"}
        url, text = f"{fakes.url('openai')}/v1/chat/completions", bytearray()
        async with client.stream("POST", url, json=body, headers=headers) as reply:
            try:
                async for chunk in reply.aiter_raw():
                    text += chunk
            except httpx2.TransportError as error:
                text += f"|{type(error).__name__}".encode()
        return text.decode()

    return receive


Receive = Callable[[Step], Coroutine[None, None, str]]


async def test_a_chat_streams_its_words_its_reason_and_its_end(fakes: Fakes, chat: Ask) -> None:
    await fakes.script("openai", [Step(answer=ANSWER)])
    reply = await chat(stream=True)
    chunks = documents(reply.text)
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.headers["x-request-id"]
    assert "content-length" not in reply.headers
    assert events(reply.text)[-1] == "data: [DONE]"
    choices = [chunk["choices"][0] for chunk in chunks]
    assert "".join(choice["delta"].get("content", "") for choice in choices) == ANSWER
    assert [choice["finish_reason"] for choice in choices] == [None] * 6 + ["stop"]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert not any("usage" in chunk for chunk in chunks)


async def test_usage_comes_last_for_whoever_asks_for_it(fakes: Fakes, chat: Ask) -> None:
    await fakes.script("openai", [Step(answer=ANSWER)])
    chunks = documents((await chat(stream=True, stream_options={"include_usage": True})).text)
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 5
    assert all(chunk["usage"] is None for chunk in chunks[:-1])


async def test_a_message_streams_all_its_events_in_order(fakes: Fakes, message: Ask) -> None:
    await fakes.script("anthropic", [Step(answer="one two")])
    found = documents((await message(stream=True)).text)
    assert [event["type"] for event in found] == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert found[-2]["usage"] == {"output_tokens": 2}
    assert found[-2]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}


async def test_a_streamed_answer_can_be_cut_by_the_limit_of_tokens(chat: Ask, message: Ask) -> None:
    asked = {"stream": True, "max_tokens": 2}
    chunks = documents((await chat("Tell me of the city", **asked)).text)
    found = documents((await message("Tell me of the city", **asked)).text)
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"
    assert found[-2]["delta"]["stop_reason"] == "max_tokens"


async def test_spaces_and_lines_of_an_answer_survive_the_stream(fakes: Fakes, chat: Ask) -> None:
    for answer in ("  two  spaces\n\nand lines ", "\n", "", "word"):
        await fakes.script("openai", [Step(answer=answer)])
        chunks = documents((await chat(stream=True)).text)
        deltas = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks]
        assert "".join(deltas) == answer


@pytest.mark.parametrize("after", [0, 1, 5])
async def test_an_error_comes_after_so_many_pieces_and_nothing_follows(received: Receive, after: int) -> None:
    text = await received(Step(fault=FaultKind.STREAM_ERROR, after=after))
    found = documents(text)
    assert len(found) == after + 1
    assert found[-1]["error"]["code"] == "server_is_overloaded"
    assert "[DONE]" not in text


async def test_a_reset_comes_after_what_was_sent(received: Receive, fakes: Fakes) -> None:
    text = await received(Step(fault=FaultKind.STREAM_RESET, after=3))
    assert text.endswith("|ReadError")
    assert len(documents(text.removesuffix("|ReadError"))) == 3
    assert (await wait_ended(fakes, "openai")).chunks == 3


async def test_an_early_end_is_clean_and_leaves_out_what_says_complete(received: Receive) -> None:
    text = await received(Step(fault=FaultKind.STREAM_ENDS, after=1000))
    chunks = documents(text)
    assert "[DONE]" not in text
    assert "|" not in text
    assert {chunk["choices"][0]["finish_reason"] for chunk in chunks} == {None}


async def test_a_cut_leaves_half_an_event(received: Receive) -> None:
    text = await received(Step(fault=FaultKind.TRUNCATED, after=2))
    assert text.endswith("|RemoteProtocolError")
    found = events(text.removesuffix("|RemoteProtocolError"))
    json.loads(found[1].removeprefix("data: "))
    assert len(found) == 3
    with pytest.raises(json.JSONDecodeError):
        json.loads(found[2].removeprefix("data: "))


async def test_broken_json_in_a_stream_is_one_event_that_no_one_can_read(received: Receive) -> None:
    found = events(await received(Step(fault=FaultKind.BROKEN_JSON, after=2)))
    assert len(found) == 3
    with pytest.raises(json.JSONDecodeError):
        json.loads(found[2].removeprefix("data: "))


async def test_a_stall_is_silence_until_its_limit(received: Receive, fakes: Fakes) -> None:
    text = await received(Step(fault=FaultKind.STREAM_STALL, after=2, delay=0.1))
    assert text.endswith("|RemoteProtocolError")
    assert len(events(text)) == 3
    entry = await wait_ended(fakes, "openai")
    assert (entry.is_abandoned, entry.chunks) == (False, 2)
    assert entry.seconds >= 0.1


async def test_a_stall_may_come_right_after_the_head(received: Receive, fakes: Fakes) -> None:
    assert await received(Step(fault=FaultKind.STREAM_STALL, after=0, delay=0.1)) == "|RemoteProtocolError"


@pytest.mark.parametrize(
    ("provider", "ping"), [("openai", ": keep-alive\n\n"), ("anthropic", '{"type":"ping"}')]
)
async def test_pings_may_be_all_that_follows(
    fakes: Fakes, client: httpx2.AsyncClient, provider: str, ping: str
) -> None:
    step = Step(fault=FaultKind.STREAM_PINGS, after=0, delay=5.0, chunk_delay=0.005)
    await fakes.script(provider, [step])
    path = {"openai": "chat/completions", "anthropic": "messages"}[provider]
    body = {"model": "m", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    headers = {"authorization": f"Bearer {fakes.key(provider)}", "anthropic-version": "2023-06-01"}
    url, text = f"{fakes.url(provider)}/v1/{path}", ""
    with anyio.CancelScope() as scope:
        async with client.stream("POST", url, json=body, headers=headers) as reply:
            async for chunk in reply.aiter_text():
                text += chunk
                if text.count(ping) >= 3:
                    scope.cancel()
    assert (await wait_ended(fakes, provider)).is_abandoned


async def test_pieces_can_be_slow(received: Receive, fakes: Fakes) -> None:
    await received(Step(answer=ANSWER, chunk_delay=0.02))
    entry = await wait_ended(fakes, "openai")
    assert entry.chunks == CHAT_PIECES
    assert entry.seconds >= CHAT_PIECES * 0.02


async def test_a_client_that_leaves_ends_the_stream(fakes: Fakes, client: httpx2.AsyncClient) -> None:
    await fakes.script("openai", [Step(answer="word " * 1000, chunk_delay=0.01)])
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    headers = {"authorization": "Bearer fake-openai-key"}
    url = f"{fakes.url('openai')}/v1/chat/completions"
    with anyio.CancelScope() as scope:
        async with client.stream("POST", url, json=body, headers=headers) as reply:
            async for _ in reply.aiter_raw():
                scope.cancel()
    entry = await wait_ended(fakes, "openai")
    assert entry.is_abandoned
    assert 0 < entry.chunks < 1000


@pytest.mark.slow
async def test_a_client_that_does_not_read_stops_the_stream(fakes: Fakes) -> None:
    words, size = 80, 200_000
    await fakes.script("openai", [Step(answer=" ".join(["x" * size] * words))])
    body = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello"}]})
    head = f"host: fake\r\nauthorization: Bearer fake-openai-key\r\ncontent-length: {len(body)}"
    port = int(fakes.url("openai").rpartition(":")[2])
    async with await anyio.connect_tcp("127.0.0.1", port) as connection:
        await connection.send(f"POST /v1/chat/completions HTTP/1.1\r\n{head}\r\n\r\n{body}".encode())
        assert b"200" in await connection.receive()
        await anyio.sleep(0.1)  # ample for sixteen megabytes, if nothing held them up
    entry = await wait_ended(fakes, "openai")
    assert entry.is_abandoned
    assert entry.chunks < words


async def test_a_fault_of_streams_also_breaks_a_plain_reply(fakes: Fakes, chat: Ask) -> None:
    await fakes.script(
        "openai", [Step(fault=kind) for kind in (FaultKind.STREAM_RESET, FaultKind.STREAM_ENDS)]
    )
    await fakes.script("openai", [Step(fault=FaultKind.STREAM_ERROR, error="quota")])
    with pytest.raises(httpx2.ReadError):
        await chat()
    with pytest.raises(json.JSONDecodeError):
        (await chat()).json()
    assert (await chat()).status_code == 429


async def test_a_refused_stream_is_a_plain_error(fakes: Fakes, chat: Ask) -> None:
    await fakes.script("openai", [Step(fault=FaultKind.RATE_LIMIT), Step(status=503, body="{}")])
    assert (await chat(stream=True)).json()["error"]["code"] == "rate_limit_exceeded"
    assert (await chat(stream=True)).status_code == 503
    assert (await chat(stream=True, key="wrong")).status_code == 401
    assert (await chat(stream=True, messages=3)).status_code == 400


async def test_a_plan_breaks_streams_at_places_that_repeat(fakes: Fakes, chat: Ask) -> None:
    plan = FaultPlan(rate=1.0, seed=3, weights={FaultKind.STREAM_ENDS: 1.0})
    runs: list[list[int]] = []
    for _ in range(2):
        await fakes.reset("openai")
        await fakes.set_plan("openai", plan)
        for _ in range(6):
            await chat(stream=True)
        runs.append([entry.chunks for entry in await fakes.log("openai")])
    assert runs[0] == runs[1]
    assert len(set(runs[0])) > 3


@pytest.mark.parametrize("streams", [False, True])
async def test_a_body_may_be_longer_than_it_was_said_to_be(fakes: Fakes, chat: Ask, streams: bool) -> None:
    await fakes.script("openai", [Step(fault=FaultKind.WRONG_LENGTH, answer=None)])
    reply = await chat(stream=streams)
    assert reply.status_code == 200
    assert not reply.text.endswith(("}", "[DONE]\n\n"))
    assert (await chat()).status_code == 200


@pytest.mark.parametrize("length", ["5", "100000", "junk", "-1"])
async def test_a_step_can_say_any_length(fakes: Fakes, chat: Ask, length: str) -> None:
    await fakes.script("openai", [Step(headers={"Content-Length": length})])
    try:
        reply = await chat()
    except httpx2.RemoteProtocolError:
        assert length != "5"
    else:
        assert (length, reply.content) == ("5", b'{"id"')
