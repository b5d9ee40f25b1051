"""Notifications over WebSocket, with a real client over loopback."""

import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import anyio
import msgspec
import pytest

from relight import Child, StartError, open_system
from relight.actors import MissingExtraError
from relight.actors.jobs import (
    Feed,
    JobContext,
    LiveServer,
    MemoryStore,
    Queue,
    Store,
    Worker,
    make_token,
)
from relight.supervisors.policies import Exponential
from tests.actors.jobs.desk_help import kill, new
from tests.support.websocket import Closed, WebSocketClient, connect

pytestmark = pytest.mark.anyio

SECRET = "a secret of sixteen characters or more"


class Waiting(msgspec.Struct, frozen=True):
    delay: float


class Standing(msgspec.Struct, frozen=True):
    jobs: list[dict[str, object]]
    jobs_left_out: int


def token(user: str = "ann", ttl: float = 3600.0, secret: str = SECRET) -> str:
    return make_token(secret, user, ttl)


@asynccontextmanager
async def serving(
    store: Store,
    *,
    origins: Sequence[str] = (),
    patience: float = 30.0,
    heartbeat: float = 2.0,
    sessions: int = 128,
) -> AsyncGenerator[str]:
    urls: list[str] = []
    async with open_system() as system:
        build = partial(
            LiveServer,
            Feed(store),
            secret=SECRET,
            origins=origins,
            patience=patience,
            heartbeat=heartbeat,
            sessions=sessions,
            on_ready=urls.append,
        )
        await system.spawn(Child("live", build))
        yield urls[0]


async def greet(client: WebSocketClient, **fields: object) -> dict[str, object]:
    with anyio.fail_after(30):
        await client.send({"op": "hello", "token": token(), **fields})
        ready = await client.hear()
    assert ready["op"] == "ready"
    return ready


async def listen(client: WebSocketClient) -> int:
    """Acknowledge all until the server closes; returns the code."""
    try:
        while True:
            await client.hear()
    except Closed as closed:
        return closed.code


async def heard(client: WebSocketClient, count: int) -> list[tuple[object, object]]:
    with anyio.fail_after(30):
        frames = [await client.hear() for _ in range(count)]
    return [(frame["job"], frame["kind"]) for frame in frames]


async def test_a_user_hears_what_happens_to_their_jobs_alone(store: Store) -> None:
    async with serving(store) as url, connect(url) as client:
        await greet(client)
        await store.enqueue([new(1, user="ben"), new(2, user="ann"), new(3)])
        await kill(store, 1, 2)
        assert await heard(client, 3) == [
            ("job-0002", "enqueued"),
            ("job-0002", "started"),
            ("job-0002", "dead"),
        ]


async def test_a_client_goes_on_after_its_cursor(store: Store) -> None:
    await store.enqueue([new(number, user="ann") for number in range(1, 4)])
    async with serving(store) as url:
        async with connect(url) as client:
            await greet(client, cursor="0")
            with anyio.fail_after(30):
                cursor = (await client.hear())["cursor"]
        async with connect(url) as client:
            await greet(client, cursor=cursor)
            assert await heard(client, 2) == [("job-0002", "enqueued"), ("job-0003", "enqueued")]
            await store.enqueue([new(4, user="ann")])
            assert await heard(client, 1) == [("job-0004", "enqueued")]


async def test_a_client_hears_of_one_job(store: Store) -> None:
    await store.enqueue([new(1, user="ann"), new(2, user="ann")])
    async with serving(store) as url, connect(url) as client:
        await greet(client, cursor="0", job="job-0002")
        assert await heard(client, 1) == [("job-0002", "enqueued")]


async def test_nobody_hears_of_anothers_job(store: Store) -> None:
    await store.enqueue([new(1, user="ben"), new(2, user="ann")])
    async with serving(store) as url, connect(url) as client:
        await greet(client, cursor="0", queue="q")
        assert await heard(client, 1) == [("job-0002", "enqueued")]


@pytest.mark.parametrize(("user", "told"), [("ann", {"attempt"}), ("*", {"attempt", "worker"})])
async def test_only_operators_are_told_which_worker_has_a_job(user: str, told: set[str]) -> None:
    store = MemoryStore()
    await store.enqueue([new(1, user="ann")])
    await kill(store, 1)
    async with serving(store) as url, connect(url) as client:
        await greet(client, token=token(user), cursor="0")
        with anyio.fail_after(30):
            frames = [await client.hear() for _ in range(3)]
    assert frames[1]["kind"] == "started"
    assert set(msgspec.convert(frames[1]["data"], dict[str, object])) == told


async def test_an_operator_hears_of_all(store: Store) -> None:
    await store.enqueue([new(1, user="ben"), new(2, user="ann"), new(3)])
    async with serving(store) as url, connect(url) as client:
        await greet(client, token=token("*"), cursor="0")
        assert len(await heard(client, 3)) == 3


async def test_a_pruned_cursor_is_answered_by_how_things_stand(store: Store) -> None:
    await store.enqueue([new(1, user="ann")])
    await store.prune(ended_before=1e11)
    await store.enqueue([new(2, user="ann")])
    async with serving(store) as url, connect(url) as client:
        await greet(client, cursor="0")
        assert [kind for _, kind in await heard(client, 1)] == ["reset"]


async def test_how_many_jobs_stand_is_told_as_far_as_it_fits_into_a_frame() -> None:
    store = MemoryStore()
    await store.enqueue([new(number, user="ann", kind="draw" * 100) for number in range(60)])
    await store.prune(ended_before=1e11)
    async with serving(store) as url, connect(url) as client:
        await greet(client, cursor="0")
        with anyio.fail_after(30):
            frame = await client.hear()
    data = msgspec.convert(frame["data"], Standing)
    assert frame["kind"] == "reset"
    assert [job["id"] for job in data.jobs] == [f"job-{59 - place:04}" for place in range(len(data.jobs))]
    assert len(data.jobs) > 10
    assert len(data.jobs) + data.jobs_left_out == 50


@pytest.mark.parametrize(
    ("hello", "code"),
    [
        ({"op": "hello", "token": token("ann", -1.0)}, 4401),
        ({"op": "hello", "token": token(secret="another secret, just as long")}, 4401),
        ({"op": "hello", "token": "x" * 5000}, 4401),
        ({"op": "hello", "token": token("ann"), "user": "ben"}, 4401),
        ({"op": "hello"}, 4400),
        ({"op": "ack", "n": 1}, 4400),
        ("not json", 4400),
        ({"op": "hello", "token": token(), "cursor": "nonsense"}, 4400),
        ({"op": "hello", "token": "y" * 10_000}, 1009),
    ],
)
async def test_a_bad_hello_ends_it(hello: object, code: int) -> None:
    async with serving(MemoryStore()) as url, connect(url) as client:
        await client.send(hello)
        with anyio.fail_after(30):
            assert await client.wait_closed() == code


@pytest.mark.parametrize("frame", ["junk", {"op": "ack", "n": 99}, {"op": "ack", "n": -1}])
async def test_a_bad_frame_ends_it(frame: object) -> None:
    async with serving(MemoryStore()) as url, connect(url) as client:
        await greet(client)
        await client.send(frame)
        with anyio.fail_after(30):
            assert await client.wait_closed() == 4400


async def test_who_says_nothing_is_closed() -> None:
    async with serving(MemoryStore(), patience=0.05) as url, connect(url) as client:
        with anyio.fail_after(30):
            assert await client.wait_closed() == 4408


async def test_a_session_ends_with_its_token() -> None:
    async with serving(MemoryStore(), patience=0.6) as url, connect(url) as client:
        await greet(client, token=token("ann", 0.4))
        with anyio.fail_after(30):
            assert await listen(client) == 4401


async def test_pages_of_other_origins_are_not_let_in() -> None:
    async with serving(MemoryStore(), origins=["https://app.example"]) as url:
        with pytest.raises(Closed) as closed:
            async with connect(url, ("Origin", "https://evil.example")):
                raise AssertionError
        assert closed.value.code == 403
        async with connect(url, ("Origin", "https://app.example")) as client:
            await greet(client)


async def test_only_so_many_clients_are_served_at_a_time() -> None:
    async with serving(MemoryStore(), sessions=1) as url, connect(url) as client:
        await greet(client)
        with pytest.raises(Closed):
            async with connect(url):
                raise AssertionError


async def test_no_more_than_the_credit_is_under_way(store: Store) -> None:
    async with serving(store) as url, connect(url) as client:
        await client.send({"op": "hello", "token": token(), "cursor": "0"})
        await store.enqueue([new(number, user="ann") for number in range(1, 31)])
        with anyio.fail_after(30):
            assert [(await client.receive())["n"] for _ in range(8)] == list(range(1, 9))
        with anyio.move_on_after(0.2) as patience:
            await client.receive()
        assert patience.cancelled_caught
        await client.send({"op": "ack", "n": 3})
        with anyio.fail_after(30):
            assert [(await client.receive())["n"] for _ in range(3)] == [9, 10, 11]


async def test_a_stalled_client_is_closed_and_slows_neither_others_nor_the_end(store: Store) -> None:
    big = "x" * 9000
    async with serving(store, patience=1.5) as url, connect(url) as stalled, connect(url) as lively:
        await stalled.send({"op": "hello", "token": token(), "cursor": "0"})
        await greet(lively)

        async def happen() -> None:
            await store.enqueue([new(1, user="ann")])
            await store.register("w", 60.0, {})
            (claimed,) = await store.claim("w", ["q"], 1)
            for _ in range(40):
                await store.note("job-0001", claimed.job.fence, "log", {"text": " ".join(big[:2000])})

        async with anyio.create_task_group() as group:
            group.start_soon(happen)
            assert len(await heard(lively, 42)) == 42
        with anyio.fail_after(30):
            assert await stalled.wait_closed() == 4408
        began = anyio.current_time()
    assert anyio.current_time() - began < 30.0


@pytest.mark.slow
async def test_heartbeats_do_not_keep_a_stalled_client_from_being_closed() -> None:
    store = MemoryStore()
    async with serving(store, patience=0.6, heartbeat=0.05) as url, connect(url) as client:
        await client.send({"op": "hello", "token": token(), "cursor": "0"})
        await store.enqueue([new(number, user="ann") for number in range(1, 31)])
        with anyio.fail_after(30):
            assert await client.wait_closed() == 4408


@pytest.mark.slow
async def test_events_go_on_where_a_heartbeat_came_due_while_they_waited_for_credit() -> None:
    store = MemoryStore()
    async with serving(store, patience=2.0, heartbeat=0.05) as url, connect(url) as client:
        await client.send({"op": "hello", "token": token(), "cursor": "0"})
        await store.enqueue([new(number, user="ann") for number in range(1, 31)])
        frames = [await client.receive() for _ in range(8)]
        await anyio.sleep(0.6)  # the server looks whether a heartbeat is due every quarter of a second
        await client.send({"op": "ack", "n": frames[-1]["n"]})
        events = sum(frame["op"] == "event" for frame in frames)
        assert len(await heard(client, 30 - events)) == 30 - events


async def test_sessions_are_closed_first_when_the_server_ends() -> None:
    codes: list[int] = []
    client_ready = anyio.Event()
    began = 0.0
    async with anyio.create_task_group() as group:

        async def stay(url: str) -> None:
            async with connect(url) as client:
                await greet(client)
                client_ready.set()
                codes.append(await listen(client))

        async with serving(MemoryStore()) as url:
            group.start_soon(stay, url)
            with anyio.fail_after(30):
                await client_ready.wait()
            began = anyio.current_time()
    assert codes == [4409]
    assert anyio.current_time() - began < 30.0


@pytest.mark.parametrize("missing", [["starlette.applications"], ["hypercorn.trio", "hypercorn.asyncio"]])
async def test_a_missing_library_is_named_with_what_to_install(
    missing: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "relight.actors.jobs._web_app", raising=False)
    with pytest.raises(StartError) as caught:
        async with serving(MemoryStore()):
            raise AssertionError
    assert isinstance(caught.value.__cause__, MissingExtraError)
    assert caught.value.__cause__.extra == "web"
    assert str(caught.value).endswith(
        'the notifications\' server needs an optional library: pip install "relight[web]"'
    )
    assert "\n" not in str(caught.value)


async def test_a_user_sees_a_job_fail_three_times_and_then_succeed(closed_store: Store) -> None:
    """In real time, so that PostgreSQL's clock takes part; the default waits are in `test_watched`."""
    queue = Queue(closed_store, "q")  # the worker opens the store

    @queue.job(backoff=Exponential(0.01, base=4.0, jitter="equal"), user=lambda: "ann")
    async def draw(job: JobContext) -> str:
        await job.step("ink", ink)
        if job.attempt <= 3:
            raise ValueError(f"no luck at attempt {job.attempt}")
        return "a picture"

    inked: list[int] = []

    async def ink() -> None:
        inked.append(1)

    urls: list[str] = []
    async with open_system() as system:
        await Worker(queue).start(system)
        build = partial(LiveServer, queue.feed, secret=SECRET, on_ready=urls.append)
        await system.spawn(Child("live", build))
        async with connect(urls[0]) as client:
            await greet(client)
            id_ = await queue.enqueue(draw)
            with anyio.fail_after(30):
                frames = [await client.hear() for _ in range(10)]
    assert [frame["job"] for frame in frames] == [id_] * 10
    assert [frame["kind"] for frame in frames] == [
        *("enqueued", "started", "step", "retrying"),
        *("started", "retrying") * 2,
        *("started", "succeeded"),
    ]
    waits = [msgspec.convert(frame["data"], Waiting).delay for frame in frames if frame["kind"] == "retrying"]
    assert waits == sorted(waits)
    assert inked == [1]


async def test_a_server_without_a_feed_or_with_a_short_secret_is_refused() -> None:
    await anyio.lowlevel.checkpoint()
    store = MemoryStore()
    with pytest.raises(TypeError, match=r"must be a Feed, got a MemoryStore: write Feed\(store\)"):
        LiveServer(store, secret=SECRET)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="16 bytes or more"):
        LiveServer(Feed(store), secret="short")
