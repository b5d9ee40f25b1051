"""HttpService: one attempt over a real connection. The supervisor's part is in test_http_retries."""

import gzip
import ssl
import traceback
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import msgspec
import pytest

from relight.actors import HttpReply, HttpRequest, HttpService, Secret
from relight.runtime import SettingsError
from relight.supervisors import FailureKind, ProviderError
from tests.actors.raw_http import HANG, free_port, http, http_json, serve

pytestmark = pytest.mark.anyio

KEY = "key-0123456789"
GET = HttpRequest("GET", "/thing")
POST = HttpRequest("POST", "/thing", json={"a": 1})


@asynccontextmanager
async def running(service: HttpService) -> AsyncGenerator[HttpService, None]:
    async with service.lifespan():
        yield service


async def failure(service: HttpService, message: HttpRequest) -> ProviderError:
    async with running(service):
        with pytest.raises(ProviderError) as caught:
            await service.request(message)
    return caught.value


async def test_only_the_first_start_of_all_reads_the_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes 50 ms, and a service that restarts has no time for it."""
    async with running(HttpService("https://localhost")):
        pass
    read: list[object] = []

    def load(*files: object, **more: object) -> None:
        read.append((files, more))

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", load)
    async with running(HttpService("https://localhost")):
        pass
    assert read == []


async def test_a_response_is_returned_whole() -> None:
    async with (
        serve(http_json(200, {"n": 1}, "X-Thing: yes")) as server,
        running(HttpService(server.url)) as service,
    ):
        reply = await service.request(GET)
    assert (reply.status, reply.headers["x-thing"], reply.json()) == (200, "yes", {"n": 1})


async def test_a_request_carries_all_it_was_given() -> None:
    message = HttpRequest(
        "post", "/a b", json={"n": 1}, query={"q": "1&2"}, headers={"x-one": "1"}, idempotency_key="same"
    )
    async with (
        serve(http(204)) as server,
        running(HttpService(f"{server.url}/base", key=KEY, headers={"x-two": "2"})) as service,
    ):
        await service.request(message)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /base/a%20b?q=1%262 HTTP/1.1\r\n")
    lines = {line.lower() for line in head.split(b"\r\n")}
    assert {b"x-one: 1", b"x-two: 2", b"idempotency-key: same", b"content-type: application/json"} <= lines
    assert f"authorization: bearer {KEY}".encode() in lines
    assert body == b'{"n":1}'


async def test_a_body_of_bytes_is_sent_as_it_is() -> None:
    async with serve(http(204)) as server, running(HttpService(server.url)) as service:
        await service.request(HttpRequest("PUT", "/file", body=b"\x00\xff"))
    assert server.requests[0].endswith(b"\r\n\r\n\x00\xff")


@pytest.mark.parametrize("status", [200, 201, 204, 304])
async def test_a_success_is_returned(status: int) -> None:
    async with serve(http(status)) as server, running(HttpService(server.url)) as service:
        assert (await service.request(GET)).status == status


async def test_an_error_status_is_raised_as_its_kind() -> None:
    async with serve(http_json(503, {"error": "busy"}, "retry-after: 9")) as server:
        error = await failure(HttpService(server.url), GET)
    assert (error.kind, error.status, error.retry_after) == (FailureKind.OVERLOADED, 503, 9.0)
    assert error.detail == "busy"


async def test_connections_are_kept_for_the_next_request() -> None:
    async with serve(http(204)) as server, running(HttpService(server.url)) as service:
        for _ in range(3):
            await service.request(GET)
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("message", "may_repeat"),
    [
        (HttpRequest("GET", "/"), True),
        (HttpRequest("HEAD", "/"), True),
        (HttpRequest("PUT", "/", body=b"x"), True),
        (HttpRequest("DELETE", "/"), True),
        (HttpRequest("POST", "/", body=b"x"), False),
        (HttpRequest("PATCH", "/", body=b"x"), False),
        (HttpRequest("POST", "/", idempotency_key="k"), True),
        (HttpRequest("POST", "/", idempotent=True), True),
        (HttpRequest("GET", "/", idempotent=False), False),
        (HttpRequest("POST", "/", idempotency_key="k", idempotent=False), False),
    ],
)
@pytest.mark.parametrize("reply", [http(500), b"HTTP/1.1 200 OK\r\nconte"], ids=["status", "cut"])
async def test_what_may_have_been_done_is_repeated_only_if_that_does_no_harm(
    reply: bytes, message: HttpRequest, may_repeat: bool
) -> None:
    async with serve(reply) as server:
        error = await failure(HttpService(server.url), message)
    assert error.kind.is_retryable
    assert error.retryable is (None if may_repeat else False)


async def test_a_refused_connection_is_retryable_for_every_request() -> None:
    error = await failure(HttpService(f"http://127.0.0.1:{await free_port()}"), POST)
    assert (error.kind, error.retryable, error.status) == (FailureKind.NETWORK, None, None)


async def test_silence_is_a_timeout() -> None:
    async with serve(HANG) as server:
        error = await failure(HttpService(server.url, read_timeout=0.05), POST)
    assert (error.kind, error.retryable) == (FailureKind.TIMEOUT, False)


@pytest.mark.parametrize(
    "reply",
    [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"],
    ids=["nothing", "no HTTP", "half a body"],
)
async def test_a_broken_connection_is_a_network_failure(reply: bytes) -> None:
    async with serve(reply) as server:
        error = await failure(HttpService(server.url), GET)
    assert error.kind is FailureKind.NETWORK


# httpx2 leaves a generator of its own unfinished when the bytes make no sense, which trio reports.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_body_that_does_not_unpack_is_an_invalid_response() -> None:
    async with serve(http(200, b"no gzip", "content-encoding: gzip")) as server:
        error = await failure(HttpService(server.url), GET)
    assert error.kind is FailureKind.INVALID_RESPONSE


@pytest.mark.parametrize("body", [b"x" * 2000, gzip.compress(b"x" * 100_000)], ids=["plain", "packed"])
async def test_an_answer_that_is_too_long_is_refused(body: bytes) -> None:
    encoding = ("content-encoding: gzip",) if body[0] == 0x1F else ()
    async with serve(http(200, body, *encoding)) as server:
        error = await failure(HttpService(server.url, most_bytes=1999), GET)
    assert (error.kind, error.retryable) == (FailureKind.INVALID_RESPONSE, False)
    assert "1999 bytes" in error.detail


async def test_an_answer_of_just_the_limit_is_taken() -> None:
    async with (
        serve(http(200, b"x" * 2000)) as server,
        running(HttpService(server.url, most_bytes=2000)) as service,
    ):
        assert len((await service.request(GET)).body) == 2000


async def test_a_redirect_of_a_get_is_followed() -> None:
    async with (
        serve(http(302, b"", "location: /other"), http(200, b"there")) as server,
        running(HttpService(server.url, key=KEY)) as service,
    ):
        reply = await service.request(GET)
    assert reply.body == b"there"
    assert server.requests[1].startswith(b"GET /other ")
    assert KEY.encode() in server.requests[1]


async def test_a_redirect_of_a_post_is_not_followed() -> None:
    async with serve(http(307, b"", "location: /other"), http(200)) as server:
        error = await failure(HttpService(server.url), POST)
    assert error.kind is FailureKind.BAD_REQUEST
    assert len(server.requests) == 1


async def test_redirects_in_a_circle_end() -> None:
    async with serve(http(302, b"", "location: /thing")) as server:
        error = await failure(HttpService(server.url), GET)
    assert error.kind is FailureKind.BAD_REQUEST
    assert len(server.requests) == 6


class KeyedService(HttpService):
    def secret_headers(self) -> dict[str, Secret]:
        return {"X-Api-Key": Secret(KEY)}


async def test_the_key_is_not_sent_to_another_server() -> None:
    async with (
        serve(http(200, b"got you")) as other,
        serve(http(302, b"", f"location: {other.url}/")) as server,
        running(KeyedService(server.url)) as service,
    ):
        await service.request(GET)
    assert KEY.encode() in server.requests[0]
    assert KEY.encode() not in other.requests[0]


@pytest.mark.parametrize("path", ["https://other.example/", "//other.example/", "thing", ""])
def test_a_path_that_could_leave_the_server_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"HttpRequest\.path"):
        HttpRequest("GET", path)


def test_a_request_has_one_body() -> None:
    with pytest.raises(ValueError, match="json or body"):
        HttpRequest("POST", "/", json={}, body=b"x")


class Report(msgspec.Struct):
    n: int


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"n": "one"}', FailureKind.INVALID_RESPONSE),
        (b'{"n": 1', FailureKind.INVALID_RESPONSE),
        (b"<html>", FailureKind.INVALID_RESPONSE),
        (b"\xff", FailureKind.INVALID_RESPONSE),
        (b'{"error": {"code": 429}}', FailureKind.RATE_LIMIT),
    ],
)
def test_a_success_that_is_no_answer_is_raised(body: bytes, kind: FailureKind) -> None:
    with pytest.raises(ProviderError) as caught:
        HttpService("http://localhost").decode(HttpReply(200, {}, body), Report)
    assert caught.value.kind is kind


async def test_a_key_that_the_server_echoes_is_in_no_error() -> None:
    async with serve(http_json(401, {"error": {"message": f"wrong key {KEY}", "code": KEY}})) as server:
        error = await failure(HttpService(server.url, key=KEY), GET)
    assert error.kind is FailureKind.AUTH
    assert KEY not in "".join(traceback.format_exception(error))
    assert KEY not in f"{error!r} {vars(error)}"


@pytest.mark.parametrize("reply", [b"SSH-2.0\r\n", HANG], ids=["broken", "silent"])
async def test_the_key_is_in_no_variable_that_a_traceback_shows(reply: bytes) -> None:
    async with serve(reply) as server:
        error = await failure(HttpService(server.url, key=KEY, read_timeout=0.05), GET)
    shown = traceback.TracebackException.from_exception(error, capture_locals=True).format()
    assert KEY not in "".join(shown)


@pytest.mark.parametrize("key", [f"{KEY}\n", f"{KEY}\u2026", f"{KEY}\r\nx-other: 1"])
def test_a_key_no_header_can_carry_is_refused_at_once_and_not_told(key: str) -> None:
    with pytest.raises(
        SettingsError, match=r"HttpService\(key=\.\.\.\): holds what no HTTP header"
    ) as refused:
        HttpService("http://localhost", key=key)
    assert KEY not in repr(refused.value)


def test_the_key_is_not_in_the_repr() -> None:
    assert KEY not in repr(HttpService("http://localhost", key=KEY))


async def test_a_service_that_is_not_running_says_so() -> None:
    with pytest.raises(RuntimeError, match="not running"):
        await HttpService("http://localhost").request(GET)


async def test_a_service_that_is_stopping_sends_nothing_more() -> None:
    service = HttpService("http://localhost")
    async with service.lifespan():
        pass
    with pytest.raises(ProviderError, match="the service is stopping") as caught:
        await service.request(POST)
    assert (caught.value.kind, caught.value.retryable) == (FailureKind.NETWORK, None)


async def test_a_cancelled_request_leaves_the_pool_usable() -> None:
    async with serve(HANG, HANG, http(204)) as server, running(HttpService(server.url)) as service:
        for number in (1, 2):
            async with anyio.create_task_group() as group:
                group.start_soon(service.request, GET)
                while len(server.requests) < number:  # noqa: ASYNC110 - the server is no actor that could tell
                    await anyio.sleep(0.001)
                group.cancel_scope.cancel()
        assert (await service.request(GET)).status == 204
