"""What a guard counts: plain integers, read when somebody looks."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import ClassVar, NamedTuple

from ..runtime import ActorStatistics, Message
from ._failures import FailureKind
from ._guarded import Estimate
from ._metering import SpendingStatistics
from .policies import (
    BulkheadStatistics,
    CircuitState,
    CircuitStatistics,
    GateStatistics,
    RateLimiterStatistics,
    RetryBudgetStatistics,
    TransitionCause,
)

LATENCIES = 4096
"""Call times kept for percentiles."""
COST_WINDOW = 60.0
"""Seconds for which the cost of a retry is shown: the window of the retry budget."""
BUCKETS = (*(0.01 * 2**n for n in range(14)), inf)
"""Upper bounds of the histogram of call times, in seconds: 0.01 to 81.92, doubling."""
NEVER_MADE = frozenset({"breaker_open", "retry_budget", "cost_budget"})
"""Outcomes of retries that were not made."""


class RetryKey(NamedTuple):
    """Which retries are counted together."""

    operation: str
    """The message's type."""
    reason: FailureKind
    """What the attempt before it failed of."""
    outcome: str
    """``success``, ``failed``, ``cancelled``, or why it was never made: ``breaker_open``, ``retry_budget``,
    ``cost_budget``."""


class TransitionKey(NamedTuple):
    """Which transitions of a breaker are counted together."""

    old: CircuitState
    """Where it was."""
    new: CircuitState
    """Where it went."""
    cause: TransitionCause
    """``auto``, or ``forced`` by an operator, also where it was given back to itself."""


class CallKey(NamedTuple):
    """Which calls are counted together."""

    model: str
    """What the message asks of, where it says: its ``model``."""
    operation: str
    """The message's type."""
    outcome: str
    """``ok``, ``retried_ok``, ``failed``, ``rejected``, ``cancelled``."""


@dataclass(slots=True)
class Histogram:
    """Times of calls, in buckets."""

    counts: list[int] = field(default_factory=lambda: [0] * len(BUCKETS))
    """Calls per bucket, not cumulated."""
    seconds: float = 0.0
    """Sum."""
    bounds: ClassVar[tuple[float, ...]] = BUCKETS
    """Upper bounds of the buckets, in seconds."""

    def add(self, seconds: float) -> None:
        """Count one call."""
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.seconds += seconds

    def copy(self) -> Histogram:
        """Return what it holds now; it does not change any more."""
        return Histogram(self.counts.copy(), self.seconds)

    def merge(self, other: Histogram) -> None:
        """Add another's calls."""
        self.counts = [mine + its for mine, its in zip(self.counts, other.counts, strict=True)]
        self.seconds += other.seconds


class _Tally:
    """Count the calls of one kind, one model and one outcome."""

    __slots__ = ("calls", "durations")

    def __init__(self, durations: Histogram) -> None:
        self.calls = 0
        self.durations = durations
        """Their times, together with those of other models."""


class GuardCounters:
    """The counters of one guard. Only the guard's cell writes them."""

    __slots__ = (
        "_costs",
        "_rejected",
        "_tallies",
        "_with_model",
        "attempts",
        "durations",
        "failures",
        "fallbacks",
        "latencies",
        "refusals",
        "retries",
        "transitions",
        "unpriced",
        "wait_seconds",
    )

    def __init__(self) -> None:
        self.attempts = 0
        self.retries: Counter[RetryKey] = Counter()
        self.failures: Counter[FailureKind] = Counter()
        self.refusals: Counter[str] = Counter()
        self.fallbacks: Counter[tuple[str, str]] = Counter()
        self.wait_seconds = 0.0
        self.latencies: deque[float] = deque(maxlen=LATENCIES)
        self.transitions: Counter[TransitionKey] = Counter()
        self.durations: dict[tuple[str, str], Histogram] = {}
        self.unpriced: Counter[str] = Counter()
        self._costs: dict[str, deque[tuple[float, float]]] = {}
        # Where a call is counted, found by a bare tuple: to make a key for each call would take 200 ns.
        self._rejected: Counter[CallKey] = Counter()
        self._tallies: dict[tuple[type[Message], str, str], _Tally] = {}
        self._with_model: dict[type[Message], bool] = {}
        """Which messages say what model they ask."""

    def ended(self, message: Message, outcome: str, seconds: float) -> None:
        """Count a call that reached the service at least once."""
        kind = type(message)
        # Whether a kind of message has a model is found out with its first tally.
        model = str(getattr(message, "model", "")) if self._with_model.get(kind, True) else ""
        tally = self._tallies.get((kind, model, outcome))
        if tally is None:
            tally = self._open_tally(kind, model, outcome)
        tally.calls += 1
        tally.durations.add(seconds)
        self.latencies.append(seconds)

    @property
    def calls(self) -> dict[CallKey, int]:
        """Calls that have ended, refused ones included."""
        found = self._rejected.copy()
        for (kind, model, outcome), tally in self._tallies.items():
            found[CallKey(model, kind.__name__, outcome)] += tally.calls
        return dict(found)

    def refused(self, message: Message, error: Exception) -> None:
        """Count a call that never reached it."""
        self.refusals[type(error).__name__] += 1
        model = str(getattr(message, "model", ""))
        self._rejected[CallKey(model, type(message).__name__, "rejected")] += 1

    def _open_tally(self, kind: type[Message], model: str, outcome: str) -> _Tally:
        self._with_model[kind] = hasattr(kind, "model")
        durations = self.durations.setdefault((kind.__name__, outcome), Histogram())
        tally = self._tallies[kind, model, outcome] = _Tally(durations)
        return tally

    def charged(self, estimate: Estimate, now: float) -> None:
        """Note what a retry may cost."""
        if estimate.usd is None:
            self.unpriced[estimate.model] += 1
            return
        costs = self._costs.setdefault(estimate.model, deque())
        costs.append((now, estimate.usd))
        self._forget(costs, now)

    def retry_cost(self, now: float) -> dict[str, float]:
        """Return the estimated cost of the retries of the last minute, in US dollars by model."""
        found: dict[str, float] = {}
        for model, costs in self._costs.items():
            self._forget(costs, now)
            found[model] = sum(usd for _, usd in costs)
        return found

    def _forget(self, costs: deque[tuple[float, float]], now: float) -> None:
        while costs and costs[0][0] < now - COST_WINDOW:
            costs.popleft()


@dataclass(frozen=True, slots=True)
class GuardStatistics:
    """What became of the calls of one service, and where its guard is now."""

    provider: str
    """The service."""
    state: str
    """``ok``, ``paused``, ``breaker_open``, ``forced_open``, ``half_open``, ``blocked``, ``failed`` or
    ``restarting``."""
    actor: ActorStatistics
    """Its mailbox; a call that waits for its retry counts as queued."""
    calls: Mapping[CallKey, int]
    """Calls that have ended, refused ones included."""
    attempts: int
    """Times the service was called."""
    retries: Mapping[RetryKey, int]
    """Retries that have ended."""
    failures: Mapping[FailureKind, int]
    """Attempts that failed, by kind."""
    refusals: Mapping[str, int]
    """Calls that were refused, by error class."""
    fallbacks: Mapping[tuple[str, str], int]
    """Calls another provider was asked to answer, by its id and the reason."""
    breaker: CircuitStatistics | None
    """The breaker; None where the policy has none."""
    breaker_transitions: Mapping[TransitionKey, int]
    """How often the breaker went from one state to another, by itself or by force."""
    bulkhead: BulkheadStatistics
    """The attempts in flight."""
    gate: GateStatistics
    """The pauses; those of its account, where services share one."""
    rate_limit: RateLimiterStatistics | None
    """What is left of the rate limit, which an account shares; None where the policy has none."""
    retry_budget: RetryBudgetStatistics | None
    """The retries of all calls together; None where the policy does not bound them."""
    spending: SpendingStatistics | None
    """What its calls have cost; None where no budget counts it."""
    waiting_retries: int
    """Calls that wait for their next attempt."""
    wait_seconds: float
    """Seconds calls have been told to wait before a retry, summed over calls."""
    latencies: tuple[float, ...]
    """The newest call times in seconds, retries and waits included, refused calls excluded."""
    durations: Mapping[tuple[str, str], Histogram]
    """All call times, in buckets, by operation and outcome."""
    retry_cost_usd: Mapping[str, float]
    """Estimated cost of the retries of the last minute, by model."""
    unpriced_retries: Mapping[str, int]
    """Retries whose price is not known, by model. Their cost is missing above."""
    restarts: int
    """Incarnations of the service after the first."""

    @property
    def retries_total(self) -> int:
        """How many retries were made."""
        return sum(count for key, count in self.retries.items() if key.outcome not in NEVER_MADE)
