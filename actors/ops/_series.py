"""One metric's figures, summed up by label."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from ...supervisors import Histogram as Times
from ._labels import LabelCaps


class Series:
    """Sum up the figures of one metric: labels beyond their cap fall together."""

    def __init__(
        self, family: CounterMetricFamily | GaugeMetricFamily, labels: Sequence[str], caps: LabelCaps
    ) -> None:
        self._family = family
        self._labels = labels
        self._caps = caps
        self._totals: dict[tuple[str, ...], float] = {}

    def add(self, value: float, *labels: str) -> None:
        """Add a figure."""
        capped = self._caps.values(self._family.name, self._labels, labels)
        self._totals[capped] = self._totals.get(capped, 0.0) + value

    def metric(self) -> Metric:
        """Return the metric with its sums."""
        for labels, value in self._totals.items():
            self._family.add_metric(list(labels), value)
        return self._family


def counter(caps: LabelCaps, name: str, text: str, *labels: str) -> Series:
    """Begin a counter."""
    return Series(CounterMetricFamily(name, text, labels=labels), labels, caps)


def gauge(caps: LabelCaps, name: str, text: str, *labels: str) -> Series:
    """Begin a gauge."""
    return Series(GaugeMetricFamily(name, text, labels=labels), labels, caps)


def cumulated(histogram: Times) -> list[tuple[str, float]]:
    """Return buckets as Prometheus has them: each with those below it."""
    total = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip(histogram.bounds, histogram.counts, strict=True):
        total += count
        buckets.append(("+Inf" if bound == inf else f"{bound:g}", total))
    return buckets
