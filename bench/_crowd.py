"""The process that starts a crowd and looks at its own memory.

Resident memory is read, as Linux tells it: to trace a million actors would take more than they do.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Literal

import msgspec

from relight import Child, Settings, open_system

from . import floors
from ._backends import run_on
from ._counter import Counter
from .harness import clock

_STATM = Path("/proc/self/statm")
IS_POSSIBLE = _STATM.exists()
"""Whether this system tells how much memory a process has in use."""


class Crowd(msgspec.Struct, frozen=True, kw_only=True):
    """What a number of idle actors, or of parked tasks, take each."""

    bytes: float
    start: float
    """Seconds."""
    collection: float
    """Seconds of a full collection."""


def look(backend: str, what: Literal["actors", "tasks"], count: int) -> Crowd:
    """Start so many in a process of their own."""
    program = f"from {__name__} import main; main()"
    command = [sys.executable, "-c", program, backend, what, str(count)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return msgspec.json.decode(done.stdout, type=Crowd)


def main() -> None:
    """Start so many actors, or tasks, and print what they take; the arguments are those of `look`."""
    backend, what, count = sys.argv[1], sys.argv[2], int(sys.argv[3])

    async def measure() -> None:
        crowd = await _crowd(_actors if what == "actors" else floors.parked, count)
        sys.stdout.write(msgspec.json.encode(crowd).decode())

    run_on(backend, measure)


async def _crowd(crowd: Callable[[int], AbstractAsyncContextManager[None]], count: int) -> Crowd:
    async with crowd(100):
        gc.collect()  # and what is made at the first use is there now
    empty = resident()
    began = clock()
    async with crowd(count):
        took = clock() - began
        collection = _collect()
        return Crowd(bytes=(resident() - empty) / count, start=took / count, collection=collection / count)


@asynccontextmanager
async def _actors(count: int) -> AsyncGenerator[None]:
    # A million are started in one go: the watchdog would take that for a handler that hangs.
    async with open_system(settings=Settings(watchdog_seconds=0.0)) as system:
        for number in range(count):
            await system.spawn(Child(f"actor-{number}", Counter))
        yield


def _collect() -> float:
    began = clock()
    gc.collect()
    return clock() - began


def resident() -> int:
    """Return how much memory this process has in use."""
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
