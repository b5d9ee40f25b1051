"""What does it cost to keep jobs so that they outlive the process, beside a bare loop of commits?

Enqueue a job, save a step, take jobs and end them: one after another, and 32 at a time, when they share
commits. The floor is one row, one commit, on a database of the same kind and in the same process. Then: a
whole worker that runs jobs which do nothing, with its supervised actors and a task for each job; how long it
takes from enqueue to start; and how a claim is slowed down by a million jobs that have ended.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count

import anyio

from relight import open_system
from relight.actors.jobs import Claimed, JobContext, NewJob, Queue, Step, Store, Worker

from ._stores import Measured, stores
from .harness import MICROSECONDS, Figure, Stage, Target, Turns, figure, in_turns, percentile

CROWD = 32
"""So many at a time."""
OPERATIONS = 640
"""In a round with a crowd; alone there are so many times less as the crowd has members."""
COMMITS = 30
"""In a round of the floor."""
STARTS = 200
"""Jobs whose start is waited for."""
HISTORY = 1_000_000
QUICK_HISTORY = 10_000
FLOOR = "one row, one commit"
TARGETS = {
    "sqlite": {
        "enqueue": Target(1 / 4), "drain": Target(1 / 2.5), "worker": Target(1 / 2.5),
        "step": Target(1 / 3.5), "step_alone": Target(3.0),
        "start_p50": Target(2.0, of="value"), "start_p99": Target(5.0, of="value"), "claim": Target(1.3),
    },
    "postgres": {
        "enqueue": Target(1 / 5), "drain": Target(1 / 3), "worker": Target(1 / 3),
        "step": Target(1 / 5), "step_alone": Target(2.2),
        "start_p50": Target(4.0, of="value"), "start_p99": Target(10.0, of="value"), "claim": Target(1.5),
    },
}  # fmt: skip
"""By store. The writes: against a commit each. The starts: in milliseconds."""

_MILLISECONDS = 1e3
_LEASE = 3600.0
_WORKER = "bench"
_names = count()


async def answer(stage: Stage) -> AsyncIterator[Figure]:
    """Ask every store that can be had here."""
    async for measured in stores():
        await measured.store.register(_WORKER, _LEASE, {})
        for each in (_writes, _workers, _starts, _claims):
            async for found in each(stage, measured):
                yield found


async def _writes(stage: Stage, of: Measured) -> AsyncIterator[Figure]:
    targets = TARGETS[of.name]
    for name, crowd in (("enqueue", 1), ("enqueue", CROWD), ("step", 1), ("step", CROWD), ("drain", CROWD)):
        act = {"enqueue": _enqueue, "step": _steps, "drain": _drain}[name]
        operations = (OPERATIONS // 4 if stage.is_quick else OPERATIONS) // (CROWD // crowd)
        turns = await in_turns(
            lambda act=act, crowd=crowd, operations=operations: act(of.store, operations, crowd),  # type: ignore[misc]
            lambda: _commit(of),
            stage.seconds,
            at_least=2 if stage.is_quick else 5,
        )
        full_name = name if crowd == CROWD else f"{name}_alone"
        yield figure(
            f"jobs_{of.name}_{full_name}",
            stage,
            turns.scaled(MICROSECONDS),
            floor_is=FLOOR,
            target=targets.get(full_name),
        )


async def _workers(stage: Stage, of: Measured) -> AsyncIterator[Figure]:
    """Time a worker of its own connections, as it would run in a process of its own."""
    jobs = OPERATIONS // 4 if stage.is_quick else 4 * OPERATIONS
    queue = Queue(of.again(), "worked")
    ended = anyio.Event()
    left = 0

    @queue.job()
    async def do_nothing(job: JobContext, page: int) -> None:
        nonlocal left
        left -= 1
        if not left:
            ended.set()

    async def work() -> float:
        nonlocal left, ended
        left, ended = jobs, anyio.Event()
        began = time.perf_counter()
        await queue.enqueue_many(do_nothing, [(page,) for page in range(jobs)])
        await ended.wait()
        return (time.perf_counter() - began) / jobs

    async with open_system() as system:
        await Worker(queue, concurrency=CROWD).start(system)
        turns = await in_turns(work, lambda: _commit(of), stage.seconds, at_least=2 if stage.is_quick else 3)
    yield figure(
        f"jobs_{of.name}_worker",
        stage,
        turns.scaled(MICROSECONDS),
        floor_is=FLOOR,
        target=TARGETS[of.name]["worker"],
    )


async def _starts(stage: Stage, of: Measured) -> AsyncIterator[Figure]:
    fifties, nines = Turns(), Turns()
    for _ in range(2 if stage.is_quick else 5):
        waits = [
            wait * _MILLISECONDS async for wait in _waits(of.store, STARTS // 8 if stage.is_quick else STARTS)
        ]
        floor = await _commit(of) * _MILLISECONDS
        fifties.add(percentile(waits, 0.5), floor)
        nines.add(percentile(waits, 0.99), floor)
    for name, turns in (("start_p50", fifties), ("start_p99", nines)):
        yield figure(
            f"jobs_{of.name}_{name}",
            stage,
            turns.medians(),
            unit="ms",
            floor_is=FLOOR,
            target=TARGETS[of.name][name],
        )


async def _claims(stage: Stage, of: Measured) -> AsyncIterator[Figure]:
    rounds = 10 if stage.is_quick else 100
    empty = [await _claim(of.store) for _ in range(rounds)]
    most = QUICK_HISTORY if stage.is_quick else HISTORY
    await anyio.to_thread.run_sync(of.age, most)
    turns = Turns()
    for floor in empty:
        turns.add(await _claim(of.store), floor)
    yield figure(
        f"jobs_{of.name}_claim",
        stage,
        turns.medians().scaled(MICROSECONDS),
        floor_is=f"a claim before there were {most:,} jobs that have ended",
        target=TARGETS[of.name]["claim"],
    )


# --- one round --------------------------------------------------------------------------------------


async def _commit(of: Measured) -> float:
    began = time.perf_counter()
    for _ in range(COMMITS):
        of.commit()
    return (time.perf_counter() - began) / COMMITS


async def _enqueue(store: Store, operations: int, crowd: int) -> float:
    queue = f"enqueued-{next(_names)}"
    return await _together(operations, crowd, lambda: store.enqueue([_new(queue)]))


async def _steps(store: Store, operations: int, crowd: int) -> float:
    claimed = await _begin(store, crowd)
    numbers = count()

    async def save() -> None:
        number = next(numbers)
        job = claimed[number % crowd].job
        await store.save_step(job.id, job.fence, Step(name=f"s{number}", result=b'{"page": 1}'))

    seconds = await _together(operations, crowd, save)
    for one in claimed:
        await _end(store, one)
    return seconds


async def _drain(store: Store, operations: int, crowd: int) -> float:
    """Take jobs and end them, as a worker with so many places does."""
    queue = f"drained-{next(_names)}"
    await store.enqueue([_new(queue) for _ in range(operations)])
    free, left = crowd, operations
    has_room = anyio.Event()
    began = time.perf_counter()
    async with anyio.create_task_group() as group:

        async def work(one: Claimed) -> None:
            nonlocal free, has_room
            free += 1  # for the next one, which the transaction that stores this end will claim
            has_room.set()
            await _end(store, one)

        while left:
            has_room = anyio.Event()
            if not free:
                await has_room.wait()
            claimed = await store.claim(_WORKER, [queue], free)
            free -= len(claimed)
            left -= len(claimed)
            for one in claimed:
                group.start_soon(work, one)
    return (time.perf_counter() - began) / operations


async def _waits(store: Store, jobs: int) -> AsyncIterator[float]:
    """Tell how long each job took from being enqueued to being claimed by a worker that waits."""
    queue = f"started-{next(_names)}"
    begun: dict[str, float] = {}
    has_begun = anyio.Event()

    async def work() -> None:
        while True:
            claimed = await store.claim(_WORKER, [queue], 1)
            for one in claimed:
                begun[one.job.id] = time.perf_counter()
                has_begun.set()
                await _end(store, one)
            if not claimed:
                await store.wait_change(1.0)

    async with anyio.create_task_group() as group:
        group.start_soon(work)
        for _ in range(jobs):
            has_begun = anyio.Event()
            job = _new(queue)
            asked = time.perf_counter()
            await store.enqueue([job])
            await has_begun.wait()
            yield begun[job.id] - asked
            await anyio.sleep(0.002)
        group.cancel_scope.cancel()


async def _claim(store: Store) -> float:
    queue = f"claimed-{next(_names)}"
    await store.enqueue([_new(queue) for _ in range(CROWD)])
    began = time.perf_counter()
    claimed = await store.claim(_WORKER, [queue], CROWD)
    seconds = time.perf_counter() - began
    async with anyio.create_task_group() as group:
        for one in claimed:
            group.start_soon(_end, store, one)
    return seconds


# --- inside -----------------------------------------------------------------------------------------


def _new(queue: str) -> NewJob:
    return NewJob(id=f"bench-{next(_names):012}", queue=queue, kind="draw", args=b'{"page": 1}')


async def _begin(store: Store, most: int) -> list[Claimed]:
    queue = f"begun-{next(_names)}"
    await store.enqueue([_new(queue) for _ in range(most)])
    return await store.claim(_WORKER, [queue], most)


async def _end(store: Store, one: Claimed) -> None:
    await store.succeed(one.job.id, one.job.fence, b"null", cost_usd=0.0, retries=0)


async def _together(operations: int, crowd: int, act: Callable[[], Awaitable[object]]) -> float:
    left = iter(range(operations))

    async def one() -> None:
        for _ in left:
            await act()

    began = time.perf_counter()
    async with anyio.create_task_group() as group:
        for _ in range(crowd):
            group.start_soon(one)
    return (time.perf_counter() - began) / operations
