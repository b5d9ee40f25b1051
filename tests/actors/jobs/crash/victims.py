"""Processes that are killed or stopped: workers that write down what they did before the store hears of it.

python victims.py sqlite|postgres WHERE LOG

Reads orders, one a line of JSON, and for each forks a worker, which needs no time to import anything then.
Says its process id, and when it has ended how.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import cast

import anyio
import msgspec

from relight.actors.jobs import (
    Claimed,
    JobContext,
    JobState,
    LeaseLostError,
    PostgresStore,
    Queue,
    SqliteStore,
    Step,
    Store,
    Worker,
)
from relight.supervisors import Settings, open_system
from relight.supervisors.policies import Fixed

STEPS = ("first", "left", "right", "last")
LEASE = 1.0
_ENDED = (JobState.SUCCEEDED, JobState.DEAD, JobState.CANCELLED, JobState.DISCARDED)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is to do."""

    play: str
    """``offer``: enqueue jobs and run them, until it is killed. ``finish``: run them until none is left.
    ``freeze`` and ``rescue``: see `Freezing`."""
    seed: int = 0
    backend: str = "trio"
    forgets: bool = False
    """Its store hands out jobs without their finished steps: a mutation that the check must notice."""


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that happened, in the order in which it did."""

    what: str
    """``offered``, ``acknowledged``, ``claimed``, ``done``, ``recorded``; ``refused``, ``cancelled``."""
    job: str
    step: str = ""
    fence: int = 0
    worker: int = 0
    """Its process."""


def open_store(kind: str, where: str) -> Store:
    """Make the store that is not killed."""
    return SqliteStore(where) if kind == "sqlite" else PostgresStore(where)


class Log:
    """Lines in a file, each of them there when `write` returns."""

    def __init__(self, path: str | Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._over = Path(f"{path}.over")

    @property
    def is_over(self) -> bool:
        """Whether somebody has put a file named like it beside it, to say that work may end."""
        return self._over.exists()

    def write(self, what: str, job: str, step: str = "", fence: int = 0) -> None:
        """Append a line."""
        line = Line(what=what, job=job, step=step, fence=fence, worker=os.getpid())
        os.write(self._file, msgspec.json.encode(line) + b"\n")
        os.fsync(self._file)


class Watched:
    """A store that writes down what it stored, and what it refused."""

    def __init__(self, store: Store, log: Log, *, forgets: bool) -> None:
        self._store = store
        self._log = log
        self._forgets = forgets
        self.in_hand = 0
        """Calls that have not returned."""

    def __getattr__(self, name: str) -> object:
        found = getattr(self._store, name)
        if name in ("opened", "wait_change") or not callable(found):
            return found
        method = cast("Callable[..., Awaitable[object]]", found)

        async def call(*arguments: object, **options: object) -> object:
            self.in_hand += 1
            try:
                return await method(*arguments, **options)
            except LeaseLostError as error:
                self._log.write("refused", error.job, name, error.fence)
                raise
            finally:
                self.in_hand -= 1

        return call

    async def claim(self, worker: str, queues: list[str], most: int) -> list[Claimed]:
        """Hand out jobs, and write down under which fences."""
        call = cast("Callable[..., Awaitable[list[Claimed]]]", self.__getattr__("claim"))
        claimed = await call(worker, queues, most)
        for one in claimed:
            self._log.write("claimed", one.job.id, fence=one.job.fence)
        return [Claimed(job=one.job) for one in claimed] if self._forgets else claimed

    async def save_step(self, job: str, fence: int, step: Step) -> None:
        """Store a step, and write down that it is stored."""
        call = cast("Callable[..., Awaitable[None]]", self.__getattr__("save_step"))
        await call(job, fence, step)
        self._log.write("recorded", job, step.name, fence)

    async def save_late(self, job: str, run: int, step: Step) -> bool:
        """Store a step of a run that has lost its job, and write down that it is stored."""
        call = cast("Callable[..., Awaitable[bool]]", self.__getattr__("save_late"))
        is_stored = await call(job, run, step)
        if is_stored:
            self._log.write("recorded", job, step.name)
        return is_stored


class Busy:
    """Jobs of four steps, two of them in parallel; each step says that it is done before it is stored."""

    def __init__(self, store: Watched, log: Log, dice: Random) -> None:
        self._log = log
        self._dice = dice
        self.queue = Queue(cast("Store", store), "busy")

        @self.queue.job(attempts=100, backoff=Fixed(0.05))
        async def work(job: JobContext) -> list[str]:
            first, left, right, last = STEPS
            done = [await job.step(first, self.do, job.id, first)]

            async def branch(name: str) -> None:
                done.append(await job.step(name, self.do, job.id, name))

            async with anyio.create_task_group() as group:
                group.start_soon(branch, left)
                group.start_soon(branch, right)
            done.append(await job.step(last, self.do, job.id, last))
            return sorted(done)

        self._work = work

    async def do(self, job: str, step: str) -> str:
        """Carry out a step: sometimes it fails, before or after it did what it should."""
        await self._work_a_little(0.01)
        self._log.write("done", job, step)
        await self._work_a_little(0.005)
        return step

    async def _work_a_little(self, seconds: float) -> None:
        await anyio.sleep(self._dice.uniform(0.0, seconds))
        if self._dice.random() < 0.01:
            raise ValueError("bad luck")

    async def offer(self) -> None:
        """Enqueue jobs for ever."""
        while True:
            await anyio.sleep(self._dice.uniform(0.0, 0.03))
            id_ = self.queue.new_id()
            self._log.write("offered", id_)
            await self.queue.enqueue(self._work, id=id_)
            self._log.write("acknowledged", id_)

    async def finish(self) -> None:
        """Return when every job has ended."""
        while True:
            states = await self.queue.store.queues()
            if not any(count for one in states for state, count in one.counts.items() if state not in _ENDED):
                return
            await anyio.sleep(0.05)


class Freezing:
    """Two jobs in one process: one stops it, the other waits meanwhile. Elsewhere they do neither."""

    def __init__(self, store: Watched, log: Log, *, freezes: bool) -> None:
        self.queue = Queue(cast("Store", store), "cold")
        self._store = store
        self._log = log
        self._freezes = freezes
        self._is_waiting = anyio.Event()

        @self.queue.job(attempts=3)
        async def freeze(job: JobContext) -> int:
            await job.step("before", self._do, job.id, "before")
            await job.step("within", self._freeze, job.id)
            return os.getpid()

        @self.queue.job(attempts=3)
        async def wait(job: JobContext) -> int:
            await job.step("before", self._do, job.id, "before")
            await job.step("within", self._wait, job.id)
            return os.getpid()

        @self.queue.job()
        async def tell(job: JobContext) -> int:
            return os.getpid()

    async def _do(self, job: str, step: str) -> None:
        self._log.write("done", job, step)

    async def _freeze(self, job: str) -> None:
        if self._freezes:
            await self._is_waiting.wait()
            # Not in the middle of a transaction: on SQLite nobody could write as long as this process stands.
            while self._store.in_hand:  # noqa: ASYNC110 - as rarely as once
                await anyio.sleep(0.001)
            os.kill(os.getpid(), signal.SIGSTOP)
        await self._finish(job)

    async def _wait(self, job: str) -> None:
        if self._freezes:
            self._is_waiting.set()
            try:
                await anyio.sleep_forever()
            finally:
                self._log.write("cancelled", job, "within")
        await self._finish(job)

    async def _finish(self, job: str) -> None:
        while not (self._freezes or self._log.is_over):  # noqa: ASYNC110 - the job is to be at hand when the other goes on
            await anyio.sleep(0.01)
        self._log.write("done", job, "within")


async def live(order: Order, store: Store, log: Log) -> None:
    """Be a worker."""
    watched = Watched(store, log, forgets=order.forgets)
    if order.play in ("freeze", "rescue"):
        cold = Freezing(watched, log, freezes=order.play == "freeze")
        async with _working(cold.queue):
            await anyio.sleep_forever()
    busy = Busy(watched, log, Random(order.seed))
    async with _working(busy.queue):
        await (busy.offer if order.play == "offer" else busy.finish)()


@asynccontextmanager
async def _working(queue: Queue) -> AsyncGenerator[None]:
    async with open_system(settings=Settings(log_level="error")) as system:
        await Worker(queue, concurrency=8, lease=LEASE, drain=0.0).start(system)
        yield


def _fork(order: Order, kind: str, where: str, log: str) -> int:
    process = os.fork()
    if process:
        return process
    os.dup2(2, 1)  # what the system logs is not for who gives the orders
    anyio.run(live, order, open_store(kind, where), Log(log), backend=order.backend)
    os._exit(0)


def main(kind: str, where: str, log: str) -> None:
    """Carry out orders, one after the other."""
    open_store(kind, where)  # imports its driver
    for line in sys.stdin:
        process = _fork(msgspec.json.decode(line, type=Order), kind, where, log)
        print(process, flush=True)
        _, status = os.waitpid(process, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main(*itertools.islice(sys.argv, 1, 4))
