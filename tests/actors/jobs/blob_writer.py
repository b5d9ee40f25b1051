"""A process that stores, reads and forgets the same large results again and again.

python blob_writer.py FILE ROUNDS
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

import anyio

from relight.actors.jobs import NewJob, Queue, SqliteStore, Step

QUEUE = "blobs"


async def main(file: str, rounds: int) -> None:
    """Fail where a result that a step refers to is not there."""
    store = SqliteStore(file, synchronous="normal")
    results = Queue(store, QUEUE, max_inline=10).large_results
    assert results.folder is not None
    async with store.opened():
        await store.register("w", 600.0, {})
        for number in range(rounds):
            await store.enqueue([NewJob(id=f"{number:06}", queue=QUEUE, kind="k", args=b"[]")])
            (claimed,) = await store.claim("w", [QUEUE], 1)
            data = b"a large result " + bytes([number % 2])
            blob = await results.put("here", data)
            assert blob is not None
            await store.save_step(claimed.job.id, claimed.job.fence, Step(name="s", blob=blob))
            assert await results.get(blob) == data
            await store.succeed(claimed.job.id, claimed.job.fence, b"1", cost_usd=0.0, retries=0)
            assert await results.get(blob) == data
            await store.prune(ended_before=4e9)
            with suppress(FileNotFoundError):  # an hour and more goes by
                os.utime(results.folder / blob[:2] / blob, (0.0, 0.0))


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], int(sys.argv[2]), backend="trio")
