"""Which rows are meant, in PostgREST's language."""

from collections.abc import Iterable, Mapping
from typing import Literal
from urllib.parse import quote, urlencode

import msgspec

Operator = Literal[
    "eq", "neq", "gt", "gte", "lt", "lte", "in", "is", "like", "ilike", "cs", "cd", "ov", "fts"
]
Scalar = str | int | float | bool | None

_RESERVED = frozenset(',.:()"\\ ')


class Filter(msgspec.Struct, frozen=True):
    """Mean the rows whose *column* stands in this relation to *value*.

    ``Filter("number", "gt", 3)``, ``Filter("id", "in", ("a", "b"))``, ``Filter("drawn", "is", None)``.
    The operators are PostgREST's; ``like`` and ``ilike`` take ``*`` or ``%`` for anything.
    """

    column: str
    operator: Operator
    value: Scalar | tuple[Scalar, ...]
    """A tuple with ``in`` only; a moment as its ISO text."""
    negated: bool = False
    """The rows for which it does not hold."""

    def __post_init__(self) -> None:
        if isinstance(self.value, tuple) is not (self.operator == "in"):
            raise ValueError(f'Filter takes a tuple with "in" and only there, got {self.value!r}')
        if self.value is None and self.operator != "is":
            raise ValueError(f'Filter compares with null by "is" only, got {self.operator!r}')

    def parameter(self) -> tuple[str, str]:
        """Return the parameter of the address that says it."""
        value = self.value
        text = f"({','.join(map(_quoted, value))})" if isinstance(value, tuple) else _text(value)
        return self.column, f"{'not.' if self.negated else ''}{self.operator}.{text}"


def row_path(table: str, where: Iterable[Filter], parameters: Mapping[str, str]) -> str:
    """Return the address of rows, below that of the project; parameters without a value are left out."""
    pairs = [
        *(item.parameter() for item in where),
        *((name, text) for name, text in parameters.items() if text),
    ]
    query = urlencode(pairs, quote_via=quote, safe="*,()")
    return f"/rest/v1/{quote(table, safe='')}" + (f"?{query}" if query else "")


def _text(value: Scalar) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def _quoted(value: Scalar) -> str:
    text = _text(value)
    if text and _RESERVED.isdisjoint(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
