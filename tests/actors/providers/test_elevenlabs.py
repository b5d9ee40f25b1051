"""ElevenLabs behind its guard, against its fake: speech, its price, and the limit of calls at once."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from functools import partial

import anyio
import pytest

from relight.actors.fakes import FakeOptions, FaultKind, RetryAfterForm, Step
from relight.actors.providers import ElevenLabs, ListVoices, Speak
from relight.runtime import Ref, SettingsError
from relight.supervisors import Child, FailureKind, ProviderError, open_system
from relight.supervisors.policies import Concurrency, Policy
from tests.actors.providers.servers import Servers, impatient, opened_servers
from tests.actors.raw_http import http, http_json, serve

pytestmark = pytest.mark.anyio

HELLO = Speak(text="Once upon a time", voice="fake-narrator")
BILLED = len(HELLO.text)


@pytest.fixture(scope="module")
def opened() -> Iterator[Servers]:
    options = FakeOptions(latency=(0.0, 0.0), concurrency=2, characters=100)
    with opened_servers(["elevenlabs"], options) as servers:
        yield servers


@asynccontextmanager
async def running(servers: Servers, policy: Policy | None = None) -> AsyncGenerator[Ref, None]:
    start = partial(ElevenLabs, servers.fakes.key("elevenlabs"), base_url=servers.fakes.url("elevenlabs"))
    child = Child("elevenlabs", start, policy=policy or impatient(ElevenLabs.policy))
    async with open_system() as system:
        yield await system.spawn(child)


async def test_a_text_is_spoken_and_paid_for_by_the_character(servers: Servers) -> None:
    async with running(servers) as ref:
        speech = await ref.ask(HELLO)
    assert speech.audio.startswith(b"ID3")
    assert speech.content_type == "audio/mpeg"
    assert speech.request_id
    assert speech.usage.characters == BILLED
    assert speech.usage.usd == pytest.approx(BILLED / 1000 * 0.18)


async def test_the_characters_are_those_billed_not_those_sent(servers: Servers) -> None:
    message = Speak(text="1234567", voice="v", model="eleven_flash_v2_5")
    async with running(servers) as ref:
        usage = (await ref.ask(message)).usage
    assert (usage.characters, usage.usd) == (4, None)


async def test_a_request_says_all_it_was_given() -> None:
    message = Speak(
        text="Hi",
        voice="a b/c",
        model="m",
        output_format="pcm_16000",
        settings={"speed": 1.1},
        extra={"seed": 7, "model_id": "n"},
    )
    async with serve(http(200, b"audio")) as server:
        service = ElevenLabs("k", base_url=server.url)
        async with service.lifespan():
            speech = await service.speak(message)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/text-to-speech/a%20b%2Fc?output_format=pcm_16000 HTTP/1.1")
    assert b"xi-api-key: k" in head.lower()
    assert b"authorization" not in head.lower()
    assert body == b'{"text":"Hi","model_id":"n","voice_settings":{"speed":1.1},"seed":7}'
    assert (speech.audio, speech.usage.characters) == (b"audio", 2)


@pytest.mark.parametrize("reply", [http(200), http_json(200, {"audio": None})], ids=["nothing", "JSON"])
async def test_an_answer_without_audio_is_invalid(reply: bytes) -> None:
    async with serve(reply) as server:
        service = ElevenLabs("k", base_url=server.url)
        async with service.lifespan():
            with pytest.raises(ProviderError) as caught:
                await service.speak(HELLO)
    assert caught.value.kind is FailureKind.INVALID_RESPONSE


async def test_the_voices_are_listed(servers: Servers) -> None:
    async with running(servers) as ref:
        voices = await ref.ask(ListVoices())
    assert [voice.id for voice in voices] == ["fake-narrator", "fake-hero", "fake-villain"]
    assert voices[0].labels == {"gender": "female"}


TEMPORARY = [
    FaultKind.RATE_LIMIT,
    FaultKind.RATE_LIMIT_BARE,
    FaultKind.SLOW_DOWN,
    FaultKind.SERVER_ERROR,
    FaultKind.UNAVAILABLE,
    FaultKind.HTML_ERROR,
    FaultKind.RESET,
    FaultKind.TRUNCATED,
]


@pytest.mark.parametrize("fault", TEMPORARY)
async def test_trouble_that_passes_is_outlived(servers: Servers, fault: FaultKind) -> None:
    form = RetryAfterForm.MILLISECONDS
    servers.script("elevenlabs", Step(fault=fault, retry_after=0.05, retry_after_form=form))
    async with running(servers) as ref:
        await ref.ask(HELLO)
    assert len(servers.requests("elevenlabs")) == 2


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (FaultKind.QUOTA, FailureKind.QUOTA),
        (FaultKind.AUTH, FailureKind.AUTH),
        (FaultKind.BAD_REQUEST, FailureKind.BAD_REQUEST),
        (FaultKind.TOO_LARGE, FailureKind.BAD_REQUEST),
        (FaultKind.NOT_FOUND, FailureKind.NOT_FOUND),
        (FaultKind.CONTENT_POLICY, FailureKind.CONTENT_POLICY),
    ],
)
async def test_what_would_fail_again_is_sent_once(
    servers: Servers, fault: FaultKind, kind: FailureKind
) -> None:
    servers.script("elevenlabs", Step(fault=fault))
    async with running(servers) as ref:
        with pytest.raises(ProviderError) as caught:
            await ref.ask(HELLO)
    assert caught.value.kind is kind
    assert len(servers.requests("elevenlabs")) == 1


async def test_a_spent_quota_is_no_wrong_key(servers: Servers) -> None:
    async with running(servers) as ref:
        for _ in range(100 // BILLED):
            await ref.ask(HELLO)
        with pytest.raises(ProviderError) as caught:
            await ref.ask(HELLO)
    assert (caught.value.kind, caught.value.status) == (FailureKind.QUOTA, 401)


@pytest.mark.slow
async def test_too_many_at_once_wait_a_second_and_all_are_spoken(servers: Servers) -> None:
    """The policy's concurrency is higher than the account's: a pause of one second puts that right."""
    servers.script("elevenlabs", Step(delay=0.2, times=2))
    policy = Policy(concurrency=Concurrency(4), breaker=None)
    async with running(servers, policy) as ref, anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(ref.ask, HELLO)
    entries = servers.requests("elevenlabs")
    refused = [entry for entry in entries if entry.status == 429]
    assert [entry.status for entry in entries].count(200) == 4
    assert {entry.fault for entry in refused} == {"concurrency"}
    first_again = entries[4].at - refused[0].at
    assert 1.0 <= first_again < 2.0


def test_an_attempt_is_estimated_by_its_characters() -> None:
    service = ElevenLabs("k")
    estimate = service.estimate(HELLO)
    assert estimate is not None
    assert estimate.usd == pytest.approx(BILLED / 1000 * 0.18)
    assert service.estimate(ListVoices()) is None


def test_it_is_built_from_the_environment() -> None:
    service = ElevenLabs.from_env({"ELEVENLABS_API_KEY": "k", "ELEVENLABS_BASE_URL": "http://here"})
    assert service.base_url == "http://here"
    assert ElevenLabs.from_env({"ELEVENLABS_API_KEY": "k"}).base_url == "https://api.elevenlabs.io"
    with pytest.raises(SettingsError, match="ELEVENLABS_API_KEY"):
        ElevenLabs.from_env({})


@pytest.mark.slow
async def test_what_elevenlabs_says_it_takes_at_once_is_heeded(servers: Servers) -> None:
    policy = Policy(concurrency=Concurrency(4), breaker=None)
    async with running(servers, policy) as ref:
        await ref.ask(HELLO)
        servers.script("elevenlabs", Step(delay=0.05, times=4))
        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(ref.ask, HELLO)
    assert {entry.status for entry in servers.requests("elevenlabs")} == {200}
