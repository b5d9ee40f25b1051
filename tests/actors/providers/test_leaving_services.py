"""Askers who leave rows, files and speech at any moment leave nothing behind."""

from collections.abc import Iterator
from functools import partial
from random import Random

import anyio
import pytest
from anyio.from_thread import start_blocking_portal

from relight.actors.fakes import FakeOptions, FaultKind, FaultPlan, open_fakes
from relight.actors.providers import (
    DownloadFile,
    ElevenLabs,
    InsertRows,
    SelectRows,
    Speak,
    StreamSpeech,
    Supabase,
    SupabaseStorage,
    UploadFile,
)
from relight.runtime import RefusalError, Request
from relight.supervisors import Child, ProviderError, open_system
from relight.testing import assert_no_leaks
from tests.actors.providers.servers import Servers, impatient

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

PLAN = FaultPlan(
    rate=0.3, seed=5, weights={FaultKind.HANG: 1.0, FaultKind.RESET: 1.0, FaultKind.TRUNCATED: 1.0}
)
ROWS: list[Request[object]] = [SelectRows(table="t"), InsertRows(table="t", rows=({"id": 1},), key=("id",))]
FILES: list[Request[object]] = [
    UploadFile(bucket="b", path="f", data=b"x"),
    DownloadFile(bucket="b", path="f"),
]
SPEECH: list[Request[object]] = [Speak(text="a b c", voice="v"), StreamSpeech(text="a b c", voice="v")]


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    options = FakeOptions(latency=(0.0, 0.02))
    opening = open_fakes(["supabase", "elevenlabs"], options=options, plan=PLAN)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(opening) as fakes:
        yield Servers(fakes, portal)


def child(servers: Servers, name: str) -> Child:
    url = servers.fakes.url("elevenlabs" if name == "elevenlabs" else "supabase")
    key = servers.fakes.key("elevenlabs" if name == "elevenlabs" else "supabase")
    match name:
        case "elevenlabs":
            return Child(name, partial(ElevenLabs, key, base_url=url), policy=impatient(ElevenLabs.policy))
        case "rows":
            return Child(name, partial(Supabase, url, key), policy=impatient(Supabase.policy))
        case _:
            return Child(name, partial(SupabaseStorage, url, key), policy=impatient(SupabaseStorage.policy))


@pytest.mark.parametrize(("name", "messages"), [("rows", ROWS), ("files", FILES), ("elevenlabs", SPEECH)])
async def test_askers_who_leave_at_any_moment_leave_nothing_behind(
    servers: Servers, name: str, messages: list[Request[object]]
) -> None:
    rng = Random(name)
    async with open_system() as system:
        ref = await system.spawn(child(servers, name))

        async def ask(message: Request[object], patience: float) -> None:
            with anyio.move_on_after(patience):
                try:
                    if isinstance(message, StreamSpeech):
                        async with ref.stream(message) as chunks:
                            async for _ in chunks:
                                await anyio.sleep(rng.random() * 0.01)
                    else:
                        await ref.ask(message)
                except (ProviderError, RefusalError):
                    return

        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(ask, rng.choice(messages), rng.random() * 0.2)
                await anyio.sleep(rng.random() * 0.005)
        # The guard looks five seconds later whether a cancelled attempt has unwound.
        await assert_no_leaks(system, timers=False)
