"""Schedules: moments at which jobs are enqueued, the same for every worker."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from math import floor
from typing import Protocol, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from ._checks import check_finite, check_number
from ._errors import JobSpecError

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FURTHEST = timedelta(days=366 * 9)
"""A 29th of February comes within eight years, also around a year that has none (1900, 2100)."""


class Schedule(Protocol):
    """Say when something is due next."""

    def after(self, moment: float) -> float:
        """Return the first moment later than *moment*, both seconds since 1970."""
        ...


class Every(msgspec.Struct, frozen=True):
    """Be due every so many seconds, counted from 1970, so that all workers mean the same moments.

    Args:
        seconds: Between two moments; at least 1.
        offset: Seconds after each of them.

    Raises:
        JobSpecError: Less than a second, or no number.
    """

    seconds: float
    offset: float = 0.0

    def __post_init__(self) -> None:
        check_number("Every.seconds", self.seconds, least=1.0)
        check_finite("Every.offset", self.offset)

    def after(self, moment: float) -> float:
        """Return the first moment later than *moment*."""
        turns = floor((moment - self.offset) / self.seconds) + 1
        due = turns * self.seconds + self.offset
        return due if due > moment else due + self.seconds


class Cron:
    """Be due by the five fields of cron: minute, hour, day of month, month, day of week.

    Each is ``*``, a number, a range ``1-5``, any of these with a step ``*/15``, or a list of them. Months
    and days of the week may be named (``jan``, ``mon``); Sunday is 0 and 7. When both days are given, one
    of them is enough, as in every cron. An hour that a change of the clock skips is skipped; one that it
    repeats is due twice.

    Args:
        text: ``"30 3 * * mon-fri"``.
        timezone: Where the clock hangs.

    Raises:
        JobSpecError: It is no schedule, or one that never comes, or there is no such time zone.
    """

    def __init__(self, text: str, *, timezone: str = "UTC") -> None:
        fields = _fields(text)
        self.text = text
        self._zone = _zone(timezone)
        self._minutes = _parse(f"{text!r}: minute", fields[0], 0, 59)
        self._hours = _parse(f"{text!r}: hour", fields[1], 0, 23)
        self._days = _parse(f"{text!r}: day of month", fields[2], 1, 31)
        self._months = _parse(f"{text!r}: month", fields[3], 1, 12, _MONTHS, first=1)
        self._weekdays = frozenset(
            day % 7 for day in _parse(f"{text!r}: day of week", fields[4], 0, 7, _DAYS)
        )
        self._is_any_day = fields[2].startswith("*")
        self._is_any_weekday = fields[4].startswith("*")
        self.after(0.0)

    def __repr__(self) -> str:
        return f"Cron({self.text!r}, timezone={str(self._zone)!r})"

    def after(self, moment: float) -> float:
        """Return the first moment later than *moment*."""
        # By the clock of the world, whose minutes all exist and exist once.
        minute = floor(moment / 60) + 1
        end = minute + _FURTHEST // timedelta(minutes=1)
        while minute < end:
            there = datetime.fromtimestamp(minute * 60, self._zone)
            if not self._is_day(there):
                minute += self._minutes_left(there, of_day=True)
            elif there.hour not in self._hours:
                minute += self._minutes_left(there, of_day=False)
            elif there.minute not in self._minutes:
                minute += 1
            else:
                return minute * 60.0
        raise JobSpecError("Cron.text", f"{self.text!r} never comes: no month has such a day")

    def _is_day(self, there: datetime) -> bool:
        if there.month not in self._months:
            return False
        is_day = there.day in self._days
        is_weekday = there.isoweekday() % 7 in self._weekdays
        if self._is_any_day or self._is_any_weekday:
            return is_day and is_weekday
        return is_day or is_weekday

    @staticmethod
    def _minutes_left(there: datetime, *, of_day: bool) -> int:
        """Return minutes that can be skipped; near a change of the clock never more than to the next hour."""
        to_hour = 60 - there.minute
        if not of_day or there.hour >= 20:
            return to_hour
        return to_hour + 60 * (20 - there.hour - 1)


def _fields(text: object) -> list[str]:
    fields = text.split() if isinstance(text, str) else []
    if len(fields) != 5:
        raise JobSpecError("Cron.text", f"must be of five fields, as in '*/5 * * * *', got {text!r}")
    return fields


def _zone(name: object) -> tzinfo:
    try:
        return ZoneInfo(cast("str", name))
    # A KeyError, a ValueError or an OSError, by what of the name is wrong.
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        problem = (
            f"must be the name of a time zone, such as 'Europe/Berlin', got {name!r}: "
            "where the system knows none, install tzdata"
        )
        raise JobSpecError("Cron.timezone", problem) from None


def _parse(
    field: str, text: str, low: int, high: int, names: tuple[str, ...] = (), *, first: int = 0
) -> frozenset[int]:
    numbers = {name: first + place for place, name in enumerate(names)}
    found: set[int] = set()
    for part in text.lower().split(","):
        span, _, step = part.partition("/")
        begin, dash, end = span.partition("-")
        try:
            if span == "*":
                least, most = low, high
            else:
                least = _number(begin, numbers)
                most = _number(end, numbers) if dash else (high if step else least)
            stride = int(step) if "/" in part else 1
        except ValueError:
            raise JobSpecError("Cron.text", f"{field}: {part!r} is no number, range or step") from None
        if not (low <= least <= most <= high and stride >= 1):
            raise JobSpecError("Cron.text", f"{field}: {part!r} must be within {low}-{high}")
        found.update(range(least, most + 1, stride))
    return frozenset(found)


def _number(text: str, names: dict[str, int]) -> int:
    if text in names:
        return names[text]
    if not text.isdecimal():
        raise ValueError(text)
    return int(text)
