"""What a fake remembers of the requests it met."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

LIMIT = 10_000
"""Requests remembered; older ones are forgotten."""
BODY_LIMIT = 4_096
"""Bytes remembered of a request's body."""

_SECRETS = frozenset({"authorization", "x-api-key", "api-key", "apikey", "xi-api-key", "cookie"})


class LogEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One request, as the fake saw it."""

    number: int
    """Its place among all requests since the fake opened or was reset, from 1."""
    at: float
    """Seconds since then."""
    operation: str
    """What was asked for: chat, messages, run, status, speech, select, storage_upload and so on."""
    method: str
    path: str
    headers: dict[str, str]
    """Names in lower case; the values of those that carry a key are ``***``."""
    body: str
    """The beginning of the body."""
    source: str = ""
    """Who chose the outcome: script, scenario, outage, auth, size, quota, limit or plan; "" for an
    ordinary answer."""
    fault: str = ""
    """The fault met (a FaultKind); "" for none."""
    status: int = 0
    """HTTP status sent; 0: none was, or none yet."""
    seconds: float = -1.0
    """How long the fake dealt with it; -1: it still does."""
    chunks: int = 0
    """Pieces of a stream that were sent."""
    is_abandoned: bool = False
    """The client left before the end of the stream, or of a hang."""


class Ending(msgspec.Struct, frozen=True):
    """How a request ended."""

    status: int
    """0: no reply."""
    chunks: int = 0
    is_abandoned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeStatistics:
    """Counts of one fake since it opened or was reset."""

    requests: int
    """Requests that arrived."""
    answered: int
    """Those answered with a status below 400 and without a fault."""
    faults: dict[str, int]
    """Faults given, by kind, outages included."""
    statuses: dict[int, int]
    """Replies sent, by HTTP status."""
    in_flight: int
    """Requests being dealt with."""
    in_flight_peak: int
    """The most there were of them."""
    outage_requests: int
    """Requests that met a scripted outage."""
    script_steps: int
    """Scripted answers still to be used."""
    jobs: dict[str, int]
    """Jobs kept by status (RunPod)."""


class RequestLog:
    """Enter requests, complete them when they end, and count."""

    def __init__(self) -> None:
        self._entries: dict[int, LogEntry] = {}
        self.requests = 0
        self.answered = 0
        self.in_flight = 0
        self.in_flight_peak = 0
        self.outage_requests = 0
        self.faults: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()

    def enter(self, entry: LogEntry) -> None:
        """Remember a request that has arrived; the oldest gives way."""
        self.requests += 1
        self.in_flight += 1
        self.in_flight_peak = max(self.in_flight_peak, self.in_flight)
        self._entries[entry.number] = entry
        if len(self._entries) > LIMIT:
            del self._entries[next(iter(self._entries))]
        if entry.fault:
            self.faults[entry.fault] += 1
        self.outage_requests += entry.source == "outage"

    def complete(self, entry: LogEntry, ending: Ending, now: float) -> None:
        """Note how a request ended; *now* counts from where its ``at`` does."""
        status = ending.status
        self.in_flight -= 1
        self.answered += 200 <= status < 400 and not entry.fault
        if status:
            self.statuses[status] += 1
        if entry.number in self._entries:
            self._entries[entry.number] = msgspec.structs.replace(
                entry,
                status=status,
                seconds=now - entry.at,
                chunks=ending.chunks,
                is_abandoned=ending.is_abandoned,
            )

    def after(self, number: int) -> list[LogEntry]:
        """Return what is remembered of the requests after *number*, in order of arrival."""
        return [entry for entry in self._entries.values() if entry.number > number]


def without_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    """Copy *headers* with the values that carry keys struck out."""
    return {name: "***" if name in _SECRETS else value for name, value in headers.items()}
