"""Look at a service: what became of its calls, and where its guard is now."""

from __future__ import annotations

from ..runtime import ActorState
from ._guard_statistics import GuardStatistics
from ._guarded_mailbox import GuardedMailbox
from .policies import CircuitState


def look_at_service(cell: GuardedMailbox) -> GuardStatistics:
    """Look at what became of the service's calls and where its guard is."""
    guard, now = cell.guard, cell.kernel.now()
    counters = guard.counters
    actor = cell.statistics()
    return GuardStatistics(
        provider=cell.provider,
        state=state_of_service(cell),
        actor=actor,
        calls=dict(counters.calls),
        attempts=counters.attempts,
        retries=dict(counters.retries),
        failures=dict(counters.failures),
        refusals=dict(counters.refusals),
        fallbacks=dict(counters.fallbacks),
        breaker=None if guard.circuit is None else guard.circuit.statistics(),
        breaker_transitions=dict(counters.transitions),
        bulkhead=guard.bulkhead.statistics(),
        gate=guard.gate.statistics(),
        rate_limit=None if guard.meter is None else guard.meter.rate_limit(now),
        retry_budget=None if guard.ledger is None else guard.ledger.statistics(now),
        spending=None if guard.meter is None else guard.meter.spending(now),
        waiting_retries=len(cell.waiting_retries),
        wait_seconds=counters.wait_seconds,
        latencies=tuple(counters.latencies),
        durations={key: histogram.copy() for key, histogram in counters.durations.items()},
        retry_cost_usd=counters.retry_cost(now),
        unpriced_retries=dict(counters.unpriced),
        restarts=actor.restarts,
    )


def state_of_service(cell: GuardedMailbox) -> str:
    """Say in a word where the service and its guard are now."""
    now = cell.kernel.now()
    circuit = cell.guard.circuit
    state = CircuitState.CLOSED if circuit is None else circuit.poll(now)
    facts = (
        (cell.guard.is_failed, "failed"),
        (cell.guard.is_blocked, "blocked"),
        (cell.state is ActorState.RESTARTING, "restarting"),
        (circuit is not None and circuit.forced == "open", "forced_open"),
        (state is CircuitState.OPEN, "breaker_open"),
        (state is CircuitState.HALF_OPEN, "half_open"),
        (not cell.guard.gate.is_open(now), "paused"),
    )
    return next((word for holds, word in facts if holds), "ok")
