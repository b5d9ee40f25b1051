"""Counts of what workers of this process have done, for metrics."""

from __future__ import annotations

from collections import Counter, defaultdict

from ...supervisors import Histogram


class JobCounters:
    """What became of the runs of one queue's jobs here, and how long their steps took."""

    def __init__(self) -> None:
        self.runs: Counter[tuple[str, str]] = Counter()
        """Runs that have ended, by job function and outcome: ``succeeded``, ``retrying``, ``waiting``,
        ``dead``, ``cancelled``, ``released``."""
        self.steps: defaultdict[str, Histogram] = defaultdict(Histogram)
        """Seconds of finished steps, by job function."""

    def run_ended(self, kind: str, outcome: str) -> None:
        """Count a run."""
        self.runs[kind, outcome] += 1

    def step_ended(self, kind: str, seconds: float) -> None:
        """Count a step."""
        self.steps[kind].add(seconds)
