"""What a setting may be: read its type, convert to it, and say it in words."""

from types import NoneType, UnionType
from typing import Annotated, Union, cast, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, inspect

from ._redaction import MASK, is_secret_name, redact

_LONGEST_SHOWN = 80


def converted(value: object, kind: object, *, is_text: bool) -> object:
    """Return *value* as *kind*, out of a text if it *is_text*.

    Raises:
        ValueError: It is no such value. The text says what it has to be.
    """
    try:
        return msgspec.convert(value, cast("type[object]", kind), strict=not is_text)
    except msgspec.ValidationError:
        problem = f"must be {_in_words(inspect.type_info(kind))}"
    raise ValueError(problem)


def shown(path: str, value: object) -> object:
    """Return what an error or a listing may show of *value*."""
    if any(is_secret_name(name) for name in path.split(".")):
        return MASK
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return "a table"
    text = redact(value if isinstance(value, str) else repr(value))
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def bare_type(kind: object) -> object:
    """Strip ``Annotated`` and ``| None`` off a type."""
    if get_origin(kind) is Annotated:
        return bare_type(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        others = [each for each in get_args(kind) if each is not NoneType]
        return bare_type(others[0]) if len(others) == 1 else kind
    return kind


def field_types(table: type[msgspec.Struct]) -> dict[str, object]:
    """Return the type of each field."""
    return {each.name: each.type for each in msgspec.structs.fields(table)}


def field_defaults(table: type[msgspec.Struct], default: object) -> dict[str, object]:
    """Return the default of each field: its value in *default*, if that is such a table."""
    if isinstance(default, table):
        return msgspec.structs.asdict(default)
    return {
        each.name: each.default if each.default_factory is NODEFAULT else each.default_factory()
        for each in msgspec.structs.fields(table)
    }


def _in_words(info: inspect.Type) -> str:
    match info:
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return f"a whole number{_within(info)}"
        case inspect.FloatType():
            return f"a number{_within(info)}"
        case inspect.LiteralType(values=values):
            return f"one of {', '.join(map(str, values))}"
        case inspect.UnionType(types=types):
            return " or ".join(_in_words(each) for each in types if not isinstance(each, inspect.NoneType))
        case _:
            return "text" if isinstance(info, inspect.StrType) else "of another type"


def _within(info: inspect.IntType | inspect.FloatType) -> str:
    if info.ge is not None and info.le is not None:
        return f" {info.ge:.12g}..{info.le:.12g}"
    limits = (("above", info.gt), ("from", info.ge), ("below", info.lt), ("up to", info.le))
    return "".join(f" {word} {limit:.12g}" for word, limit in limits if limit is not None)
