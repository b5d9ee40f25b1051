"""A worker process whose disk is full for a while: says what it paid for, and how that was told.

python full_disk.py PATH file|pages trio|asyncio
"""

from __future__ import annotations

import json
import resource
import sys
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import anyio

from relight.actors.jobs import JobContext, Queue, SqliteStore, Worker, together
from relight.supervisors import Settings, open_system

JOBS, STEPS = 8, 6
LEASE = 1.0
FULL = 2.5
"""Seconds: longer than the lease."""
_LARGE = 300_000
"""Characters of a result that goes to a file of its own."""


class SqlSession(Protocol):
    """What is used of a store's own connection: nobody else can take back the limit it was opened with."""

    def run(self, sql: str) -> int:
        """Run a statement."""
        ...


@asynccontextmanager
async def full(store: SqliteStore, how: str) -> AsyncGenerator[None]:
    """Let no file of the store grow, or let SQLite's have no more pages than it has."""
    if how == "pages":
        await limit_pages(store, 1)
        yield
        await limit_pages(store, 1_000_000)
        return
    files = (file for file in store.path.parent.glob(f"{store.path.name}*") if file.is_file())
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max(file.stat().st_size for file in files), hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


async def limit_pages(store: SqliteStore, most: int) -> None:
    """Let SQLite's file have so many pages, or as many as it has."""

    def limit(session: SqlSession) -> None:
        session.run(f"PRAGMA max_page_count = {most}")

    await store._writer.do(limit)


async def main(path: Path, how: str) -> None:
    """Fill the disk in the middle of the work, make room later, and work to the end."""
    store = SqliteStore(path)
    queue, paid, said = Queue(store), Counter[str](), Counter[str]()

    async def draw(name: str, size: int) -> str:
        paid[name] += 1
        await anyio.sleep(0.1)
        return name.ljust(size)

    @queue.job(attempts=1)
    async def comic(job: JobContext, number: int) -> list[int]:
        first = await job.step("first", draw, f"{number}-first", 20_000)
        panels = [
            job.step(f"panel-{panel}", draw, f"{number}-{panel}", 20_000 if panel else _LARGE)
            for panel in range(STEPS - 2)
        ]
        drawn = await together(*panels)
        last = await job.step("last", draw, f"{number}-last", 20_000)
        return [len(text) for text in (first, *drawn, last)]

    async with open_system(settings=Settings(log_level="error")) as system:
        system.events.listen(lambda name, _: said.update([name]))
        await Worker(queue, concurrency=JOBS, lease=LEASE).start(system)
        ids = await queue.enqueue_many(comic, [(number,) for number in range(JOBS)])
        while len(paid) < JOBS * 2:  # noqa: ASYNC110 - nobody tells
            await anyio.sleep(0.01)
        async with full(store, how):
            await anyio.sleep(FULL)
            paid_while_full = sum(paid.values())
        for id_ in ids:
            await queue.wait(id_, timeout=60.0)
    print(json.dumps({"paid": paid, "said": said, "paid_while_full": paid_while_full}))


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]), sys.argv[2], backend=sys.argv[3])
