"""Retry layers: who makes the calls of this code again. Two that nest multiply their attempts."""

from __future__ import annotations

from contextvars import ContextVar
from threading import Lock
from typing import Protocol

from ._guarded import attempt_in_hand

retry_layer: ContextVar[str] = ContextVar("relight_retry_layer", default="")
"""The name of the layer that makes calls of the code that runs now again; empty where there is none. Set
by whatever retries on its own around an ask; a guard only reads it."""

MOST_WARNINGS = 64
"""Pairs of layers that are warned of: a layer may be named after what it works on."""
_REMEDY = "retry in one of them only: attempts multiply, and each layer waits without knowing of the other"


class Warner(Protocol):
    """Where a warning is said: a system's events, or the process's."""

    def warning(self, event: str, /, **fields: object) -> None:
        """Say something a person may want to look at."""
        ...


class NestedRetries:
    """Remember which layers of retries were found inside which, and warn of each pair once."""

    __slots__ = ("_lock", "_pairs")

    def __init__(self) -> None:
        self._lock = Lock()
        self._pairs: set[tuple[str, str]] = set()

    def warn(self, events: Warner, outer: str, inner: str) -> None:
        """Say that *inner* stands in *outer*, unless that was said."""
        with self._lock:
            if (outer, inner) in self._pairs or len(self._pairs) >= MOST_WARNINGS:
                return
            self._pairs.add((outer, inner))
        events.warning("retry.nested", outer=outer, inner=inner, remedy=_REMEDY)


def enclosing_retry_layer() -> str:
    """Name the layer that makes the calls of this code again; empty where there is none.

    It is a layer that set `retry_layer`, or the guard of the service whose handler this is.
    """
    layer = retry_layer.get()
    if layer:
        return layer
    attempt = attempt_in_hand.get()
    return "" if attempt is None else guard_of(attempt.describe().provider)


def guard_of(provider: str) -> str:
    """Name the guard of a service as a layer."""
    return f"the guard of {provider}"
