"""The rate limit: requests and tokens a minute, spread evenly, corrected by what the provider says.

Token buckets that may go into debt: a call larger than the bucket begins when that is full. Each limit has
up to two buckets, and a call has to fit into both: the one of the policy, and the one that the provider's
last answer described. The former is what we want to keep to, the latter is what is true.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, final

import msgspec

from ._checks import check_positive

_MINUTE: Final = 60.0
_ENDLESS: Final = math.inf
_CRUMB: Final = 1e-6
"""Seconds that nobody is made to wait: the clock's floats are off by that much."""


class RateLimit(msgspec.Struct, frozen=True, kw_only=True):
    """Begin no more calls than a provider takes. Without a number, what its answers say is kept to alone.

    Args:
        requests_per_minute: Attempts begun within a minute, evenly spread.
        tokens_per_minute: Tokens within a minute, by the estimates of the calls, corrected by their usage.
        burst: Seconds' worth of a limit that may be used at once after a quiet time. At least one call is.
    """

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    burst: float = 6.0

    def __post_init__(self) -> None:
        for name in ("requests_per_minute", "tokens_per_minute"):
            limit: float | None = getattr(self, name)
            if limit is not None and not 0.0 < limit < math.inf:
                raise ValueError(f"RateLimit.{name} must be more than 0, and finite, got {limit!r}")
        check_positive("RateLimit.burst", self.burst)

    def limiter(self) -> RateLimiter:
        """Make the machine that keeps to it."""
        return RateLimiter(self)


class Allowance(msgspec.Struct, frozen=True):
    """What a provider says of one limit. What makes no sense, such as negative numbers, is left out."""

    remaining: float
    """What is left of it now."""
    limit: float | None = None
    """What there is in all."""
    resets_in: float | None = None
    """Seconds until all of it is there again."""


class RateReport(msgspec.Struct, frozen=True):
    """What a provider's answer says of its limits. None: nothing."""

    requests: Allowance | None = None
    tokens: Allowance | None = None


@dataclass(frozen=True, slots=True)
class RateLimiterStatistics:
    """What a rate limiter holds and has seen."""

    requests_left: float | None
    """Calls that could begin at once; None where nothing bounds them. Below 0 it is in debt."""
    tokens_left: float | None
    """Tokens the next call could use at once; None where nothing bounds them."""
    reports: int
    """Answers that said something of the provider's limits."""
    unknown_tokens: int
    """Calls whose tokens nobody could guess: they were counted when their answer came, or not at all."""


@final
class RateLimiter:
    """Say when a call may begin, and count what it uses."""

    __slots__ = (
        "_busy_until",
        "_in_flight",
        "_own_requests",
        "_own_tokens",
        "_reports",
        "_requests",
        "_tokens",
        "_tokens_in_flight",
        "_unknown",
    )

    def __init__(self, spec: RateLimit) -> None:
        self._own_requests = self._requests = _buckets(spec.requests_per_minute, spec.burst)
        self._own_tokens = self._tokens = _buckets(spec.tokens_per_minute, spec.burst)
        self._in_flight = self._reports = self._unknown = 0
        self._tokens_in_flight = 0.0
        self._busy_until = -math.inf
        """When one more request fits into its buckets."""

    def reconfigure(self, spec: RateLimit, now: float) -> None:
        """Go by other limits; what was used lately is used, and what the provider said stands."""
        requests, tokens = len(self._own_requests), len(self._own_tokens)
        told_requests, told_tokens = self._requests[requests:], self._tokens[tokens:]
        own = _buckets(spec.requests_per_minute, spec.burst)
        self._own_requests = _filled_as(self._own_requests, own, now)
        self._requests = (*self._own_requests, *told_requests)
        own = _buckets(spec.tokens_per_minute, spec.burst)
        self._own_tokens = _filled_as(self._own_tokens, own, now)
        self._tokens = (*self._own_tokens, *told_tokens)
        self._busy_until = _busy_until(self._requests)

    def wait(self, now: float, tokens: float = 0.0, *, ahead: int = 0) -> float:
        """Return the seconds until a call may begin; 0.0 is at once.

        Args:
            now: The moment.
            tokens: What it may use.
            ahead: Calls that begin before it. Their tokens are not known, so with some ahead it is the
                least that it will be.
        """
        wait = self._busy_until - now
        if ahead:
            for bucket in self._requests:
                missing = (1.0 + ahead - bucket.capacity) * bucket.interval
                if bucket.full_at > now:  # else it is full, and no fuller the longer it has been
                    missing += bucket.full_at - now
                if missing > wait:
                    wait = missing
        for bucket in self._tokens:
            missing = bucket.full_at - now
            if tokens < bucket.capacity:  # else it would never fit: it waits for a full bucket
                missing += (tokens - bucket.capacity) * bucket.interval
            if missing > wait:
                wait = missing
        return wait if wait > _CRUMB else 0.0

    def take(self, now: float, tokens: float | None) -> None:
        """Count a call that begins now, with the tokens it may use; None: nobody knows how many."""
        self._in_flight += 1
        busy_until = now
        for bucket in self._requests:
            full_at = bucket.full_at
            if full_at < now:
                full_at = now
            full_at += bucket.interval
            bucket.full_at = full_at
            full_at -= bucket.slack
            if full_at > busy_until:
                busy_until = full_at
        self._busy_until = busy_until
        if tokens is None:
            self._unknown += 1
        else:
            self._tokens_in_flight += tokens
            for bucket in self._tokens:
                if bucket.full_at < now:  # max() would take longer than all of this
                    bucket.full_at = now
                bucket.full_at += tokens * bucket.interval

    def settle(self, now: float, tokens: float | None, used: float | None) -> None:
        """Note the end of a call that was sent.

        Args:
            now: The moment.
            tokens: As it was taken.
            used: The tokens it did use; None, or what is no count: nobody knows, what was taken stands.
        """
        self._in_flight -= 1
        taken = tokens or 0.0
        self._tokens_in_flight -= taken
        if used is not None and 0.0 <= used < _ENDLESS:
            for bucket in self._tokens:
                if bucket.full_at < now:
                    bucket.full_at = now
                bucket.full_at += (used - taken) * bucket.interval

    def give_back(self, now: float, tokens: float | None) -> None:
        """Undo `take`: the call was not sent."""
        for bucket in self._requests:
            bucket.full_at -= bucket.interval
        self._busy_until = _busy_until(self._requests)
        self.settle(now, tokens, 0.0)

    def report(self, report: RateReport, now: float, tokens: float | None = None) -> None:
        """Take over what an answer says of the provider's limits.

        Args:
            report: What it says.
            now: The moment.
            tokens: What was taken for the call that it answers.
        """
        self._reports += 1
        # The provider may not have seen the others yet that are on their way, or have seen them: to take
        # them off what is left is the safe side, and matters only where little is left.
        if report.requests is not None:
            told = _Bucket.told(report.requests, self._in_flight - 1, now)
            self._requests = (*self._own_requests, told)
            self._busy_until = _busy_until(self._requests)
        if report.tokens is not None:
            told = _Bucket.told(report.tokens, self._tokens_in_flight - (tokens or 0.0), now)
            self._tokens = (*self._own_tokens, told)

    def statistics(self, now: float) -> RateLimiterStatistics:
        """Return what is left at this moment."""
        return RateLimiterStatistics(
            min((bucket.level(now) for bucket in self._requests), default=None),
            min((bucket.level(now) for bucket in self._tokens), default=None),
            self._reports,
            self._unknown,
        )


class _Bucket:
    """A token bucket that may go into debt, as one moment: when it is full, if nothing more is taken.

    That is the generic cell rate algorithm: no level has to be kept up to date.
    """

    __slots__ = ("capacity", "full_at", "interval", "slack")

    def __init__(self, capacity: float, interval: float, full_at: float) -> None:
        self.capacity = capacity
        self.interval = interval
        """Seconds in which one comes back."""
        self.full_at = full_at
        self.slack = (capacity - 1.0) * interval
        """Seconds before it is full from which one fits in."""

    @classmethod
    def told(cls, said: Allowance, in_flight: float, now: float) -> _Bucket:
        """Make the bucket that a provider describes.

        What is missing comes back until the reset, evenly; where it does not say when, within a minute.
        """
        capacity = max(1.0, said.remaining, said.limit or 0.0)
        missing = capacity - said.remaining
        interval = _MINUTE / capacity
        if said.resets_in is not None and said.resets_in > 0.0 and missing > 0.0:
            interval = said.resets_in / missing
        return cls(capacity, interval, now + (missing + max(0.0, in_flight)) * interval)

    def level(self, now: float) -> float:
        """Return what may be taken now; below 0 it is in debt."""
        return self.capacity - max(0.0, self.full_at - now) / self.interval


def _busy_until(buckets: tuple[_Bucket, ...]) -> float:
    return max((bucket.full_at - bucket.slack for bucket in buckets), default=-math.inf)


def _buckets(per_minute: float | None, burst: float) -> tuple[_Bucket, ...]:
    if per_minute is None:
        return ()
    return (_Bucket(max(1.0, per_minute / _MINUTE * burst), _MINUTE / per_minute, -math.inf),)


def _filled_as(before: tuple[_Bucket, ...], buckets: tuple[_Bucket, ...], now: float) -> tuple[_Bucket, ...]:
    """Miss as much in *buckets* as was missing *before*."""
    for old, new in zip(before, buckets, strict=False):
        missing = max(0.0, old.full_at - now) / old.interval
        new.full_at = now + missing * new.interval
    return buckets
