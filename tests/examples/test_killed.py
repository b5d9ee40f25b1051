"""The applications killed at random moments: all is made, and for nothing recorded is anybody asked again."""

import os
import sys
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from math import inf
from pathlib import Path
from random import Random

import anyio
import msgspec
import pytest
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream

from examples.comic_maker.comic import PageOrder
from relight.actors.jobs import JobDetail, JobState, Query, SqliteStore
from relight.fakes import Fakes, FaultPlan
from tests.examples.on_fakes import Elsewhere
from tests.support.tree import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.anyio]

DRIVER = Path(__file__).with_name("on_fakes.py")
KILLS = 3
COUNT = 3
"""Pages, scenes."""
ASKED = {"chat", "images", "messages", "run", "speech"}
"""Operations that cost money."""


class Life:
    """One application on one store, through all its processes."""

    def __init__(self, name: str, store: Path, fakes: Fakes) -> None:
        self._name = name
        self._store = store
        self._fakes = fakes

    @asynccontextmanager
    async def process(self) -> AsyncGenerator[Process]:
        """Run the application until it ends, or the block does: then it is killed."""
        fakes = Elsewhere(
            {name: self._fakes.url(name) for name in self._fakes.providers},
            {name: self._fakes.key(name) for name in self._fakes.providers},
        )
        arguments = [self._name, str(COUNT), str(self._store), msgspec.json.encode(fakes).decode()]
        command = [sys.executable, "-W", "error", str(DRIVER), *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = await anyio.open_process(command, stderr=None, env=environment)
        async with process:
            try:
                yield process
            finally:
                if process.returncode is None:
                    process.kill()

    async def jobs(self) -> list[JobDetail]:
        """Read all jobs, while no process has the store."""
        store = SqliteStore(self._store)
        async with store.opened():
            ids = [job.id for job in await store.jobs(Query())]
            return [detail for id_ in ids if (detail := await store.job(id_)) is not None]

    async def seen(self) -> dict[str, int]:
        """Return the number of each fake's last request."""
        logs = {name: await self._fakes.log(name) for name in self._fakes.providers}
        return {name: log[-1].number if log else 0 for name, log in logs.items()}

    async def asked(self, since: Mapping[str, int]) -> list[str]:
        """Return the bodies of requests that cost money, of those after these numbers."""
        logs = [await self._fakes.log(name, after=after) for name, after in since.items()]
        return [entry.body for log in logs for entry in log if entry.operation in ASKED]


async def hear_steps(process: Process, most: float = inf) -> None:
    """Return when a process has said that it made so many steps, kept ones left out, or when it ends."""
    assert process.stdout is not None
    made, rest = 0, ""
    async for text in TextReceiveStream(process.stdout):
        *lines, rest = (rest + text).split("\n")
        made += sum(line.startswith("      ") and not line.endswith(": kept") for line in lines)
        if made >= most:
            return


async def kill_at_random(life: Life, rng: Random) -> None:
    """Let it make some steps, or not even begin."""
    wanted, pause = rng.randrange(7), rng.uniform(0.0, 0.05)
    async with life.process() as process:
        if wanted == 0:
            await anyio.sleep(rng.uniform(0.0, 1.5))
            return
        await hear_steps(process, wanted)
        await anyio.sleep(pause)


def quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()


def within(text: str) -> str:
    """Return *text* as it stands within a longer one, in JSON."""
    return quoted(text)[1:-1]


def questions(jobs: list[JobDetail]) -> Mapping[tuple[str, str], str]:
    """Say for each recorded step that is paid for what a request for it would hold."""
    found: dict[tuple[str, str], str] = {}
    for detail in jobs:
        ask = of_a_page(detail) if detail.job.kind == "make_page" else of_the_whole(detail)
        recorded = {step.name for step in detail.steps}
        found.update({(detail.job.id, name): text for name, text in ask if name in recorded})
    return found


def of_a_page(page: JobDetail) -> Iterator[tuple[str, str]]:
    (order,) = msgspec.json.decode(page.job.args, type=tuple[PageOrder])
    yield "script", within(order.scene)
    for number, panel in enumerate(texts(page, "script"), start=1):
        yield f"panel-{number}", quoted(panel)


def of_the_whole(job: JobDetail) -> Iterator[tuple[str, str]]:
    yield "scenes", f"a JSON list of {COUNT} strings and nothing else: the scenes of this novel"
    yield "story", "Outline the story in this text"
    yield "script", "what the camera sees in each scene"
    yield "narration", "for each scene what a narrator says over it"
    for number, scene in enumerate(texts(job, "script"), start=1):
        yield f"picture-{number}", quoted(scene)
    for number, line in enumerate(texts(job, "narration"), start=1):
        yield f"sound-{number}", quoted(line)
    yield "film", '"pictures":'


def texts(job: JobDetail, step: str) -> list[str]:
    results = [each.result for each in job.steps if each.name == step]
    return msgspec.json.decode(results[0], type=list[str]) if results else []


@pytest.mark.parametrize("anyio_backend", ["trio"])  # of the test; the processes have their own
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", ["comic_maker", "video_maker"])
async def test_killed_at_any_moment_it_goes_on_and_asks_for_nothing_it_has(
    name: str, seed: int, fakes: Fakes, tmp_path: Path
) -> None:
    rng = Random(seed)
    for provider in fakes.providers:
        await fakes.set_plan(provider, FaultPlan(rate=0.1, seed=seed, retry_after_seconds=0.1))
    life = Life(name, tmp_path / "jobs.db", fakes)

    kept: list[tuple[Mapping[tuple[str, str], str], Mapping[str, int]]] = []
    beginning = await life.seen()
    with anyio.fail_after(100.0):
        for _ in range(KILLS):
            await kill_at_random(life, rng)
            kept.append((questions(await life.jobs()), await life.seen()))
        async with life.process() as last:
            await hear_steps(last)
            assert await last.wait() == 0

    jobs = await life.jobs()
    assert {detail.job.state for detail in jobs} == {JobState.SUCCEEDED}
    everything = questions(jobs)
    paid = 1 + COUNT * (1 + 4) if name == "comic_maker" else 3 + COUNT * 2 + 1
    assert len(everything) == len(set(everything.values())) == paid, "each step can be told from the others"
    assert kept[-1][0], "the last process had something to keep"

    for recorded, since in kept:
        bodies = await life.asked(since)
        assert {step for step, text in recorded.items() if any(text in body for body in bodies)} == set()
    bodies = await life.asked(beginning)
    assert {step for step, text in everything.items() if not any(text in body for body in bodies)} == set()
