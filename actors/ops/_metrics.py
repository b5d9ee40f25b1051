"""Metrics: a collector for prometheus-client that reads the runtime's plain counters.

Nothing is counted twice and nothing on the message path knows of Prometheus: a labelled counter
costs a microsecond an increment, a plain integer twenty nanoseconds. All figures are read at
scrape time. Names and labels are a contract; labels never hold prompts, ids, URLs or error texts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import inf

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from ...runtime import ActorState
from ...supervisors import GuardStatistics, System
from ...supervisors import Histogram as Times
from ...supervisors.policies import CircuitState
from ._labels import LabelCaps

CAPS = {
    "provider": 32,
    "breaker": 64,
    "operation": 16,
    "model": 64,
    "reason": 12,
    "actor_kind": 64,
    "type": 64,
}
"""Values each label may have."""


class SystemCollector(Collector):
    """Offer one system's figures to Prometheus.

        registry.register(SystemCollector(system))

    Scrape it from the thread the system runs in, or accept that figures of one scrape may be a
    moment apart.
    """

    def __init__(self, system: System) -> None:
        self._system = system
        self._caps = LabelCaps(CAPS)

    def collect(self) -> Iterator[Metric]:
        """Read every figure once."""
        services = self._system.services()
        yield from self._retries(services)
        yield from self._breakers(services)
        yield from self._calls(services)
        yield from self._load(services)
        yield from self._actors()
        yield from self._dead_letters()
        overflow = _counter("metrics_label_overflow", "Values beyond a label's cap.", "metric")
        for metric, count in self._caps.overflows.items():
            overflow.add_metric([metric], count)
        yield overflow

    def _retries(self, services: list[GuardStatistics]) -> Iterator[Metric]:
        retries = _counter(
            "retry_attempts",
            "Retries, first tries excluded.",
            "provider",
            "operation",
            "reason",
            "outcome",
        )
        cost = _gauge(
            "retry_cost_estimate",
            "Cost of the last minute's retries, USD.",
            "provider",
            "model",
        )
        unpriced = _counter("retry_unpriced", "Retries whose price is not known.", "provider", "model")
        for service in services:
            provider = self._label(retries, "provider", service.provider)
            totals: Counter[tuple[str, str, str]] = Counter()
            for key, count in service.retries.items():
                operation = self._label(retries, "operation", key.operation)
                totals[operation, self._label(retries, "reason", key.reason), key.outcome] += count
            for (operation, reason, outcome), count in totals.items():
                retries.add_metric([provider, operation, reason, outcome], count)
            for model, usd in service.retry_cost_usd.items():
                cost.add_metric([provider, self._label(cost, "model", model)], usd)
            for model, count in service.unpriced_retries.items():
                unpriced.add_metric([provider, self._label(unpriced, "model", model)], count)
        yield from (retries, cost, unpriced)

    def _breakers(self, services: list[GuardStatistics]) -> Iterator[Metric]:
        state = _gauge("circuit_breaker_state", "0 closed, 1 half-open, 2 open.", "provider", "breaker")
        transitions = _counter(
            "circuit_breaker_transitions", "Changes of state.", "provider", "breaker", "from", "to", "cause"
        )
        for service in services:
            if service.breaker is None:
                continue
            provider = self._label(state, "provider", service.provider)
            state.add_metric([provider, provider], float(service.breaker.state))
            for (old, new), count in service.breaker_transitions.items():
                transitions.add_metric([provider, provider, _word(old), _word(new), "auto"], count)
        yield from (state, transitions)

    def _calls(self, services: list[GuardStatistics]) -> Iterator[Metric]:
        calls = _counter(
            "provider_calls", "Calls that have ended.", "provider", "model", "operation", "outcome"
        )
        attempts = _counter("provider_attempts", "Times the service was called.", "provider")
        failures = _counter("provider_attempt_failures", "Attempts that failed.", "provider", "reason")
        times = HistogramMetricFamily(
            "provider_call_duration_seconds",
            "Calls from their first attempt to their end, retries and waits included.",
            labels=["provider", "operation", "outcome"],
        )
        for service in services:
            provider = self._label(calls, "provider", service.provider)
            for key, count in service.calls.items():
                model, operation = (
                    self._label(calls, "model", key.model),
                    self._label(calls, "operation", key.operation),
                )
                calls.add_metric([provider, model, operation, key.outcome], count)
            attempts.add_metric([provider], service.attempts)
            for kind, count in service.failures.items():
                failures.add_metric([provider, self._label(failures, "reason", kind)], count)
            for (operation, outcome), histogram in service.durations.items():
                labels = [provider, self._label(times, "operation", operation), outcome]
                times.add_metric(labels, buckets=_cumulated(histogram), sum_value=histogram.seconds)
        yield from (calls, attempts, failures, times)

    def _load(self, services: list[GuardStatistics]) -> Iterator[Metric]:
        in_flight = _gauge("provider_in_flight", "Attempts under way.", "provider")
        limit = _gauge("provider_concurrency_limit", "Attempts allowed at once.", "provider")
        queue = _gauge("provider_queue_length", "Calls that wait, for their turn or a retry.", "provider")
        paused = _gauge("provider_paused", "1 while no call is made.", "provider", "reason")
        pauses = _counter("provider_pause_seconds", "Seconds everybody was told to wait.", "provider")
        waits = _counter("provider_retry_wait_seconds", "Seconds calls waited for retries.", "provider")
        for service in services:
            provider = self._label(in_flight, "provider", service.provider)
            in_flight.add_metric([provider], service.bulkhead.in_flight)
            limit.add_metric([provider], service.bulkhead.limit)
            queue.add_metric([provider], service.actor.queued)
            if service.state in ("paused", "blocked", "failed", "restarting"):
                paused.add_metric([provider, service.state], 1)
            pauses.add_metric([provider], service.gate.seconds_paused)
            waits.add_metric([provider], service.wait_seconds)
        yield from (in_flight, limit, queue, paused, pauses, waits)

    def _actors(self) -> Iterator[Metric]:
        restarts = _counter("actor_restarts", "Incarnations after the first.", "actor_kind")
        length = _gauge("actor_mailbox_length", "Messages queued.", "actor_kind")
        up = _gauge("actor_up", "Actors that are running.", "actor_kind")
        for kind, count in self._system.restarts_by_kind().items():
            restarts.add_metric([self._label(restarts, "actor_kind", kind)], count)
        lengths: Counter[str] = Counter()
        running: Counter[str] = Counter()
        for kind, statistics in self._system.actor_statistics():
            label = self._label(up, "actor_kind", kind)
            lengths[label] += statistics.queued
            running[label] += statistics.state is ActorState.RUNNING
        for label in lengths:
            length.add_metric([label], lengths[label])
            up.add_metric([label], running[label])
        yield from (restarts, length, up)

    def _dead_letters(self) -> Iterator[Metric]:
        statistics = self._system.dead_letters.statistics()
        kept = _gauge("dead_letters", "Dead letters kept for reading and replay.")
        kept.add_metric([], statistics.kept)
        total = _counter("dead_letters", "Messages no handler will see.", "type", "reason")
        totals: Counter[tuple[str, str]] = Counter()
        for (kind, reason), count in statistics.counts.items():
            totals[self._label(total, "type", kind), self._label(total, "reason", reason)] += count
        for labels, count in totals.items():
            total.add_metric(list(labels), count)
        yield from (kept, total)

    def _label(self, metric: Metric, label: str, value: str) -> str:
        return self._caps.value(metric.name, label, value)


def scrape(system: System) -> str:
    """Return one system's figures in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(SystemCollector(system))
    return generate_latest(registry).decode()


def _counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(name, text, labels=labels)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=labels)


def _word(state: CircuitState) -> str:
    return state.name.lower()


def _cumulated(histogram: Times) -> list[tuple[str, float]]:
    total = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip(histogram.bounds, histogram.counts, strict=True):
        total += count
        buckets.append(("+Inf" if bound == inf else f"{bound:g}", total))
    return buckets
