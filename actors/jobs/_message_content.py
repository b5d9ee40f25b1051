"""What may be shown of a message: its fields without secrets, and only so much of them.

Messages are users' own, and can hold anything: a megabyte of text, a hundred thousand numbers, an object
whose ``repr`` raises. Describing one must neither fail nor take long, since it is done beside actors at work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date
from typing import cast

import msgspec

from ...runtime import Message, redact, redact_mapping

LARGEST = 8 * 1024
"""Bytes kept of a message's content."""
_MOST = 200
"""Values looked at in one message."""
_LONGEST = 64 * 1024
"""Characters looked at in one message."""
_DEEPEST = 8
_LONGEST_TEXT = 2048
_LEFT_OUT = "..."


def content_of(message: Message) -> dict[str, object]:
    """Return a message's fields by name, without secrets, long ones cut."""
    return redact_mapping(_Trimmer().fields(message, 0))


def encode_content(content: object) -> bytes:
    """Return content as JSON of 8 KiB at the most: where it is more, each of its fields is cut."""
    data = _json(content)
    if len(data) <= LARGEST:
        return data
    values = cast("Mapping[str, object]", content) if isinstance(content, Mapping) else {"content": content}
    share = LARGEST // (2 * len(values))
    data = _json({plain(name, share): _cut(value, share) for name, value in values.items()})
    return data if len(data) <= LARGEST else _json({"left_out": len(data)})


def plain(text: str, most: int) -> str:
    """Return a text, redacted and cut, that every database takes."""
    return redact(text).replace("\0", " ").encode(errors="replace").decode()[:most]


def _cut(value: object, most: int) -> object:
    text = _json(value).decode()
    # Two bytes a character at the most, or it is all cut.
    return value if len(text) <= most else f"{text[: most // 2]}... ({len(text)} characters)"


def _json(value: object) -> bytes:
    try:
        return msgspec.json.encode(value)
    except (ValueError, OverflowError, TypeError):  # a number too large, or half a character
        return msgspec.json.encode(plain(repr(value), LARGEST // 2))


class _Trimmer:
    """Copy values so far as they will be shown: before the secrets are looked for, which takes time."""

    def __init__(self) -> None:
        self._left = _MOST
        self._characters = _LONGEST

    def fields(self, value: msgspec.Struct, depth: int) -> dict[str, object]:
        """Copy the fields of a Struct."""
        return {name: self._copy(getattr(value, name, None), depth + 1) for name in value.__struct_fields__}

    def _copy(self, value: object, depth: int) -> object:
        self._left -= 1
        if self._left < 0 or depth > _DEEPEST:
            return _LEFT_OUT
        match value:
            case None | bool() | int() | float() | date():
                return value
            case str():
                self._characters -= min(len(value), _LONGEST_TEXT)
                return value if self._characters >= 0 else f"... ({len(value)} characters)"
            case bytes() | bytearray():
                return bytes(value) if len(value) <= _LONGEST_TEXT else f"{len(value)} bytes"
            case Mapping():
                return self._copy_mapping(cast("Mapping[object, object]", value), depth)
            case list() | tuple() | set() | frozenset():
                return self._copy_items(cast("Sequence[object] | AbstractSet[object]", value), depth)
            case msgspec.Struct() if type(value).__repr__ is msgspec.Struct.__repr__:
                return self.fields(value, depth)  # one with a repr of its own may have something to hide
            case _:
                return _said(value)

    def _copy_mapping(self, value: Mapping[object, object], depth: int) -> dict[str, object]:
        copied: dict[str, object] = {}
        for name, inner in value.items():
            if self._left <= 0:
                copied[_LEFT_OUT] = len(value) - len(copied)
                break
            copied[_said(name)] = self._copy(inner, depth + 1)
        return copied

    def _copy_items(self, value: Sequence[object] | AbstractSet[object], depth: int) -> list[object]:
        copied: list[object] = []
        for inner in value:
            if self._left <= 0:
                copied.append(f"... ({len(value)} in all)")
                break
            copied.append(self._copy(inner, depth + 1))
        return copied


def _said(value: object) -> str:
    try:
        return str(value) if isinstance(value, str) else repr(value)
    except Exception as error:  # noqa: BLE001 - a user's code
        return f"<{type(value).__name__}: its repr raises {type(error).__name__}>"
