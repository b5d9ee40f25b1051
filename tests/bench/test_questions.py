"""The questions about supervision: that they are answered, never with what."""

from importlib.util import find_spec

import pytest

from relight.bench import _crowd
from relight.bench._questions import QUESTIONS
from relight.bench.compare import best_of
from relight.bench.harness import Figure, Stage
from relight.bench.postgres import find_binaries
from tests.support.tree import ROOT

STAGE = Stage(backend="trio", seconds=0.0, is_quick=True)

ANSWERS = {
    "children": {
        f"{kind}_{verb}"
        for kind in ("children", "children_hooks", "dynamic", "dynamic_hooks")
        for verb in ("start", "stop")
    },
    "guarded": {"guarded", "guarded_default", "guarded_policies", "guarded_off", "guarded_tenacity"},
    "restart_storm": {"restart_storm", "storm_bystander"},
    "services": {"services", "services_asker_p99", "services_bytes"},
    "depth": {"depth_start", "depth_stop", "depth_escalation"},
    "backlog": {
        "backlog_caller",
        "backlog_other",
        "backlog_supervisor",
        "backlog_drain",
        "backlog_bystander",
    },
}


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["trio"], indirect=True)
@pytest.mark.parametrize("question", ANSWERS)
async def test_a_question_is_answered_with_its_figures_each_beside_a_floor(question: str) -> None:
    figures: list[Figure] = [figure async for figure in QUESTIONS[question].answer(STAGE)]
    assert {figure.name for figure in figures} == ANSWERS[question]
    assert best_of([figures]) == figures  # no name twice
    for figure in figures:
        assert figure.value > 0.0
        assert figure.floor is not None
        assert figure.ratio is not None
        # The middle one of several ratios: on a busy machine far from the ratio of the middle ones.
        assert 0.1 < figure.ratio / (figure.value / figure.floor) < 10.0
        assert figure.floor_is


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["trio"], indirect=True)
async def test_every_store_that_is_here_is_asked_the_same_about_jobs() -> None:
    stores = ["sqlite", *(["postgres"] if find_binaries() and find_spec("psycopg") else [])]
    writes = ["enqueue_alone", "enqueue", "step_alone", "step", "drain"]
    asked = [*writes, "worker", "start_p50", "start_p99", "claim"]
    figures = [figure async for figure in QUESTIONS["jobs"].answer(STAGE)]
    assert sorted(figure.name for figure in figures) == sorted(f"jobs_{s}_{a}" for s in stores for a in asked)
    assert all(figure.value > 0.0 and figure.floor and figure.floor_is for figure in figures)


@pytest.mark.slow
@pytest.mark.skipif(not _crowd.IS_POSSIBLE, reason="this system does not tell how much memory a process uses")
@pytest.mark.parametrize("what", ["actors", "tasks"])
def test_a_crowd_is_looked_at_in_a_process_of_its_own(what: str) -> None:
    crowd = _crowd.look("asyncio", "actors" if what == "actors" else "tasks", 2000)
    assert 100.0 < crowd.bytes < 100_000.0
    assert 0.0 < crowd.start < 1.0
    assert 0.0 < crowd.collection < 1.0


def test_every_question_is_explained() -> None:
    text = (ROOT / "bench/README.md").read_text()
    assert [name for name in QUESTIONS if f"`{name}`" not in text] == []
