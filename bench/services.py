"""What do ten thousand calls at once cost, over fifty services of one process, one call in five failing?

Half of those that fail do so once and are retried, the others are given up at once. Beside them the same
calls without a guard: a semaphore for each service and a loop of retries in each caller's own task, which
is what is written by hand. Three things are asked: the processor time of a call, the memory while all of
them wait, and whether any asker is served later than the others.
"""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import anyio

from relight import (
    Breaker,
    Child,
    Concurrency,
    FailureKind,
    Fixed,
    GuardedActor,
    Policy,
    ProviderError,
    Ref,
    Request,
    Retry,
    current_attempt,
    handles,
    open_system,
)

from .harness import MICROSECONDS, Figure, Measured, Stage, Target, clock, figure, percentile, summary

SERVICES = 50
CALLS, QUICK_CALLS = 10_000, 1_000
ASKERS = 100
ROUNDS, QUICK_ROUNDS = 3, 1
ONE_IN = 10
"""One call in so many fails once; another one fails for good."""
SLOTS = 8
WORK = 0.002
"""Seconds an attempt waits for its answer."""
PAUSE = 0.01
"""Seconds before a retry."""
FAIRNESS_TARGET = Target(1.2)

BY_HAND = "the same by hand: a semaphore for each service, a loop of retries in each task"


class Draw(Request[int], frozen=True):
    """One call; the reply is its number."""

    number: int

    @property
    def fails_once(self) -> bool:
        """Whether its first attempt fails."""
        return self._fate == 0

    @property
    def fails_for_good(self) -> bool:
        """Whether the service will never do it."""
        return self._fate == 1

    @property
    def _fate(self) -> int:
        # As often for each asker, and for each service.
        return (self.number * 7 + self.number // ASKERS) % ONE_IN


class Painter(GuardedActor):
    """A service with a short answer."""

    # Without a share of failures: a few of one service's calls are begun together, and may all fail at first.
    policy = Policy(
        retry=Retry(backoff=Fixed(PAUSE)),
        concurrency=Concurrency(SLOTS),
        breaker=Breaker(failures=1000, failure_rate=None),
    )

    @handles
    async def draw(self, message: Draw) -> int:
        """Wait, as for an answer over the network, and answer or fail."""
        await _attempt(message, current_attempt().number)
        return message.number


async def _attempt(message: Draw, number: int) -> None:
    await anyio.sleep(WORK)
    if message.fails_for_good:
        raise ProviderError("painter", FailureKind.BAD_REQUEST, "not that")
    if message.fails_once and number == 1:
        raise ProviderError("painter", FailureKind.SERVER, "not now")


Call = Callable[[Draw], Awaitable[int]]
"""Makes one call; raises `ProviderError` when it was given up."""


@asynccontextmanager
async def guarded() -> AsyncGenerator[Call]:
    """Open fifty services."""
    async with open_system() as system:
        services: list[Ref] = [
            await system.spawn(Child(f"painter-{number}", Painter)) for number in range(SERVICES)
        ]

        async def call(message: Draw) -> int:
            return await services[_service_of(message)].ask(message, timeout=600.0)

        yield call


@asynccontextmanager
async def by_hand() -> AsyncGenerator[Call]:
    """Call the same fifty services as one would without a guard."""
    slots = [anyio.Semaphore(SLOTS) for _ in range(SERVICES)]

    async def call(message: Draw) -> int:
        for attempt in range(1, 4):
            try:
                async with slots[_service_of(message)]:
                    await _attempt(message, attempt)
                return message.number
            except ProviderError as error:
                if not error.kind.is_retryable:
                    raise
            await anyio.sleep(PAUSE)
        raise AssertionError("no call fails three times")

    yield call


def _service_of(message: Draw) -> int:
    return message.number // ASKERS % SERVICES


async def answer(stage: Stage) -> AsyncIterator[Figure]:
    """Make all calls at once, some times."""
    calls = QUICK_CALLS if stage.is_quick else CALLS
    ours: list[Crowd] = []
    theirs: list[Crowd] = []
    for _ in range(QUICK_ROUNDS if stage.is_quick else ROUNDS):
        ours.append(await _crowd(guarded(), calls))
        theirs.append(await _crowd(by_hand(), calls))
    measured = summary([crowd.seconds for crowd in ours], [crowd.seconds for crowd in theirs])
    yield figure("services", stage, measured.scaled(MICROSECONDS), floor_is=BY_HAND)
    fair = [crowd.fairness for crowd in ours]
    middle = fair.index(statistics.median_low(fair))
    yield figure(
        "services_asker_p99",
        stage,
        Measured(value=ours[middle].p99 * 1e3, floor=ours[middle].median * 1e3, ratio=fair[middle]),
        unit="ms",
        floor_is="the middle one of a hundred askers: the mean time of an asker's calls",
        target=FAIRNESS_TARGET,
    )
    memory = [await _peak(calls, opened) for opened in (guarded(), by_hand())]
    measured = Measured(value=memory[0], floor=memory[1], ratio=memory[0] / memory[1])
    floor_is = f"{BY_HAND}; the peak of traced memory, for each of {calls:,} calls at once"
    yield figure("services_bytes", stage, measured, unit="B", floor_is=floor_is)


class Crowd:
    """What became of all calls of a round."""

    def __init__(self) -> None:
        self.seconds = 0.0
        """Processor time of a call."""
        self.ends: list[list[float]] = [[] for _ in range(ASKERS)]
        """When the calls of each asker ended."""
        self.given_up = 0

    @property
    def waits(self) -> list[float]:
        """How long an asker's calls took, the mean of each."""
        return [statistics.fmean(ends) for ends in self.ends]

    @property
    def p99(self) -> float:
        """How long the last askers had to wait."""
        return percentile(self.waits, 0.99)

    @property
    def median(self) -> float:
        """How long the others had to."""
        return statistics.median(self.waits)

    @property
    def fairness(self) -> float:
        """How much longer the last had to wait than the others: 1 where all are served alike."""
        return self.p99 / self.median


async def _crowd(opened: AbstractAsyncContextManager[Call], calls: int) -> Crowd:
    crowd = Crowd()
    async with opened as call:
        start, began = time.perf_counter(), clock()

        async def one(message: Draw) -> None:
            try:
                assert await call(message) == message.number
            except ProviderError:
                crowd.given_up += 1
            crowd.ends[message.number % ASKERS].append(time.perf_counter() - start)

        async with anyio.create_task_group() as group:
            for number in _order(calls):
                group.start_soon(one, Draw(number))
        crowd.seconds = (clock() - began) / calls
    answered = sum(map(len, crowd.ends))
    if answered != calls or crowd.given_up != calls // ONE_IN:
        raise RuntimeError(f"bench: services: {calls} calls, {answered} answered, {crowd.given_up} given up")
    return crowd


def _order(calls: int) -> Iterator[int]:
    """Let each asker make one call after the other, and another one begin each time."""
    for turn in range(calls // ASKERS):
        for place in range(ASKERS):
            yield turn * ASKERS + (place + turn * 37) % ASKERS


async def _peak(calls: int, opened: AbstractAsyncContextManager[Call]) -> float:
    """Return the bytes of a call while all wait."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        await _crowd(opened, calls)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return (peak - before) / calls
