"""The applications as a whole, on fakes that fail."""

import ast
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path

import anyio
import pytest

from examples.comic_maker import studio
from examples.common.checkpoints import Checkpoints
from examples.common.options import Options
from examples.common.report import Outcome
from examples.video_maker import production
from relight.fakes import Fakes, FaultKind, Step
from tests.support.tree import ROOT

pytestmark = pytest.mark.slow

Run = Callable[[Fakes, Options, Checkpoints], Coroutine[None, None, Outcome]]
APPLICATIONS = {"comic_maker": studio.run, "video_maker": production.run}
BOTH = pytest.mark.parametrize("run", APPLICATIONS.values(), ids=APPLICATIONS.keys())
OPTIONS = Options(count=2, rate=0.15)
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


@pytest.mark.anyio
@BOTH
async def test_nothing_is_lost_while_the_services_fail(run: Run, fakes: Fakes) -> None:
    await misbehave(fakes, OPTIONS)
    outcome = await run(fakes, OPTIONS, Checkpoints())
    assert outcome.lost == ()
    assert outcome.status == 0
    assert outcome.usd > 0.001
    assert any([(await fakes.statistics(name)).faults for name in fakes.providers])


@pytest.mark.anyio
@BOTH
async def test_what_is_lost_is_named_with_its_reason(run: Run, fakes: Fakes) -> None:
    await fakes.script("anthropic", [Step(fault=FaultKind.QUOTA)])
    outcome = await run(fakes, OPTIONS, Checkpoints())
    assert outcome.made == ()
    assert "quota" in outcome.lost[0]
    assert outcome.status == 1


@pytest.mark.anyio
async def test_a_page_that_cannot_be_made_takes_no_other_with_it(fakes: Fakes) -> None:
    await fakes.script("openai", [Step(operation="chat", fault=FaultKind.CONTENT_POLICY)])
    outcome = await studio.run(fakes, OPTIONS, Checkpoints())
    assert (len(outcome.made), len(outcome.lost)) == (1, 1)


@pytest.mark.anyio
@BOTH
async def test_a_run_that_was_ended_in_the_middle_goes_on_and_pays_nothing_twice(
    run: Run, fakes: Fakes, tmp_path: Path
) -> None:
    finished: list[str] = []
    with anyio.CancelScope() as scope:

        def count(step: str) -> None:
            finished.append(step)
            if len(finished) == 5:
                scope.cancel()

        await run(fakes, Options(count=2, rate=0.0), Checkpoints(tmp_path, say=count))
    assert scope.cancelled_caught

    before = await paid(fakes)
    resumed: list[str] = []
    outcome = await run(fakes, Options(count=2, rate=0.0), Checkpoints(tmp_path, say=resumed.append))
    kept = {step.removesuffix(": kept") for step in resumed if step.endswith(": kept")}
    assert outcome.status == 0
    assert kept == set(finished), "what was finished is read back"
    bought = [step for step in resumed if not step.endswith((": kept", "/stored", "/published"))]
    after = await paid(fakes)
    assert sum(after.values()) - sum(before.values()) == len(bought), "only the rest is paid for"

    # Once more, with all of it finished: nothing is asked of anybody.
    assert (await run(fakes, Options(count=2, rate=0.0), Checkpoints(tmp_path))).usd == pytest.approx(
        outcome.usd
    )
    assert await paid(fakes) == after


def test_a_run_that_was_killed_goes_on_where_it_stopped(tmp_path: Path) -> None:
    command = [sys.executable, "-u", "-m", "examples.video_maker", "--rate", "0", "--work", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        finished = [next(killed.stdout).strip() for _ in range(4)]
        killed.kill()
    done = example("video_maker", *command[4:])
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(f"{step}: kept" in done.stdout for step in finished)


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
        ("video_maker", ("--scenes", "2"), "2 scenes, at videos/video.mp4"),
        ("video_maker.before", ("--scenes", "2", "--rate", "0"), "made  2 pictures and 2 sounds"),
    ],
    ids=["comic_maker", "video_maker", "before"],
)
def test_an_application_runs_from_the_clone(name: str, arguments: tuple[str, ...], made: str) -> None:
    done = example(name, "--seed", "44", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert made in done.stdout


def test_an_application_that_lost_something_says_so_with_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELIGHT_PROVIDERS__ANTHROPIC__ATTEMPTS", "1")
    monkeypatch.setenv("RELIGHT_PROVIDERS__ANTHROPIC__ATTEMPT_TIMEOUT", "0.5")
    done = example("video_maker", "--rate", "1")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "LOST  video: anthropic" in done.stdout


@pytest.mark.parametrize("path", AGENTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_an_agent_is_a_page_and_has_no_code_against_failure(path: Path) -> None:
    source = path.read_text()
    assert len(source.splitlines()) < 80
    kinds = (ast.Try, ast.TryStar, ast.While)
    assert not [node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
    assert "sleep" not in source


def test_there_are_as_many_agents_as_promised() -> None:
    assert len([path for path in AGENTS if path.parent.name == "video_maker"]) == 7
    assert len([path for path in AGENTS if path.parent.name == "comic_maker"]) == 5
