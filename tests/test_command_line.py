"""The command line as other programs meet it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def relight(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "relight", *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60.0,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_help_lists_the_commands(tmp_path: Path) -> None:
    done = relight("--help", folder=tmp_path)
    assert done.returncode == 0
    for command in ("demo", "bench", "fakes", "config", "doctor", "probe"):
        assert command in done.stdout


def test_an_unknown_command_is_a_usage_error(tmp_path: Path) -> None:
    done = relight("relite", folder=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "relite" in done.stderr


def test_a_wrong_setting_is_one_line_that_names_its_path(tmp_path: Path) -> None:
    (tmp_path / "relight.toml").write_text("[providers.openai]\nattempts = 11\n")
    done = relight("config", "check", folder=tmp_path)
    assert done.returncode == 2
    said = done.stdout + done.stderr
    assert "providers.openai.attempts" in said
    assert "11" in said
    assert "Traceback" not in said


def test_settings_are_shown_with_their_origin(tmp_path: Path) -> None:
    (tmp_path / "relight.toml").write_text("[providers.openai]\nattempts = 5\n")
    done = relight("config", "show", folder=tmp_path)
    assert done.returncode == 0
    [line] = [line for line in done.stdout.splitlines() if line.startswith("providers.openai.attempts ")]
    assert line.split()[1:] == ["5", "relight.toml"]


def test_the_version_is_the_packages(tmp_path: Path) -> None:
    from relight import __version__

    assert relight("--version", folder=tmp_path).stdout.strip() == f"relight {__version__}"


def test_the_doctor_finds_this_machine_healthy(tmp_path: Path) -> None:
    assert relight("doctor", folder=tmp_path).returncode == 0


def test_an_interrupt_while_the_libraries_load_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "msgspec.py").write_text("import time; print('loading', flush=True); time.sleep(60)")
    process = subprocess.Popen(
        [sys.executable, "-m", "relight", "doctor"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "loading\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30.0)
    assert (process.returncode, err) == (130, "")
