"""The demo's comics are durable jobs: a run that is killed is started again and goes on where it was."""

import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec
import pytest

from relight.actors.jobs import MemoryStore, Query, SqliteStore, Store
from relight.actors.ops.demo import JobBoard, Report

COMICS = 6
STEPS = 6 * COMICS
DEMO = [
    *(sys.executable, "-m", "relight", "demo", "--no-dashboard", "--comics", str(COMICS), "--seed", "5"),
    *("--fault-rate", "0", "--store", "jobs.db", "--json", "out.json"),
]


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["trio"], indirect=True)
@pytest.mark.parametrize("backend", ["trio", "asyncio"])
async def test_a_run_that_is_killed_goes_on_and_pays_for_no_step_again(tmp_path: Path, backend: str) -> None:
    command = [*DEMO, "--backend", backend]
    store = SqliteStore(tmp_path / "jobs.db")
    async with store.opened():
        with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as demo:  # noqa: ASYNC220 - it takes no time
            with anyio.fail_after(60.0):
                while len(await _steps(store)) < STEPS // 3:
                    await store.wait_change(0.1)
            demo.send_signal(signal.SIGKILL)
        before = await _steps(store)
        report, said = await _finish(command, tmp_path)
        after = await _steps(store)
    assert 0 < len(before) < STEPS
    assert {step: at for step, at in after.items() if step in before} == before
    assert (report.jobs.submitted, report.jobs.succeeded, report.jobs.lost) == (COMICS, COMICS, 0)
    assert (report.steps.before, report.steps.now, report.steps.again) == (
        len(before),
        STEPS - len(before),
        0,
    )
    paid = Counter(name.partition("-")[0] for _, name in before)
    assert report.providers["openai"].calls == COMICS - paid["panels"]
    assert report.providers["runpod"].calls == 4 * COMICS - paid["image"]
    assert f"{len(before)} steps had been paid for before, 0 of them were paid for again" in said
    (run,) = (tmp_path / "comics").iterdir()
    assert len(list(run.glob("comic-*/panel-*.png"))) == 4 * COMICS

    report, said = await _finish(command, tmp_path)
    assert (report.jobs.succeeded, report.steps.before, report.steps.now) == (COMICS, STEPS, 0)
    assert sum(provider.calls for provider in report.providers.values()) == 0


def test_a_step_that_is_paid_for_again_is_counted() -> None:
    board = JobBoard(MemoryStore())
    board.before = {("a", "outline")}
    board.pay("a", "panels")
    assert board.paid_again == 0
    board.pay("a", "outline")
    assert board.paid_again == 1


async def _steps(store: Store) -> dict[tuple[str, str], float]:
    """Return the moments at which finished steps were stored."""
    found: dict[tuple[str, str], float] = {}
    for job in await store.jobs(Query()):
        detail = await store.job(job.id)
        assert detail is not None
        found.update({(job.id, step.name): step.at for step in detail.steps})
    return found


async def _finish(command: list[str], folder: Path) -> tuple[Report, str]:
    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=90, check=False)

    done = await anyio.to_thread.run_sync(run)
    assert (done.returncode, done.stderr) == (0, "")
    return msgspec.json.decode((folder / "out.json").read_bytes(), type=Report), done.stdout
