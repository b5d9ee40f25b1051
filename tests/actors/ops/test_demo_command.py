"""The demo as a user runs it: its options, a whole run, an interrupted one."""

import argparse
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from relight.actors.ops.demo import SETTINGS_FILE, Comic, Report, add_demo_parser, run_demo

DEMO = [sys.executable, "-m", "relight", "demo", "--no-dashboard"]


def run_with(*options: str, environ: dict[str, str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="relight")
    add_demo_parser(parser.add_subparsers(dest="command", required=True))
    return run_demo(parser.parse_args(["demo", *options]), environ=environ or {})


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--comics", "0"], "--comics must be 1 to 10000, got 0"),
        (["--comics", "10001"], "--comics must be"),
        (["--fault-rate", "-0.1"], "--fault-rate must be 0 to 1, got -0.1"),
        (["--fault-rate", "nan"], "--fault-rate must be"),
        (["--seed", "-1"], "--seed must be"),
        (["--novel", "missing.txt"], "--novel missing.txt: no such file"),
        (["--novel", "."], "--novel .: is a directory"),
        (["--json", "missing/out.json"], "--json missing/out.json: can't write there"),
        (["--out", "a-file"], "--out a-file: can't write there"),
        (["--store", "missing/jobs.db"], "SQLite file 'missing/jobs.db': it can't be opened"),
        (["--store", "a-file"], "SQLite file 'a-file': it is no SQLite database"),
    ],
)
def test_a_wrong_option_is_told_in_one_line_and_leaves_nothing_behind(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    problem: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-file").write_text("kept")
    assert run_with(*options) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"relight demo: error: {problem}")
    assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a-file"]


@pytest.mark.parametrize(
    ("data", "problem"),
    [(b"", "is empty"), (b"\0\1", "is binary"), (b"x" * 10_000_000, "is larger than 8 MB")],
)
def test_a_novel_that_is_no_text_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes, problem: str
) -> None:
    novel = tmp_path / "novel.txt"
    novel.write_bytes(data)
    assert run_with("--novel", str(novel), "--out", str(tmp_path / "comics")) == 2
    err = capsys.readouterr().err
    assert f"--novel {novel}: {problem}" in err
    assert err.count("\n") == 1


def test_a_wrong_setting_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_with(environ={"RELIGHT_PROVIDERS__OPENAI__ATTEMPTS": "99"}) == 2
    assert capsys.readouterr().err.startswith("relight demo: error: providers.openai.attempts")


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_a_run_ends_with_every_comic_drawn_and_nothing_lost(tmp_path: Path, backend: str) -> None:
    options = ["--comics", "6", "--seed", "5", "--backend", backend, "--json", "out.json"]
    done = subprocess.run(
        [*DEMO, *options], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    check_output(done.stdout)
    report = msgspec.json.decode((tmp_path / "out.json").read_bytes(), type=Report)
    check_report(report, backend)
    (run,) = (tmp_path / "comics").iterdir()
    check_comics(run)
    check_transitions(run, report)
    check_metrics(run, report)


def check_output(text: str) -> None:
    lines = text.splitlines()
    assert "config show" in lines[0]
    assert "--real-waits" in lines[0]
    assert str(SETTINGS_FILE) in lines[0]
    assert any("anthropic: breaker ● closed -> ■ open" in line for line in lines)
    assert any(line.startswith("PROVIDER") for line in lines)
    assert any(line.startswith("6 of 6 comics done, 0 dead, 0 lost") for line in lines)


def check_report(report: Report, backend: str) -> None:
    assert (report.seed, report.backend) == (5, backend)
    assert (report.jobs.submitted, report.jobs.succeeded, report.jobs.dead, report.jobs.lost) == (6, 6, 0, 0)
    assert list(report.providers) == ["openai", "anthropic", "runpod"]
    assert report.providers["runpod"].calls >= 24
    assert report.providers["anthropic"].breaker.opened >= 1
    assert report.providers["anthropic"].breaker.closed >= 1
    for provider in report.providers.values():
        assert provider.attempts >= sum(provider.failures.values())
        assert (provider.latency_ms.p50 or 0) <= (provider.latency_ms.p99 or 0)


def check_comics(run: Path) -> None:
    folders = sorted(path for path in run.iterdir() if path.is_dir())
    assert [folder.name for folder in folders] == [f"comic-00{number}" for number in range(1, 7)]
    for folder in folders:
        comic = msgspec.json.decode((folder / "comic.json").read_bytes(), type=Comic)
        assert len(comic.panels) == 4
        for panel in comic.panels:
            assert (folder / panel.file).read_bytes().startswith(b"\x89PNG\r\n")


def check_transitions(run: Path, report: Report) -> None:
    """Each transition is logged once."""
    lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    events = [msgspec.json.decode(line, type=dict[str, object]) for line in lines]
    opened = [event for event in events if event["event"] == "breaker.transition" and event["to"] == "open"]
    assert len(opened) == sum(provider.breaker.opened for provider in report.providers.values())


def check_metrics(run: Path, report: Report) -> None:
    counted = [
        float(line.rpartition(" ")[2])
        for line in (run / "metrics.txt").read_text(encoding="utf-8").splitlines()
        if line.startswith("retry_attempts_total{")
    ]
    assert sum(counted) == sum(provider.retries for provider in report.providers.values())


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_an_interrupted_run_stops_in_order_and_names_what_is_unfinished(tmp_path: Path, backend: str) -> None:
    options = ["--comics", "40", "--seed", "3", "--backend", backend, "--json", "out.json"]
    with subprocess.Popen(
        [*DEMO, *options], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as demo:
        assert demo.stdout is not None
        next(line for line in demo.stdout if " in flight" in line)
        demo.send_signal(signal.SIGINT)
        rest = demo.stdout.read()
        assert demo.wait(timeout=60) == 130
    assert "Traceback" not in rest
    assert "unfinished: comic-001, " in rest
    report = msgspec.json.decode((tmp_path / "out.json").read_bytes(), type=Report)
    assert report.jobs.lost == 0
    assert report.jobs.succeeded + report.jobs.dead < 40
