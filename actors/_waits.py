"""Read how long a provider asks us to wait, from whatever place it chose to say so.

Providers disagree on the place (six of them) and on the form (seconds, milliseconds, Go durations,
three kinds of date). One parser with one order serves them all. A later place is read only when the
earlier ones are absent or make no sense: a header of ``0``, ``-1`` or ``NaN`` says nothing.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import chain
from math import isfinite
from typing import cast

_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+")
_DURATION = re.compile(
    # (?!s) keeps the m of `20ms` from reading as minutes.
    r"(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m(?!s))?(?:([0-9]+(?:\.[0-9]+)?)s)?(?:([0-9]+(?:\.[0-9]+)?)ms)?"
)
_UNITS = (86400.0, 3600.0, 60.0, 1.0, 0.001)
_RFC_3339 = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:.*")
_ANNOUNCED = re.compile(
    r"(?:try again|retry|resets) (?:after|in) ~?([0-9][0-9.hmsd]*)(?: (second|minute)s?\b)?", re.IGNORECASE
)
_TEXT_UNITS = {"second": 1, "minute": 60}

_EPOCH = 1e9
"""A bare number from here on is a moment (seconds since 1970), not a wait of thirty years."""
_EPOCH_MILLISECONDS = 1e11


def wait_hint(headers: Mapping[str, str], body: object, *, now: datetime) -> float | None:
    """Return the seconds a server asks us to wait, or None where it does not say.

    The first of these that makes sense wins: ``retry-after-ms``, ``retry-after``, the body
    (Gemini's ``retryDelay``, Replicate's ``retry_after``), the longest reset header among the
    limits with nothing left, "try again in ..." in the error's text.

    Args:
        headers: Of the response; case does not matter.
        body: Of the response, decoded; anything that is no JSON object says nothing.
        now: An aware datetime, for the dates among the hints.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    places = chain(_retry_after(lower, now), _in_body(body, now), _resets(lower, now), _in_text(body))
    return next((seconds for seconds in places if seconds is not None), None)


def parse_wait(text: str, *, now: datetime) -> float | None:
    """Read a duration or a moment as seconds from *now*.

    Durations are ``1.5``, ``20ms``, ``6m0s``; moments are HTTP dates, RFC 3339 and seconds since
    1970. What is not positive and finite, or not understood, is None.
    """
    text = text.strip()
    seconds = _duration(text)
    if seconds is None:
        moment = _moment(text)
        seconds = None if moment is None else moment - now.timestamp()
    return _sensible(seconds)


def _duration(text: str) -> float | None:
    if _NUMBER.fullmatch(text):
        return float(text) if float(text) < _EPOCH else None
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        return None
    return sum(float(count) * unit for count, unit in zip(match.groups(), _UNITS, strict=True) if count)


def _moment(text: str) -> float | None:
    """Return seconds since 1970."""
    if _NUMBER.fullmatch(text):
        return float(text) / (1000 if float(text) >= _EPOCH_MILLISECONDS else 1)
    try:
        # The stdlib's own parser of RFC 3339 also reads `20250821`, so look at the form first.
        moment = datetime.fromisoformat(text) if _RFC_3339.fullmatch(text) else parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):  # what the two parsers raise on assorted junk
        return None


def _sensible(seconds: float | None) -> float | None:
    return seconds if seconds is not None and isfinite(seconds) and seconds > 0 else None


def _retry_after(headers: Mapping[str, str], now: datetime) -> Iterator[float | None]:
    milliseconds = headers.get("retry-after-ms", "").strip()
    if _NUMBER.fullmatch(milliseconds):
        yield _sensible(float(milliseconds) / 1000)
    yield parse_wait(headers.get("retry-after", ""), now=now)


def _in_body(body: object, now: datetime) -> Iterator[float | None]:
    for layer in _layers(body):
        for name in ("retry_after", "retryDelay"):
            value = layer.get(name)
            if isinstance(value, str):
                yield parse_wait(value, now=now)
            # bool is an int to Python, but `"retry_after": true` is no second.
            elif isinstance(value, int | float) and not isinstance(value, bool):
                yield _sensible(float(value) if abs(value) < _EPOCH else None)


def _resets(headers: Mapping[str, str], now: datetime) -> Iterator[float | None]:
    """Yield the longest reset of the exhausted limits: the others only say when they are full again."""
    exhausted = (
        parse_wait(value, now=now)
        for name, value in headers.items()
        if "ratelimit" in name and "reset" in name and _is_spent(headers, name.replace("reset", "remaining"))
    )
    yield max((seconds for seconds in exhausted if seconds is not None), default=None)


def _is_spent(headers: Mapping[str, str], name: str) -> bool:
    remaining = headers.get(name, "").strip()
    return bool(_NUMBER.fullmatch(remaining)) and float(remaining) == 0


def _in_text(body: object) -> Iterator[float | None]:
    for layer in _layers(body):
        for name in ("message", "detail", "error"):
            match = _ANNOUNCED.search(text) if isinstance(text := layer.get(name), str) else None
            if match is not None:
                seconds = _duration(match[1].rstrip("."))
                yield _sensible(seconds and seconds * _TEXT_UNITS[(match[2] or "second").lower()])


def _layers(body: object) -> Iterator[Mapping[str, object]]:
    """Yield the objects of an error body that may hold a hint: itself, ``error``, Google's ``details``."""
    outer = _object(body)
    inner = _object(outer.get("error"))
    yield outer
    yield inner
    details = inner.get("details")
    for detail in cast("list[object]", details) if isinstance(details, list) else ():
        yield _object(detail)


def _object(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {}
