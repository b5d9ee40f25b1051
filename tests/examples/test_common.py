"""What the two applications share."""

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from examples.common.answers import list_of
from examples.common.jobs import ended, take_up
from examples.common.options import Options, read_options
from examples.common.report import Outcome, outcome_of, print_outcome
from examples.common.telling import telling
from relight import CircuitBreakerOpenError, Fixed, open_system
from relight.actors.jobs import (
    Fail,
    Job,
    JobContext,
    JobDetail,
    JobFunction,
    JobState,
    MemoryStore,
    Queue,
    SqliteStore,
    Store,
    Worker,
)
from tests.examples.agents import chat
from tests.support.tree import ROOT

pytestmark = pytest.mark.anyio


class Shop:
    """A queue whose jobs draw what they are told to, and a worker."""

    def __init__(self, store: Store) -> None:
        self.queue = Queue(store)
        self.errors: list[Exception] = []
        self.draw = self._declare()

    def _declare(self) -> JobFunction[str, str]:
        @self.queue.job(attempts=2, backoff=Fixed(0.01))
        async def draw(job: JobContext, what: str) -> str:
            await job.step("sketch", self._sketch, what)
            if self.errors:
                raise self.errors.pop()
            job.charge(0.5)
            return what.upper()

        return draw

    async def _sketch(self, what: str) -> str:
        return what

    @asynccontextmanager
    async def working(self) -> AsyncGenerator[None]:
        async with open_system() as system:
            await Worker(self.queue).start(system)
            yield


def name_of(job: Job) -> str:
    return "goose"


async def test_the_same_order_is_the_same_job_however_it_ended() -> None:
    shop = Shop(MemoryStore())
    async with shop.working():
        first = await take_up(shop.queue, shop.draw, "a goose")
        assert await take_up(shop.queue, shop.draw, "a goose") == first
        assert (await ended(shop.queue, first)).job.result == b'"A GOOSE"'
        assert await take_up(shop.queue, shop.draw, "a goose") == first
        shop.errors.append(Fail("no bells"))
        other = await take_up(shop.queue, shop.draw, "a bell")
        assert (await ended(shop.queue, other)).job.state is JobState.DEAD
        assert await take_up(shop.queue, shop.draw, "a bell") == other != first
        # What a person has put aside is not waited for.
        await shop.queue.store.discard([other])
        assert await take_up(shop.queue, shop.draw, "a bell") not in (first, other)


async def test_a_person_is_told_of_steps_and_of_attempts_that_failed() -> None:
    shop, said = Shop(MemoryStore()), list[str]()
    shop.errors += [ValueError("no ink"), CircuitBreakerOpenError("openai", retry_after=0.01)]
    async with shop.working(), telling(shop.queue, name_of, said.append):
        await ended(shop.queue, await take_up(shop.queue, shop.draw, "a goose"))
    assert said == [
        "      goose: sketch",
        "      goose: waits 0.1 s: openai: the circuit breaker is open; try again in 0.01 s",
        "      goose: attempt 1 failed, next in 0.0 s: no ink",
    ]


async def test_what_an_earlier_process_finished_is_told_as_kept(tmp_path: Path) -> None:
    for kept, name in enumerate(["a goose", "a bell"]):
        shop, said = Shop(SqliteStore(tmp_path / "jobs.db")), list[str]()
        async with shop.working(), telling(shop.queue, name_of, said.append):
            await ended(shop.queue, await take_up(shop.queue, shop.draw, name))
        assert said == ["      goose: sketch: kept"] * kept + ["      goose: sketch"]


class Slow(MemoryStore):
    """Takes its time to find a job."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = anyio.Event()

    async def job(self, id: str) -> JobDetail | None:  # noqa: A002 - the name people know
        self.asked.set()
        await anyio.sleep(0.01)
        return await super().job(id)


async def test_what_is_being_told_when_all_is_done_is_told() -> None:
    store, said = Slow(), list[str]()
    shop = Shop(store)
    async with shop.working():
        await ended(shop.queue, await take_up(shop.queue, shop.draw, "a goose"))
        store.asked = anyio.Event()
        async with telling(shop.queue, name_of, said.append):
            await store.asked.wait()
    assert said == ["      goose: sketch: kept"]


async def test_the_report_adds_up_the_jobs_records(capsys: pytest.CaptureFixture[str]) -> None:
    shop = Shop(MemoryStore())
    async with shop.working():
        good = await ended(shop.queue, await take_up(shop.queue, shop.draw, "a goose"))
        shop.errors.append(Fail("no bells"))
        bad = await ended(shop.queue, await take_up(shop.queue, shop.draw, "a bell"))

    def report(began: float) -> Outcome:
        return outcome_of([good, bad], name_of, lambda job: job.kind, began=began, services=())

    outcome = report(bad.steps[0].at)
    assert (outcome.made, outcome.lost) == (("goose: draw",), ("goose: no bells",))
    assert (outcome.dead, outcome.status) == ((bad.job.id,), 1)
    assert (outcome.usd, outcome.steps, outcome.kept) == (0.5, 2, 1)
    print_outcome(outcome, "my comics.db")
    told = capsys.readouterr().out
    assert "done  2 steps, 1 of them kept from earlier runs" in told
    assert f"python -m relight jobs retry {bad.job.id} --store 'my comics.db'" in told
    print_outcome(outcome, "postgresql://ann:secret@db/comics")
    assert "secret" not in capsys.readouterr().out
    print_outcome(report(0.0), None)
    told = capsys.readouterr().out
    assert "done  2 steps\n" in told
    assert "retry" not in told, "what is in memory is gone"


@pytest.mark.parametrize("text", ["", "Sure!", '{"a": 1}', '["only one"]', '["a", "b"]', "[1, 2]"])
async def test_an_answer_that_is_no_such_list_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="JSON list of 2 strings"):
        list_of(2)(chat(text))


async def test_an_answer_may_stand_in_a_fence() -> None:
    assert list_of(2)(chat('Here:\n```json\n["a tower", "a goose"]\n```')) == ["a tower", "a goose"]


@pytest.mark.parametrize(
    ("option", "value"), [("--pages", "0"), ("--pages", "two"), ("--rate", "15"), ("--rate", "much")]
)
async def test_a_number_out_of_range_is_a_mistake(
    option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        read_options("comic_maker", "pages", 3, arguments=[option, value])
    assert f"argument {option}: must be a" in capsys.readouterr().err
    await anyio.lowlevel.checkpoint()


async def test_jobs_are_kept_in_memory_unless_a_store_is_named(tmp_path: Path) -> None:
    path = str(tmp_path / "comics.db")
    named = read_options("comic_maker", "pages", 3, arguments=["--pages", "2", "--store", path])
    assert isinstance(named.find_store(), SqliteStore)
    assert named.name == "novel-2"
    plain = read_options("comic_maker", "pages", 3, arguments=[])
    assert isinstance(plain.find_store(), MemoryStore)
    assert plain == Options(count=3)
    await anyio.lowlevel.checkpoint()


async def test_what_went_wrong_first_is_told(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "examples.comic_maker", "--store", str(tmp_path / "no" / "jobs.db")]
    ended = await anyio.run_process(command, cwd=ROOT, check=False)
    assert ended.returncode == 2
    assert ended.stderr.decode().startswith("error: SQLite file '")
