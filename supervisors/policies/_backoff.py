"""Backoff: how long to wait before the next attempt.

Many callers that failed together must not come back together: `Exponential` spreads them over the
whole wait by default ("full jitter": Brooker, Exponential Backoff And Jitter, AWS 2015), `Decorrelated`
is the other remedy of that article.
"""

import math
from random import Random
from typing import Literal, Protocol, get_args

import msgspec

from ._checks import check_least, check_range

Jitter = Literal["full", "equal", "none"]


class Backoff(Protocol):
    """Choose a wait. Write your own by having this one method."""

    def wait(self, attempt: int, rng: Random) -> float:
        """Return the seconds to wait after attempt number *attempt*, counted from 1, has failed."""
        ...


def flaw_of(backoff: object) -> str | None:
    """Say what is wrong with a backoff, a user's own perhaps; None when nothing is. It is tried out."""
    if isinstance(backoff, Exponential | Decorrelated | Fixed):
        return None
    wait = getattr(backoff, "wait", None)
    if not callable(wait):
        return "must be a backoff such as Exponential(1.0)"
    for attempt in (1, 2, 10_000):
        try:
            seconds = wait(attempt, Random(attempt))
        except Exception as error:  # noqa: BLE001 - a user's code
            return f"raised {type(error).__name__} for attempt {attempt}: it must return seconds"
        if not _is_wait(seconds):
            return f"must return finite seconds >= 0, and returned {seconds!r} for attempt {attempt}, in"
    return None


def wait_of(backoff: Backoff, attempt: int, rng: Random) -> float:
    """Ask a backoff for its wait. One that goes wrong in spite of its trial waits as the default does."""
    try:
        seconds = backoff.wait(attempt, rng)
    except Exception:  # noqa: BLE001 - a user's code, where an error would end everybody's actors
        return _DEFAULT.wait(attempt, rng)
    return seconds if _is_wait(seconds) else _DEFAULT.wait(attempt, rng)


def _is_wait(seconds: object) -> bool:
    return isinstance(seconds, int | float) and 0.0 <= seconds < math.inf


# msgspec makes the fields of a class keyword-only all together; those of its base stay positional.
class _Initial(msgspec.Struct, frozen=True):
    initial: float = 1.0


class _Delay(msgspec.Struct, frozen=True):
    delay: float


class Exponential(_Initial, frozen=True, kw_only=True):
    """Wait longer after each attempt: *initial*, then *base* times as long, up to *cap*.

    Args:
        initial: The first wait in seconds, before jitter.
        cap: No wait is longer, in seconds.
        base: Each wait is this many times the one before.
        jitter: ``"full"`` waits anywhere between nothing and the whole, ``"equal"`` between half and the
            whole, ``"none"`` the whole.
    """

    cap: float = 30.0
    base: float = 2.0
    jitter: Jitter = "full"

    def __post_init__(self) -> None:
        check_least("Exponential.initial", self.initial, 0.0)
        check_least("Exponential.cap", self.cap, self.initial)
        check_least("Exponential.base", self.base, 1.0)
        if self.jitter not in get_args(Jitter):
            raise ValueError(f'Exponential.jitter must be "full", "equal" or "none", got {self.jitter!r}')

    def wait(self, attempt: int, rng: Random) -> float:
        """Return the seconds to wait after attempt number *attempt* has failed."""
        whole = self._whole(attempt)
        if self.jitter == "none":
            return whole
        least = whole / 2.0 if self.jitter == "equal" else 0.0
        return least + (whole - least) * rng.random()

    def _whole(self, attempt: int) -> float:
        try:
            return min(self.initial * math.pow(self.base, attempt - 1), self.cap)
        except OverflowError:
            return self.cap


class Decorrelated(_Initial, frozen=True, kw_only=True):
    """Wait anywhere between *initial* and *base* times the wait before, up to *cap*.

    The wait before is drawn too, each time: the row of waits that may have led here. So a backoff needs no
    memory, may be shared by all calls, and each wait is spread exactly as in one row that is kept. What is
    lost is the tie between the waits of one call, which no other call can see.

    Args:
        initial: The shortest wait in seconds.
        cap: No wait is longer, in seconds.
        base: A wait is at most this many times the one before; the first one, this many times *initial*.
    """

    cap: float = 30.0
    base: float = 3.0

    def __post_init__(self) -> None:
        check_least("Decorrelated.initial", self.initial, 0.0)
        check_least("Decorrelated.cap", self.cap, self.initial)
        check_least("Decorrelated.base", self.base, 1.0)

    def wait(self, attempt: int, rng: Random) -> float:
        """Return the seconds to wait after attempt number *attempt* has failed."""
        wait, initial = self.initial, self.initial
        for _ in range(min(attempt, _DRAWS)):
            # The cap goes first, so that it is what is left of a product too large for a float.
            wait = min(self.cap, initial + (self.base * wait - initial) * rng.random())
        return wait


class Fixed(_Delay, frozen=True, kw_only=True):
    """Wait the same every time.

    Args:
        delay: Seconds.
        jitter: Share of the delay that is added at most: 0.1 waits up to a tenth longer, never less.
    """

    jitter: float = 0.0

    def __post_init__(self) -> None:
        check_least("Fixed.delay", self.delay, 0.0)
        check_range("Fixed.jitter", self.jitter, 0.0, 1.0)

    def wait(self, attempt: int, rng: Random) -> float:
        """Return the seconds to wait, whichever *attempt* has failed."""
        return self.delay * (1.0 + self.jitter * rng.random())


_DEFAULT = Exponential(1.0, cap=30.0)
_DRAWS = 100
"""Waits drawn for one. After so many the first does not matter any more; 10,000 would take a millisecond."""
