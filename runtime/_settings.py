"""Read a typed table of settings: defaults, then a TOML file, then environment variables.

The table is a frozen msgspec Struct. The types of its fields say what a value may be
(``Annotated[int, Meta(ge=1, le=10)]``); nested Structs and dicts are tables within the table. Every value
of every source is checked, also one that a later source overrides: what nobody uses today is what
surprises tomorrow. Nothing here looks at the process's environment: all of it comes in as parameters.
"""

import difflib
import re
import tomllib
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Generic, TypeVar, cast, get_args, get_origin

import msgspec
from msgspec import NODEFAULT

from ._errors import SettingsError
from ._redaction import is_secret_name
from ._settings_types import bare_type, converted, field_defaults, field_types, shown

T = TypeVar("T", bound=msgspec.Struct)

_DEFAULT = "default"

# Kubernetes tells every pod about every service, one named `relight` included (RELIGHT_PORT=tcp://...).
_SERVICE_LINK = re.compile(
    r"(\w+_)?(SERVICE_HOST=|SERVICE_PORT(_\w+)?=|PORT=(tcp|udp|sctp)://|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?=)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Loaded(Generic[T]):
    """Settings, and where each of them came from."""

    settings: T
    """The table, checked."""
    origins: Mapping[str, str]
    """For each value, by dotted path: ``"default"``, the file or the variable that set it."""

    def origin(self, path: str) -> str:
        """Return where the value at *path* came from; ``"default"`` too for one that is no setting."""
        return self.origins.get(path, _DEFAULT)

    def set_paths(self, table: str = "") -> list[str]:
        """Return the paths that some source has set, those below *table* only if one is named."""
        return _set_below(self.origins, table)

    def error(self, path: str, problem: str) -> SettingsError:
        """Make the error for a table whose values do not fit together; it names their sources."""
        return _misfit(self.origins, path, problem)


def load_settings(
    table: type[T], *, file: Path | None, environ: Mapping[str, str], prefix: str = "RELIGHT_"
) -> Loaded[T]:
    """Read *table* from *file* and *environ*; the environment wins over the file, the file over defaults.

    A double underscore in a variable's name goes one table down: ``RELIGHT_PROVIDERS__OPENAI__ATTEMPTS``
    is ``providers.openai.attempts``. Names are the same whatever their case, and ``-`` is ``_``. The text
    ``null`` in a variable unsets an optional value.

    Args:
        table: What may be set. A ``ValueError`` from its ``__post_init__`` is reported like a wrong value.
        file: TOML; None reads none, a file that is missing is an error.
        environ: All variables. Those with *prefix* have to be settings.
        prefix: What the names of variables begin with.

    Raises:
        SettingsError: A source can't be read, names what is no setting, or a value is wrong. Values whose
            name says secret are not shown.
    """
    layers = [] if file is None else [_from_file(file)]
    known = {_folded(name) for name in field_types(table)}
    layers += _from_environment(environ, prefix, known)
    reader = _Reader()
    settings = reader.read(table, NODEFAULT, "", layers)
    return Loaded(cast("T", settings), MappingProxyType(reader.origins))


def same_setting(one: str, other: str) -> bool:
    """Whether two names are the same to the settings: ``OpenAI-EU`` and ``openai_eu`` are."""
    return _folded(one) == _folded(other)


@dataclass(frozen=True, slots=True)
class _Given:
    """A value, or a table of values, as one source gives it."""

    value: object
    source: str
    is_text: bool = False


def _from_file(file: Path) -> _Given:
    try:
        # The mark that some editors put first is not part of TOML.
        tree = tomllib.loads(file.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        raise SettingsError(str(file), "there is no such file") from None
    except OSError as error:
        raise SettingsError(str(file), f"can't be read: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(str(file), f"is not TOML: {error}") from error
    return _Given(tree, str(file))


def _from_environment(environ: Mapping[str, str], prefix: str, known: Container[str]) -> list[_Given]:
    layers: dict[str, _Given] = {}
    for variable in sorted(environ):
        name = variable[len(prefix) :].lower()
        if not variable.lower().startswith(prefix.lower()):
            continue
        if name not in known and _SERVICE_LINK.match(f"{name}={environ[variable]}"):
            continue
        if twin := layers.get(name):
            raise SettingsError(variable, "differs only in case from another variable", source=twin.source)
        layers[name] = _from_variable(variable, name, environ[variable])
    return list(layers.values())


def _from_variable(variable: str, name: str, text: str) -> _Given:
    value: object = text
    for part in reversed(name.split("__")):
        if not part:
            raise SettingsError(variable, "names no setting: two underscores part one level from the next")
        value = {part: value}
    return _Given(value, variable, is_text=True)


class _Reader:
    """Builds the table from its layers, weakest first, and notes where each value came from."""

    def __init__(self) -> None:
        self.origins: dict[str, str] = {}

    def read(self, kind: object, default: object, path: str, layers: Sequence[_Given]) -> object:
        bare = bare_type(kind)
        if default is None and not layers:
            return self._value(kind, default, path, layers)
        if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
            return self._struct(bare, default, path, layers)
        if get_origin(bare) is dict:
            return self._dict(get_args(bare)[1], default, path, layers)
        return self._value(kind, default, path, layers)

    def _struct(
        self, table: type[msgspec.Struct], default: object, path: str, layers: Sequence[_Given]
    ) -> msgspec.Struct:
        types = field_types(table)
        children = _children(path, layers, types, is_open=False)
        defaults = field_defaults(table, default)
        values = {
            name: self.read(kind, defaults[name], _join(path, name), children.get(name, ()))
            for name, kind in types.items()
        }
        make = cast("Callable[..., msgspec.Struct]", table)
        try:
            return make(**values)
        except ValueError as error:
            raise _misfit(self.origins, path, str(error)) from error

    def _dict(self, kind: object, default: object, path: str, layers: Sequence[_Given]) -> dict[str, object]:
        defaults = cast("dict[str, object]", default) if isinstance(default, dict) else {}
        children = _children(path, layers, defaults, is_open=True)
        return {
            name: self.read(kind, defaults.get(name, NODEFAULT), _join(path, name), children.get(name, ()))
            for name in {**defaults, **children}
        }

    def _value(self, kind: object, default: object, path: str, layers: Sequence[_Given]) -> object:
        value, origin = default, _DEFAULT
        for given in layers:
            value, origin = self._converted(kind, path, given), given.source
        if value is NODEFAULT:
            raise SettingsError(path, "has no default and has to be set")
        self.origins[path] = origin
        return value

    def _converted(self, kind: object, path: str, given: _Given) -> object:
        try:
            return converted(given.value, kind, is_text=given.is_text)
        except ValueError as error:
            value = shown(path, given.value)
            raise SettingsError(path, str(error), value=value, source=given.source) from None


def _children(
    path: str, layers: Sequence[_Given], known: Iterable[str], *, is_open: bool
) -> dict[str, list[_Given]]:
    """Sort what the layers give for the table at *path* by name; an open table takes new names."""
    names = {_folded(name): name for name in known}
    children: dict[str, list[_Given]] = {}
    for given in layers:
        seen: dict[str, str] = {}
        for spelled, value in _table(path, given).items():
            folded = _folded(spelled)
            if is_open:
                names.setdefault(folded, spelled)
            elif folded not in names:
                raise _unknown(_join(path, spelled), spelled, sorted(names), given.source)
            if folded in seen:
                raise SettingsError(
                    _join(path, spelled), f"is also there as {seen[folded]}", source=given.source
                )
            seen[folded] = spelled
            child = _Given(value, given.source, given.is_text)
            children.setdefault(names[folded], []).append(child)
    return children


def _table(path: str, given: _Given) -> Mapping[str, object]:
    value = given.value
    if isinstance(value, dict):
        return cast("dict[str, object]", value)
    raise SettingsError(path, "must be a table", value=shown(path, value), source=given.source)


def _unknown(path: str, name: str, known: Sequence[str], source: str) -> SettingsError:
    near = difflib.get_close_matches(_folded(name), known, 1)
    if near:
        return SettingsError(path, f"is not a setting (did you mean {near[0]}?)", source=source)
    if is_secret_name(name):
        return SettingsError(path, "is not a setting: each service reads its own key", source=source)
    return SettingsError(path, f"is not a setting (there are {', '.join(known)})", source=source)


def _misfit(origins: Mapping[str, str], path: str, problem: str) -> SettingsError:
    words = set(re.findall(r"\w+", problem))
    named = [at for at in _set_below(origins, path) if at.rpartition(".")[2] in words]
    sources = dict.fromkeys(origins[at] for at in named or _set_below(origins, path))
    return SettingsError(path or "settings", problem, source=" and ".join(sources) or None)


def _set_below(origins: Mapping[str, str], table: str) -> list[str]:
    below = f"{table}." if table else ""
    return [path for path, origin in origins.items() if origin != _DEFAULT and path.startswith(below)]


def _join(path: str, name: str) -> str:
    if not name.isprintable():
        # An error is one line, whatever somebody put between quotes.
        name = ascii(name)
    return f"{path}.{name}" if path else name


def _folded(name: str) -> str:
    return name.lower().replace("-", "_")
