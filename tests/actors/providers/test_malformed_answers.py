"""What no decent provider sends, from a raw server: each ends as a failure of the provider, at every one."""

import gzip
from collections.abc import Mapping
from functools import partial

import pytest

from relight.actors import HttpService
from relight.supervisors import Child, FailureKind, ProviderError, open_system
from relight.supervisors.policies import Fixed, Policy, Retry
from tests.actors.providers.examples import EXAMPLES, KEY, http_services
from tests.actors.raw_http import http, http_json, serve

pytestmark = pytest.mark.anyio

NO_WAITS = Policy(retry=Retry(attempts=1, backoff=Fixed(0.0)), breaker=None, attempt_timeout=5.0)

INVALID, SERVER, NETWORK = FailureKind.INVALID_RESPONSE, FailureKind.SERVER, FailureKind.NETWORK
HTML = b"<html><head><title>502 Bad Gateway</title></head><body><center>nginx</center></body></html>"

UNREADABLE = {
    "truncated JSON": http(200, b'{"id": "1", "choices": [{"mess', "content-type: application/json"),
    "a page of HTML": http(200, HTML, "content-type: text/html"),
    "nothing": http(200),
    "null": http_json(200, None),
    "a number": http_json(200, 7),
    "a list": http_json(200, ["no object"]),
    "wrong types": http_json(200, {"id": 1, "choices": "none", "content": {}, "usage": [], "status": {}}),
    "wrong types inside": http_json(
        200, {"id": "1", "choices": [{"message": 1}], "content": [7], "status": 1}
    ),
    "bytes that are no text": http(200, b'{"id": "\xff\xfe\x00"}', "content-type: application/json"),
    "JSON too deep": http(200, b"[" * 50_000, "content-type: application/json"),
    "no field": http_json(200, {}),
}
BROKEN = {
    "fewer bytes than said": b'HTTP/1.1 200 OK\r\ncontent-length : 5000\r\n\r\n{"id": "1"}',
    "cut in the middle": b'HTTP/1.1 200 OK\r\nConTent-Length: 5000\r\n\r\n{"id": "1"}',
    "a length that is no number": b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a chunk that is no chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    "chunks without an end": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "an endless header": b"HTTP/1.1 200 OK\r\nx: " + b"a" * 200_000,
    "a status that is none": b"HTTP/1.1 OK 200\r\n\r\n",
    "no byte": b"",
}
TOO_LONG = http(200, gzip.compress(bytes(33 * 1024 * 1024)), "content-encoding: gzip")
"""Small on the wire, and longer than an answer may be."""
NO_WAIT = ("NaN", "nan", "-5", "0", "-0.0", "inf", "-Infinity", "1e999", "soon", "\t", "9" * 400)


@pytest.fixture(params=http_services(), ids=lambda kind: kind.__name__)
def service(request: pytest.FixtureRequest) -> type[HttpService]:
    found: type[HttpService] = request.param
    return found


async def failures(service: type[HttpService], replies: Mapping[str, bytes]) -> dict[str, ProviderError]:
    """Ask the service once for each reply, with the guard before it, and return how the calls failed."""
    example = EXAMPLES[service]
    found: dict[str, ProviderError] = {}
    async with serve(*replies.values()) as server, open_system() as system:
        ref = await system.spawn(Child("svc", partial(example.make, service, server.url), policy=NO_WAITS))
        for name in replies:
            with pytest.raises(ProviderError) as caught:
                await ref.ask(example.request)
            found[name] = caught.value
        assert system.services()[0].restarts == 0  # no bug of ours: the actor lives on
    assert not any(KEY in str(error) for error in found.values())
    return found


def test_every_provider_is_asked_for_something_of_its_own() -> None:
    assert set(http_services()) == set(EXAMPLES)


async def test_an_answer_that_can_not_be_read_is_an_invalid_response(service: type[HttpService]) -> None:
    if service is HttpService:
        pytest.skip("it returns what it gets")
    found = await failures(service, UNREADABLE)
    assert {name: error.kind for name, error in found.items()} == dict.fromkeys(UNREADABLE, INVALID)
    assert {error.retry_after for error in found.values()} == {None}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_an_answer_that_breaks_off_is_a_failure_of_the_network(service: type[HttpService]) -> None:
    found = await failures(service, BROKEN)
    assert {name: error.kind for name, error in found.items()} == dict.fromkeys(BROKEN, NETWORK)
    assert {error.retry_after for error in found.values()} == {None}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_an_answer_that_is_too_long_is_refused_and_not_asked_for_again(
    service: type[HttpService],
) -> None:
    (error,) = (await failures(service, {"too long": TOO_LONG})).values()
    assert (error.kind, error.retryable) == (INVALID, False)


async def test_a_page_of_a_gateway_is_a_failure_of_the_server(service: type[HttpService]) -> None:
    (error,) = (await failures(service, {"page": http(502, HTML, "content-type: text/html")})).values()
    assert (error.kind, error.status) == (SERVER, 502)
    assert "<html>" not in str(error)


async def test_a_wait_that_makes_no_sense_is_none(service: type[HttpService]) -> None:
    replies = {
        wait: http_json(
            429,
            {"error": {"message": "slow down", "retry_after": wait}},
            f"retry-after: {wait}",
            f"retry-after-ms: {wait}",
        )
        for wait in NO_WAIT
    }
    found = await failures(service, replies)
    assert {error.kind for error in found.values()} == {FailureKind.RATE_LIMIT}
    assert {name: error.retry_after for name, error in found.items()} == dict.fromkeys(NO_WAIT, None)


async def test_bytes_beyond_the_length_break_the_connection_and_not_the_service() -> None:
    example = EXAMPLES[HttpService]
    too_short = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}, and more"
    async with serve(too_short, http_json(200, {})) as server, open_system() as system:
        ref = await system.spawn(
            Child("svc", partial(example.make, HttpService, server.url), policy=NO_WAITS)
        )
        await ref.ask(example.request)
        with pytest.raises(ProviderError) as caught:  # the bytes are taken for the next answer
            await ref.ask(example.request)
        await ref.ask(example.request)
    assert caught.value.kind is NETWORK
