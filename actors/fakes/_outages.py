"""Scripted outages: a provider is down from a moment on, for some seconds."""

import math
from collections.abc import Iterable

import msgspec

from ._names import check_provider
from ._ranges import check_range


class Outage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Take *provider* down for *seconds*: every request to it fails hard.

    It begins *after_seconds* after the fake opened (or was reset), or with the first request after
    *after_requests* of them; without either, at once. It happens once.
    """

    provider: str
    seconds: float
    after_seconds: float | None = None
    after_requests: int | None = None
    status: int | None = 503
    """HTTP status of the refusals: 500, 502, 503, or Anthropic's 529 (the others say 503 instead).
    None: connections are reset."""

    def __post_init__(self) -> None:
        check_provider(self.provider)
        check_range("Outage.seconds", self.seconds, 0.001, 86_400.0)
        check_range("Outage.after_seconds", self.after_seconds or 0.0, 0.0, 86_400.0)
        check_range("Outage.after_requests", self.after_requests or 0, 0, 10**9)
        if self.after_seconds is not None and self.after_requests is not None:
            raise ValueError("Outage takes after_seconds or after_requests, got both: drop one")
        if self.status not in {500, 502, 503, 529, None}:
            raise ValueError(f"Outage.status must be 500, 502, 503, 529 or None, got {self.status!r}")


class OutageClock:
    """Keep the outages of one fake and say which is on."""

    def __init__(self, outages: Iterable[Outage], now: float) -> None:
        self._windows = [_Window(outage, now, 0) for outage in outages]

    def add(self, outage: Outage, now: float, requests: int) -> None:
        """Schedule one more; its own time and count begin here."""
        self._windows.append(_Window(outage, now, requests))

    def strike(self, now: float, requests: int) -> Outage | None:
        """Return the outage that hits a request arriving *now* as number *requests*, if any."""
        hits = [window.outage for window in self._windows if window.is_on(now, requests)]
        return hits[0] if hits else None


class _Window:
    def __init__(self, outage: Outage, now: float, requests: int) -> None:
        self.outage = outage
        self._after_request = None if outage.after_requests is None else requests + outage.after_requests
        # A window counted in requests gets its beginning when that request arrives.
        self._begins = math.inf if self._after_request is not None else now + (outage.after_seconds or 0.0)

    def is_on(self, now: float, requests: int) -> bool:
        if self._after_request is not None and requests > self._after_request:
            self._begins = min(self._begins, now)
        return self._begins <= now < self._begins + self.outage.seconds
