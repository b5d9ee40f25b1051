"""Subscriptions: every event once and in order, whatever happens meanwhile."""

from random import Random
from typing import cast

import anyio
import msgspec
import pytest

from relight.actors.jobs import Event, Feed, Queue, Store, Subscription
from tests.actors.jobs.desk_help import kill, new
from tests.actors.jobs.faults import until

pytestmark = pytest.mark.anyio


async def take(subscription: Subscription, count: int) -> list[Event]:
    found: list[Event] = []
    with anyio.fail_after(30):
        async for event in subscription:
            found.append(event)
            if len(found) == count:
                break
    return found


def jobs_of(events: list[Event]) -> list[str]:
    return [event.job for event in events]


async def test_a_subscriber_hears_what_happens_from_now_on(store: Store) -> None:
    await store.enqueue([new(1)])
    subscription = Feed(store).subscribe()
    await subscription.begin()
    await store.enqueue([new(2), new(3)])
    assert jobs_of(await take(subscription, 2)) == ["job-0002", "job-0003"]


async def test_a_subscriber_goes_on_after_its_cursor(store: Store) -> None:
    await store.enqueue([new(number) for number in range(1, 6)])
    first = Feed(store).subscribe(after="0")
    assert jobs_of(await take(first, 3)) == ["job-0001", "job-0002", "job-0003"]
    assert jobs_of(await take(Feed(store).subscribe(after=first.cursor), 2)) == ["job-0004", "job-0005"]


@pytest.mark.parametrize(
    ("interest", "heard"),
    [({"job": "job-0002"}, [2]), ({"user": "ann"}, [1, 3]), ({"queue": "other"}, [4])],
)
async def test_a_subscriber_hears_only_what_it_is_interested_in(
    store: Store, interest: dict[str, str], heard: list[int]
) -> None:
    feed = Feed(store)
    old, live = feed.subscribe(after="0", **interest), feed.subscribe(**interest)
    await live.begin()
    jobs = [new(1, user="ann"), new(2, user="ben"), new(3, user="ann"), new(4, queue="other")]
    await store.enqueue(jobs)
    names = [f"job-{number:04}" for number in heard]
    assert jobs_of(await take(old, len(heard))) == names
    assert jobs_of(await take(live, len(heard))) == names


async def test_a_waiting_subscriber_is_woken(store: Store) -> None:
    subscription = Feed(store).subscribe()
    await subscription.begin()
    async with anyio.create_task_group() as group:

        async def later() -> None:
            await anyio.wait_all_tasks_blocked()
            await store.enqueue([new(1)])

        group.start_soon(later)
        assert jobs_of(await take(subscription, 1)) == ["job-0001"]


async def test_another_subscriber_reads_on_when_the_one_that_reads_has_left(store: Store) -> None:
    feed = Feed(store)
    heard: list[str] = []
    begun: list[Subscription] = []
    async with anyio.create_task_group() as group:

        async def listen(scope: anyio.CancelScope, count: int) -> None:
            subscription = feed.subscribe()
            await subscription.begin()
            begun.append(subscription)
            with scope:
                heard.extend(jobs_of(await take(subscription, count)))

        first = anyio.CancelScope()
        group.start_soon(listen, first, 1)
        await until(lambda: len(begun) == 1)
        group.start_soon(listen, anyio.CancelScope(), 2)
        await until(lambda: len(begun) == 2)
        await anyio.wait_all_tasks_blocked()
        first.cancel()
        await anyio.wait_all_tasks_blocked()
        await store.enqueue([new(1), new(2)])
    assert heard == ["job-0001", "job-0002"]


async def test_one_reader_feeds_all(store: Store) -> None:
    counting = _Counting(store)
    feed = Feed(cast("Store", counting))
    heard: list[int] = []
    begun: list[Subscription] = []
    before = 0
    async with anyio.create_task_group() as group:
        for _ in range(20):

            async def listen() -> None:
                subscription = feed.subscribe()
                await subscription.begin()
                begun.append(subscription)
                heard.append(len(await take(subscription, 30)))

            group.start_soon(listen)
        await until(lambda: len(begun) == 20)
        await anyio.wait_all_tasks_blocked()
        before = counting.reads
        for number in range(30):
            await store.enqueue([new(number)])
            await anyio.lowlevel.checkpoint()
    assert heard == [30] * 20
    assert counting.reads - before < 20 * 30 / 2  # each for itself they would read 600 times, and more


async def test_a_slow_subscriber_misses_nothing_and_keeps_little(store: Store) -> None:
    feed = Feed(store, buffer=10, page=5)
    slow, fast = feed.subscribe(), feed.subscribe()
    await slow.begin()
    await fast.begin()
    await store.enqueue([new(0)])
    await take(slow, 1)
    await take(fast, 1)
    for number in range(1, 101):
        await store.enqueue([new(number)])
        await take(fast, 1)
        assert len(slow._ready) <= 10
    assert jobs_of(await take(slow, 100)) == [f"job-{number:04}" for number in range(1, 101)]


async def test_pruned_events_are_replaced_by_how_things_stand(store: Store) -> None:
    await store.enqueue([new(1, user="ann"), new(2, user="ben")])
    await kill(store, 1)
    subscription = Feed(store).subscribe(after="0", user="ann")
    await store.prune(ended_before=1e11)
    await store.enqueue([new(3, user="ann")])
    (reset,) = await take(subscription, 1)
    assert reset.kind == "reset"
    rows = msgspec.convert(reset.data["jobs"], list[dict[str, object]])
    assert [(row["id"], row["state"]) for row in rows] == [("job-0003", "queued")]
    await store.enqueue([new(4, user="ben"), new(5, user="ann")])
    assert jobs_of(await take(subscription, 1)) == ["job-0005"]


async def test_live_subscribers_survive_pruning(store: Store) -> None:
    feed = Feed(store, buffer=4, page=2)
    subscription = feed.subscribe()
    await subscription.begin()
    await store.enqueue([new(1)])
    await take(subscription, 1)
    await store.enqueue([new(2)])
    await store.prune(ended_before=1e11)
    await store.enqueue([new(3)])
    (event,) = await take(subscription, 1)
    assert event.kind == "reset"


async def test_a_queue_offers_its_own_events(store: Store) -> None:
    queue = Queue(store, "q")
    subscription = queue.events(after="0")
    await store.enqueue([new(1, queue="other"), new(2)])
    assert jobs_of(await take(subscription, 1)) == ["job-0002"]


@pytest.mark.parametrize("seed", range(6))
async def test_who_comes_and_goes_at_random_hears_everything_once(store: Store, seed: int) -> None:
    rng = Random(seed)
    feed = Feed(store, buffer=rng.choice([3, 8, 50]), page=rng.choice([1, 2, 3]))
    total = 60
    heard: dict[int, list[str]] = {reader: [] for reader in range(4)}
    users = ["ann", "ben", None, "ann"]

    async def read(reader: int) -> None:
        cursor: str | None = "0"
        expected = sum(1 for number in range(total) if users[reader] in (None, _user(number)))
        while len(heard[reader]) < expected:
            subscription = feed.subscribe(after=cursor, user=users[reader])
            with anyio.move_on_after(rng.choice([0.0, 0.001, 0.01, 1.0])):
                async for event in subscription:
                    heard[reader].append(event.job)
                    cursor = event.cursor
                    if len(heard[reader]) == expected:
                        break
                    if rng.random() < 0.2:
                        await anyio.sleep(rng.random() * 0.004)

    async with anyio.create_task_group() as group:
        for reader in heard:
            group.start_soon(read, reader)
        number = 0
        while number < total:
            some = rng.randint(1, 5)
            batch = [new(n, user=_user(n)) for n in range(number, min(total, number + some))]
            await store.enqueue(batch)
            number += some
            await anyio.sleep(rng.random() * 0.003)
    for reader, jobs in heard.items():
        wanted = [f"job-{n:04}" for n in range(total) if users[reader] in (None, _user(n))]
        assert jobs == wanted


def _user(number: int) -> str:
    return "ann" if number % 3 else "ben"


class _Counting:
    """A store that counts how often its events are read."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.reads = 0

    def __getattr__(self, name: str) -> object:
        if name == "events":
            self.reads += 1
        return getattr(self._store, name)
