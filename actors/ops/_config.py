"""``relight config``: say whether the settings are right, and what is in force."""

import argparse
import difflib
import os
import sys
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import cast

import msgspec

from ...runtime import Loaded, SettingsError, redact_mapping, same_setting
from ...supervisors import Settings
from ...supervisors.policies import Policy
from .._prices import PriceTable, prices_in_force
from ._settings_file import DEFAULT_FILE, settings_file

_WRONG_SETTINGS = 2
_DEFAULT = "default"


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
    args: argparse.Namespace,
    *,
    services: Mapping[str, Policy],
    operations: Mapping[str, Collection[str]] | None = None,
    environ: Mapping[str, str] | None = None,
) -> int:
    """Carry out ``config`` and return the exit status: 0, or 2 where a setting is wrong.

    Args:
        args: As parsed by the parser of `add_config_parser`.
        services: The policies of the known services by id: what is in force where nothing is set.
        operations: What each of them can be asked, by the names of the messages' classes, where known.
        environ: Environment variables; None: those of this process.
    """
    as_json = cast("bool", args.json)
    file = settings_file(args)
    variables = os.environ if environ is None else environ
    try:
        loaded = Settings.load(file=file, environ=variables, services=services)
    except SettingsError as error:
        _print_error(error, as_json=as_json)
        return _WRONG_SETTINGS
    notes = [*_notes(loaded.settings, services), *_notes_on_operations(loaded.settings, operations or {})]
    if args.action == "check":
        _print_check(loaded, file, notes, as_json=as_json)
    else:
        prices = prices_in_force(loaded.settings)
        _print_rows(list(_rows(loaded, services)), file, notes, prices, as_json=as_json)
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
        yield from _set_rows(loaded, f"providers.{name}", settings.providers[name])
        for operation, own in settings.providers[name].operations.items():
            yield from _set_rows(loaded, f"providers.{name}.operations.{operation}", own)
    for model, price in settings.prices.items():
        yield from _set_rows(loaded, f"prices.{model}", price)


def _set_rows(loaded: Loaded[Settings], table: str, values: msgspec.Struct) -> Iterator[_Row]:
    for field in values.__struct_fields__:
        if loaded.origin(f"{table}.{field}") != _DEFAULT:
            yield _row(loaded, f"{table}.{field}", getattr(values, field))


def _row(loaded: Loaded[Settings], path: str, value: object) -> _Row:
    name = path.rpartition(".")[2]
    return _Row(path, redact_mapping({name: value})[name], _origin(loaded, path))


def _origin(loaded: Loaded[Settings], path: str) -> str:
    """Say who set the number at *path*; for one of an operation that may be who set the service's."""
    spelled = next((known for known in loaded.origins if same_setting(known, path)), path)
    if (origin := loaded.origin(spelled)) != _DEFAULT:
        return origin
    service, is_operation, rest = path.partition(".operations.")
    return loaded.origin(f"{service}.{rest.rpartition('.')[2]}") if is_operation else _DEFAULT


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


def _notes_on_operations(settings: Settings, operations: Mapping[str, Collection[str]]) -> Iterator[str]:
    for service, known in operations.items():
        name = settings.provider_name(service)
        for operation in settings.providers[name].operations if name is not None else ():
            if not any(same_setting(operation, each) for each in known):
                near = difflib.get_close_matches(operation, known, 1)
                guess = f" (did you mean {near[0]}?)" if near else ""
                path = f"providers.{name}.operations.{operation}"
                yield f"{path}: {service} is asked nothing of this name{guess}"


def _prices_in_words(prices: PriceTable, today: date) -> str:
    days = (today - prices.read_on).days if prices.read_on else 0
    return f"{len(prices)} models, from {prices.source}, read on {prices.read_on} ({days} days ago)"


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


def _print_rows(
    rows: list[_Row], file: Path | None, notes: list[str], prices: PriceTable, *, as_json: bool
) -> None:
    if as_json:
        settings = {row.path: {"value": row.value, "source": row.source} for row in rows}
        table = {"models": len(prices), "source": prices.source, "read_on": prices.read_on}
        told = {"ok": True, "file": file and str(file), "settings": settings, "prices": table, "notes": notes}
        _print_json(told)
        return
    cells = [("setting", "value", "source"), *((row.path, _in_text(row.value), row.source) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for path, value, source in cells:
        print(f"{path:{widths[0]}}  {value:>{widths[1]}}  {source}")
    print(f"\nprices: {_prices_in_words(prices, datetime.now(UTC).date())}")


def _in_text(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _print_json(value: object) -> None:
    print(msgspec.json.format(msgspec.json.encode(value)).decode())
