"""Ids of jobs: 26 characters that sort by the moment they were made."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from secrets import randbits

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's, of base 32."""
_PAIRS = [high + low for high in _DIGITS for low in _DIGITS]
_SHIFTS = range(120, -1, -10)
"""Where the 13 pairs of digits begin."""
_RANDOM_BITS = 80


class IdMaker:
    """Make ids, each greater than the one before, also when the clock stands still or goes back.

    48 bits of milliseconds, 80 random ones, in Crockford's base 32 (the layout of ULID).

    Args:
        clock: Seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last = 0

    def new(self) -> str:
        """Make the next id."""
        stamp = _stamp(self._clock())
        # Within a millisecond they count on from the first, as ULIDs do: random bits cost a system call.
        self._last = stamp | randbits(_RANDOM_BITS) if stamp > self._last else self._last + 1
        return _text(self._last)


def id_of_moment(moment: float, *names: str) -> str:
    """Return the one id of what is due at *moment* under *names*: everybody makes the same."""
    digest = sha256("\0".join((*names, f"{moment:.3f}")).encode()).digest()
    return _text(_stamp(moment) | int.from_bytes(digest[: _RANDOM_BITS // 8]))


def _stamp(moment: float) -> int:
    return max(0, int(moment * 1000)) << _RANDOM_BITS


def _text(number: int) -> str:
    return "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])
