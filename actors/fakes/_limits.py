"""The limits a fake keeps of its own accord: money, and requests and tokens a minute."""

from __future__ import annotations

import math

import msgspec

_UNLIMITED = 10_000
_UNLIMITED_TOKENS = 2_000_000


class Level(msgspec.Struct, frozen=True):
    """What the headers of a rate limit tell of one bucket."""

    limit: int
    remaining: int
    reset: float
    """Seconds until the bucket is full again."""


class RateView(msgspec.Struct, frozen=True):
    """What the rate-limit headers tell."""

    requests: Level
    tokens: Level
    in_flight: int = 0
    """Requests dealt with at the moment, of those that are limited."""
    most_in_flight: int | None = None
    """How many of these there may be; None: as many as come."""


class RateBuckets:
    """Two buckets that fill evenly, once a minute in all: of requests, and of tokens."""

    def __init__(self, requests: int | None, tokens: int | None, now: float) -> None:
        self._requests = _Bucket(requests, _UNLIMITED, now)
        self._tokens = _Bucket(tokens, _UNLIMITED_TOKENS, now)

    def take(self, now: float, tokens: int) -> float:
        """Take a request of *tokens* out. Return 0, or the seconds until it may be taken; then none is."""
        wait = max(self._requests.wait(now, 1), self._tokens.wait(now, tokens))
        if wait == 0.0:
            self._requests.take(1)
            self._tokens.take(tokens)
        return wait

    def view(self, now: float) -> RateView:
        """Return the state of both for the headers."""
        return RateView(self._requests.level(now), self._tokens.level(now))


class _Bucket:
    def __init__(self, limit: int | None, usual: int, now: float) -> None:
        self._limit = limit
        self._usual = usual
        self._left = float(limit or usual)
        self._filled_at = now

    def wait(self, now: float, amount: int) -> float:
        if self._limit is None:
            return 0.0
        self._fill(now, self._limit)
        # What is more than the bucket holds may go when it is full: else it never could.
        missing = min(amount, self._limit) - self._left
        return max(0.0, missing * 60.0 / self._limit)

    def take(self, amount: int) -> None:
        if self._limit is not None:
            self._left -= min(amount, self._limit)

    def level(self, now: float) -> Level:
        if self._limit is None:
            return Level(self._usual, self._usual - 1, 0.006)
        self._fill(now, self._limit)
        missing = self._limit - self._left
        return Level(self._limit, math.floor(self._left), missing * 60.0 / self._limit)

    def _fill(self, now: float, limit: int) -> None:
        self._left = min(float(limit), self._left + (now - self._filled_at) * limit / 60.0)
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
