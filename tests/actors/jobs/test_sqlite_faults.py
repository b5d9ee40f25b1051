"""SQLite that is full, locked, read-only, corrupt, or not SQLite: said clearly, and nothing is lost."""

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import anyio
import anyio.to_thread
import pytest

from relight.actors.jobs import Query, SchemaError, SqliteStore, Step, Store, StoreError

from .faults import a_message, begin, new, said, works

pytestmark = pytest.mark.anyio
NOBODY = 65534


async def fill(store: Store) -> list[str]:
    """Enqueue until there is no room; returns what was acknowledged."""
    stored: list[str] = []
    for number in range(1, 1000):
        try:
            stored += await store.enqueue([new(number, args=b"x" * 20_000)])
        except StoreError as error:
            if not error.is_passing or "full" not in str(error):
                raise
            return stored
    raise AssertionError("it never became full")


async def ids(store: Store) -> list[str]:
    return sorted(job.id for job in await store.jobs(Query(), most=10_000))


async def test_a_full_file_refuses_writes_and_keeps_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    small = SqliteStore(path, max_bytes=400_000)
    async with small.opened():
        stored = await fill(small)
        assert len(stored) > 5
        assert await ids(small) == stored
        with pytest.raises(StoreError):
            await small.enqueue([new(2000, args=b"x" * 100_000)])
    large = SqliteStore(path)
    async with large.opened():
        assert await ids(large) == stored
        await works(large, 3000)


_CHILD = """
import resource, sys, anyio
from relight.actors.jobs import SqliteStore, StoreError
from relight.actors.jobs import NewJob

async def main():
    store = SqliteStore(sys.argv[1])
    async with store.opened():
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))
        number = 0
        while True:
            number += 1
            try:
                await store.enqueue([NewJob(id=f"job-{number:05}", queue="q", kind="k", args=b"x" * 20_000)])
            except StoreError as error:
                print("refused", error.is_passing, error, flush=True)
                break
            print("stored", number, flush=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await store.enqueue([NewJob(id="job-99999", queue="q", kind="k", args=b"{}")])
        print("works", flush=True)

anyio.run(main, backend="trio")
"""


async def test_a_process_whose_files_may_not_grow_goes_on_once_they_may(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    done = await anyio.to_thread.run_sync(
        lambda: subprocess.run(
            [sys.executable, "-c", _CHILD, str(path)], capture_output=True, text=True, check=True, timeout=60
        )
    )
    *stored, refused, last = done.stdout.splitlines()
    assert refused.startswith("refused True SQLite file")
    assert last == "works"
    store = SqliteStore(path)
    async with store.opened():
        assert await ids(store) == [*(f"job-{n + 1:05}" for n in range(len(stored))), "job-99999"]


@contextmanager
def as_nobody() -> Generator[None]:
    """Be somebody whom permissions mean something to."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Make a folder that everybody may enter."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)


@pytest.mark.parametrize("what", ["file", "folder"])
async def test_what_may_not_be_written_is_said_to_be_read_only(open_folder: Path, what: str) -> None:
    path = open_folder / "jobs.db"
    async with SqliteStore(path).opened():
        pass
    os.chmod(path, 0o444)
    os.chmod(open_folder, 0o777 if what == "file" else 0o555)
    store = SqliteStore(path)
    with as_nobody(), pytest.raises(StoreError) as caught:
        async with store.opened():
            await store.enqueue([new(1)])
    said(caught, "writ" if "writ" in str(caught.value) else "read-only", is_passing=False)
    os.chmod(path, 0o644)
    os.chmod(open_folder, 0o755)
    async with store.opened():
        await works(store, 1)


async def test_a_file_that_is_not_there_and_can_not_be_made_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        async with SqliteStore(tmp_path / "no-folder" / "jobs.db").opened():
            pass
    said(caught, "does its folder exist", is_passing=False)


async def test_a_file_locked_for_long_is_waited_for_and_then_said_so(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    store = SqliteStore(path, busy_timeout=0.05)
    async with store.opened():
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        errors: list[StoreError] = []

        async def enqueue(number: int) -> None:
            try:
                await store.enqueue([new(number)])
            except StoreError as error:
                errors.append(error)

        # Those that wait for the same lock wait together: thirty of them one after another would take long.
        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                for number in range(30):
                    group.start_soon(enqueue, number)
        assert len(errors) == 30
        assert all(error.is_passing and "locked" in str(error) for error in errors)
        assert await ids(store) == []
        other.execute("ROLLBACK")
        other.close()
        await works(store, 1)


_STOPPED = """
import os, signal, sqlite3, sys
other = sqlite3.connect(sys.argv[1], isolation_level=None)
other.execute("BEGIN IMMEDIATE")
os.kill(os.getpid(), signal.SIGSTOP)
other.execute("COMMIT")
print("went on", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(os.name == "nt", reason="nobody is stopped there")
@pytest.mark.parametrize("end", ["goes on", "is killed"])
async def test_a_process_stopped_in_a_write_keeps_others_from_writing_until_it_goes_on_or_ends(
    tmp_path: Path, end: str
) -> None:
    path = tmp_path / "jobs.db"
    store = SqliteStore(path, busy_timeout=0.05)
    async with store.opened():
        await store.enqueue([new(1)])
        command = [sys.executable, "-c", _STOPPED, str(path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as stopped:  # noqa: ASYNC220 - to be waited for by hand
            try:
                _, status = await anyio.to_thread.run_sync(os.waitpid, stopped.pid, os.WUNTRACED)
                assert os.WIFSTOPPED(status)
                for _ in range(2):
                    with pytest.raises(StoreError) as caught:
                        await store.enqueue([new(2)])
                    said(caught, "locked by another process", is_passing=True)
                assert await ids(store) == ["job-00001"]  # reading goes on
                if end == "goes on":
                    stopped.send_signal(signal.SIGCONT)
                    assert stopped.stdout is not None
                    await anyio.to_thread.run_sync(stopped.stdout.readline)
                else:
                    stopped.kill()
                    await anyio.to_thread.run_sync(stopped.wait)
                await works(store, 2)
            finally:
                stopped.kill()


async def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    path.write_text("a letter to a friend, " * 100)
    with pytest.raises(StoreError) as caught:
        async with SqliteStore(path).opened():
            pass
    said(caught, "no SQLite database", is_passing=False)
    assert path.read_text().startswith("a letter to a friend")


async def test_a_corrupt_database_is_said_to_be_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    store = SqliteStore(path)
    async with store.opened():
        await store.enqueue([new(n, args=b"x" * 2000) for n in range(100)])
    pages = bytearray(path.read_bytes())
    pages[8192:] = b"\xa5" * (len(pages) - 8192)
    path.write_bytes(pages)
    with pytest.raises(StoreError) as caught:
        async with store.opened():
            await store.enqueue([new(1000)])
    said(caught, "corrupt", is_passing=False)


async def test_a_newer_schema_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    async with SqliteStore(path).opened():
        pass
    other = sqlite3.connect(path)
    other.execute("INSERT INTO relight_schema VALUES (99)")
    other.commit()
    other.close()
    with pytest.raises(StoreError) as caught:
        async with SqliteStore(path).opened():
            pass
    said(caught, "version 99", is_passing=False)
    assert "upgrade relight" in str(caught.value)


async def test_a_file_of_the_first_schema_is_migrated(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    async with SqliteStore(path).opened():
        pass
    other = sqlite3.connect(path)
    other.execute("DROP TABLE relight_message")
    other.execute("DROP INDEX relight_step_blob")
    other.execute("DROP INDEX relight_job_key")
    other.execute("ALTER TABLE relight_worker DROP COLUMN queues")
    other.execute("DELETE FROM relight_schema WHERE version > 1")
    other.commit()
    other.close()
    for _ in range(2):  # and again, when nothing is left to do
        store = SqliteStore(path)
        async with store.opened():
            await store.enqueue([new(1)])
            assert [job.id for job in await store.jobs(Query())] == [new(1).id]
            await store.keep_messages([a_message()], most=10)
            assert await store.dead_messages(Query()) == [a_message()]
    versions = sqlite3.connect(path)
    assert versions.execute("SELECT version FROM relight_schema").fetchall() == [(1,), (2,), (3,), (4,), (5,)]
    versions.close()


async def test_a_file_of_an_older_schema_is_brought_up_to_date_with_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    store = SqliteStore(path)
    async with store.opened():
        await store.enqueue([new(1)])
    other = sqlite3.connect(path)
    other.execute("DROP INDEX relight_step_blob")
    other.execute("DROP INDEX relight_job_key")
    other.execute("ALTER TABLE relight_worker DROP COLUMN queues")
    other.execute("DELETE FROM relight_schema WHERE version > 2")
    other.commit()
    other.close()
    async with store.opened():
        assert await ids(store) == ["job-00001"]
        await works(store, 2)
    other = sqlite3.connect(path)
    blobs = other.execute("EXPLAIN QUERY PLAN SELECT 1 FROM relight_step WHERE blob IN ('a', 'b')").fetchall()
    assert "relight_step_blob" in str(blobs)
    running = other.execute(
        "EXPLAIN QUERY PLAN SELECT count(*) FROM relight_job "
        "WHERE state = 'running' AND queue = 'q' AND limit_key = 'ann'"
    ).fetchall()
    assert "relight_job_key" in str(running)
    other.close()


async def test_a_file_that_is_looked_at_is_neither_made_nor_migrated(tmp_path: Path) -> None:
    path = tmp_path / "a #1?.db"  # a name that a URL would spell otherwise
    store = SqliteStore(path)
    with pytest.raises(SchemaError, match="no job store here yet"):
        async with store.opened(migrate=False):
            pass
    assert os.listdir(tmp_path) == []
    async with store.opened():
        await store.enqueue([new(1)])
    async with store.opened(migrate=False):
        assert await ids(store) == ["job-00001"]
        await works(store, 2)


async def test_the_queues_of_ended_jobs_are_known_after_a_migration(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    store = SqliteStore(path)
    async with store.opened():
        await store.enqueue([new(1)])
        await store.cancel(["job-00001"])
        await store.register("an old one", 60.0, {})
        assert await store.queues() == []
    other = sqlite3.connect(path)
    other.execute("ALTER TABLE relight_worker DROP COLUMN queues")
    other.execute("DELETE FROM relight_schema WHERE version > 4")
    other.commit()
    other.close()
    async with store.opened():
        (queue,) = await store.queues()
        assert (queue.name, queue.is_paused, queue.workers) == (new(1).queue, False, 0)
        await works(store, 2)


async def test_a_poisonous_operation_fails_alone(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "jobs.db")
    async with store.opened():
        await store.enqueue([new(n) for n in range(1, 11)])
        claimed = await begin(store, 10)
        failed: list[str] = []

        async def step(number: int) -> None:
            job = claimed[number].job
            try:
                if number == 3:
                    await store.note(job.id, job.fence, "log", {"text": object()})
                else:
                    await store.save_step(job.id, job.fence, Step(name="a", cost_usd=1.0))
            except TypeError:
                failed.append(job.id)

        async with anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(step, number)
        assert failed == ["job-00004"]
        assert await store.spent(since=0.0) == 9.0


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"synchronous": "off"}, "synchronous must be 'full' or 'normal', got 'off'"),
        ({"busy_timeout": -1.0}, "busy_timeout must be 0 to 3600 s"),
        ({"busy_timeout": float("nan")}, "busy_timeout must be"),
        ({"max_bytes": 0}, "max_bytes must be 262144 or more"),
    ],
)
async def test_an_option_out_of_range_is_refused(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        SqliteStore("jobs.db", **options)  # type: ignore[arg-type]


async def test_a_store_that_is_not_open_says_so(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "jobs.db")
    with pytest.raises(StoreError, match="not open"):
        await store.enqueue([new(1)])
    async with store.opened():
        await works(store, 1)
        with pytest.raises(StoreError, match="open already"):
            async with store.opened():
                pass
    with pytest.raises(StoreError, match="not open"):
        await store.queues()


async def test_a_value_that_is_refused_says_that_it_is_the_value(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "jobs.db")
    async with store.opened():
        await store.enqueue([new(1)])
        (claimed,) = await begin(store)
        with pytest.raises(StoreError) as caught:
            await store.save_step(claimed.job.id, claimed.job.fence, Step(name=cast("str", None)))
        assert (caught.value.is_passing, caught.value.is_of_value) == (False, True)
        await store.save_step(claimed.job.id, claimed.job.fence, Step(name="a"))
