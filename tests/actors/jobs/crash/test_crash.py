"""Workers are killed at random moments: no job is lost, and no recorded step is carried out again.

RELIGHT_CRASH_KILLS sets how many workers are killed on each store, RELIGHT_CRASH_SEED when.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .killer import kill
from .ledger import Ledger
from .victims import Line

KILLS = int(os.environ.get("RELIGHT_CRASH_KILLS", "20"))
SEED = int(os.environ.get("RELIGHT_CRASH_SEED", "1"))

STORED = [Line(what="offered", job="a"), Line(what="acknowledged", job="a")]


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["trio"], indirect=True)
async def test_killed_workers_lose_no_job_and_repeat_no_recorded_step(
    kind: str, where: str, tmp_path: Path
) -> None:
    ledger = await kill(kind, where, tmp_path, kills=KILLS, seed=SEED)
    print(f"{KILLS} kills on {kind}: {ledger.figures()}")
    assert ledger.faults() == []
    assert len(ledger.acknowledged) >= KILLS
    assert ledger.rescued > 0


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["trio"], indirect=True)
@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
async def test_checkpoints_that_are_ignored_are_noticed(kind: str, where: str, tmp_path: Path) -> None:
    """Else the test above would show nothing."""
    ledger = await kill(kind, where, tmp_path, kills=4, seed=SEED, forgets=True)
    assert ledger.again != []
    assert [fault.partition(" ")[2] for fault in ledger.faults()] == ["recorded steps were carried out again"]


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (STORED, "1 acknowledged jobs never ended"),
        ([Line(what="claimed", job="a", fence=2)] * 2, "1 fences went back"),
        (
            [Line(what=what, job="a", step="s") for what in ("done", "recorded", "done")],
            "1 recorded steps were carried out again",
        ),
        ([Line(what="recorded", job="a", step="s")], "1 steps are recorded that nobody carried out"),
    ],
)
def test_the_books_show_what_is_wrong(lines: list[Line], fault: str) -> None:
    ledger = Ledger()
    ledger.enter(lines)
    assert ledger.faults() == [fault]
