"""The transport itself: what it sends, what it keeps to itself, threads, and things that go wrong."""

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import anthropic
import anyio
import anyio.to_thread
import httpx2
import openai
import pytest

import relight
from relight import Child, MailboxClosedError, Portal, Ref, open_system
from relight.actors import HttpService
from relight.actors.fakes import FaultKind, Step
from relight.testing import Recorder, assert_no_leaks
from tests.actors.transport.conftest import Servers
from tests.actors.transport.scenarios import Scenario
from tests.actors.transport.serving import serving

pytestmark = pytest.mark.anyio

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}


def ask_openai(ref: Ref, portal: Portal, url: str) -> tuple[str, str]:
    """Ask once and read a stream once, synchronously."""
    http = httpx2.Client(transport=relight.transport(ref, portal=portal))
    with openai.OpenAI(api_key="unused", base_url=url, max_retries=0, http_client=http) as client:
        whole = client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "Hello"}]
        )
        parts = client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "Hello"}], stream=True
        )
        text = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
        return whole.choices[0].message.content or "", text


def ask_anthropic(ref: Ref, portal: Portal, url: str) -> tuple[str, str]:
    """Ask once and read a stream once, synchronously."""
    http = httpx2.Client(transport=relight.transport(ref, portal=portal))
    with anthropic.Anthropic(api_key="unused", base_url=url, max_retries=0, http_client=http) as client:
        whole = client.messages.create(
            model="claude-haiku-4-5", max_tokens=100, messages=[{"role": "user", "content": "Hello"}]
        )
        with client.messages.stream(
            model="claude-haiku-4-5", max_tokens=100, messages=[{"role": "user", "content": "Hello"}]
        ) as parts:
            text = "".join(parts.text_stream)
        return "".join(block.text for block in whole.content if block.type == "text"), text


@pytest.mark.parametrize(("provider", "ask"), [("openai", ask_openai), ("anthropic", ask_anthropic)])
async def test_a_synchronous_client_works_from_a_thread(
    servers: Servers, provider: str, ask: Callable[[Ref, Portal, str], tuple[str, str]]
) -> None:
    servers.script(provider, [Step(fault=FaultKind.SERVER_ERROR)])
    async with serving(servers, provider, Scenario()) as (system, ref):
        whole, parts = await anyio.to_thread.run_sync(ask, ref, system.portal, servers.url(provider))
        assert whole == parts != ""
        await assert_no_leaks(system)
    assert len(servers.requests(provider)) == 3


async def test_a_synchronous_stream_that_is_closed_early_cancels_the_attempt(servers: Servers) -> None:
    servers.script("openai", [Step(chunk_delay=0.05)])

    def leave(ref: Ref, portal: Portal) -> None:
        with (
            httpx2.Client(transport=relight.transport(ref, portal=portal)) as client,
            client.stream(
                "POST", f"{servers.url('openai')}/chat/completions", json={**CHAT, "stream": True}
            ) as response,
        ):
            assert next(response.iter_bytes())

    async with serving(servers, "openai", Scenario()) as (system, ref):
        await anyio.to_thread.run_sync(leave, ref, system.portal)
        await assert_no_leaks(system)
        (service,) = system.services()
        assert [key.outcome for key in service.calls] == ["cancelled"]


async def test_on_the_loops_own_thread_the_synchronous_one_says_so(servers: Servers) -> None:
    async with serving(servers, "openai", Scenario()) as (system, ref):
        assert threading.current_thread() is threading.main_thread()
        transport = relight.transport(ref, portal=system.portal)
        with httpx2.Client(transport=transport) as client, pytest.raises(relight.WrongThreadError):
            client.post(f"{servers.url('openai')}/chat/completions", json=CHAT)


async def test_the_clients_key_stays_with_the_client(servers: Servers) -> None:
    async with serving(servers, "openai", Scenario()) as (_, ref):
        headers = {"authorization": "Bearer sk-client", "x-mark": "kept", "cookie": "a=b"}
        async with httpx2.AsyncClient(transport=relight.transport(ref), headers=headers) as client:
            response = await client.post(f"{servers.url('openai')}/chat/completions", json=CHAT)
    assert response.status_code == 200
    (entry,) = servers.requests("openai")
    assert entry.headers["x-mark"] == "kept"
    assert "cookie" not in entry.headers
    assert "sk-client" not in str(entry.headers)


async def test_the_clients_key_is_not_in_the_message() -> None:
    """It may end as a dead letter, or within an error."""
    recorder = Recorder()
    recorder.close()
    headers = {"authorization": "Bearer sk-client", "x-mark": "kept"}
    async with httpx2.AsyncClient(transport=relight.transport(recorder), headers=headers) as client:
        with pytest.raises(httpx2.TransportError) as caught:
            await client.post("https://api.example/v1/chat/completions", json=CHAT)
    closed = caught.value.__cause__
    assert isinstance(closed, MailboxClosedError)
    assert "kept" in repr(closed.message)
    assert "sk-client" not in repr(closed.message)


@pytest.mark.parametrize("first", ["", 'data: {"choices": []}\n\n'], ids=["at first", "later"])
async def test_a_key_that_is_echoed_in_a_stream_does_not_reach_the_client(
    servers: Servers, first: str
) -> None:
    key = servers.key("openai")
    error = f'data: {{"error": {{"message": "no such key: {key}", "type": "server_error"}}}}\n\n'
    answer = Step(status=200, body=first + error, headers={"content-type": "text/event-stream"}, times=3)
    servers.script("openai", [answer])
    async with (
        serving(servers, "openai", Scenario()) as (_, ref),
        httpx2.AsyncClient(transport=relight.transport(ref)) as client,
        client.stream("POST", f"{servers.url('openai')}/chat/completions", json=CHAT) as response,
    ):
        seen = ""
        with suppress(httpx2.TransportError):
            async for text in response.aiter_text():
                seen += text
    assert "no such key: ***" in seen


async def test_a_client_of_another_path_is_told_so(servers: Servers) -> None:
    async with (
        serving(servers, "openai", Scenario()) as (_, ref),
        httpx2.AsyncClient(transport=relight.transport(ref)) as client,
    ):
        with pytest.raises(httpx2.RemoteProtocolError, match="same base URL"):
            await client.post("https://elsewhere.example/v2/chat/completions", json=CHAT)
    assert servers.requests("openai") == []


async def test_query_and_status_and_headers_pass_through(servers: Servers) -> None:
    body = '{"error": {"message": "gone", "type": "x", "code": "y"}}'
    servers.script("openai", [Step(status=410, body=body, headers={"x-own": "1"})])
    async with (
        serving(servers, "openai", Scenario()) as (_, ref),
        httpx2.AsyncClient(transport=relight.transport(ref)) as client,
    ):
        response = await client.post(f"{servers.url('openai')}/chat/completions?a=b%2Fc", json=CHAT)
    assert (response.status_code, response.text) == (410, body)
    assert response.headers["x-own"] == "1"
    assert response.headers["x-should-retry"] == "false"


async def test_a_post_to_a_plain_service_is_not_sent_twice(servers: Servers) -> None:
    servers.script("openai", [Step(fault=FaultKind.SERVER_ERROR, times=2)])
    start = partial(HttpService, servers.url("openai"), key=servers.key("openai"))
    async with open_system() as system:
        ref = await system.spawn(Child("plain", start))
        async with httpx2.AsyncClient(transport=relight.transport(ref)) as client:
            response = await client.post(f"{servers.url('openai')}/chat/completions", json=CHAT)
            assert response.status_code == 500
            assert len(servers.requests("openai")) == 1


async def test_a_whole_exchange_ends_at_the_transports_timeout(servers: Servers) -> None:
    servers.script("openai", [Step(fault=FaultKind.HANG)])
    async with serving(servers, "openai", Scenario()) as (system, ref):
        async with httpx2.AsyncClient(transport=relight.transport(ref, timeout=0.2), timeout=None) as client:
            with pytest.raises(httpx2.ReadTimeout):
                await client.post(f"{servers.url('openai')}/chat/completions", json=CHAT)
        await assert_no_leaks(system)


async def test_a_service_that_has_stopped_is_a_transport_error() -> None:
    recorder = Recorder("service")
    recorder.close()
    async with httpx2.AsyncClient(transport=relight.transport(recorder)) as client:
        with pytest.raises(httpx2.TransportError, match="service"):
            await client.get("http://any/")


async def test_a_plain_service_hands_on_streams_whose_end_it_does_not_know(servers: Servers) -> None:
    servers.script("openai", [Step(fault=FaultKind.STREAM_ENDS)])
    start = partial(HttpService, servers.url("openai"), key=servers.key("openai"))
    async with open_system() as system:
        ref = await system.spawn(Child("plain", start))
        async with (
            httpx2.AsyncClient(transport=relight.transport(ref)) as client,
            client.stream(
                "POST", f"{servers.url('openai')}/chat/completions", json={**CHAT, "stream": True}
            ) as response,
        ):
            body = await response.aread()
    assert response.headers["content-type"].startswith("text/event-stream")
    assert body.startswith(b"data: ")
    assert b"[DONE]" not in body


async def test_what_is_no_json_and_no_stream_is_handed_on_as_it_comes(servers: Servers) -> None:
    servers.script("openai", [Step(status=200, body="<p>a page</p>")])
    async with (
        serving(servers, "openai", Scenario()) as (_, ref),
        httpx2.AsyncClient(transport=relight.transport(ref)) as client,
    ):
        response = await client.post(f"{servers.url('openai')}/chat/completions", json=CHAT)
    assert (response.status_code, response.text) == (200, "<p>a page</p>")


async def test_a_stream_without_any_event_is_asked_for_again(servers: Servers) -> None:
    servers.script("openai", [Step(fault=FaultKind.STREAM_ENDS, after=0)])
    async with (
        serving(servers, "openai", Scenario()) as (_, ref),
        httpx2.AsyncClient(transport=relight.transport(ref)) as client,
    ):
        response = await client.post(
            f"{servers.url('openai')}/chat/completions", json={**CHAT, "stream": True}
        )
    assert response.text.rstrip().endswith("data: [DONE]")
    assert len(servers.requests("openai")) == 2
