"""Saved runs as the tables of the bench's page."""

import subprocess
import sys

import pytest

from relight.bench._markdown import beam_table, scale_table
from relight.bench.beam import MISSING
from relight.bench.harness import Figure
from tests.support.tree import ROOT


def figure(
    name: str,
    backend: str = "trio",
    value: float = 2.0,
    floor: float | None = 1.0,
    target: float | None = None,
) -> Figure:
    return Figure(
        name=name,
        backend=backend,
        value=value,
        unit="us",
        floor=floor,
        ratio=None if floor is None else value / floor,
        target=target,
        met=None if target is None or floor is None else value / floor <= target,
        note=MISSING if floor is None else "",
    )


def test_a_row_holds_a_figure_on_each_backend_it_was_measured_on() -> None:
    head, rule, row = scale_table([figure("depth_start"), figure("depth_start", "uvloop", 3.0)], ["depth_"])
    assert head == "| question | trio | asyncio | uvloop | target |"
    assert rule == "|---|---|---|---|---|"
    assert row == "| depth_start | 2 us (2.00x) |  | 3 us (3.00x) | - |"


def test_other_questions_are_left_out() -> None:
    assert len(scale_table([figure("tell"), figure("beam_tell")], ["depth_"])) == 2
    assert len(beam_table([figure("tell"), figure("depth_start")])) == 2


def test_what_misses_its_target_is_marked() -> None:
    *_, row = scale_table(
        [figure("depth_start", target=1.5), figure("depth_start", "asyncio", target=2.0)], ["depth"]
    )
    assert row == "| depth_start | 2 us (2.00x) short | 2 us (2.00x) |  | 1.5x / 2x |"


def test_the_least_of_what_erlang_took_stands_beside_ours() -> None:
    *_, row = beam_table([figure("beam_ask", floor=1.0), figure("beam_ask", "asyncio", floor=0.5)])
    assert row.startswith("| ask | 0.5 us | 2 us (2.00x) | 2 us (4.00x) |")


def test_without_erlang_the_column_says_so() -> None:
    *_, row = beam_table([figure("beam_ask", floor=None)])
    assert row.startswith(f"| ask | {MISSING} | 2 us |")


@pytest.mark.slow
def test_the_tables_of_the_page_are_what_the_saved_runs_say() -> None:
    """If not: ``python tools/bench_tables.py``."""
    command = [sys.executable, str(ROOT / "tools/bench_tables.py"), "--check"]
    assert subprocess.run(command, check=False).returncode == 0
