"""What a run looks like at one moment, and how to say it in a line."""

from __future__ import annotations

from typing import Final

import msgspec

from ._jobs import JobStatistics

STATES: Final = {
    "ok": "● closed",
    "half_open": "◐ half-open",
    "breaker_open": "■ open",
    "forced_open": "■ forced open",
    "paused": "‖ paused",
    "blocked": "✕ blocked",
    "failed": "✕ failed",
    "restarting": "↻ restarting",
}
"""A guard's states: a shape and a word, as colour alone leaves some readers out."""


class ProviderRow(msgspec.Struct, frozen=True, kw_only=True):
    """One provider, now."""

    name: str
    state: str
    """Shape and word."""
    seconds: float = 0.0
    """How much longer that lasts; 0 where nobody knows."""
    in_flight: int
    """Attempts under way."""
    limit: int
    """Attempts allowed at once."""
    waiting: int
    """Calls in the mailbox, those that wait for a retry included."""
    calls: int
    """Calls that have ended."""
    retries: int
    failures: int
    """Attempts that failed."""

    @property
    def says(self) -> str:
        """The state, with its end where it has one."""
        return f"{self.state} {self.seconds:.1f} s" if self.seconds > 0.0 else self.state


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A run at one moment."""

    seconds: float
    """Since it began."""
    comics: int
    """How many there will be."""
    jobs: JobStatistics
    providers: tuple[ProviderRow, ...]

    @property
    def ended(self) -> int:
        """Comics that are done or dead."""
        return self.jobs.succeeded + self.jobs.dead


def headline(snapshot: Snapshot) -> str:
    """Say how far the run is."""
    jobs = snapshot.jobs
    parts = [f"{jobs.succeeded} of {snapshot.comics} comics", f"{jobs.running} in work"]
    if jobs.waiting:
        parts.append(f"{jobs.waiting} waiting")
    if jobs.dead:
        parts.append(f"✕ {jobs.dead} dead")
    return ", ".join(parts)


def status_line(snapshot: Snapshot) -> str:
    """Say all of it in one line, for a pipe."""
    rows = (
        f"{row.name} {row.says}, {row.in_flight} in flight, {row.retries} retries"
        for row in snapshot.providers
    )
    return f"{snapshot.seconds:5.1f} s  " + " | ".join([headline(snapshot), *rows])
