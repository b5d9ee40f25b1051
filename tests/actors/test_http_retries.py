"""HttpService behind its guard: how often it really sends, and how far apart."""

from collections.abc import Mapping
from functools import partial
from itertools import pairwise

import anyio
import msgspec
import pytest

from relight.actors import HttpReply, HttpRequest, HttpService
from relight.runtime import Ref
from relight.supervisors import Child, FailureKind, ProviderError, RetriesExhaustedError, System, open_system
from relight.supervisors.policies import Breaker, Exponential, Retry
from tests.actors.raw_http import HANG, RawServer, free_port, http, http_json, serve

pytestmark = pytest.mark.anyio

GET = HttpRequest("GET", "/thing")
POST = HttpRequest("POST", "/thing", body=b"x")
STEADY = Exponential(0.1, jitter="none")
QUICK = msgspec.structs.replace(HttpService.policy, retry=Retry(backoff=STEADY), breaker=Breaker(failures=50))


async def spawn(system: System, url: str, *, attempt_timeout: float = 30.0) -> Ref:
    policy = msgspec.structs.replace(QUICK, attempt_timeout=attempt_timeout)
    return await system.spawn(Child("weather", partial(HttpService, url), policy=policy))


async def ask(server: RawServer, message: HttpRequest) -> HttpReply:
    async with open_system() as system:
        return await (await spawn(system, server.url)).ask(message)


async def test_503_then_200_is_two_requests() -> None:
    async with serve(http(503), http(200)) as server:
        assert (await ask(server, GET)).status == 200
    assert len(server.requests) == 2


@pytest.mark.slow
async def test_endless_503_is_exactly_three_requests_with_growing_gaps() -> None:
    async with serve(http(503)) as server:
        with pytest.raises(RetriesExhaustedError) as caught:
            await ask(server, GET)
        await anyio.sleep(0.5)
    assert len(server.requests) == 3
    first, second = (later - earlier for earlier, later in pairwise(server.times))
    assert first >= 0.1
    assert second >= 0.2
    assert (caught.value.kind, caught.value.attempts) == (FailureKind.OVERLOADED, 3)
    assert isinstance(caught.value.__cause__, ProviderError)


@pytest.mark.slow
async def test_a_server_that_refuses_twice_is_reached_at_the_third_attempt() -> None:
    """The server comes up while the third attempt is waited for."""
    port = await free_port()
    delays: list[object] = []
    requests: list[bytes] = []
    refused_twice, answered = anyio.Event(), anyio.Event()

    def listen(event: str, fields: Mapping[str, object]) -> None:
        if event == "provider.retry_scheduled":
            delays.append(fields["delay_s"])
            if len(delays) == 2:
                refused_twice.set()

    async def come_up() -> None:
        await refused_twice.wait()
        async with serve(http(200), port=port) as server:
            await answered.wait()
            requests.extend(server.requests)

    async with anyio.create_task_group() as group, open_system() as system:
        system.events.listen(listen)
        group.start_soon(come_up)
        await (await spawn(system, f"http://127.0.0.1:{port}")).ask(GET)
        answered.set()
    assert delays == [0.1, 0.2]
    assert len(requests) == 1


AGAIN = [
    *(HttpRequest(method, "/thing") for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "put")),
    *(HttpRequest(method, "/thing", idempotency_key="k") for method in ("POST", "PATCH")),
    *(HttpRequest(method, "/thing", idempotent=True) for method in ("POST", "PATCH")),
]
NEVER_AGAIN = [
    *(HttpRequest(method, "/thing") for method in ("POST", "PATCH", "post")),
    *(HttpRequest(method, "/thing", idempotent=False) for method in ("GET", "PUT")),
    HttpRequest("POST", "/thing", idempotency_key="k", idempotent=False),
]
MAY_PASS = [http(status) for status in (408, 425, 429, 500, 502, 503, 504)]
CUT_OFF = b"HTTP/1.1 2"


def named(message: object) -> str | None:
    if not isinstance(message, HttpRequest):
        return None
    return f"{message.method}-{message.idempotency_key}-{message.idempotent}"


@pytest.mark.parametrize("message", AGAIN, ids=named)
@pytest.mark.parametrize("reply", [MAY_PASS[5], CUT_OFF])
async def test_what_does_no_harm_is_sent_again(message: HttpRequest, reply: bytes) -> None:
    async with serve(reply, http(204)) as server:
        await ask(server, message)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("message", "reply"),
    [
        *((message, reply) for message in NEVER_AGAIN for reply in (MAY_PASS[5], CUT_OFF)),
        *((NEVER_AGAIN[0], reply) for reply in MAY_PASS),
    ],
    ids=named,
)
async def test_what_may_have_been_done_is_sent_once(message: HttpRequest, reply: bytes) -> None:
    async with serve(reply, http(204)) as server:
        with pytest.raises(ProviderError) as caught:
            await ask(server, message)
    assert caught.value.retryable is False
    assert len(server.requests) == 1


async def test_a_post_is_sent_once() -> None:
    async with serve(http(503)) as server:
        with pytest.raises(ProviderError):
            await ask(server, POST)
    assert len(server.requests) == 1


async def test_a_post_with_a_key_is_sent_again_with_the_same_key() -> None:
    message = HttpRequest("POST", "/thing", body=b"x", idempotency_key="once")
    async with serve(http(503), http(200)) as server:
        await ask(server, message)
    assert len(server.requests) == 2
    assert all(b"idempotency-key: once" in request.lower() for request in server.requests)


@pytest.mark.slow
async def test_a_post_that_could_not_be_sent_is_sent_again() -> None:
    async with open_system() as system:
        with pytest.raises(RetriesExhaustedError) as caught:
            await (await spawn(system, f"http://127.0.0.1:{await free_port()}")).ask(POST)
    assert caught.value.attempts == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 501, 505])
async def test_what_would_fail_again_is_sent_once(status: int) -> None:
    async with serve(http(status)) as server:
        with pytest.raises(ProviderError) as caught:
            await ask(server, GET)
    assert caught.value.status == status
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 504])
async def test_what_may_go_well_the_next_time_is_sent_again(status: int) -> None:
    async with serve(http(status), http(200)) as server:
        await ask(server, GET)
    assert len(server.requests) == 2


@pytest.mark.slow
async def test_the_servers_wait_is_kept() -> None:
    async with serve(http(503, b"", "retry-after-ms: 400"), http(200)) as server:
        await ask(server, GET)
    assert server.times[1] - server.times[0] >= 0.4


async def test_a_server_that_hangs_is_timed_out_and_asked_again() -> None:
    async with serve(HANG, http(200)) as server, open_system() as system:
        ref = await spawn(system, server.url, attempt_timeout=1.0)
        assert (await ref.ask(GET)).status == 200
    assert len(server.requests) == 2


async def test_errors_name_the_child_where_the_class_names_no_provider() -> None:
    async with serve(http_json(400, {"error": "no"})) as server:
        with pytest.raises(ProviderError, match="weather: bad_request") as caught:
            await ask(server, GET)
    assert caught.value.provider == "weather"


async def test_a_post_that_got_no_answer_in_time_is_not_sent_twice() -> None:
    async with serve(HANG) as server, open_system() as system:
        ref = await spawn(system, server.url, attempt_timeout=1.0)
        with pytest.raises(ProviderError) as caught:
            await ref.ask(HttpRequest("POST", "/thing", body=b"x"))
    assert caught.value.kind is FailureKind.TIMEOUT
    assert len(server.requests) == 1
