"""The fake of ElevenLabs speaks, counts characters, and takes so many requests at a time."""

from collections.abc import Callable, Coroutine, Iterator

import anyio
import httpx2
import pytest
from anyio.from_thread import start_blocking_portal

from relight.actors.fakes import FakeOptions, Fakes, FaultKind, Step, open_fakes

Say = Callable[..., Coroutine[None, None, httpx2.Response]]

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def served() -> Iterator[Fakes]:
    options = FakeOptions(latency=(0.0, 0.0), concurrency=2, characters=40)
    opening = open_fakes(["elevenlabs"], options=options)
    with start_blocking_portal("trio") as portal, portal.wrap_async_context_manager(opening) as fakes:
        yield fakes


@pytest.fixture
def say(fakes: Fakes, client: httpx2.AsyncClient) -> Say:
    async def ask(
        text: str = "hello there", *, path: str = "narrator", key: str = "fake-elevenlabs-key", **more: object
    ) -> httpx2.Response:
        url = f"{fakes.url('elevenlabs')}/v1/text-to-speech/{path}"
        return await client.post(url, headers={"xi-api-key": key}, json={"text": text, **more})

    return ask


async def test_speech_is_as_long_as_its_text_and_its_own(say: Say) -> None:
    short, same, long = [await say(text) for text in ("a b", "a b", "a b c d")]
    assert short.headers["content-type"] == "audio/mpeg"
    assert short.content == same.content
    assert long.content.count(b"\xff\xfb\x90\x00") > short.content.count(b"\xff\xfb\x90\x00") > 0


async def test_samples_come_raw_where_they_are_wanted(say: Say) -> None:
    reply = await say("one two", path="narrator?output_format=pcm_8000")
    assert reply.headers["content-type"] == "audio/pcm"
    assert len(reply.content) == 2 * 4800


async def test_characters_cost_and_run_out(say: Say) -> None:
    assert (await say("x" * 30)).headers["character-cost"] == "30"
    assert (await say("x" * 10, model_id="eleven_flash_v2_5")).headers["character-cost"] == "5"
    reply = await say("x" * 6)
    assert (reply.status_code, reply.json()["detail"]["code"]) == (401, "quota_exceeded")


async def test_a_streamed_sound_comes_in_chunks_and_can_break(fakes: Fakes, say: Say) -> None:
    await fakes.script("elevenlabs", [Step(), Step(), Step(fault=FaultKind.STREAM_RESET)])
    whole, streamed = await say("a b c"), await say("a b c", path="narrator/stream")
    with pytest.raises(httpx2.ReadError):
        await say("a b c", path="narrator/stream")
    assert streamed.content == whole.content
    assert "content-length" not in streamed.headers
    assert [entry.chunks > 1 for entry in await fakes.log("elevenlabs")] == [False, True, True]


@pytest.mark.parametrize("path", ["narrator", "narrator/stream"])
async def test_one_too_many_at_the_same_time_is_refused(fakes: Fakes, say: Say, path: str) -> None:
    await fakes.script("elevenlabs", [Step(delay=0.2, times=2)])
    replies: list[httpx2.Response] = []

    async def one() -> None:
        replies.append(await say("a", path=path))

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(one)
    refused = replies[0]
    assert [reply.status_code for reply in replies] == [429, 200, 200]
    assert refused.json()["detail"]["code"] == "concurrent_limit_exceeded"
    assert {reply.headers["maximum-concurrent-requests"] for reply in replies} == {"2"}
    assert refused.headers["current-concurrent-requests"] == "2"
    assert (await say("a", path=path)).headers["current-concurrent-requests"] == "1"


async def test_a_request_that_hangs_keeps_its_place(fakes: Fakes, say: Say) -> None:
    await fakes.script("elevenlabs", [Step(fault=FaultKind.HANG, delay=60.0, times=2)])
    async with anyio.create_task_group() as group:
        group.start_soon(say)
        group.start_soon(say)
        while (await fakes.statistics("elevenlabs")).in_flight < 2:  # noqa: ASYNC110 - another process
            await anyio.sleep(0.01)
        assert (await say()).status_code == 429
        group.cancel_scope.cancel()
    while (await fakes.statistics("elevenlabs")).in_flight:  # noqa: ASYNC110
        await anyio.sleep(0.01)
    assert (await say()).status_code == 200


async def test_listing_voices_takes_no_place(fakes: Fakes, client: httpx2.AsyncClient) -> None:
    reply = await client.get(
        f"{fakes.url('elevenlabs')}/v1/voices", headers={"xi-api-key": fakes.key("elevenlabs")}
    )
    assert reply.json()["voices"][0]["voice_id"] == "fake-narrator"
    assert reply.headers["current-concurrent-requests"] == "0"


@pytest.mark.parametrize(("text", "status"), [("", 422), ("x" * 10_001, 400)])
async def test_a_text_that_makes_no_sense_is_refused(say: Say, text: str, status: int) -> None:
    assert (await say(text)).status_code == status


async def test_a_body_that_is_none_is_a_flaw_in_a_list(fakes: Fakes, client: httpx2.AsyncClient) -> None:
    url = f"{fakes.url('elevenlabs')}/v1/text-to-speech/x"
    reply = await client.post(url, headers={"xi-api-key": fakes.key("elevenlabs")}, content=b"[")
    assert reply.status_code == 422
    assert reply.json()["detail"][0]["msg"]


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (FaultKind.RATE_LIMIT, 429, "rate_limit_exceeded"),
        (FaultKind.CONCURRENCY, 429, "concurrent_limit_exceeded"),
        (FaultKind.SLOW_DOWN, 429, "system_busy"),
        (FaultKind.QUOTA, 401, "quota_exceeded"),
        (FaultKind.AUTH, 401, "invalid_api_key"),
        (FaultKind.NOT_FOUND, 404, "voice_not_found"),
        (FaultKind.SERVER_ERROR, 500, "internal_server_error"),
        (FaultKind.JOB_FAILED, 200, None),
    ],
)
async def test_a_fault_is_said_in_elevenlabs_words(
    fakes: Fakes, say: Say, fault: FaultKind, status: int, code: str | None
) -> None:
    await fakes.script("elevenlabs", [Step(fault=fault)])
    reply = await say()
    assert reply.status_code == status
    assert code is None or reply.json()["detail"]["code"] == code


async def test_a_wrong_key_is_refused_and_no_key_is_kept(fakes: Fakes, say: Say) -> None:
    assert (await say(key="wrong")).status_code == 401
    (entry,) = await fakes.log("elevenlabs")
    assert entry.headers["xi-api-key"] == "***"
