"""Streams behind their guard: how often they are begun, and what is left when nobody reads any more."""

from collections.abc import Callable, Mapping
from functools import partial
from random import Random

import anyio
import anyio.abc
import msgspec
import pytest

from relight.actors.providers import Anthropic, ChatMessage, OpenAI, StreamChat, StreamMessage
from relight.runtime import Ref
from relight.supervisors import Child, FailureKind, ProviderError, StreamBrokenError, System, open_system
from relight.supervisors.policies import Exponential, Retry
from relight.testing import assert_no_leaks
from tests.actors.raw_http import STREAM, Reply, events, http, http_json, serve, wait_closed

pytestmark = pytest.mark.anyio

ASK = StreamChat(model="gpt-4o-mini", messages=(ChatMessage("user", "Hello?"),))
POLICY = msgspec.structs.replace(OpenAI.policy, retry=Retry(backoff=Exponential(0.01, jitter="none")))


def part(content: str | None = None, finish_reason: str | None = None) -> dict[str, object]:
    return {"id": "c-1", "choices": [{"delta": {"content": content}, "finish_reason": finish_reason}]}


HEL = part("Hel")
WHOLE = events(HEL, part("lo"), part(None, "stop"), "[DONE]")


async def spawn(system: System, url: str) -> Ref:
    return await system.spawn(Child("openai", partial(OpenAI, "k", base_url=url), policy=POLICY))


async def read(openai: Ref, *, timeout: float) -> list[str]:
    async with openai.stream(ASK, timeout=timeout) as chunks:
        return [chunk.text async for chunk in chunks]


async def texts(*replies: Reply) -> tuple[list[str], int]:
    """Stream one chat over *replies*; return what came, and the number of requests."""
    async with serve(*replies) as server, open_system() as system:
        seen = await read(await spawn(system, server.url), timeout=30.0)
    return seen, len(server.requests)


async def failure(*replies: Reply) -> tuple[ProviderError, int]:
    async with serve(*replies) as server, open_system() as system:
        openai = await spawn(system, server.url)
        with pytest.raises(ProviderError) as caught:
            await read(openai, timeout=30.0)
    return caught.value, len(server.requests)


@pytest.mark.parametrize(
    "first",
    [
        http(503),
        http_json(429, {"error": {"code": "rate_limit_exceeded"}}, "retry-after-ms: 10"),
        b"HTTP/1.1 200 OK\r\ncont",
        STREAM,
        STREAM.replace(b"\r\n\r\n", b"\r\nContent-Length: 99\r\n\r\n"),
        events({"error": {"code": "server_is_overloaded"}}),
    ],
    ids=["overloaded", "limited", "cut head", "no marker", "cut body", "error event"],
)
async def test_a_stream_that_fails_before_its_first_part_is_begun_again(first: bytes) -> None:
    assert await texts(first, WHOLE) == (["Hel", "lo", ""], 2)


@pytest.mark.parametrize(
    "rest",
    [b"", b"data: {\n\n", b'data: {"error": {"code": "server_is_overloaded"}}\n\n'],
    ids=["end", "junk", "error"],
)
async def test_a_stream_that_fails_after_its_first_part_is_not_begun_again(rest: bytes) -> None:
    error, requests = await failure(events(HEL, end=rest), WHOLE)
    assert isinstance(error, StreamBrokenError)
    assert requests == 1


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (http_json(429, {"error": {"code": "insufficient_quota"}}), FailureKind.QUOTA),
        (events({"error": {"code": "insufficient_quota"}}), FailureKind.QUOTA),
        (events({"error": {"code": "context_length_exceeded"}}), FailureKind.CONTEXT_LENGTH),
        (http(401), FailureKind.AUTH),
    ],
)
async def test_what_never_clears_is_sent_once(reply: bytes, kind: FailureKind) -> None:
    error, requests = await failure(reply)
    assert (error.kind, requests) == (kind, 1)


async def test_a_stream_that_is_asked_for_as_a_whole_is_begun_again_at_any_point() -> None:
    async with serve(events(HEL), WHOLE) as server, open_system() as system:
        chunks = await (await spawn(system, server.url)).ask(ASK)
    assert [chunk.text for chunk in chunks] == ["Hel", "lo", ""]
    assert len(server.requests) == 2


def hears(system: System) -> Callable[[], list[Mapping[str, object]]]:
    told: list[Mapping[str, object]] = []

    def listen(event: str, fields: Mapping[str, object]) -> None:
        if event == "provider.stream_dropped":
            told.append(fields)

    system.events.listen(listen)
    return lambda: told


async def test_a_reader_who_leaves_hangs_up_and_the_cost_is_told() -> None:
    hung_up = anyio.Event()

    async def flow(stream: anyio.abc.SocketStream) -> None:
        await stream.send(events(HEL))
        await wait_closed(stream)
        hung_up.set()

    async with serve(flow) as server, open_system() as system:
        told = hears(system)
        openai = await spawn(system, server.url)
        async with openai.stream(ASK, timeout=30.0) as chunks:
            assert (await anext(aiter(chunks))).text == "Hel"
        with anyio.fail_after(30):
            await hung_up.wait()
    (fields,) = told()
    assert fields == {
        "provider": "openai",
        "operation": "StreamChat",
        "model": "gpt-4o-mini",
        "reason": "left",
        "input_tokens": ASK.input_tokens,
        "output_tokens": 1,
        "usd": pytest.approx((ASK.input_tokens * 0.15 + 0.60) / 1e6),
    }


async def test_a_broken_stream_is_told_and_a_whole_one_and_one_that_never_began_are_not() -> None:
    async with serve(http(503), events(HEL), WHOLE) as server, open_system() as system:
        told = hears(system)
        await (await spawn(system, server.url)).ask(ASK)
    assert [fields["reason"] for fields in told()] == ["broken"]


@pytest.mark.slow
async def test_a_deadline_ends_a_stream_and_hangs_up() -> None:
    hung_up = anyio.Event()

    async def flow(stream: anyio.abc.SocketStream) -> None:
        await stream.send(events(HEL))
        await wait_closed(stream)
        hung_up.set()

    async with serve(flow) as server, open_system() as system:
        openai = await spawn(system, server.url)
        with pytest.raises(TimeoutError):
            await read(openai, timeout=0.5)
        with anyio.fail_after(30):
            await hung_up.wait()


async def test_a_reader_who_rests_stops_the_provider() -> None:
    sent = 0
    words = b"data: %s\n\n" % msgspec.json.encode(part("x" * 8_000))

    async def pour(stream: anyio.abc.SocketStream) -> None:
        nonlocal sent
        await stream.send(STREAM)
        while sent < 30_000_000:
            await stream.send(words)
            sent += len(words)

    async with serve(pour) as server, open_system() as system:
        openai = await spawn(system, server.url)
        async with openai.stream(ASK, timeout=30.0) as chunks:
            await anext(aiter(chunks))
            before = -1
            while before != sent:  # the buffers of both kernels fill, then nothing moves
                before = sent
                await anyio.sleep(0.05)
            assert sent < 20_000_000


async def test_anthropics_streams_pass_the_guard_too() -> None:
    ask = StreamMessage(model="claude-haiku-4-5", messages=(ChatMessage("user", "Hello?"),))
    overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    whole = events(
        {"type": "message_start", "message": {"usage": {"input_tokens": 1}}},
        {"type": "content_block_delta", "index": 0, "delta": {"text": "Hi"}},
        {"type": "message_stop"},
    )
    policy = msgspec.structs.replace(Anthropic.policy, retry=POLICY.retry)
    async with serve(events(overloaded), whole) as server, open_system() as system:
        child = Child("anthropic", partial(Anthropic, "k", base_url=server.url), policy=policy)
        async with (await system.spawn(child)).stream(ask) as chunks:
            assert [chunk.text async for chunk in chunks] == ["Hi", ""]
    assert len(server.requests) == 2


@pytest.mark.slow
async def test_readers_who_leave_at_any_moment_leave_nothing_behind() -> None:
    """Each leaves after a random number of chunks, or is cancelled at a random moment."""
    random = Random(7)
    open_connections = 0

    async def talk(stream: anyio.abc.SocketStream) -> None:
        nonlocal open_connections
        open_connections += 1
        try:
            await stream.send(STREAM)
            for _ in range(20):
                await anyio.sleep(0.001)
                await stream.send(b"data: %s\n\n" % msgspec.json.encode(HEL))
            await stream.send(events(part(None, "stop"), "[DONE]").removeprefix(STREAM))
        finally:
            open_connections -= 1

    async def visit(openai: Ref, most: int, patience: float) -> None:
        await anyio.sleep(patience / 2)
        with anyio.move_on_after(patience):
            async with openai.stream(ASK, timeout=30.0) as chunks:
                async for _ in chunks:
                    most -= 1
                    if most == 0:
                        break

    async with serve(talk) as server, open_system() as system:
        openai = await spawn(system, server.url)
        async with anyio.create_task_group() as group:
            for _ in range(200):
                group.start_soon(visit, openai, random.randrange(1, 40), random.uniform(0.0, 0.3))
        await assert_no_leaks(system, timers=False)
        # The slots are free, and the client's pool works.
        assert len(await openai.ask(ASK)) == 21
        with anyio.fail_after(30):
            while open_connections:  # noqa: ASYNC110 - any of them may be the last to close
                await anyio.sleep(0.01)
