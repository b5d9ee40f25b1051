"""Metrics: a collector for prometheus-client that reads the runtime's plain counters.

Nothing is counted twice and nothing on the message path knows of Prometheus: a labelled counter
costs a microsecond an increment, a plain integer twenty nanoseconds. All figures are read at
scrape time. Names and labels are a contract; labels never hold prompts, ids, URLs or error texts.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from ...runtime import ActorState
from ...supervisors import GuardStatistics, System
from ...supervisors import Histogram as Times
from ...supervisors.policies import CircuitState
from .._plain_calls import PLAIN_CALLS, PlainCalls
from ._labels import LabelCaps
from ._series import Series, counter, cumulated, gauge

CAPS = {
    "provider": 32,
    "breaker": 64,
    "to": 32,
    "operation": 64,
    "model": 64,
    "reason": 12,
    "actor_kind": 64,
    "type": 64,
}
"""Values each label may have."""

_HELD = frozenset({"paused", "blocked", "failed", "restarting"})


class SystemCollector(Collector):
    """Offer one system's figures to Prometheus.

        registry.register(SystemCollector(system))

    The decorators and breakers of code that is no actor yet belong to the process, not to a system; they are
    shown beside the services, by the same metrics. Scrape it from the thread the system runs in, or accept
    that figures of one scrape may be a moment apart.

    Args:
        system: Whose services and actors.
        plain_calls: Whose decorators and breakers; None shows none, for the second collector of a process.
    """

    def __init__(self, system: System, plain_calls: PlainCalls | None = PLAIN_CALLS) -> None:
        self._system = system
        self._plain = PlainCalls() if plain_calls is None else plain_calls
        self._caps = LabelCaps(CAPS)

    def collect(self) -> Iterator[Metric]:
        """Read every figure once."""
        services = self._system.services()
        yield from self._retries(services)
        yield from self._breakers(services)
        yield from self._calls(services)
        yield self._durations(services)
        yield from self._load(services)
        yield from self._budgets(services)
        yield from self._actors()
        yield from self._dead_letters()
        yield from self._loop()
        overflow = self._counter("metrics_label_overflow", "Values beyond a label's cap.", "metric")
        for metric, count in self._caps.overflows.items():
            overflow.add(count, metric)
        yield overflow.metric()

    def _retries(self, services: list[GuardStatistics]) -> Iterator[Metric]:
        retries = self._counter(
            "retry_attempts", "Retries, first tries excluded.", "provider", "operation", "reason", "outcome"
        )
        cost = self._gauge(
            "retry_cost_estimate", "Cost of the last minute's retries, USD.", "provider", "model"
        )
        unpriced = self._counter("retry_unpriced", "Retries whose price is not known.", "provider", "model")
        for service in services:
            for key, count in service.retries.items():
                retries.add(count, service.provider, key.operation, key.reason, key.outcome)
            for model, usd in service.retry_cost_usd.items():
                cost.add(usd, service.provider, model)
            for model, count in service.unpriced_retries.items():
                unpriced.add(count, service.provider, model)
        for plain in self._plain.statistics():
            for (reason, outcome), count in plain.retries.items():
                retries.add(count, plain.provider, plain.operation, reason, outcome)
        yield from (retries.metric(), cost.metric(), unpriced.metric())

    def _breakers(self, services: list[GuardStatistics]) -> Iterator[Metric]:
        state = self._gauge("circuit_breaker_state", "0 closed, 1 half-open, 2 open.", "provider", "breaker")
        transitions = self._counter(
            "circuit_breaker_transitions", "Changes of state.", "provider", "breaker", "from", "to", "cause"
        )
        forced = self._gauge(
            "circuit_breaker_forced", "1 while an operator holds it there.", "provider", "breaker", "to"
        )
        would_open = self._counter(
            "circuit_breaker_would_open",
            "Times it would have opened while held in metrics-only.",
            "provider",
            "breaker",
        )
        for service in services:
            if service.breaker is not None:
                provider = service.provider
                state.add(float(service.breaker.state), provider, provider)
                for (old, new, cause), count in service.breaker_transitions.items():
                    transitions.add(count, provider, provider, _word(old), _word(new), cause)
                if service.breaker.forced is not None:
                    forced.add(1, provider, provider, service.breaker.forced)
                would_open.add(service.breaker.would_have_opened, provider, provider)
        for breaker in self._plain.breakers():
            state.add(float(breaker.state), breaker.name, breaker.name)
        for (name, old, new), count in self._plain.breaker_transitions().items():
            transitions.add(count, name, name, _word(old), _word(new), "auto")
        for series in (state, transitions, forced, would_open):
            yield series.metric()

    def _calls(self, services: list[GuardStatistics]) -> Iterator[Metric]:
        calls = self._counter(
            "provider_calls", "Calls that have ended.", "provider", "model", "operation", "outcome"
        )
        attempts = self._counter("provider_attempts", "Times the service was called.", "provider")
        failures = self._counter("provider_attempt_failures", "Attempts that failed.", "provider", "reason")
        fallbacks = self._counter(
            "provider_fallbacks", "Calls another provider was asked to answer.", "provider", "to", "reason"
        )
        for service in services:
            for key, count in service.calls.items():
                calls.add(count, service.provider, key.model, key.operation, key.outcome)
            for (to, reason), count in service.fallbacks.items():
                fallbacks.add(count, service.provider, to, reason)
            attempts.add(service.attempts, service.provider)
            for kind, count in service.failures.items():
                failures.add(count, service.provider, kind)
        for plain in self._plain.statistics():
            for outcome, count in plain.calls.items():
                calls.add(count, plain.provider, "", plain.operation, outcome)
            attempts.add(plain.attempts, plain.provider)
            for reason, count in plain.failures.items():
                failures.add(count, plain.provider, reason)
        yield from (calls.metric(), attempts.metric(), failures.metric(), fallbacks.metric())

    def _durations(self, services: list[GuardStatistics]) -> Metric:
        labels = ("provider", "operation", "outcome")
        text = "Calls from their first attempt to their end, retries and waits included."
        family = HistogramMetricFamily("provider_call_duration_seconds", text, labels=labels)
        totals: dict[tuple[str, ...], Times] = {}
        for service in services:
            for values, times in service.durations.items():
                capped = self._caps.values(family.name, labels, (service.provider, *values))
                totals.setdefault(capped, Times()).merge(times)
        for capped, times in totals.items():
            family.add_metric(list(capped), buckets=cumulated(times), sum_value=times.seconds)
        return family

    def _load(self, services: list[GuardStatistics]) -> Iterator[Metric]:
        in_flight = self._gauge("provider_in_flight", "Attempts under way.", "provider")
        limit = self._gauge("provider_concurrency_limit", "Attempts allowed at once.", "provider")
        queue = self._gauge(
            "provider_queue_length", "Calls that wait, for their turn or a retry.", "provider"
        )
        paused = self._gauge("provider_paused", "1 while no call is made.", "provider", "reason")
        pauses = self._counter("provider_pause_seconds", "Seconds everybody was told to wait.", "provider")
        waits = self._counter("provider_retry_wait_seconds", "Seconds calls waited for retries.", "provider")
        for plain in self._plain.statistics():
            waits.add(plain.wait_seconds, plain.provider)
        for service in services:
            in_flight.add(service.bulkhead.in_flight, service.provider)
            limit.add(service.bulkhead.limit, service.provider)
            queue.add(service.actor.queued, service.provider)
            if service.state in _HELD:
                paused.add(1, service.provider, service.state)
            pauses.add(service.gate.seconds_paused, service.provider)
            waits.add(service.wait_seconds, service.provider)
        for series in (in_flight, limit, queue, paused, pauses, waits):
            yield series.metric()

    def _budgets(self, services: list[GuardStatistics]) -> Iterator[Metric]:
        retries = self._gauge("retry_budget_left", "Retries that would be granted now.", "provider")
        rate = self._gauge(
            "provider_rate_limit_left", "What the next call could take at once.", "provider", "limit"
        )
        cost = self._counter("provider_cost_usd", "Charged to a budget, USD.", "provider", "attempt")
        unknown = self._counter(
            "provider_cost_unknown", "Attempts whose cost nobody knew.", "provider", "when"
        )
        refused = self._counter("provider_cost_refused", "Calls and retries without money.", "provider")
        left = self._gauge("provider_budget_left_usd", "What may still be spent, USD.", "provider", "window")
        for service in services:
            provider = service.provider
            if service.retry_budget is not None:
                retries.add(service.retry_budget.left, provider)
            if service.rate_limit is not None:
                if service.rate_limit.requests_left is not None:
                    rate.add(service.rate_limit.requests_left, provider, "requests")
                if service.rate_limit.tokens_left is not None:
                    rate.add(service.rate_limit.tokens_left, provider, "tokens")
            spending = service.spending
            if spending is not None:
                cost.add(spending.first_usd, provider, "first")
                cost.add(spending.retry_usd, provider, "retry")
                unknown.add(spending.unpriced, provider, "before")
                unknown.add(spending.unreported, provider, "after")
                refused.add(spending.refused, provider)
                for purse in spending.purses:
                    for window, usd in purse.left_usd.items():
                        left.add(usd, provider, window)
        for series in (retries, rate, cost, unknown, refused, left):
            yield series.metric()

    def _actors(self) -> Iterator[Metric]:
        restarts = self._counter("actor_restarts", "Incarnations after the first.", "actor_kind")
        given_up = self._counter(
            "actor_given_up", "Actors and subtrees not restarted any more.", "actor_kind"
        )
        length = self._gauge("actor_mailbox_length", "Messages queued.", "actor_kind")
        up = self._gauge("actor_up", "Actors that are running.", "actor_kind")
        for kind, count in self._system.restarts_by_kind().items():
            restarts.add(count, kind)
        for kind, count in self._system.given_up_by_kind().items():
            given_up.add(count, kind)
        for kind, statistics in self._system.actor_statistics():
            length.add(statistics.queued, kind)
            up.add(statistics.state is ActorState.RUNNING, kind)
        yield from (restarts.metric(), given_up.metric(), length.metric(), up.metric())

    def _dead_letters(self) -> Iterator[Metric]:
        statistics = self._system.dead_letters.statistics()
        kept = self._gauge("dead_letters", "Dead letters kept for reading and replay.")
        kept.add(statistics.kept)
        total = self._counter("dead_letters", "Messages no handler will see.", "type", "reason")
        for (kind, reason), count in statistics.counts.items():
            total.add(count, kind, reason)
        dropped = self._counter("dead_letters_dropped", "Dead letters that could not be kept in a store.")
        dropped.add(statistics.dropped)
        yield from (kept.metric(), total.metric(), dropped.metric())

    def _loop(self) -> Iterator[Metric]:
        statistics = self._system.watchdog_statistics()
        blocked = self._counter("loop_blocked", "Times the event loop stood still for too long.")
        blocked.add(statistics.blocked)
        seconds = self._counter("loop_blocked_seconds", "Seconds it stood still in these.")
        seconds.add(statistics.blocked_seconds)
        yield from (blocked.metric(), seconds.metric())

    def _counter(self, name: str, text: str, *labels: str) -> Series:
        return counter(self._caps, name, text, *labels)

    def _gauge(self, name: str, text: str, *labels: str) -> Series:
        return gauge(self._caps, name, text, *labels)


def scrape(system: System) -> str:
    """Return one system's figures in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(SystemCollector(system))
    return generate_latest(registry).decode()


def _word(state: CircuitState) -> str:
    return state.name.lower()
