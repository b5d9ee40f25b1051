"""``relight config``: say whether the settings are right, and what is in force."""

import argparse
import difflib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import msgspec

from ...runtime import Loaded, SettingsError, redact_mapping
from ...supervisors import Settings
from ...supervisors.policies import Policy

DEFAULT_FILE = Path("relight.toml")
"""Read where no file is named, if it is there."""

_WRONG_SETTINGS = 2


class _Row(msgspec.Struct, frozen=True):
    """One setting in force."""

    path: str
    """Dotted path. A number for one kind of failure alone has the kind in brackets."""
    value: object
    """None: there is no such number, as where a service has no breaker."""
    source: str
    """``default``, the file, or the variable."""


def add_config_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``config check`` and ``config show`` to a command line."""
    config = subparsers.add_parser("config", help="check the settings, or show what is in force")
    actions = config.add_subparsers(dest="action", required=True, metavar="check|show")
    for action, purpose in (
        ("check", "say whether the settings are right; the exit status is 2 if they are not"),
        ("show", "print every setting in force and where it came from"),
    ):
        parser = actions.add_parser(action, help=purpose, description=f"{purpose.capitalize()}.")
        parser.add_argument("--file", type=Path, metavar="F", help=f"default: {DEFAULT_FILE}, if it is there")
        parser.add_argument("--json", action="store_true", help="print JSON for other programs")


def run_config(
    args: argparse.Namespace, *, services: Mapping[str, Policy], environ: Mapping[str, str] | None = None
) -> int:
    """Carry out ``config`` and return the exit status: 0, or 2 where a setting is wrong.

    Args:
        args: As parsed by the parser of `add_config_parser`.
        services: The policies of the known services by id: what is in force where nothing is set.
        environ: Environment variables; None: those of this process.
    """
    as_json = cast("bool", args.json)
    file = cast("Path | None", args.file) or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
    variables = os.environ if environ is None else environ
    try:
        loaded = Settings.load(file=file, environ=variables, services=services)
    except SettingsError as error:
        _print_error(error, as_json=as_json)
        return _WRONG_SETTINGS
    notes = _notes(loaded.settings, services)
    if args.action == "check":
        _print_check(loaded, file, notes, as_json=as_json)
    else:
        _print_rows(list(_rows(loaded, services)), file, notes, as_json=as_json)
    if not as_json:
        print("".join(f"note: {note}\n" for note in notes), end="", file=sys.stderr)
    return 0


def _rows(loaded: Loaded[Settings], services: Mapping[str, Policy]) -> Iterator[_Row]:
    settings = loaded.settings
    for path in loaded.origins:
        if "." not in path:
            yield _row(loaded, path, getattr(settings, path))
    for service, policy in sorted(services.items()):
        name = settings.provider_name(service) or service
        in_force = {**settings.numbers(service, policy), **settings.words(service, policy)}
        for setting, value in in_force.items():
            yield _row(loaded, f"providers.{name}.{setting}", value)
    # Of a service that is not known here only what is set can be told.
    for name in _unknown(settings, services):
        for path in loaded.set_paths(f"providers.{name}"):
            yield _row(loaded, path, getattr(settings.providers[name], path.rpartition(".")[2]))


def _row(loaded: Loaded[Settings], path: str, value: object) -> _Row:
    name = path.rpartition(".")[2]
    return _Row(path, redact_mapping({name: value})[name], loaded.origin(path))


def _unknown(settings: Settings, services: Mapping[str, Policy]) -> list[str]:
    known = {settings.provider_name(service) for service in services}
    return [name for name in settings.providers if name not in known]


def _notes(settings: Settings, services: Mapping[str, Policy]) -> list[str]:
    """Hint at what may be a slip. It is no error: a program may run services this command does not know."""
    notes: list[str] = []
    for name in _unknown(settings, services) if services else ():
        near = difflib.get_close_matches(name, services, 1)
        guess = f" (did you mean {near[0]}?)" if near else ""
        notes.append(f"providers.{name}: no service that comes with relight{guess}")
    return notes


def _print_error(error: SettingsError, *, as_json: bool) -> None:
    if as_json:
        _print_json({"ok": False, "path": error.path, "source": error.source, "error": str(error)})
    else:
        print(f"error: {error}", file=sys.stderr)


def _print_check(loaded: Loaded[Settings], file: Path | None, notes: list[str], *, as_json: bool) -> None:
    count = len(loaded.set_paths())
    if as_json:
        _print_json({"ok": True, "file": file and str(file), "values_set": count, "notes": notes})
    else:
        values = "1 value" if count == 1 else f"{count} values"
        print(f"ok: {file or 'no file'}, {values} set")


def _print_rows(rows: list[_Row], file: Path | None, notes: list[str], *, as_json: bool) -> None:
    if as_json:
        settings = {row.path: {"value": row.value, "source": row.source} for row in rows}
        _print_json({"ok": True, "file": file and str(file), "settings": settings, "notes": notes})
        return
    cells = [("setting", "value", "source"), *((row.path, _in_text(row.value), row.source) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for path, value, source in cells:
        print(f"{path:{widths[0]}}  {value:>{widths[1]}}  {source}")


def _in_text(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _print_json(value: object) -> None:
    print(msgspec.json.format(msgspec.json.encode(value)).decode())
