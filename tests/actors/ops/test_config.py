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
    # An empty line and the age of the prices come after the table.
    lines = capsys.readouterr().out.splitlines()[:-2]
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


def test_what_is_set_for_an_operation_is_shown_with_its_source(capsys: pytest.CaptureFixture[str]) -> None:
    toml = "[providers.openai]\nattempts = 5\n[providers.openai.operations.Chat]\nmax_wait = 60"
    variable = "RELIGHT_PROVIDERS__OPENAI__OPERATIONS__CHAT__ATTEMPT_TIMEOUT"
    assert config("show", toml=toml, **{variable: "7"}) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    table = "providers.openai.operations.Chat"
    assert [f"{table}.max_wait", "60", "relight.toml"] in rows
    assert [f"{table}.attempt_timeout", "7", variable] in rows
    assert [f"{table}.attempts", "5", "relight.toml"] in rows, "what holds for the service holds for it"
    assert [f"{table}.base", "2", "default"] in rows


def test_an_operation_of_an_unknown_service_is_shown_as_far_as_it_is_set(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert config("show", toml="[providers.mine.operations.Chat]\nattempts = 2") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row for row in rows if row and row[0].startswith("providers.mine")] == [
        ["providers.mine.operations.Chat.attempts", "2", "relight.toml"]
    ]


def test_an_operation_the_service_does_not_know_is_noted(capsys: pytest.CaptureFixture[str]) -> None:
    toml = "[providers.openai.operations.chatcompletion]\nattempts = 2\n[providers.openai.operations.Chatt]\n"
    Path("relight.toml").write_text(toml)
    parser = argparse.ArgumentParser()
    add_config_parser(parser.add_subparsers())
    known = {"openai": ["ChatCompletion", "Chat"], "anthropic": ["CreateMessage"]}
    args = parser.parse_args(["config", "check"])
    assert run_config(args, services=SERVICES, operations=known, environ={}) == 0
    assert capsys.readouterr().err == (
        "note: providers.openai.operations.Chatt: openai is asked nothing of this name (did you mean Chat?)\n"
    )


def test_prices_that_are_set_are_shown_and_so_is_the_age_of_the_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    toml = '[prices."gpt-5.4-mini"]\ninput = 0.7\noutput = 4'
    assert config("show", toml=toml, RELIGHT_LITELLM_PRICES="false", RELIGHT_PRICES__MINE__IMAGE="0.5") == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines]
    assert ["prices.gpt-5.4-mini.input", "0.7", "relight.toml"] in rows
    assert ["prices.gpt-5.4-mini.output", "4", "relight.toml"] in rows
    assert ["prices.mine.image", "0.5", "RELIGHT_PRICES__MINE__IMAGE"] in rows
    assert len([row for row in rows if row and row[0].startswith("prices.")]) == 3
    assert "from relight, read on 2026-11-22" in lines[-1]
    assert config("show --json", RELIGHT_LITELLM_PRICES="false") == 0
    told = json.loads(capsys.readouterr().out)["prices"]
    assert (told["source"], told["read_on"]) == ("relight", "2026-11-22")


def test_a_price_below_nothing_is_a_wrong_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert config("check", toml='[prices."gpt-4o"]\ninput = -1') == 2
    assert "prices.gpt-4o.input: must be a number 0..1000000 (got -1)" in capsys.readouterr().err
