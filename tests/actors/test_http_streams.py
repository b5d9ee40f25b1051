"""Streams over HTTP: read as they come, given up when left, typed when they break."""

import gzip
import traceback
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import anyio.abc
import pytest

from relight.actors import HttpRequest, HttpService, HttpStream
from relight.supervisors import FailureKind, ProviderError
from tests.actors.raw_http import HANG, STREAM, RawServer, Reply, events, http, http_json, serve, wait_closed

pytestmark = pytest.mark.anyio

KEY = "key-0123456789"
GET = HttpRequest("GET", "/stream")
POST = HttpRequest("POST", "/stream", body=b"x")
HEAD = b"HTTP/1.1 200 OK\r\n"


@asynccontextmanager
async def running(*replies: Reply, **options: float) -> AsyncGenerator[tuple[HttpService, RawServer], None]:
    async with serve(*replies) as server:
        most = int(options.pop("most_bytes", 1_000_000))
        service = HttpService(
            server.url,
            key=KEY,
            most_bytes=most,
            read_timeout=options.get("read_timeout", 60.0),
            idle_timeout=options.get("idle_timeout", 60.0),
        )
        async with service.lifespan():
            yield service, server


async def read(stream: HttpStream) -> bytes:
    return b"".join([chunk async for chunk in stream])


async def failure(
    *replies: Reply, message: HttpRequest = GET, **options: float
) -> tuple[ProviderError, bytes]:
    """Read a stream to its error; return that, and what came before."""
    seen = bytearray()

    async def drain(service: HttpService) -> None:
        async with service.exchange_stream(message) as stream:
            async for chunk in stream:
                seen.extend(chunk)

    async with running(*replies, **options) as (service, _):
        with pytest.raises(ProviderError) as caught:
            await drain(service)
    return caught.value, bytes(seen)


async def test_the_head_comes_before_the_body() -> None:
    go_on = anyio.Event()

    async def slowly(stream: anyio.abc.SocketStream) -> None:
        await stream.send(STREAM)
        await go_on.wait()
        await stream.send(b"body")

    async with running(slowly) as (service, _), service.exchange_stream(GET) as stream:
        assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream")
        go_on.set()
        assert await read(stream) == b"body"


async def test_bytes_come_as_they_are_sent() -> None:
    seen = [anyio.Event() for _ in range(3)]

    async def in_step(stream: anyio.abc.SocketStream) -> None:
        await stream.send(STREAM)
        for number, event in enumerate(seen):
            await stream.send(b"%d" % number)
            await event.wait()

    async with running(in_step) as (service, _), service.exchange_stream(GET) as stream:
        for number, event in enumerate(seen):
            assert await anext(aiter(stream)) == b"%d" % number
            event.set()
        assert await read(stream) == b""


async def test_a_packed_stream_is_unpacked() -> None:
    packed = http(200, gzip.compress(b"body"), "content-encoding: gzip")
    async with running(packed) as (service, _), service.exchange_stream(GET) as stream:
        assert await read(stream) == b"body"


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (http_json(429, {"error": "slow"}, "retry-after: 9"), FailureKind.RATE_LIMIT),
        (http(502, b"<html>"), FailureKind.SERVER),
        (http(302, b"", "location: /other"), FailureKind.BAD_REQUEST),
    ],
)
async def test_an_error_status_is_raised_before_the_block_begins(reply: bytes, kind: FailureKind) -> None:
    error, seen = await failure(reply, message=POST)
    assert (error.kind, seen) == (kind, b"")


async def test_a_redirect_of_a_get_is_followed() -> None:
    replies = (http(302, b"", "location: /other"), STREAM + b"there")
    async with running(*replies) as (service, _), service.exchange_stream(GET) as stream:
        assert await read(stream) == b"there"


async def test_an_error_body_without_an_end_is_not_read_for_ever() -> None:
    error, _ = await failure(b"HTTP/1.1 500 No\r\n\r\n" + b"x" * 300, most_bytes=200)
    assert error.kind is FailureKind.INVALID_RESPONSE


async def test_a_connection_that_breaks_in_mid_stream_is_a_network_failure_after_what_came() -> None:
    error, seen = await failure(HEAD + b"Content-Length: 9\r\n\r\nhalf")
    assert (error.kind, error.retryable, seen) == (FailureKind.NETWORK, None, b"half")


async def test_a_chunked_stream_that_is_cut_off_is_a_network_failure() -> None:
    error, seen = await failure(HEAD + b"transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n")
    assert (error.kind, seen) == (FailureKind.NETWORK, b"half")


async def test_a_stream_that_must_not_be_sent_twice_says_so_when_it_breaks() -> None:
    error, _ = await failure(HEAD + b"Content-Length: 9\r\n\r\nhalf", message=POST)
    assert error.retryable is False


async def test_a_head_that_does_not_come_is_a_timeout() -> None:
    error, _ = await failure(HANG, read_timeout=0.05, idle_timeout=60.0)
    assert error.kind is FailureKind.TIMEOUT


async def test_a_stream_that_falls_silent_is_a_timeout() -> None:
    async def fall_silent(stream: anyio.abc.SocketStream) -> None:
        await stream.send(STREAM + b"half")
        await wait_closed(stream)

    error, seen = await failure(fall_silent, read_timeout=60.0, idle_timeout=0.05)
    assert (error.kind, seen) == (FailureKind.TIMEOUT, b"half")


@pytest.mark.slow
async def test_any_byte_begins_the_wait_anew() -> None:
    async def ping(stream: anyio.abc.SocketStream) -> None:
        await stream.send(STREAM)
        for _ in range(8):
            await anyio.sleep(0.15)
            await stream.send(b":")

    async with running(ping, idle_timeout=1.0) as (service, _), service.exchange_stream(GET) as stream:
        assert await read(stream) == b"::::::::"


@pytest.mark.parametrize("reply", [STREAM + b"x" * 2000, STREAM + b"x" * 200_000])
async def test_a_stream_that_is_too_long_is_refused(reply: bytes) -> None:
    error, seen = await failure(reply, most_bytes=1999)
    assert (error.kind, error.retryable) == (FailureKind.INVALID_RESPONSE, False)
    assert len(seen) <= 1999


async def test_a_reader_who_leaves_closes_the_connection() -> None:
    left = anyio.Event()

    async def flow(stream: anyio.abc.SocketStream) -> None:
        await stream.send(STREAM + b"begun")
        await wait_closed(stream)
        left.set()

    async with running(flow) as (service, _):
        async with service.exchange_stream(GET) as stream:
            assert await anext(aiter(stream)) == b"begun"
        with anyio.fail_after(30):
            await left.wait()


async def test_a_reader_who_is_cancelled_closes_the_connection_and_the_pool_stays_usable() -> None:
    left = anyio.Event()

    async def flow(stream: anyio.abc.SocketStream) -> None:
        await stream.send(STREAM + b"begun")
        await wait_closed(stream)
        left.set()

    async with running(flow, http(204)) as (service, _):
        with anyio.CancelScope() as scope:
            async with service.exchange_stream(GET) as stream:
                async for _ in stream:
                    scope.cancel()
        assert scope.cancelled_caught
        with anyio.fail_after(30):
            await left.wait()
        assert (await service.request(GET)).status == 204


async def test_a_slow_reader_stops_the_server() -> None:
    sent = 0

    async def pour(stream: anyio.abc.SocketStream) -> None:
        nonlocal sent
        await stream.send(STREAM)
        while sent < 64_000_000:
            await stream.send(b"x" * 64_000)
            sent += 64_000

    async with (
        running(pour, most_bytes=100_000_000) as (service, _),
        service.exchange_stream(GET) as stream,
    ):
        await anext(aiter(stream))
        before = -1
        while before != sent:  # the buffers of both kernels fill, then nothing moves
            before = sent
            await anyio.sleep(0.05)
        assert sent < 32_000_000


async def test_a_connection_is_used_again_after_a_stream_was_read_to_its_end() -> None:
    async with running(http(200, b"one"), http(200, b"two")) as (service, server):
        for body in (b"one", b"two"):
            async with service.exchange_stream(GET) as stream:
                assert await read(stream) == body
    assert server.connections == 1


async def test_the_key_is_in_no_variable_that_a_traceback_shows() -> None:
    error, _ = await failure(HEAD + b"Content-Length: 9\r\n\r\nhalf")
    assert KEY not in "".join(
        traceback.TracebackException.from_exception(error, capture_locals=True).format()
    )


async def test_a_service_that_is_not_running_says_so() -> None:
    with pytest.raises(RuntimeError, match="not running"):
        async with HttpService("http://localhost").exchange_stream(GET):
            pass


# --- events ---------------------------------------------------------------------------------------


async def heard(reply: Reply, **options: float) -> list[str]:
    async with running(reply, **options) as (service, _), service.exchange_events(GET) as stream:
        return [event.data async for event in stream]


async def test_events_are_read_wherever_the_network_cuts_them() -> None:
    whole = events("one", "two", "ä")

    async def byte_by_byte(stream: anyio.abc.SocketStream) -> None:
        for at in range(len(whole)):
            await stream.send(whole[at : at + 1])

    assert await heard(byte_by_byte) == ["one", "two", "ä"]


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (http_json(200, {"error": {"code": 429}}), FailureKind.RATE_LIMIT),
        (http_json(200, {"n": 1}), FailureKind.INVALID_RESPONSE),
        (http(200, b"<html>", "content-type: text/html; charset=utf-8"), FailureKind.INVALID_RESPONSE),
        (events("x" * 5_000_000), FailureKind.INVALID_RESPONSE),
    ],
    ids=["an error", "another answer", "a page", "an endless event"],
)
async def test_an_answer_that_is_no_stream_of_events_fails(reply: bytes, kind: FailureKind) -> None:
    with pytest.raises(ProviderError) as caught:
        await heard(reply, most_bytes=10_000_000)
    assert caught.value.kind is kind


async def test_a_stream_whose_kind_is_not_told_is_read() -> None:
    assert await heard(HEAD + b"\r\ndata: 1\n\n") == ["1"]


async def test_what_follows_the_last_event_is_read_so_that_the_connection_is_kept() -> None:
    body = b"data: 1\n\ndata: 2\n\n"
    reply = HEAD + b"content-length: %d\r\n\r\n%s" % (len(body), body)
    async with running(reply) as (service, server):
        for _ in range(2):
            async with service.exchange_events(GET) as stream:
                assert (await anext(aiter(stream))).data == "1"
                await stream.finish()
    assert server.connections == 1


@pytest.mark.slow
@pytest.mark.parametrize("more", [b"", b"Content-Length: 99\r\n"], ids=["silent", "broken"])
async def test_an_end_that_does_not_come_is_not_waited_for(more: bytes) -> None:
    async def go_on(stream: anyio.abc.SocketStream) -> None:
        await stream.send(HEAD + more + b"\r\ndata: 1\n\n")
        if not more:
            await wait_closed(stream)

    async with running(go_on) as (service, _), service.exchange_events(GET) as stream:
        await anext(aiter(stream))
        with anyio.fail_after(30):
            await stream.finish()
