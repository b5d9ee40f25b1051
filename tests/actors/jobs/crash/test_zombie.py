"""A worker that stands still for longer than its lease, and goes on when another has its jobs."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import anyio
import msgspec
import pytest

from relight.actors.jobs import JobState, NewJob, Query, Store

from .killer import PATIENCE, LogReader, victims
from .ledger import Ledger
from .victims import Line, Order, open_store

JOBS = {"1-freeze": "freeze", "2-wait": "wait"}


class Watch:
    """What the workers have written down so far. Close it, whatever comes."""

    def __init__(self, log: Path) -> None:
        self._reader = LogReader(log)
        self.lines: list[Line] = []

    async def until(self, is_so: Callable[[list[Line]], bool]) -> None:
        """Wait until they have written down what one waits for."""
        with anyio.fail_after(PATIENCE):
            while not is_so(self.lines):
                await anyio.sleep(0.01)
                self.lines += self._reader.read()

    def of(self, worker: int, what: str) -> list[tuple[str, str]]:
        """Return the jobs and steps of what a worker wrote."""
        return [(line.job, line.step) for line in self.lines if (line.worker, line.what) == (worker, what)]

    def close(self) -> None:
        """Read no more."""
        self._reader.close()


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["trio"], indirect=True)
@pytest.mark.parametrize("backend", ["trio", "asyncio"])
async def test_a_worker_that_stood_still_beyond_its_lease_can_store_nothing(
    kind: str, where: str, tmp_path: Path, backend: str
) -> None:
    store, log = open_store(kind, where), tmp_path / "log"
    with (
        closing(Watch(log)) as watch,
        victims(kind, where, log) as frozen,
        victims(kind, where, log) as rescuer,
    ):
        async with store.opened():
            await _enqueue(store, JOBS)
            frozen.start(Order(play="freeze", backend=backend))
            with anyio.fail_after(PATIENCE):
                while not _stands_still(frozen.process):  # noqa: ASYNC110 - nobody tells
                    await anyio.sleep(0.01)
            rescuer.start(Order(play="rescue", backend=backend))
            await watch.until(lambda _: len(watch.of(rescuer.process, "claimed")) == len(JOBS))
            frozen.send(signal.SIGCONT)
            await watch.until(
                lambda _: bool(watch.of(frozen.process, "refused") and watch.of(frozen.process, "cancelled"))
            )
            log.with_name("log.over").touch()
            await _wait_ended(store, JOBS)
            await watch.until(lambda _: len(watch.of(rescuer.process, "recorded")) == len(JOBS))
            first, second = frozen.process, rescuer.process
            assert watch.of(first, "refused")[0] == ("1-freeze", "save_step")
            assert watch.of(first, "cancelled") == [("2-wait", "within")]
            assert sorted(watch.of(first, "recorded")) == [("1-freeze", "before"), ("2-wait", "before")]
            assert sorted(watch.of(second, "done")) == [("1-freeze", "within"), ("2-wait", "within")]
            rescuer.send(signal.SIGKILL)
            rescuer.wait()
            await _check_works_again(store, first)
            await _check_books(store, watch, second)


async def _enqueue(store: Store, jobs: dict[str, str]) -> None:
    await store.enqueue([NewJob(id=id_, queue="cold", kind=kind, args=b"[]") for id_, kind in jobs.items()])


async def _wait_ended(store: Store, jobs: dict[str, str]) -> None:
    with anyio.fail_after(PATIENCE):
        while True:
            found = await store.jobs(Query(ids=frozenset(jobs)))
            if all(job.state is JobState.SUCCEEDED for job in found):
                return
            await store.wait_change(0.1)


async def _check_works_again(store: Store, first: int) -> None:
    """See that the worker that stood still has a new lease, and works."""
    await _enqueue(store, {"3-next": "tell"})
    await _wait_ended(store, {"3-next": "tell"})
    (job,) = await store.jobs(Query(ids=frozenset({"3-next"})))
    assert job.result == msgspec.json.encode(first)


async def _check_books(store: Store, watch: Watch, second: int) -> None:
    ledger = Ledger()
    ledger.enter([line for line in watch.lines if line.what == "claimed"])
    ledger.enter_events(await store.events("0"))
    assert ledger.fences_back == []
    assert ledger.ended == {**dict.fromkeys(JOBS, 1), "3-next": 1}
    assert ledger.rescued == len(JOBS)
    for id_ in JOBS:
        detail = await store.job(id_)
        assert detail is not None
        assert detail.job.result == msgspec.json.encode(second)
        assert [step.name for step in detail.steps] == ["before", "within"]


def _stands_still(process: int) -> bool:
    stat = Path(f"/proc/{process}/stat")
    if not stat.exists():  # no Linux: it has stood still by now
        time.sleep(1.0)
        return True
    return stat.read_text().rpartition(")")[2].split()[0] == "T"
