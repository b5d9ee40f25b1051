"""``relight bench`` as other programs meet it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

FIELDS = {"name", "backend", "value", "unit", "floor", "ratio", "target", "met"}


def bench(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "relight", "bench", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120.0, check=False)


def test_a_quick_look_prints_and_writes_what_the_contract_says(tmp_path: Path) -> None:
    done = bench("tell", "spawn", "--quick", "--backend", "trio", "--json", "out.json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "out.json").read_text())
    names = [figure["name"] for figure in figures]
    assert names[0] == "tell"
    assert {"spawn", "idle_actor"} < set(names)
    for figure in figures:
        assert figure.keys() >= FIELDS
        assert figure["backend"] == "trio"
        assert figure["value"] > 0
        assert figure["ratio"] == pytest.approx(figure["value"] / figure["floor"], rel=0.01)
        assert figure["name"] in done.stdout


def test_an_unknown_question_is_one_line_that_lists_the_known_ones(tmp_path: Path) -> None:
    done = bench("tel", folder=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "'tel'" in done.stderr
    assert "tell" in done.stderr


def test_a_file_that_can_not_be_written_is_said_before_anything_is_measured(tmp_path: Path) -> None:
    done = bench("tell", "--quick", "--json", "no/such/folder.json", folder=tmp_path)
    assert done.returncode == 2
    assert "no/such/folder.json" in done.stderr
    assert done.stdout == ""
