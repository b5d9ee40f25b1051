"""What makes a key of a job's arguments: the types of such functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Key = (
    Callable[[], str | None]
    | Callable[[Any], str | None]
    | Callable[[Any, Any], str | None]
    | Callable[[Any, Any, Any], str | None]
    | Callable[[Any, Any, Any, Any], str | None]
    | Callable[[Any, Any, Any, Any, Any], str | None]
    | Callable[[Any, Any, Any, Any, Any, Any], str | None]
    | Callable[[Any, Any, Any, Any, Any, Any, Any], str | None]
    | Callable[[Any, Any, Any, Any, Any, Any, Any, Any], str | None]
)
"""A function of a job's arguments, in their order.

By their number, not ``Callable[..., str | None]``: pyright does not know the parameters of a lambda given for
that, and its strict mode complains about each.
"""
