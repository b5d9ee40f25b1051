"""Files of large results go when nothing refers to them, and never while something may."""

import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Collection
from hashlib import sha256
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from relight.actors.jobs import (
    BlobError,
    JobContext,
    JobState,
    MemoryStore,
    NewJob,
    Queue,
    SqliteStore,
    Step,
    Store,
    Worker,
)
from relight.actors.jobs._blob_sweep import BlobSweep
from relight.actors.jobs._blobs import Blobs
from relight.supervisors import open_system

pytestmark = pytest.mark.anyio

DATA = b"a large result"
NAME = sha256(DATA).hexdigest()

InUse = Callable[[Collection[str]], Awaitable[frozenset[str]]]


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def age(folder: Path) -> None:
    """Let more than an hour go by for all files."""
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (0.0, 0.0))


async def nothing(names: Collection[str]) -> frozenset[str]:
    return frozenset()


async def sweep(folder: Path, in_use: InUse = nothing) -> int:
    return await BlobSweep(folder, in_use).run()


async def finish(store: Store, number: int, blob: str) -> None:
    """Have a job with a large result end well."""
    id_ = f"job-{number}"
    await store.enqueue([NewJob(id=id_, queue="q", kind="k", args=b"[]")])
    await store.register("w", 600.0, {})
    (claimed,) = await store.claim("w", ["q"], 1)
    await store.save_step(id_, claimed.job.fence, Step(name="s", blob=blob))
    await store.succeed(id_, claimed.job.fence, b"1", cost_usd=0.0, retries=0)


async def test_the_last_job_takes_its_file_with_it(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    queue = Queue(store, "q", blobs=folder)
    blobs = Blobs(folder)
    shared, alone = await blobs.put(DATA), await blobs.put(b"alone")
    await finish(store, 1, shared)
    await finish(store, 2, alone)
    age(folder)
    assert await store.blobs_in_use([shared, alone, "0" * 64]) == {shared, alone}
    assert await queue.sweep_results() == 0
    await store.prune(ended_before=4e9)
    assert await store.blobs_in_use([shared, alone]) == frozenset()
    await finish(store, 3, shared)
    assert await queue.sweep_results() == 1
    assert files(folder) == [shared]


async def test_a_worker_with_a_retention_sweeps_by_itself(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "jobs.db")
    queue = Queue(store, max_inline=10)
    folder = tmp_path / "jobs.db.results"
    orphan = await Blobs(folder).put(DATA)
    age(folder)

    @queue.job()
    async def work(job: JobContext) -> None:
        await job.step("large", large)

    async def large() -> str:
        return "x" * 1000

    swept = anyio.Event()
    async with open_system() as system:
        system.events.listen(lambda name, facts: swept.set() if name == "job.results_swept" else None)
        await Worker(queue, retention=1000.0).start(system)
        with anyio.fail_after(60.0):
            await swept.wait()
            assert orphan not in files(folder)
            id_ = await queue.enqueue(work)
            assert (await queue.wait(id_)).state is JobState.SUCCEEDED
    assert len(files(folder)) == 1


async def test_a_folder_that_can_not_be_swept_is_told_of_and_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "ab" / NAME).mkdir(parents=True)  # no file: it can be renamed, but not removed
    os.utime(tmp_path / "ab" / NAME, (0.0, 0.0))
    queue = Queue(MemoryStore(), blobs=tmp_path)

    @queue.job()
    async def work(job: JobContext) -> str:
        return "done"

    with pytest.raises(BlobError, match="can't be swept"):
        await queue.sweep_results()
    told = anyio.Event()
    async with open_system() as system:
        system.events.listen(lambda name, facts: told.set() if name == "job.results_not_swept" else None)
        await Worker(queue, retention=1000.0).start(system)
        with anyio.fail_after(60.0):
            await told.wait()
            assert await queue.result(await queue.enqueue(work)) == "done"


async def test_what_is_young_stays_though_nothing_refers_to_it_yet(tmp_path: Path) -> None:
    """Its writer was killed between file and step, or is about to store the step."""
    blobs = Blobs(tmp_path)
    await blobs.put(DATA)
    assert await sweep(tmp_path) == 0
    assert files(tmp_path) == [NAME]
    age(tmp_path)
    await blobs.put(DATA)  # wanted again
    assert await sweep(tmp_path) == 0
    assert await blobs.get(NAME) == DATA
    age(tmp_path)
    assert await sweep(tmp_path) == 1
    assert files(tmp_path) == []


async def test_drafts_of_dead_writers_go_and_strange_files_stay(tmp_path: Path) -> None:
    folder = tmp_path / NAME[:2]
    folder.mkdir()
    (tmp_path / "README").write_text("ours")
    (folder / "notes.txt").write_text("ours")
    (folder / f".{NAME}.4711.abcd").write_bytes(b"a lar")
    assert await sweep(tmp_path) == 0
    assert len(files(tmp_path)) == 3  # the draft may be one that is being written
    age(tmp_path)
    assert await sweep(tmp_path) == 0
    assert files(tmp_path) == ["README", "notes.txt"]
    assert await sweep(tmp_path / "not there") == 0


async def test_a_step_stored_after_the_first_look_keeps_its_file(tmp_path: Path) -> None:
    blobs, looks = Blobs(tmp_path), 0
    await blobs.put(DATA)
    age(tmp_path)

    async def in_use(names: Collection[str]) -> frozenset[str]:
        nonlocal looks
        looks += 1
        if looks == 2:
            assert files(tmp_path) != [NAME]
            assert await blobs.get(NAME) == DATA  # whoever reads it meanwhile finds it all the same
        return frozenset() if looks == 1 else frozenset(names)

    assert await sweep(tmp_path, in_use) == 0
    assert files(tmp_path) == [NAME]
    assert await sweep(tmp_path) == 0  # it is young again


async def test_a_file_wanted_after_the_first_look_keeps_its_name(tmp_path: Path) -> None:
    blobs, looks = Blobs(tmp_path), 0
    await blobs.put(DATA)
    age(tmp_path)

    async def in_use(names: Collection[str]) -> frozenset[str]:
        nonlocal looks
        looks += 1
        if looks == 1:
            await blobs.put(DATA)  # its step comes later
        return frozenset()

    assert await sweep(tmp_path, in_use) == 0
    assert await blobs.get(NAME) == DATA
    assert files(tmp_path) == [NAME]


async def test_a_file_wanted_while_it_goes_is_written_anew(tmp_path: Path) -> None:
    blobs, looks = Blobs(tmp_path), 0
    await blobs.put(DATA)
    age(tmp_path)

    async def in_use(names: Collection[str]) -> frozenset[str]:
        nonlocal looks
        looks += 1
        if looks == 2:
            await blobs.put(DATA)
        return frozenset()

    assert await sweep(tmp_path, in_use) == 1
    assert files(tmp_path) == [NAME]
    assert await blobs.get(NAME) == DATA


@pytest.mark.parametrize("is_used", [True, False])
async def test_a_sweep_that_dies_in_the_middle_loses_nothing(tmp_path: Path, *, is_used: bool) -> None:
    blobs, looks = Blobs(tmp_path), 0
    await blobs.put(DATA)
    age(tmp_path)

    async def in_use(names: Collection[str]) -> frozenset[str]:
        nonlocal looks
        looks += 1
        if looks == 2:
            raise ZeroDivisionError
        return frozenset()

    with pytest.raises(ZeroDivisionError):
        await sweep(tmp_path, in_use)
    assert await blobs.get(NAME) == DATA

    async def used(names: Collection[str]) -> frozenset[str]:
        return frozenset(names) if is_used else frozenset()

    assert await sweep(tmp_path, used) == (0 if is_used else 1)
    assert files(tmp_path) == ([NAME] if is_used else [])


async def test_two_sweeps_at_once_are_in_nobodys_way(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    names = [await blobs.put(bytes([number]) * 20) for number in range(20)]
    age(tmp_path)
    removed: list[int] = []

    async def in_use(wanted: Collection[str]) -> frozenset[str]:
        await anyio.lowlevel.checkpoint()
        return frozenset(names[:5]).intersection(wanted)

    async def work() -> None:
        removed.append(await sweep(tmp_path, in_use))

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(work)
    assert sum(removed) == 15
    assert files(tmp_path) == sorted(names[:5])


@pytest.mark.slow
@pytest.mark.parametrize("anyio_backend", ["trio"], indirect=True)
async def test_another_process_never_misses_what_it_has_just_stored(tmp_path: Path) -> None:
    file = tmp_path / "jobs.db"
    store = SqliteStore(file, synchronous="normal")
    queue = Queue(store, "blobs")
    removed, is_over = 0, anyio.Event()
    command = [sys.executable, str(Path(__file__).with_name("blob_writer.py")), str(file), "300"]

    async def write() -> None:
        done = await anyio.to_thread.run_sync(
            lambda: subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        )
        assert done.returncode == 0, done.stderr
        is_over.set()

    async def sweep_on() -> None:
        nonlocal removed
        while not is_over.is_set():
            removed += await queue.sweep_results()
            await anyio.lowlevel.checkpoint()

    async with store.opened(), anyio.create_task_group() as group:
        group.start_soon(write)
        group.start_soon(sweep_on)
        group.start_soon(sweep_on)
    assert removed > 10
