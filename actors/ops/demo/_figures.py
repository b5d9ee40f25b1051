"""Read the figures of a running system: for the display now, for the report at the end."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from prometheus_client.parser import text_string_to_metric_families

from ....runtime import ActorStatistics
from ....supervisors import GuardStatistics, System
from ...jobs import JobState
from .. import scrape
from ._jobs import JobBoard
from ._report import BreakerCounts, JobCounts, Latency, ProviderReport
from ._snapshot import STATES, ProviderRow, Snapshot


class Observer:
    """Watch one system from its start to its end.

    Args:
        system: Its services are what is watched.
        board: Its jobs too.
        began: The moment the run began, on the system's clock.
    """

    def __init__(self, system: System, board: JobBoard, *, began: float) -> None:
        self._system = system
        self._board = board
        self._began = began
        self._probe_at: dict[str, float] = {}

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return self._system.events.now() - self._began

    def hear(self, event: str, fields: Mapping[str, object]) -> str | None:
        """Take note of an event; return what a person should be told of it, if anything."""
        if event != "breaker.transition":
            return None
        seconds = fields.get("next_probe_in")
        wait = float(seconds) if isinstance(seconds, int | float) else 0.0
        self._probe_at[str(fields["provider"])] = self._system.events.now() + wait
        return f"{self.seconds:5.1f} s  {_transition(fields, wait)}"

    def snapshot(self) -> Snapshot:
        """Look at the run now."""
        rows = tuple(self._row(service) for service in self._system.services())
        jobs = self._board.statistics
        return Snapshot(seconds=self.seconds, comics=jobs.submitted, jobs=jobs, providers=rows)

    def _row(self, service: GuardStatistics) -> ProviderRow:
        now = self._system.events.now()
        ends = {
            "breaker_open": self._probe_at.get(service.provider, now),
            "paused": service.gate.reopens_at,
        }
        return ProviderRow(
            name=service.provider,
            state=STATES[service.state],
            seconds=max(ends.get(service.state, now) - now, 0.0),
            in_flight=service.bulkhead.in_flight,
            limit=service.bulkhead.limit,
            waiting=service.actor.queued,
            calls=sum(service.calls.values()),
            retries=sum(service.retries.values()),
            failures=sum(service.failures.values()),
        )

    def providers(self) -> dict[str, ProviderReport]:
        """Report on the services."""
        return {service.provider: provider_report(service) for service in self._system.services()}

    def restarts(self) -> int:
        """Count the actors that were started again, those that are gone included."""
        return sum(self._system.restarts_by_kind().values())

    def dead_letters(self) -> int:
        """Count the messages no handler saw."""
        return self._system.dead_letters.statistics().total

    def metrics(self) -> str:
        """Return what Prometheus would be told now."""
        return scrape(self._system)

    def unaccounted(self) -> int:
        """Count the messages whose end nobody knows: there must be none."""
        return sum(abs(imbalance(ref.statistics())) for ref in self._system.actors())


def provider_report(service: GuardStatistics) -> ProviderReport:
    """Turn a guard's counters into the report's."""
    breaker = service.breaker
    return ProviderReport(
        calls=sum(service.calls.values()),
        attempts=service.attempts,
        retries=sum(service.retries.values()),
        failures={str(kind): count for kind, count in service.failures.items()},
        refusals={refusal_kind(name): count for name, count in service.refusals.items()},
        breaker=BreakerCounts(
            opened=breaker.opened if breaker else 0,
            half_opened=breaker.half_opened if breaker else 0,
            closed=breaker.closed if breaker else 0,
        ),
        wait_seconds=round(service.wait_seconds, 3),
        latency_ms=Latency(p50=percentile(service.latencies, 0.5), p99=percentile(service.latencies, 0.99)),
    )


def scraped_retries(metrics: str) -> int:
    """Add up the retries in a scrape."""
    families = {family.name: family for family in text_string_to_metric_families(metrics)}
    family = families.get("retry_attempts")
    return 0 if family is None else round(sum(sample.value for sample in family.samples))


def job_counts(board: JobBoard, *, is_interrupted: bool) -> JobCounts:
    """Count the jobs. Interrupted, those that have not ended are named, so they are not lost."""
    submitted, dead = len(board.taken), len(board.dead)
    succeeded = sum(job.state is JobState.SUCCEEDED for job in board.jobs)
    named = len(board.unfinished) if is_interrupted else 0
    lost = submitted - succeeded - dead - named
    return JobCounts(submitted=submitted, succeeded=succeeded, dead=dead, lost=lost)


def percentile(seconds: Sequence[float], share: float) -> float | None:
    """Return the value that *share* of *seconds* don't exceed, in milliseconds (nearest rank)."""
    if not seconds:
        return None
    ranked = sorted(seconds)
    place = min(int(share * len(ranked)), len(ranked) - 1)
    return round(ranked[place] * 1000.0, 1)


def refusal_kind(name: str) -> str:
    """Write an error class as the kinds of failures are written: ``circuit_breaker_open``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.removesuffix("Error")).lower()


def imbalance(actor: ActorStatistics) -> int:
    """Return how many more messages an actor took than it can account for."""
    ended = actor.handled + actor.dead_letters + actor.abandoned
    return actor.accepted - ended - actor.queued - actor.in_hand


_SHARES = {"failure_rate": "too many attempts failed", "slow_rate": "too many attempts were slow"}
"""Reasons of a breaker to open that are no failures in a row."""


def _transition(fields: Mapping[str, object], wait: float) -> str:
    words = {"closed": STATES["ok"], "half_open": STATES["half_open"], "open": STATES["breaker_open"]}
    before, after = (words.get(str(fields[end]), str(fields[end])) for end in ("from", "to"))
    line = f"{fields['provider']}: breaker {before} -> {after}"
    if fields["to"] == "open":
        why = _SHARES.get(str(fields["reason"]), f"{fields['failures']} failures in a row")
        return f"{line} ({why}; a probe in {wait:.1f} s)"
    return line
