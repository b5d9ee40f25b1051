"""Kill workers at random moments, and keep the books meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import anyio
import anyio.to_thread
import msgspec

from relight.actors.jobs import JobState, Query, Store

from .ledger import Ledger
from .victims import STEPS, Line, Order, open_store

LONGEST_LIFE = 0.5
"""Seconds. Shorter than a lease, so that some workers are killed before they can rescue anything."""
PATIENCE = 120.0
"""Seconds that nothing takes, on a busy machine neither."""


class Victims:
    """A process that forks workers, one at a time.

    Args:
        kind: ``sqlite`` or ``postgres``.
        where: Its file or DSN.
        log: Where workers write down what they do.
    """

    def __init__(self, kind: str, where: str, log: Path) -> None:
        command = [sys.executable, str(Path(__file__).with_name("victims.py")), kind, where, str(log)]
        self.said = log.with_name(f"{log.name}.{time.monotonic_ns()}")
        """The file with what they say otherwise."""
        with self.said.open("wb") as errors:
            self._parent = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        self.process = 0
        """Of the worker."""

    def start(self, order: Order) -> None:
        """Fork a worker."""
        assert self._parent.stdin is not None
        self._parent.stdin.write(msgspec.json.encode(order).decode() + "\n")
        self._parent.stdin.flush()
        self.process = self._read()

    def send(self, signum: signal.Signals) -> None:
        """Send the worker a signal."""
        os.kill(self.process, signum)

    def wait(self) -> int:
        """Wait until the worker has ended; returns its exit code."""
        code = self._read()
        self.process = 0
        return code

    def _read(self) -> int:
        assert self._parent.stdout is not None
        line = self._parent.stdout.readline()
        assert line, self.said.read_text()
        return int(line)

    def end(self) -> None:
        """Kill the worker, if there is one, and end the process that forked it."""
        if self.process:
            self.send(signal.SIGKILL)
        self._parent.communicate(timeout=PATIENCE)


@contextmanager
def victims(kind: str, where: str, log: Path) -> Generator[Victims]:
    """Have a process that forks workers."""
    made = Victims(kind, where, log)
    try:
        yield made
    finally:
        made.end()


class LogReader:
    """Reads the lines that were added since it last did."""

    def __init__(self, path: Path) -> None:
        path.touch()
        self._file = path.open("rb")

    def read(self) -> list[Line]:
        """Return new lines."""
        return [msgspec.json.decode(line, type=Line) for line in self._file]

    def close(self) -> None:
        """Close the file."""
        self._file.close()


async def kill(
    kind: str, where: str, folder: Path, *, kills: int, seed: int, forgets: bool = False
) -> Ledger:
    """Kill so many workers, let a last one finish what there is, and return the books."""
    log = folder / "log"
    dice, ledger, store, reader = Random(seed), Ledger(), open_store(kind, where), LogReader(log)
    cursor = "0"
    with victims(kind, where, log) as workers:
        async with store.opened():
            for number in range(kills + 1):
                play = "offer" if number < kills else "finish"
                backend = ("trio", "asyncio")[number % 2]
                workers.start(Order(play=play, seed=seed + number, backend=backend, forgets=forgets))
                if play == "offer":
                    if number % 4:  # some are killed before they have begun
                        await _until_longer(log)
                    await anyio.sleep(dice.uniform(0.0, LONGEST_LIFE))
                    workers.send(signal.SIGKILL)
                with anyio.fail_after(PATIENCE):
                    code = await anyio.to_thread.run_sync(workers.wait, abandon_on_cancel=True)
                assert code == (-signal.SIGKILL if play == "offer" else 0), workers.said.read_text()
                ledger.enter(reader.read())
                cursor = await _enter_events(store, cursor, ledger)
            await _compare(store, ledger)
    reader.close()
    return ledger


async def _until_longer(log: Path) -> None:
    """Wait until the worker has written something down: on a busy machine that may take a while."""
    path = anyio.Path(log)
    size = (await path.stat()).st_size
    with anyio.fail_after(PATIENCE):
        while (await path.stat()).st_size == size:  # noqa: ASYNC110 - nobody tells
            await anyio.sleep(0.005)


async def _enter_events(store: Store, cursor: str, ledger: Ledger) -> str:
    while events := await store.events(cursor):
        ledger.enter_events(events)
        cursor = events[-1].cursor
    return cursor


async def _compare(store: Store, ledger: Ledger) -> None:
    """See that the store's books say the same."""
    jobs = await store.jobs(Query(), most=1_000_000)
    assert {job.id for job in jobs} == set(ledger.ended) | ledger.given_up
    for job in jobs:
        detail = await store.job(job.id)
        assert detail is not None
        assert job.state is not JobState.SUCCEEDED or {step.name for step in detail.steps} == set(STEPS)
        assert job.result == msgspec.json.encode(sorted(STEPS))
        assert job.fence >= ledger.fences[job.id]
