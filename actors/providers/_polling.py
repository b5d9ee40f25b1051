"""When to look at a running job again, and when to lose patience with it."""

import math
from random import Random
from typing import Literal, final

import msgspec

Lateness = Literal["queue_timeout", "run_timeout"]


class Polling(msgspec.Struct, frozen=True, kw_only=True):
    """Say how often a job is looked at, and how long it may take. Seconds throughout."""

    initial: float = 0.5
    """The first wait."""
    factor: float = 1.5
    """Each wait is this many times the one before."""
    cap: float = 5.0
    """No wait is longer, unless the server asks for it."""
    jitter: float = 0.1
    """Share of the wait that is added at most."""
    queue_limit: float = 300.0
    """A job no worker has taken by then is given up: where there is no worker, it would wait for ever."""
    run_grace: float = 30.0
    """A job may run for this much longer than it was allowed to: the server should end it itself."""
    visible_after: float = 5.0
    """A new job may be unknown to the server for so long."""

    def __post_init__(self) -> None:
        for name, least in (
            ("initial", 0.001),
            ("factor", 1.0),
            ("cap", self.initial),
            ("queue_limit", 0.001),
        ):
            _check(name, getattr(self, name), least)
        for name in ("jitter", "run_grace", "visible_after"):
            _check(name, getattr(self, name), 0.0)

    def watch(self, run_limit: float, now: float) -> "JobWatch":
        """Begin to watch a job, submitted *now*, that may run for *run_limit* seconds."""
        return JobWatch(self, run_limit, now)


@final
class JobWatch:
    """Follow one job by what polling sees of it. Pure: it is told the time."""

    def __init__(self, polling: Polling, run_limit: float, now: float) -> None:
        self._polling = polling
        self._run_limit = run_limit
        self._wait = polling.initial
        self._submitted_at = now
        self._started_at: float | None = None

    def next_wait(self, rng: Random, *, least: float = 0.0) -> float:
        """Return the seconds until the next look, longer each time; *least* is what the server asked for."""
        wait = max(self._wait, least)
        self._wait = min(self._wait * self._polling.factor, self._polling.cap)
        return wait * (1.0 + self._polling.jitter * rng.random())

    def slow_down(self) -> None:
        """Look as rarely as the rule allows: the last look failed."""
        self._wait = self._polling.cap

    def started(self, now: float) -> None:
        """Note that a worker has the job; later notes change nothing."""
        if self._started_at is None:
            self._started_at = now

    def is_new(self, now: float) -> bool:
        """Tell whether the server may not know the job yet."""
        return self._started_at is None and now - self._submitted_at <= self._polling.visible_after

    def lateness(self, now: float) -> Lateness | None:
        """Return how the job is late, or None if it is not."""
        if self._started_at is None:
            return "queue_timeout" if now - self._submitted_at > self._polling.queue_limit else None
        limit = self._run_limit + self._polling.run_grace
        return "run_timeout" if now - self._started_at > limit else None


def _check(name: str, value: float, least: float) -> None:
    if not (math.isfinite(value) and value >= least):
        raise ValueError(f"Polling.{name} must be a finite number, {least:g} or more, got {value!r}")
