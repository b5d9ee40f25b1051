"""Refuse a number that is out of range, in one clear line."""

from __future__ import annotations

import math


def check_range(field: str, value: float, low: float, high: float) -> None:
    """Check that *value* is a number from *low* to *high*.

    Raises:
        ValueError: It is not; the text names *field*, the range and the value.
    """
    if not (math.isfinite(value) and low <= value <= high):
        raise ValueError(f"{field} must be {low:g}..{high:g}, got {value!r}")
