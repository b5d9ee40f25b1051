"""Supabase's files behind their guard: stored, read, listed, signed, removed; and what is sent again."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from functools import partial

import httpx2
import msgspec
import pytest

from relight.actors.fakes import FaultKind, Step
from relight.actors.providers import (
    DownloadFile,
    FileContent,
    ListFiles,
    RemoveFiles,
    SignFile,
    SupabaseStorage,
    UploadFile,
)
from relight.runtime import Ref, Request
from relight.supervisors import FailureKind, ProviderError
from tests.actors.providers.servers import Servers, opened_servers, running_service
from tests.actors.raw_http import HANG, http, http_json, serve

pytestmark = pytest.mark.anyio

PANEL = UploadFile(bucket="comics", path="a b/pänel-1.png", data=b"\x89PNG", content_type="image/png")
NEW = msgspec.structs.replace(PANEL, overwrites=False)
READ = DownloadFile(bucket="comics", path=PANEL.path)


@pytest.fixture(scope="module")
def opened() -> Iterator[Servers]:
    with opened_servers(["supabase"]) as servers:
        yield servers


@asynccontextmanager
async def running(url: str, key: str = "k", *, attempt_timeout: float = 30.0) -> AsyncGenerator[Ref, None]:
    start = partial(SupabaseStorage, url, key)
    async with running_service(start, SupabaseStorage.policy, attempt_timeout=attempt_timeout) as ref:
        yield ref


@asynccontextmanager
async def storage(servers: Servers) -> AsyncGenerator[Ref, None]:
    async with running(servers.fakes.url("supabase"), servers.fakes.key("supabase")) as ref:
        yield ref


async def test_a_file_is_stored_and_read(servers: Servers) -> None:
    async with storage(servers) as ref:
        assert await ref.ask(PANEL) == f"comics/{PANEL.path}"
        assert await ref.ask(READ) == FileContent(data=b"\x89PNG", content_type="image/png")


async def test_a_file_is_overwritten_unless_it_must_not_be(servers: Servers) -> None:
    async with storage(servers) as ref:
        await ref.ask(PANEL)
        await ref.ask(msgspec.structs.replace(PANEL, data=b"new"))
        with pytest.raises(ProviderError) as caught:
            await ref.ask(NEW)
        assert (await ref.ask(READ)).data == b"new"
    error = caught.value
    assert (error.kind, error.status, error.code) == (FailureKind.BAD_REQUEST, 409, "ResourceAlreadyExists")


async def test_a_folder_is_listed(servers: Servers) -> None:
    async with storage(servers) as ref:
        for path in ("a/1.txt", "a/2.txt", "a/deep/3.txt", "b.txt"):
            await ref.ask(UploadFile(bucket="comics", path=path, data=b"x"))
        top = await ref.ask(ListFiles(bucket="comics"))
        below = await ref.ask(ListFiles(bucket="comics", folder="a", limit=2, offset=1))
        found = await ref.ask(ListFiles(bucket="comics", folder="a", search="1"))
    assert [entry.name for entry in top] == ["a", "b.txt"]
    assert [entry.id is None for entry in top] == [True, False]
    assert [entry.name for entry in below] == ["2.txt", "deep"]
    assert [entry.name for entry in found] == ["1.txt"]


async def test_files_are_removed(servers: Servers) -> None:
    async with storage(servers) as ref:
        await ref.ask(PANEL)
        assert await ref.ask(RemoveFiles(bucket="comics", paths=(PANEL.path, "nothing"))) == (PANEL.path,)
        with pytest.raises(ProviderError) as caught:
            await ref.ask(READ)
    assert (caught.value.kind, caught.value.status) == (FailureKind.NOT_FOUND, 404)
    assert len(servers.requests("supabase", "storage_download")) == 1


async def test_a_signed_address_needs_no_key(servers: Servers) -> None:
    async with storage(servers) as ref:
        await ref.ask(PANEL)
        address = await ref.ask(SignFile(bucket="comics", path=PANEL.path, seconds=60))
        with pytest.raises(ProviderError, match="not_found"):
            await ref.ask(SignFile(bucket="comics", path="nothing"))
    async with httpx2.AsyncClient(trust_env=False, verify=False) as client:
        assert (await client.get(address)).content == b"\x89PNG"
        assert (await client.get(f"{address}x")).status_code == 400


@pytest.mark.parametrize(
    "fault",
    [
        FaultKind.RATE_LIMIT,
        FaultKind.SERVER_ERROR,
        FaultKind.UNAVAILABLE,
        FaultKind.OVERLOADED,
        FaultKind.HTML_ERROR,
        FaultKind.RESET,
        FaultKind.TRUNCATED,
    ],
)
async def test_reading_and_overwriting_outlive_trouble_that_passes(
    servers: Servers, fault: FaultKind
) -> None:
    for _ in range(2):
        servers.script("supabase", Step(fault=fault, retry_after=0.05), Step())
    async with storage(servers) as ref:
        await ref.ask(PANEL)
        assert (await ref.ask(READ)).data == PANEL.data
    assert len(servers.requests("supabase")) == 4


@pytest.mark.parametrize(
    "reply",
    [http(502), http(500), http(429), http(200, b"{"), b"HTTP/1.1 2"],
    ids=lambda reply: str(reply[:16]),
)
async def test_an_upload_that_must_not_overwrite_is_sent_once(reply: bytes) -> None:
    async with serve(reply, http_json(200, {"Key": "k"})) as server, running(server.url) as ref:
        with pytest.raises(ProviderError) as caught:
            await ref.ask(NEW)
    assert caught.value.retryable is False
    assert len(server.requests) == 1


@pytest.mark.parametrize(("message", "times"), [(PANEL, 2), (NEW, 1)])
async def test_silence_is_asked_again_where_that_does_no_harm(message: Request[str], times: int) -> None:
    async with (
        serve(HANG, http_json(200, {"Key": "k"}), http_json(200, {"Key": "k"})) as server,
        running(server.url, attempt_timeout=1.0) as ref,
    ):
        if times == 1:
            with pytest.raises(ProviderError, match="timeout"):
                await ref.ask(message)
        else:
            assert await ref.ask(message) == "k"
    assert len(server.requests) == times


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (FaultKind.QUOTA, FailureKind.QUOTA),
        (FaultKind.AUTH, FailureKind.AUTH),
        (FaultKind.TOO_LARGE, FailureKind.BAD_REQUEST),
        (FaultKind.BAD_REQUEST, FailureKind.BAD_REQUEST),
        (FaultKind.NOT_FOUND, FailureKind.NOT_FOUND),
    ],
)
async def test_what_would_fail_again_is_sent_once(
    servers: Servers, fault: FaultKind, kind: FailureKind
) -> None:
    servers.script("supabase", Step(fault=fault))
    async with storage(servers) as ref:
        with pytest.raises(ProviderError) as caught:
            await ref.ask(PANEL)
    assert caught.value.kind is kind
    assert len(servers.requests("supabase")) == 1


async def test_an_upload_says_all_it_was_given() -> None:
    message = msgspec.structs.replace(PANEL, cache_seconds=60)
    async with serve(http_json(200, {"Key": "k"})) as server, running(server.url) as ref:
        await ref.ask(message)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /storage/v1/object/comics/a%20b/p%C3%A4nel-1.png HTTP/1.1")
    lines = set(head.lower().split(b"\r\n"))
    assert {b"content-type: image/png", b"cache-control: max-age=60", b"x-upsert: true"} <= lines
    assert body == b"\x89PNG"
