"""Refusals of wrong specs: one line with the field, what it may be, and what it was."""

import math


def check_range(field: str, value: float, low: float, high: float) -> None:
    """Refuse a *value* outside *low*..*high*. NaN is outside of everything."""
    if not low <= value <= high:
        raise ValueError(f"{field} must be {low:g}..{high:g}, got {value!r}")


def check_least(field: str, value: float, low: float) -> None:
    """Refuse a *value* below *low*, infinite, or NaN."""
    if not low <= value < math.inf:
        raise ValueError(f"{field} must be {low:g} or more, and finite, got {value!r}")


def check_positive(field: str, value: float) -> None:
    """Refuse seconds that are zero, negative, infinite, or NaN."""
    if not 0.0 < value < math.inf:
        raise ValueError(f"{field} must be more than 0 seconds, and finite, got {value!r}")


def check_share(field: str, value: float) -> None:
    """Refuse a share that is not above 0 and at most 1. NaN is neither."""
    if not 0.0 < value <= 1.0:
        raise ValueError(f"{field} must be more than 0 and at most 1, got {value!r}")
