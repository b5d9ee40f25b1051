"""Say in words whose a deadline is."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from inspect import getclosurevars
from types import FunctionType, MethodType
from typing import cast

from ..runtime import Slot, Timed, Timer


def describe(entry: Timed) -> str:
    """Say what a pending deadline is for, and whose it is as far as that can be known."""
    if isinstance(entry, Slot):
        path = getattr(entry.owner, "path", "nobody")
        return f"{path}: the deadline of {type(entry.message).__name__}"
    if isinstance(entry, Timer):
        callback = _unwrapped(entry.callback)
        owners = [_path(holder) for holder in _behind(callback)]
        return f"{next((owner for owner in owners if owner), 'nobody')}: {_name(callback)}"
    call = getattr(entry, "call", None)
    return f"{_path(getattr(call, 'cell', None)) or 'nobody'}: the deadline of an attempt"


def _unwrapped(callback: object) -> object:
    while isinstance(callback, partial):
        callback = cast("partial[object]", callback).func
    return callback


def _behind(callback: object) -> Iterator[object]:
    """Yield what a callback holds on to."""
    if isinstance(callback, MethodType):
        yield callback.__self__
    elif isinstance(callback, FunctionType):
        yield from getclosurevars(callback).nonlocals.values()


def _path(holder: object) -> str:
    for candidate in (holder, getattr(holder, "cell", None), getattr(holder, "call", None)):
        path = getattr(candidate, "path", None)
        if isinstance(path, str):
            return path
    return ""


def _name(callback: object) -> str:
    name: str = getattr(callback, "__qualname__", repr(callback))
    return name.removesuffix(".<locals>.<lambda>")
