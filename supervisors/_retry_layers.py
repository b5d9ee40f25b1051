"""Retry layers: who makes the calls of this code again. Two that nest multiply their attempts."""

from __future__ import annotations

from contextvars import ContextVar

from ._guarded import attempt_in_hand

retry_layer: ContextVar[str] = ContextVar("relight_retry_layer", default="")
"""The name of the layer that makes calls of the code that runs now again; empty where there is none. Set
by whatever retries on its own around an ask; a guard only reads it."""

REMEDY = "retry in one of them only: attempts multiply, and each layer waits without knowing of the other"


def enclosing_retry_layer() -> str:
    """Name the layer that makes the calls of this code again; empty where there is none.

    It is a layer that set `retry_layer`, or the guard of the service whose handler this is.
    """
    layer = retry_layer.get()
    if layer:
        return layer
    describe = attempt_in_hand.get()
    return "" if describe is None else guard_of(describe().provider)


def guard_of(provider: str) -> str:
    """Name the guard of a service as a layer."""
    return f"the guard of {provider}"
