"""A worker process: enqueues jobs with unique keys, works on everything, and writes down what it ran when.

python crew.py sqlite|postgres WHERE NAME JOBS
"""

from __future__ import annotations

import json
import random
import sys
import time

import anyio

from relight.actors.jobs import Claimed, NewJob, PostgresStore, SqliteStore, Store

QUEUE = "crew"
IDLE = 0.7
"""Seconds without work after which it ends, once it has enqueued all of its own. Monotonic time is one for
all processes of a machine."""


def open_store(kind: str, where: str) -> Store:
    """Make the store that all share."""
    return SqliteStore(where, synchronous="normal") if kind == "sqlite" else PostgresStore(where)


async def main(kind: str, where: str, name: str, jobs: int) -> None:
    """Enqueue and work until there is nothing left."""
    store = open_store(kind, where)
    dice = random.Random(name)
    runs: list[tuple[str, float, float]] = []
    has_more, last = True, time.monotonic()
    async with store.opened():
        await store.register(name, 600.0, {})
        has_more, last = True, time.monotonic()

        async def enqueue() -> None:
            nonlocal has_more, last
            for number in range(jobs):
                job = NewJob(
                    id=f"{number:04}-{name}",
                    queue=QUEUE,
                    kind="k",
                    args=b"{}",
                    unique_key=f"u{dice.randrange(3)}",
                )
                await store.enqueue([job])
                await anyio.sleep(dice.random() * 0.004)
            has_more, last = False, time.monotonic()

        async def run(one: Claimed) -> None:
            began = time.monotonic()
            await anyio.sleep(dice.random() * 0.004)
            runs.append((one.job.id, began, time.monotonic()))
            await store.succeed(one.job.id, one.job.fence, b"1", cost_usd=0.0, retries=0)

        async with anyio.create_task_group() as group:
            group.start_soon(enqueue)
            while has_more or time.monotonic() < last + IDLE:
                claimed = await store.claim(name, [QUEUE], 4)
                for one in claimed:
                    last = time.monotonic()
                    group.start_soon(run, one)
                if not claimed:
                    await store.wait_change(0.05)
    print(json.dumps(runs))


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), backend="trio")
