"""Texts as every store takes them: PostgreSQL has no NUL, and nothing that is stored half a surrogate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from ._errors import JobSpecError

LONGEST_NAME = 1000
"""Bytes of a key or a step's name: PostgreSQL indexes no more than 2,700 of both together."""


def storable(text: str) -> str:
    """Return *text* with what can't be stored written out: half an emoji from a model's reply, a NUL."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


def storable_facts(facts: Mapping[str, object]) -> dict[str, object]:
    """Do as `storable` with all texts in plain JSON values."""
    return {storable(name): _storable(value) for name, value in facts.items()}


def _storable(value: object) -> object:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return storable_facts(cast("Mapping[str, object]", value))
    if isinstance(value, list | tuple):
        return [_storable(item) for item in cast("list[object]", value)]
    return value


def check_label(what: str, name: object) -> None:
    """Do as `check_name`, and refuse an empty one.

    Raises:
        JobSpecError: It is empty, no text, too long, or can't be stored.
    """
    if name == "":
        raise JobSpecError(what, "must be 1 character or more, got ''")
    check_name(what, name)


def check_name(what: str, name: object) -> None:
    """Refuse a key or a name that some store would refuse, or tell apart from others in its own way.

    Raises:
        JobSpecError: It is no text, too long, or can't be stored.
    """
    if not isinstance(name, str):
        problem = f"must be a text, got {name!r}"
    elif storable(name) != name:
        problem = f"holds what can't be stored: {storable(name)[:80]!r}"
    elif len(name.encode()) > LONGEST_NAME:
        problem = (
            f"must be {LONGEST_NAME} bytes at most, got {len(name.encode())}: shorten it, or take its hash"
        )
    else:
        return
    raise JobSpecError(what, problem)
