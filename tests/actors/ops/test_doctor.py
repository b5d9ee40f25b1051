import argparse
import json
from datetime import timedelta

import pytest

from relight.actors import DEFAULT_PRICES
from relight.actors.ops import add_doctor_parser, examine, run_doctor


def arguments(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_doctor_parser(parser.add_subparsers(dest="command"))
    return parser.parse_args(["doctor", *given])


def test_a_healthy_machine_has_what_is_needed() -> None:
    findings = {finding.what: finding for finding in examine()}
    assert all(finding.ok for finding in findings.values() if finding.needed)
    assert findings["actors on trio"].detail == findings["actors on asyncio"].detail == "asked and answered"


def test_each_finding_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_doctor(arguments()) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(list(examine()))
    assert any(line.split()[:2] == ["ok", "msgspec"] for line in lines)


def test_json_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_doctor(arguments("--json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert [finding["what"] for finding in found] == [finding.what for finding in examine()]


@pytest.mark.parametrize(("library", "extra"), [("httpx2", "http"), ("psycopg", "postgres")])
def test_a_missing_extra_says_what_to_install_and_is_no_failure(
    library: str, extra: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import importlib.metadata

    from relight.actors.ops import _doctor

    def version(name: str) -> str:
        if name == library:
            raise importlib.metadata.PackageNotFoundError(name)
        return importlib.metadata.version(name)

    monkeypatch.setattr(_doctor, "version", version)
    assert run_doctor(arguments()) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.split()[1] == library]
    assert line.split(maxsplit=2) == ["absent", library, f'not installed: pip install "relight[{extra}]"']


def test_a_missing_core_library_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import importlib.metadata

    from relight.actors.ops import _doctor

    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(_doctor, "version", version)
    assert run_doctor(arguments()) == 1
    assert "MISSING trio" in capsys.readouterr().out


def test_old_prices_are_pointed_out_and_are_no_failure() -> None:
    day = DEFAULT_PRICES.read_on
    assert day is not None
    for days, is_ok in ((180, True), (181, False)):
        (finding,) = [each for each in examine(day + timedelta(days=days)) if each.what == "prices"]
        assert (finding.ok, finding.needed) == (is_ok, False)
        assert ("181 days ago: upgrade relight" in finding.detail) is not is_ok


def test_old_prices_have_a_sign_of_their_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from relight.actors.ops import _doctor

    monkeypatch.setattr(_doctor, "_OLDEST_PRICES", -10_000)
    assert run_doctor(arguments()) == 0
    assert "OLD     prices" in capsys.readouterr().out
