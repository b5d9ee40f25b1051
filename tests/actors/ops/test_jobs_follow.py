"""``relight jobs events --follow``: another process that watches while jobs run here."""

import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec
import pytest

from relight import open_system
from relight.actors.jobs import JobContext, Queue, SqliteStore, Worker

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

INTERRUPTED = 128 + signal.SIGINT


@pytest.fixture
def anyio_backend() -> str:
    return "trio"


class Follower:
    """The command, running."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    async def lines(self, count: int) -> list[str]:
        """Wait for so many lines."""
        assert self.process.stdout is not None
        with anyio.fail_after(30):
            return [
                await anyio.to_thread.run_sync(self.process.stdout.readline, abandon_on_cancel=True)
                for _ in range(count)
            ]

    async def kinds(self, count: int) -> list[str]:
        """Wait for so many events, printed as JSON."""
        lines = await self.lines(count)
        return [msgspec.json.decode(line, type=_Said).kind for line in lines]

    async def end(self, number: int) -> tuple[int, str]:
        """Send a signal; returns the status and what was said as an error."""
        self.process.send_signal(number)
        with anyio.fail_after(30):
            _, said = await anyio.to_thread.run_sync(self.process.communicate, abandon_on_cancel=True)
        return self.process.returncode, said


class _Said(msgspec.Struct):
    kind: str


@contextmanager
def following(file: Path, *options: str) -> Generator[Follower]:
    command = [sys.executable, "-m", "relight", "jobs", "events", "--follow", "--store", str(file), *options]
    with subprocess.Popen(
        command,
        cwd=file.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Follower(process)
        finally:
            process.kill()


async def test_jobs_are_followed_from_another_process_while_they_run(tmp_path: Path) -> None:
    queue = Queue(SqliteStore(tmp_path / "jobs.db"), "q")

    def user_of(user: str) -> str:
        return user

    @queue.job(user=user_of)
    async def greet(job: JobContext, user: str) -> str:
        await job.log(f"hello {user}")
        return user

    async with open_system() as system:
        await Worker(queue).start(system)
        await queue.result(await queue.enqueue(greet, "ann"))
        with following(tmp_path / "jobs.db", "--json", "--user", "ann") as follower:
            ended = ["enqueued", "started", "log", "succeeded"]
            assert await follower.kinds(4) == ended  # what was before
            await queue.enqueue(greet, "ben")
            for _ in range(3):
                await queue.enqueue(greet, "ann")
                assert await follower.kinds(4) == ended
            assert await follower.end(signal.SIGINT) == (INTERRUPTED, "")
            assert (await queue.result(await queue.enqueue(greet, "ann"))) == "ann"


async def test_a_follower_goes_on_after_a_cursor(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "jobs.db")
    queue = Queue(store, "q")

    @queue.job()
    async def greet(job: JobContext) -> None: ...

    async with store.opened():
        await queue.enqueue(greet)
        with following(tmp_path / "jobs.db", "--after", await store.last_cursor()) as follower:
            new = await queue.enqueue(greet)
            (line,) = await follower.lines(1)
            assert new in line
            assert "enqueued" in line


async def test_who_reads_no_more_ends_it_without_a_word(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "jobs.db")
    queue = Queue(store, "q")

    @queue.job()
    async def greet(job: JobContext) -> None: ...

    async with store.opened():
        await queue.enqueue(greet)
        with following(tmp_path / "jobs.db") as follower:
            await follower.lines(1)
            assert follower.process.stdout is not None
            follower.process.stdout.close()
            await queue.enqueue(greet)
            assert follower.process.stderr is not None
            with anyio.fail_after(30):
                said = await anyio.to_thread.run_sync(follower.process.stderr.read, abandon_on_cancel=True)
                status = await anyio.to_thread.run_sync(follower.process.wait, abandon_on_cancel=True)
    assert (status, said) == (0, "")
