"""A job that fails and recovers, watched over WebSocket: the attempts, their waits, the events, the record.

The client lives in a thread and a loop of its own, as another program would. While it listens, the time of
worker and server runs two hundred times as fast. A clock that jumps when everybody waits would not wait for
sockets and for the store's threads; this one does, however slow they are.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import cast

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import msgspec
import pytest
from trio.testing import MockClock

from relight import Child, open_system
from relight.actors.jobs import (
    JobContext,
    JobState,
    LiveServer,
    MemoryStore,
    Queue,
    SqliteStore,
    Store,
    Worker,
    make_token,
)
from tests.support.websocket import connect

pytestmark = pytest.mark.anyio

SECRET = "a secret of sixteen characters or more"
BEGIN = 1_800_000_000.0
"""Virtual time begins here."""
FAST = 200.0
LONG = 36_000.0
"""Seconds: for the lease and for the client, minutes of real time."""
HANGS = 60.0
"""Real seconds after which the client gives up."""


@pytest.fixture
def clock() -> MockClock:
    return MockClock(rate=1.0)


@pytest.fixture
def anyio_backend(clock: MockClock) -> tuple[str, dict[str, object]]:
    return "trio", {"clock": clock}


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, clock: MockClock, tmp_path: Path) -> Store:
    """Make a store in virtual time. PostgreSQL goes by its server's clock: see `test_live`."""

    def now() -> float:
        return BEGIN + clock.current_time()

    return MemoryStore(now) if request.param == "memory" else SqliteStore(tmp_path / "jobs.db", clock=now)


class Frame(msgspec.Struct, frozen=True):
    """An event as the client hears it."""

    job: str
    kind: str
    cursor: str
    at: float
    data: Mapping[str, object]


def watch(url: str, is_ready: Callable[[], object]) -> list[Frame]:
    """Hear of Ann's jobs until one succeeds, in a loop of this thread's own."""

    async def listen() -> list[Frame]:
        frames: list[Frame] = []
        with anyio.fail_after(HANGS):
            async with connect(url) as client:
                await client.send({"op": "hello", "token": make_token(SECRET, "ann", LONG)})
                assert (await client.hear())["op"] == "ready"
                is_ready()
                while not frames or frames[-1].kind != "succeeded":
                    frames.append(msgspec.convert(await client.hear(), Frame))
        return frames

    return anyio.run(listen, backend="asyncio")


@asynccontextmanager
async def watched(queue: Queue, clock: MockClock) -> AsyncGenerator[Callable[[], Awaitable[list[Frame]]]]:
    """Run a worker, a server of notifications, and a client that listens; gives what waits for its end."""
    urls: list[str] = []
    ready, over = anyio.Event(), anyio.Event()
    heard: list[Frame] = []

    async def run_client() -> None:
        is_ready = partial(anyio.from_thread.run_sync, ready.set, token=anyio.lowlevel.current_token())
        heard.extend(await anyio.to_thread.run_sync(watch, urls[0], is_ready))
        over.set()

    async def wait_over() -> list[Frame]:
        await over.wait()
        return heard

    async with open_system(rng=Random(1)) as system:
        await Worker(queue, lease=LONG).start(system)
        build = partial(LiveServer, queue.feed, secret=SECRET, patience=LONG, on_ready=urls.append)
        await system.spawn(Child("live", build))
        async with anyio.create_task_group() as group:
            group.start_soon(run_client)
            await ready.wait()
            clock.rate = FAST
            yield wait_over
            clock.rate = 1.0  # an end has its time limits, too


async def test_a_user_sees_a_job_fail_three_times_with_growing_waits_and_then_succeed(
    store: Store, clock: MockClock
) -> None:
    queue = Queue(store, "q", clock=lambda: BEGIN + clock.current_time())
    inked: list[int] = []

    async def ink() -> str:
        inked.append(1)
        return "black"

    @queue.job(user=lambda: "ann")
    async def draw(job: JobContext) -> str:
        colour = await job.step("ink", ink)
        if job.attempt <= 3:
            raise ValueError(f"no luck at attempt {job.attempt}")
        return f"a picture in {colour}"

    async with watched(queue, clock) as wait_over:
        id_ = await queue.enqueue(draw)
        frames = await wait_over()
        detail = await store.job(id_)
        events = await store.events("0")
        rests = [await store.events(frame.cursor) for frame in frames]

    # What she saw, in order: the waits as the policy says, and each attempt not before its wait was over.
    assert {frame.job for frame in frames} == {id_}
    assert [frame.kind for frame in frames] == [
        *("enqueued", "started", "step", "retrying"),
        *("started", "retrying") * 2,
        *("started", "succeeded"),
    ]
    started = [frame for frame in frames if frame.kind == "started"]
    retrying = [frame for frame in frames if frame.kind == "retrying"]
    assert [frame.data["attempt"] for frame in started] == [1, 2, 3, 4]
    assert [(frame.data["attempt"], frame.data["error"]) for frame in retrying] == [
        (number, f"no luck at attempt {number}") for number in (1, 2, 3)
    ]
    waits = [cast("float", frame.data["delay"]) for frame in retrying]
    assert 1.0 <= waits[0] <= 2.0
    assert 4.0 <= waits[1] <= 8.0
    assert 16.0 <= waits[2] <= 32.0
    for before, wait, after in zip(retrying, waits, started[1:], strict=True):
        assert after.at - before.at >= wait
    assert [frame.at for frame in frames] == sorted(frame.at for frame in frames)

    # Each frame's cursor is where one goes on who was away since.
    assert [frame.cursor for frame in frames] == [event.cursor for event in events]
    assert rests == [events[place:] for place in range(1, len(events) + 1)]

    # The record.
    assert detail is not None
    job = detail.job
    assert (job.state, job.attempt, job.max_attempts, job.runs) == (JobState.SUCCEEDED, 4, 5, 4)
    assert (job.result, job.error, job.user) == (b'"a picture in black"', None, "ann")
    assert [(each.number, each.error, each.is_spent, each.retry_in) for each in detail.attempts] == [
        (number, f"no luck at attempt {number}", True, wait) for number, wait in enumerate(waits, 1)
    ]
    assert [step.name for step in detail.steps] == ["ink"]
    assert inked == [1]
