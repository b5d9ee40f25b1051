"""Bounded labels: what is called by a label must not grow a series for each user's idea."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

OTHER = "other"
"""The value that stands for all beyond the cap."""


class LabelCaps:
    """Let through the first values of each label, and count what came too late.

    A metric with a job id, a prompt or a user's name as a label costs the monitoring system a series
    each, for ever; a capped one costs a known number.
    """

    def __init__(self, caps: dict[str, int]) -> None:
        self._caps = caps
        self._seen: defaultdict[str, set[str]] = defaultdict(set)
        self.overflows: Counter[str] = Counter()
        """How often a label was full, by metric."""

    def values(self, metric: str, labels: Sequence[str], values: Sequence[str]) -> tuple[str, ...]:
        """Return the values of one figure's labels, each capped."""
        return tuple(self.value(metric, *pair) for pair in zip(labels, values, strict=True))

    def value(self, metric: str, label: str, value: str) -> str:
        """Return *value*, or ``other`` where the label has had its values."""
        seen = self._seen[label]
        if value in seen or label not in self._caps:
            return value
        if len(seen) >= self._caps[label]:
            self.overflows[metric] += 1
            return OTHER
        seen.add(value)
        return value
