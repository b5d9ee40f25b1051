"""The applications as a whole, on fakes that fail."""

import ast
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path

import anyio
import msgspec
import pytest

from examples.comic_maker import studio
from examples.common.options import Options
from examples.common.report import Outcome
from examples.video_maker import production
from relight.actors.jobs import DeadLetterOffice, SqliteStore
from relight.fakes import Fakes, FaultKind, Step
from tests.support.tree import ROOT

pytestmark = pytest.mark.slow

Say = Callable[[str], None]
Run = Callable[[Fakes, Options, Say], Coroutine[None, None, Outcome]]
APPLICATIONS = {"comic_maker": studio.run, "video_maker": production.run}
BOTH = pytest.mark.parametrize("run", APPLICATIONS.values(), ids=APPLICATIONS.keys())
OPTIONS = Options(count=2, rate=0.15)
CALM = Options(count=2, rate=0.0, lease=30.0)
AGENTS = sorted(
    path
    for folder in ("comic_maker", "video_maker")
    for path in (ROOT / "examples" / folder).glob("*.py")
    if "(Agent)" in path.read_text()
)


async def misbehave(fakes: Fakes, options: Options) -> None:
    for name in fakes.providers:
        await fakes.set_plan(name, options.faults())


async def paid(fakes: Fakes) -> dict[str, int]:
    """Count the requests that cost money and were answered."""
    for name in fakes.providers:
        # A client that has left says nothing of how long the server still works for it.
        while (await fakes.statistics(name)).in_flight:  # noqa: ASYNC110
            await anyio.sleep(0.01)
    wanted = {"chat", "images", "messages", "run", "speech"}
    return {
        name: sum(entry.operation in wanted and entry.status == 200 for entry in await fakes.log(name))
        for name in fakes.providers
    }


def stored(options: Options, folder: Path) -> Options:
    return msgspec.structs.replace(options, store=str(folder / "jobs.db"))


@pytest.mark.anyio
@BOTH
async def test_nothing_is_lost_while_the_services_fail(run: Run, fakes: Fakes) -> None:
    await misbehave(fakes, OPTIONS)
    outcome = await run(fakes, OPTIONS, print)
    assert outcome.lost == ()
    assert outcome.status == 0
    assert outcome.usd > 0.001
    assert any([(await fakes.statistics(name)).faults for name in fakes.providers])


@pytest.mark.anyio
@BOTH
async def test_what_is_lost_is_named_with_its_reason(run: Run, fakes: Fakes) -> None:
    await fakes.script("anthropic", [Step(fault=FaultKind.CONTENT_POLICY)])
    outcome = await run(fakes, CALM, print)
    assert outcome.made == ()
    assert "content filtering policy" in outcome.lost[0]
    assert len(outcome.dead) == outcome.status == 1


@pytest.mark.anyio
@BOTH
async def test_without_money_it_waits_until_there_is_some(
    run: Run, fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELIGHT_PROVIDERS__ANTHROPIC__BLOCKED_PROBE", "0.3")
    said: list[str] = []
    await fakes.script("anthropic", [Step(fault=FaultKind.QUOTA)])
    outcome = await run(fakes, CALM, said.append)
    assert outcome.lost == ()
    assert any("waits" in line for line in said)


@pytest.mark.anyio
async def test_a_page_that_cannot_be_made_takes_no_other_with_it_and_goes_on_when_it_can(
    fakes: Fakes, tmp_path: Path
) -> None:
    options = stored(CALM, tmp_path)
    await fakes.script("runpod", [Step(operation="run", fault=FaultKind.CONTENT_POLICY)])
    outcome = await studio.run(fakes, options)
    assert (len(outcome.made), len(outcome.lost)) == (1, 1)
    before = await paid(fakes)

    store = SqliteStore(tmp_path / "jobs.db")
    async with store.opened():
        assert (await DeadLetterOffice(store).retry(list(outcome.dead))).done == 1
    outcome = await studio.run(fakes, options)
    assert (len(outcome.made), outcome.lost) == (2, ())
    after = await paid(fakes)
    assert {name: after[name] - before[name] for name in after if after[name] > before[name]} == {"runpod": 1}


@pytest.mark.anyio
@BOTH
async def test_a_run_that_was_ended_in_the_middle_goes_on_and_pays_nothing_twice(
    run: Run, fakes: Fakes, tmp_path: Path
) -> None:
    options = stored(CALM, tmp_path)
    finished: list[str] = []
    with anyio.CancelScope() as scope:

        def count(step: str) -> None:
            finished.append(step)
            if len(finished) == 5:
                scope.cancel()

        await run(fakes, options, count)
    assert scope.cancelled_caught

    before = await paid(fakes)
    said: list[str] = []
    outcome = await run(fakes, options, said.append)
    assert outcome.status == 0
    assert set(finished) <= {line.removesuffix(": kept") for line in said if line.endswith(": kept")}
    free = ("page-1", "page-2", "stored", "published")
    bought = [line for line in said if not line.endswith((": kept", "is gone", *free))]
    after = await paid(fakes)
    assert sum(after.values()) - sum(before.values()) == len(bought), "only the rest is paid for"

    # Once more, with all of it finished: nothing is asked of anybody.
    again = await run(fakes, options, print)
    assert again.usd == pytest.approx(outcome.usd)
    assert (again.made, again.kept) == (outcome.made, outcome.steps)
    assert await paid(fakes) == after


def example(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", f"examples.{name}", *arguments]
    return subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120.0,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize(
    ("name", "arguments", "made"),
    [
        ("comic_maker", ("--pages", "2"), "made  page 2: 4 panels, stored"),
        ("video_maker", ("--scenes", "2"), "2 scenes, at videos/novel-2.mp4"),
        ("video_maker.before", ("--scenes", "2", "--rate", "0"), "made  2 pictures and 2 sounds"),
    ],
    ids=["comic_maker", "video_maker", "before"],
)
def test_an_application_runs_from_the_clone(name: str, arguments: tuple[str, ...], made: str) -> None:
    done = example(name, "--seed", "44", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert made in done.stdout


def test_an_application_that_lost_something_says_so_with_its_status_and_the_way_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RELIGHT_PROVIDERS__ANTHROPIC__ATTEMPTS", "1")
    monkeypatch.setenv("RELIGHT_PROVIDERS__ANTHROPIC__ATTEMPT_TIMEOUT", "0.5")
    store = str(tmp_path / "videos.db")
    done = example("video_maker", "--rate", "1", "--store", store)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "LOST  video: anthropic" in done.stdout
    (command,) = [line.split()[2:] for line in done.stdout.splitlines() if "jobs retry" in line]
    retried = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=False)
    assert retried.returncode == 0
    done = example("video_maker", "--rate", "0", "--store", store)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_store_that_cannot_be_used_is_said_in_a_line() -> None:
    done = example("comic_maker", "--store", "/nowhere/comics.db")
    assert done.returncode == 2
    assert "does its folder exist" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("path", AGENTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_an_agent_is_a_page_and_has_no_code_against_failure(path: Path) -> None:
    assert_knows_nothing_of_failure(path)


@pytest.mark.parametrize("name", ["comic_maker/comic.py", "video_maker/video.py"])
def test_a_job_is_a_page_and_has_no_code_against_failure(name: str) -> None:
    assert_knows_nothing_of_failure(ROOT / "examples" / name)


def assert_knows_nothing_of_failure(path: Path) -> None:
    source = path.read_text()
    assert len(source.splitlines()) < 80
    kinds = (ast.Try, ast.TryStar, ast.While)
    assert not [node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
    assert "sleep" not in source


def test_there_are_as_many_agents_as_promised() -> None:
    assert len([path for path in AGENTS if path.parent.name == "video_maker"]) == 7
    assert len([path for path in AGENTS if path.parent.name == "comic_maker"]) == 4
