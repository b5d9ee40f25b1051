"""Speech that is heard while it is made: in pieces, paid for at the end, and broken in the middle."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from functools import partial

import anyio
import pytest

from relight.actors.fakes import FakeOptions, FaultKind, Step
from relight.actors.providers import ElevenLabs, Speak, Speech, SpeechChunk, StreamSpeech
from relight.runtime import Ref
from relight.supervisors import Child, FailureKind, ProviderError, StreamBrokenError, System, open_system
from relight.testing import capture_events
from tests.actors.providers.servers import Servers, impatient, opened_servers
from tests.actors.raw_http import http, http_json, serve

pytestmark = pytest.mark.anyio

HELLO = StreamSpeech(text="Once upon a time", voice="fake-narrator")
BILLED = len(HELLO.text)
AUDIO = "content-type: audio/mpeg"
CUT = b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ncharacter-cost: 9\r\nContent-Length: 9\r\n\r\nhalf"


@pytest.fixture(scope="module")
def opened() -> Iterator[Servers]:
    with opened_servers(["elevenlabs"], FakeOptions(latency=(0.0, 0.0), concurrency=2)) as servers:
        yield servers


async def spawn(system: System, url: str, key: str = "k") -> Ref:
    start = partial(ElevenLabs, key, base_url=url)
    return await system.spawn(Child("elevenlabs", start, policy=impatient(ElevenLabs.policy)))


@asynccontextmanager
async def running(url: str, key: str = "k") -> AsyncGenerator[Ref, None]:
    async with open_system() as system:
        yield await spawn(system, url, key)


async def heard(ref: Ref) -> list[SpeechChunk]:
    async with ref.stream(HELLO) as chunks:
        return [chunk async for chunk in chunks]


async def test_a_text_is_heard_in_pieces_and_paid_for_in_the_last(servers: Servers) -> None:
    async with running(servers.fakes.url("elevenlabs"), servers.fakes.key("elevenlabs")) as ref:
        *pieces, last = await heard(ref)
        whole = await ref.ask(Speak(text=HELLO.text, voice=HELLO.voice))
    assert b"".join(piece.audio for piece in pieces) == whole.audio
    assert {piece.usage for piece in pieces} == {None}
    assert (last.audio, last.usage) == (b"", whole.usage)
    assert servers.requests("elevenlabs")[0].path == "/v1/text-to-speech/fake-narrator/stream"


async def test_trouble_before_the_first_piece_is_outlived(servers: Servers) -> None:
    for fault in (FaultKind.SLOW_DOWN, FaultKind.RESET):
        servers.script("elevenlabs", Step(fault=fault))
    async with running(servers.fakes.url("elevenlabs"), servers.fakes.key("elevenlabs")) as ref:
        assert await heard(ref)
    assert len(servers.requests("elevenlabs")) == 3


async def test_a_stream_that_breaks_leaves_what_was_heard_and_is_sent_once() -> None:
    async with serve(CUT) as server, open_system() as system:
        ref = await spawn(system, server.url)
        with capture_events(system) as events, pytest.raises(StreamBrokenError) as caught:
            await heard(ref)
    partial_ = caught.value.partial
    assert caught.value.kind is FailureKind.STREAM_BROKEN
    assert isinstance(partial_, Speech)
    assert (partial_.audio, partial_.usage.characters) == (b"half", 9)
    assert len(server.requests) == 1
    (event,) = events.named("provider.stream_dropped")
    assert event.fields["reason"] == "broken"
    assert event.fields["usd"] == pytest.approx(9 / 1000 * 0.18)


async def test_a_listener_who_leaves_gives_the_place_back(servers: Servers) -> None:
    async with open_system() as system:
        ref = await spawn(system, servers.fakes.url("elevenlabs"), servers.fakes.key("elevenlabs"))
        with capture_events(system) as events:
            for _ in range(3):
                async with ref.stream(StreamSpeech(text="word " * 1000, voice="v")) as chunks:
                    async for chunk in chunks:
                        assert chunk.audio
                        break
            with anyio.fail_after(30.0):
                assert await heard(ref)
    assert {event.fields["reason"] for event in events.named("provider.stream_dropped")} == {"left"}


@pytest.mark.parametrize(
    "reply",
    [http(200, b"", AUDIO), http_json(200, {"audio": 1}), http(200, b"<html>", "content-type: text/html")],
)
async def test_a_stream_without_audio_is_an_invalid_response(reply: bytes) -> None:
    async with serve(reply) as server, running(server.url) as ref:
        with pytest.raises(ProviderError) as caught:
            await heard(ref)
    assert caught.value.kind is FailureKind.INVALID_RESPONSE
    assert len(server.requests) == 3


async def test_a_refusal_is_what_it_is_anywhere_else(servers: Servers) -> None:
    servers.script("elevenlabs", Step(fault=FaultKind.QUOTA))
    async with running(servers.fakes.url("elevenlabs"), servers.fakes.key("elevenlabs")) as ref:
        with pytest.raises(ProviderError) as caught:
            await heard(ref)
    assert caught.value.kind is FailureKind.QUOTA
    assert len(servers.requests("elevenlabs")) == 1
