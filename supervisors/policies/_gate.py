"""The gate: a pause the provider asked for, kept by all its callers."""

import math
from dataclasses import dataclass
from typing import final


@dataclass(frozen=True, slots=True)
class GateStatistics:
    """How often and how long a gate was shut."""

    times_shut: int
    """Pauses. One that was made longer while it lasted is one pause."""
    seconds_paused: float
    """Length of all pauses, the one in progress counted to its end."""
    reopens_at: float
    """The end of the last pause."""


@final
class Gate:
    """Keep everybody from calling until a moment the provider named.

    A rate limit belongs to the provider, not to the call that met it: if each caller waited for itself,
    each would be refused in turn.
    """

    __slots__ = ("_seconds_paused", "_times_shut", "reopens_at")

    def __init__(self) -> None:
        # An attribute, as a property would cost a call 50 ns at each look. Only `shut` writes it.
        self.reopens_at = -math.inf
        """The end of the last pause; ``-math.inf`` before the first."""
        self._times_shut = 0
        self._seconds_paused = 0.0

    def is_open(self, now: float) -> bool:
        """Tell whether calls may pass."""
        return now >= self.reopens_at

    def shut(self, until: float, now: float) -> None:
        """Pause from *now* to *until*. A pause in progress may get longer, never shorter."""
        resting_from = max(now, self.reopens_at)
        if until <= resting_from:
            return
        self._times_shut += self.is_open(now)
        self._seconds_paused += until - resting_from
        self.reopens_at = until

    def statistics(self) -> GateStatistics:
        """Return the counts at this moment."""
        return GateStatistics(self._times_shut, self._seconds_paused, self.reopens_at)
