"""Refuse what is written wrong about jobs: one line with the field, what it must be, and what it was."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from math import inf, isnan
from types import UnionType
from typing import TypeGuard

from ._errors import JobSpecError


def check_number(
    field: str, value: object, *, least: float = 0.0, is_open: bool = False, of: str = ""
) -> None:
    """Refuse what is no finite number from *least* on.

    Args:
        field: Where it was given.
        value: What was.
        least: The smallest there may be.
        is_open: It must be more than that.
        of: Of what, such as ``seconds``.

    Raises:
        JobSpecError: It is none.
    """
    if not (is_number(value) and (least < value < inf if is_open else least <= value < inf)):
        what = "" if is_number(value) else "a number, "
        bound = f"more than {least:g}" if is_open else f"{least:g} or more"
        unit = f" {of}" if of else ""
        raise JobSpecError(field, f"must be {what}{bound}{unit}, and finite, got {value!r}")


def is_number(value: object) -> TypeGuard[int | float]:
    """Tell whether it is a number; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_whole(value: object) -> TypeGuard[int]:
    """Tell whether it is a whole number; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def check_whole(field: str, value: object, least: int, most: int | None = None, remedy: str = "") -> None:
    """Refuse what is no whole number within *least* to *most*.

    Raises:
        JobSpecError: It is none.
    """
    if not (is_whole(value) and least <= value and (most is None or value <= most)):
        what = "" if is_whole(value) else "a whole number, "
        bounds = f"{least} or more" if most is None else f"{least}..{most}"
        raise JobSpecError(field, f"must be {what}{bounds}, got {value!r}{remedy and f': {remedy}'}")


def check_callable(field: str, value: object, what: str) -> None:
    """Refuse what can't be called.

    Raises:
        JobSpecError: It can't.
    """
    if not callable(value):
        raise JobSpecError(field, f"must be {what}, got {value!r}")


def check_kind(field: str, value: object, kind: type | UnionType, what: str, remedy: str) -> None:
    """Refuse what is of another type. Its value is not told: a text may hold a password.

    Raises:
        JobSpecError: It is.
    """
    if not isinstance(value, kind):
        raise JobSpecError(field, f"must be {what}, got a {type(value).__name__}: {remedy}")


def check_ids(field: str, ids: Collection[object], remedy: str) -> None:
    """Refuse ids that are no texts.

    Raises:
        JobSpecError: One is none.
    """
    for id_ in ids:
        if not isinstance(id_, str):
            raise JobSpecError(field, f"must be ids, which are texts, got {id_!r}: {remedy}")


def check_each(field: str, values: object, remedy: str) -> None:
    """Refuse what can't be gone through, and a text, of which each letter would be meant.

    Raises:
        JobSpecError: It is that.
    """
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise JobSpecError(field, f"must be several, got {values!r}: {remedy}")


def check_finite(field: str, value: object) -> None:
    """Refuse what is no finite number.

    Raises:
        JobSpecError: It is none.
    """
    if not (is_number(value) and -inf < value < inf):
        what = "" if is_number(value) else "a number, and "
        raise JobSpecError(field, f"must be {what}finite, got {value!r}")


def check_timeout(field: str, value: object, of: str = "of seconds") -> None:
    """Refuse what is no number; ``inf`` is one, for as long as it takes.

    Raises:
        JobSpecError: It is none.
    """
    if not is_number(value) or isnan(value):
        raise JobSpecError(field, f"must be a number {of}, got {value!r}")


def check_text(field: str, value: object) -> None:
    """Refuse what is no text.

    Raises:
        JobSpecError: It is none.
    """
    if not isinstance(value, str):
        raise JobSpecError(field, f"must be a text, got {value!r}")


def check_store(field: str, store: object) -> None:
    """Refuse what is no store.

    Raises:
        JobSpecError: It is none.
    """
    if isinstance(store, type) or not hasattr(store, "opened"):
        # Not its value: a URL may hold a password.
        got = f"the class {store.__name__}" if isinstance(store, type) else f"a {type(store).__name__}"
        problem = (
            f"must be a store, got {got}: write SqliteStore('jobs.db'), or store_from_url(...) for a URL"
        )
        raise JobSpecError(field, problem)


def cursor_number(after: object) -> int:
    """Return the number that a cursor is.

    Raises:
        JobSpecError: It is no cursor.
    """
    if isinstance(after, str) and after.isascii() and after.isdigit() and len(after) < 20:
        number = int(after)
        if number < 2**63:
            return number
    raise JobSpecError("events: after", f"must be a cursor, as events have one, got {after!r}")
