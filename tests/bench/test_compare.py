"""Two runs side by side: what counts as a change, and how it is written."""

from pathlib import Path

import msgspec
import pytest

from relight.bench.compare import best_of, change, lines, main, table, verdict
from relight.bench.harness import Figure


def figure(
    value: float, floor: float | None = 1.0, *, name: str = "tell", unit: str = "us", noise: float = 0.0
) -> Figure:
    return Figure(
        name=name,
        backend="trio",
        value=value,
        unit=unit,
        floor=floor,
        ratio=None if floor is None else value / floor,
        target=None,
        met=None,
        spread=noise,
    )


def test_ratios_are_compared_because_machines_differ() -> None:
    assert change(figure(2.0, 1.0), figure(4.0, 2.0)) == 0.0
    assert change(figure(2.0, 1.0), figure(3.0, 1.0)) == pytest.approx(0.5)


def test_values_are_compared_where_either_run_has_no_floor() -> None:
    assert change(figure(2.0, 1.0), figure(3.0, None)) == pytest.approx(0.5)


def test_bytes_are_compared_as_they_are() -> None:
    before, after = figure(1500.0, 1000.0, unit="B"), figure(1500.0, 3000.0, unit="B")
    assert change(before, after) == 0.0


def test_a_change_within_the_noise_of_either_run_is_none() -> None:
    assert verdict(figure(1.0), figure(1.02)) == ""
    assert verdict(figure(1.0), figure(1.2)) == "slower"
    assert verdict(figure(1.2), figure(1.0)) == "faster"
    assert verdict(figure(1.0, noise=0.3), figure(1.2)) == ""


def test_only_what_both_runs_have_is_compared() -> None:
    (line,) = lines([figure(1.0), figure(1.0, name="old")], [figure(1.0), figure(1.0, name="new")])
    assert line.split()[0] == "tell"


def test_a_table_has_a_row_for_each_figure_below_its_head() -> None:
    head, rule, row = table([figure(1.0)], [figure(2.0)])
    assert head.count("|") == rule.count("|") == row.count("|")
    assert row == "| tell | trio | 1 us (1x) | 2 us (2x) | +100.0% | 0% | slower |"


def test_of_several_runs_the_best_round_of_each_figure_counts() -> None:
    first = [figure(2.0, 1.0), figure(9.0, None, name="restart")]
    second = [figure(6.0, 4.0), figure(8.0, None, name="restart")]
    assert best_of([first, second]) == [second[0], second[1]]
    assert best_of([second, first]) == [second[0], second[1]]


def test_two_files_are_compared_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, new = tmp_path / "base.json", tmp_path / "new.json"
    base.write_bytes(msgspec.json.encode([figure(1.0)]))
    new.write_bytes(msgspec.json.encode([figure(2.0)]))
    assert main([str(base), str(new)]) == 0
    assert "+100.0%  slower" in capsys.readouterr().out
    assert main(["--table", str(base), str(new)]) == 0
    assert capsys.readouterr().out.startswith("| question |")


@pytest.mark.parametrize("arguments", [[], ["one.json"], ["no-such.json", "no-such.json"]])
def test_files_that_can_not_be_read_are_said(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1
