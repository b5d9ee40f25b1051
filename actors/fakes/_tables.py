"""The tables of a fake Supabase: rows in memory, and as much of PostgREST's language as programs use.

A table exists from its first row on. It has a primary key and no other columns of its own: a row has
those it was given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from operator import eq, ge, gt, le, lt, ne
from typing import Final, cast

import msgspec

Row = dict[str, object]
Query = Sequence[tuple[str, str]]

_ORDERED: Final = cast(
    "Mapping[str, Callable[[object, object], bool]]",
    {"eq": eq, "neq": ne, "gt": gt, "gte": ge, "lt": lt, "lte": le},
)
_WORDS: Final[Mapping[str, object]] = {"null": None, "true": True, "false": False}
_LISTED = re.compile(r'"((?:[^"\\]|\\.)*)"|([^,]+)')
_NO_FILTERS = frozenset({"select", "order", "limit", "offset", "on_conflict", "columns"})


class SqlError(Exception):
    """What the database or PostgREST says instead of rows."""

    def __init__(self, status: int, code: str, message: str, details: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details


class Page(msgspec.Struct, frozen=True):
    """A part of what a query finds."""

    rows: list[Row]
    offset: int
    total: int
    """Rows without the limit."""


class Table:
    """Rows under a primary key."""

    def __init__(self, name: str, key: tuple[str, ...]) -> None:
        self._name = name
        self._key = key
        self._rows: dict[tuple[object, ...], Row] = {}
        self._serial = 0

    def select(self, query: Query) -> Page:
        """Return the rows that *query* describes."""
        options = dict(query)
        rows = _ordered(self._matching(query), options.get("order", ""))
        offset, limit = _number(options, "offset", 0), _number(options, "limit", len(rows))
        return Page([_columns(row, options) for row in rows[offset : offset + limit]], offset, len(rows))

    def insert(self, rows: Iterable[Row], *, resolution: str, target: str) -> list[Row]:
        """Store *rows*, all or none.

        Args:
            rows: Those without a key get a number.
            resolution: ``merge-duplicates``, ``ignore-duplicates``, or "" for an error.
            target: Columns whose duplicates are meant, joined by commas; "": the primary key.
        """
        if resolution and target and set(target.split(",")) != set(self._key):
            text = "there is no unique or exclusion constraint matching the ON CONFLICT specification"
            raise SqlError(400, "42P10", text)
        found = dict(self._rows)
        stored: list[Row] = []
        for row in rows:
            self._put(found, self._numbered(row), resolution, stored)
        self._rows = found
        return stored

    def update(self, query: Query, values: Row) -> list[Row]:
        """Change the rows that *query* describes, and return them."""
        changed = [row | values for row in self._matching(query)]
        keys = [self._key_of(row) for row in changed]
        left = {key: row for key, row in self._rows.items() if row not in self._matching(query)}
        if clash := next((key for key in keys if key in left or keys.count(key) > 1), None):
            raise self._duplicate(clash)
        self._rows = left | dict(zip(keys, changed, strict=True))
        return changed

    def delete(self, query: Query) -> list[Row]:
        """Drop the rows that *query* describes, and return them."""
        gone = self._matching(query)
        for row in gone:
            del self._rows[self._key_of(row)]
        return gone

    def _put(
        self, found: dict[tuple[object, ...], Row], row: Row, resolution: str, stored: list[Row]
    ) -> None:
        key = self._key_of(row)
        if key in found and not resolution:
            raise self._duplicate(key)
        if key in found and resolution == "ignore-duplicates":
            return
        found[key] = found.get(key, {}) | row
        stored.append(found[key])

    def _numbered(self, row: Row) -> Row:
        first, *others = self._key
        if others or row.get(first) is not None:
            return row
        self._serial += 1
        return {first: self._serial} | {name: value for name, value in row.items() if value is not None}

    def _key_of(self, row: Row) -> tuple[object, ...]:
        for column in self._key:
            if row.get(column) is None:
                text = (
                    f'null value in column "{column}" of relation "{self._name}" violates not-null constraint'
                )
                raise SqlError(400, "23502", text)
        return tuple(row[column] for column in self._key)

    def _duplicate(self, key: tuple[object, ...]) -> SqlError:
        text = f'duplicate key value violates unique constraint "{self._name}_pkey"'
        columns, values = ", ".join(self._key), ", ".join(map(str, key))
        return SqlError(409, "23505", text, f"Key ({columns})=({values}) already exists.")

    def _matching(self, query: Query) -> list[Row]:
        tests = [partial(_holds, column, text) for column, text in query if column not in _NO_FILTERS]
        return [row for row in self._rows.values() if all(test(row) for test in tests)]


def _holds(column: str, text: str, row: Row) -> bool:
    operator, _, operand = text.partition(".")
    if operator == "not":
        return not _holds(column, operand, row)
    value = row.get(column)
    if operator == "is":
        return value is _WORDS.get(operand, row)
    if operator == "in":
        return value is not None and any(_same(value, item) for item in _items(operand))
    if operator in {"like", "ilike"}:
        return _is_like(value, operand, ignore_case=operator == "ilike")
    if operator not in _ORDERED:
        raise SqlError(400, "PGRST100", f'"failed to parse filter ({text})" (line 1, column 1)')
    if value is None:
        return False  # as in SQL, where null compares with nothing
    try:
        return _ORDERED[operator](value, _cast(operand, value))
    except TypeError:  # neither of two objects is the greater one
        raise SqlError(404, "42883", f"operator does not exist: json {operator}") from None


def _same(value: object, text: str) -> bool:
    return value == _cast(text, value)


def _cast(text: str, like: object) -> object:
    """Read *text* as the type of the value it is compared with."""
    try:
        if isinstance(like, bool):
            return {"true": True, "false": False}[text]
        if isinstance(like, int | float):
            return float(text)
        return text if isinstance(like, str) else msgspec.json.decode(text, type=type(like))
    except (ValueError, KeyError):
        raise SqlError(400, "22P02", f'invalid input syntax for type numeric: "{text}"') from None


def _items(operand: str) -> list[str]:
    """Read ``(1,2,"three, four")``."""
    inner = operand.removeprefix("(").removesuffix(")")
    return [
        re.sub(r"\\(.)", r"\1", match[1]) if match[1] is not None else match[2]
        for match in _LISTED.finditer(inner)
    ]


def _is_like(value: object, pattern: str, *, ignore_case: bool) -> bool:
    text = str(value)
    if ignore_case:
        text, pattern = text.lower(), pattern.lower()
    return value is not None and fnmatchcase(text, pattern.replace("%", "*").replace("_", "?"))


def _ordered(rows: list[Row], order: str) -> list[Row]:
    for term in reversed(order.split(",") if order else []):
        column, *words = term.split(".")
        is_down = "desc" in words
        known = [row for row in rows if row.get(column) is not None]
        unknown = [row for row in rows if row.get(column) is None]
        known.sort(key=lambda row: cast("int", row[column]), reverse=is_down)
        nulls_first = "nullsfirst" in words or (is_down and "nullslast" not in words)
        rows = unknown + known if nulls_first else known + unknown
    return rows


def _columns(row: Row, options: Mapping[str, str]) -> Row:
    names = options.get("select", "*")
    if names == "*":
        return row
    if "(" in names:
        raise SqlError(400, "PGRST200", "Could not find a relationship: the fake has no foreign keys")
    return {name: row.get(name) for name in names.split(",")}


def _number(options: Mapping[str, str], name: str, default: int) -> int:
    text = options.get(name, "")
    return int(text) if text.isdecimal() else default
