import argparse
import json
from pathlib import Path

import pytest

from relight.actors.ops import add_config_parser, run_config
from relight.supervisors import FailureKind
from relight.supervisors.policies import Exponential, Policy, Retry

SERVICES = {
    "openai": Policy(),
    "anthropic": Policy(
        retry=Retry(backoff=Exponential(2.0), attempts_by_kind={FailureKind.OVERLOADED: 5}), breaker=None
    ),
}


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def config(line: str, *, toml: str | None = None, **environ: str) -> int:
    if toml is not None:
        Path("relight.toml").write_text(toml)
    parser = argparse.ArgumentParser(prog="relight")
    add_config_parser(parser.add_subparsers())
    return run_config(parser.parse_args(["config", *line.split()]), services=SERVICES, environ=environ)


def test_check_counts_what_is_set(capsys: pytest.CaptureFixture[str]) -> None:
    toml = "log_level = 'debug'\n[providers.openai]\nattempts = 5"
    assert config("check", toml=toml, RELIGHT_SHUTDOWN_TIMEOUT="5") == 0
    assert capsys.readouterr() == ("ok: relight.toml, 3 values set\n", "")


def test_check_needs_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert config("check", RELIGHT_LOG_LEVEL="debug") == 0
    assert capsys.readouterr() == ("ok: no file, 1 value set\n", "")


def test_check_reads_the_file_it_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    Path("other.toml").write_text("")
    assert config("check --file other.toml", toml="wrong = 1") == 0
    assert capsys.readouterr().out == "ok: other.toml, 0 values set\n"


def test_a_wrong_setting_is_one_line_and_exit_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    for action in ("check", "show"):
        assert config(action, toml="[providers.openai]\nattempts = 50") == 2
        out, err = capsys.readouterr()
        assert out == ""
        problem = "providers.openai.attempts: must be a whole number 1..10 (got 50)"
        assert err == f"error: {problem}, set in relight.toml\n"


def test_a_file_that_is_named_has_to_be_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert config("check --file other.toml") == 2
    assert capsys.readouterr().err == "error: other.toml: there is no such file\n"


def test_a_setting_that_contradicts_a_service_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert config("check", RELIGHT_PROVIDERS__ANTHROPIC__MAX_DELAY="1") == 2
    assert "initial_delay (2 s) is longer than max_delay (1 s)" in capsys.readouterr().err


def test_a_service_nobody_knows_is_noted_and_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert config("check", toml="[providers.opnai]\nattempts = 5\n[providers.mine]\nattempts = 5") == 0
    out, err = capsys.readouterr()
    assert out == "ok: relight.toml, 2 values set\n"
    assert err.splitlines() == [
        "note: providers.opnai: no service that comes with relight (did you mean openai?)",
        "note: providers.mine: no service that comes with relight",
    ]


def test_show_prints_what_is_in_force_and_where_it_came_from(capsys: pytest.CaptureFixture[str]) -> None:
    toml = "[providers.OpenAI]\nattempts = 5\n[providers.mine]\nmailbox = 8"
    assert config("show", toml=toml, RELIGHT_PROVIDERS__OPENAI__MAX_WAIT="90.5") == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines]
    assert rows[0] == ["setting", "value", "source"]
    assert ["log_level", "info", "default"] in rows
    assert ["shutdown_timeout", "30", "default"] in rows
    assert ["providers.OpenAI.attempts", "5", "relight.toml"] in rows
    assert ["providers.OpenAI.max_wait", "90.5", "RELIGHT_PROVIDERS__OPENAI__MAX_WAIT"] in rows
    assert ["providers.OpenAI.concurrency", "8", "default"] in rows
    assert ["providers.anthropic.attempts", "3", "default"] in rows
    assert ["providers.anthropic.attempts[overloaded]", "5", "default"] in rows
    assert ["providers.anthropic.breaker_failures", "-", "default"] in rows
    assert ["providers.mine.mailbox", "8", "relight.toml"] in rows
    assert len([row for row in rows if row[0].startswith("providers.mine")]) == 1
    # Aligned: every source begins in one column.
    assert len({line.rindex(row[2]) for line, row in zip(lines, rows, strict=True)}) == 1


def test_show_tells_machines_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    toml = "[providers.openai]\nattempts = 5\n[providers.opnai]\nattempts = 5"
    assert config("show --json", toml=toml) == 0
    out, err = capsys.readouterr()
    shown = json.loads(out)
    assert (shown["ok"], shown["file"], len(shown["notes"]), err) == (True, "relight.toml", 1, "")
    assert shown["settings"]["providers.openai.attempts"] == {"value": 5, "source": "relight.toml"}
    assert shown["settings"]["providers.anthropic.probes"] == {"value": None, "source": "default"}


def test_check_tells_machines_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert config("check --json") == 0
    assert json.loads(capsys.readouterr().out) == {"ok": True, "file": None, "values_set": 0, "notes": []}


def test_an_error_tells_machines_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert config("check --json", RELIGHT_LOG_LEVEL="loud") == 2
    out, err = capsys.readouterr()
    error = json.loads(out)
    assert (error["ok"], error["path"], error["source"], err) == (False, "log_level", "RELIGHT_LOG_LEVEL", "")
    assert error["error"].startswith("log_level: must be one of")


@pytest.mark.parametrize("line", ["check", "show", "check --json", "show --json"])
@pytest.mark.parametrize(
    "environ",
    [
        {"RELIGHT_API_KEY": "sk-hunter2hunter2"},
        {"RELIGHT_PROVIDERS__OPENAI__API_KEY": "sk-hunter2hunter2"},
        {"RELIGHT_PROVIDERS__TOKENS__ATTEMPTS": "hunter2"},
        {"RELIGHT_LOG_LEVEL": "sk-hunter2hunter2"},
        {"OPENAI_API_KEY": "sk-hunter2hunter2"},
    ],
)
def test_no_secret_is_printed(capsys: pytest.CaptureFixture[str], line: str, environ: dict[str, str]) -> None:
    config(line, **environ)
    out, err = capsys.readouterr()
    assert "hunter2" not in out + err


def test_the_environment_of_the_process_is_read_where_none_is_given(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELIGHT_LOG_LEVEL", "error")
    arguments = argparse.Namespace(action="check", file=None, json=False)
    assert run_config(arguments, services={}) == 0
    assert capsys.readouterr().out == "ok: no file, 1 value set\n"


def test_the_command_line_needs_an_action(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        config("")
    assert caught.value.code == 2
    assert "check|show" in capsys.readouterr().err
