"""The limits a fake keeps of its own accord: money, and requests a minute."""

from __future__ import annotations

import math

import msgspec

_UNLIMITED = 10_000


class RateView(msgspec.Struct, frozen=True):
    """What the rate-limit headers tell."""

    limit: int
    remaining: int
    reset: float
    """Seconds until the bucket is full again."""
    in_flight: int = 0
    """Requests dealt with at the moment, of those that are limited."""
    most_in_flight: int | None = None
    """How many of these there may be; None: as many as come."""


class RateBucket:
    """A bucket of requests that fills evenly, once a minute in all."""

    def __init__(self, limit: int | None, now: float) -> None:
        self._limit = limit
        self._tokens = float(limit or _UNLIMITED)
        self._filled_at = now

    def take(self, now: float) -> float:
        """Take one request out. Return 0, or the seconds until there is one to take."""
        if self._limit is None:
            return 0.0
        self._fill(now, self._limit)
        if self._tokens < 1.0:
            return (1.0 - self._tokens) * 60.0 / self._limit
        self._tokens -= 1.0
        return 0.0

    def view(self, now: float) -> RateView:
        """Return the bucket's state for the headers."""
        if self._limit is None:
            return RateView(_UNLIMITED, _UNLIMITED - 1, 0.006)
        self._fill(now, self._limit)
        missing = self._limit - self._tokens
        return RateView(self._limit, math.floor(self._tokens), missing * 60.0 / self._limit)

    def _fill(self, now: float, limit: int) -> None:
        self._tokens = min(float(limit), self._tokens + (now - self._filled_at) * limit / 60.0)
        self._filled_at = now


class Seats:
    """Requests that may be dealt with at the same time."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.taken = 0

    def take(self) -> bool:
        """Take one; False: there is none left."""
        if self.limit is not None and self.taken >= self.limit:
            return False
        self.taken += 1
        return True

    def give_back(self) -> None:
        """Give one back."""
        self.taken -= 1


class Quota:
    """Requests that are paid for."""

    def __init__(self, requests: int | None) -> None:
        self._left = requests

    def spend(self) -> bool:
        """Pay for one request; False: the money is spent."""
        if self._left is None:
            return True
        if self._left == 0:
            return False
        self._left -= 1
        return True

    def top_up(self, requests: int | None) -> None:
        """Pay for *requests* more; None: never ask again."""
        self._left = None if requests is None else (self._left or 0) + requests
