"""Metrics of jobs: what the store holds, and what the workers of this process have done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from ...supervisors import Histogram
from ..jobs import DeadGroup, Ledger, Query, Queue, QueueState, Store
from ._labels import LabelCaps
from ._series import counter, cumulated, gauge

JOB_CAPS = {"queue": 32, "job": 64}
"""Values each label may have."""


class JobFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What a store holds at one moment."""

    at: float
    """Seconds since 1970."""
    queues: tuple[QueueState, ...] = ()
    dead: tuple[DeadGroup, ...] = ()
    usd_today: dict[str, float] = {}
    """By queue."""


class JobCollector(Collector):
    """Offer a store's figures to Prometheus, and those of the queues whose workers run here.

    Args:
        figures: From `read_job_figures`, a moment ago: reading a store takes a while, collecting must not.
        queues: Those of this process.
    """

    def __init__(self, figures: JobFigures, queues: Sequence[Queue] = ()) -> None:
        self._figures = figures
        self._queues = queues
        self._caps = LabelCaps(JOB_CAPS)

    def collect(self) -> Iterator[Metric]:
        """Read every figure once."""
        yield from self._states()
        yield from self._money()
        yield from self._runs()
        yield self._steps()

    def _states(self) -> Iterator[Metric]:
        jobs = gauge(self._caps, "jobs", "Jobs in the store that are unfinished or dead.", "queue", "state")
        oldest = gauge(
            self._caps, "job_oldest_queued_seconds", "How long the oldest queued job could begin.", "queue"
        )
        paused = gauge(self._caps, "job_queue_paused", "1 while no job is begun.", "queue")
        workers = gauge(self._caps, "job_queue_workers", "Workers that take its jobs.", "queue")
        for queue in self._figures.queues:
            for state, count in queue.counts.items():
                jobs.add(count, queue.name, str(state))
            since = self._figures.at if queue.oldest_at is None else queue.oldest_at
            oldest.add(max(0.0, self._figures.at - since), queue.name)
            paused.add(queue.is_paused, queue.name)
            workers.add(queue.workers, queue.name)
        dead = gauge(self._caps, "jobs_dead", "Dead jobs that wait for a person.", "job")
        for group in self._figures.dead:
            dead.add(group.count, group.kind)
        for series in (jobs, oldest, paused, workers, dead):
            yield series.metric()

    def _money(self) -> Iterator[Metric]:
        cost = gauge(self._caps, "job_cost_today_usd", "Cost of this day (UTC) so far.", "queue")
        for queue, usd in self._figures.usd_today.items():
            cost.add(usd, queue)
        yield cost.metric()

    def _runs(self) -> Iterator[Metric]:
        runs = counter(self._caps, "job_runs", "Runs that have ended.", "queue", "job", "outcome")
        for queue in self._queues:
            for (kind, outcome), count in queue.counters.runs.items():
                runs.add(count, queue.name, kind, outcome)
        yield runs.metric()

    def _steps(self) -> Metric:
        labels = ("queue", "job")
        family = HistogramMetricFamily("job_step_duration_seconds", "Finished steps.", labels=labels)
        totals: dict[tuple[str, ...], Histogram] = {}
        for queue in self._queues:
            for kind, times in queue.counters.steps.items():
                capped = self._caps.values(family.name, labels, (queue.name, kind))
                totals.setdefault(capped, Histogram()).merge(times)
        for capped, times in totals.items():
            family.add_metric(list(capped), buckets=cumulated(times), sum_value=times.seconds)
        return family


async def read_job_figures(store: Store, *, clock: Callable[[], float] = time.time) -> JobFigures:
    """Read what a store holds; call it for each scrape.

    Args:
        store: Open.
        clock: Seconds since 1970.

    Raises:
        StoreError: The store can't be read now.
    """
    (today,) = await Ledger(store, clock=clock).days(1)
    usd: dict[str, float] = {}
    for spending in today.spendings:
        usd[spending.queue] = usd.get(spending.queue, 0.0) + spending.usd
    return JobFigures(
        at=clock(),
        queues=tuple(await store.queues()),
        dead=tuple(await store.dead_groups(Query())),
        usd_today=usd,
    )


async def scrape_jobs(
    store: Store, queues: Sequence[Queue] = (), *, clock: Callable[[], float] = time.time
) -> str:
    """Return a store's figures in Prometheus' text format; see `JobCollector`.

    Raises:
        StoreError: The store can't be read now.
    """
    registry = CollectorRegistry()
    registry.register(JobCollector(await read_job_figures(store, clock=clock), queues))
    return generate_latest(registry).decode()
