"""Restart intensity: more than so many restarts within so many seconds is too many."""

from collections import deque


class RestartWindow:
    """Count restarts in a sliding window. Pure: the moment comes in as a value.

    The window is inclusive and in float seconds; OTP's is in whole seconds.
    """

    __slots__ = ("_moments", "intensity", "period")

    def __init__(self, intensity: int, period: float) -> None:
        self.intensity = intensity
        """Restarts allowed within the period."""
        self.period = period
        """Seconds."""
        self._moments: deque[float] = deque()

    def add(self, now: float) -> bool:
        """Count one restart; False when it is one too many."""
        moments = self._moments
        moments.append(now)
        while moments[0] < now - self.period:
            moments.popleft()
        return len(moments) <= self.intensity

    def count(self, now: float) -> int:
        """Return how many restarts the window holds now."""
        return sum(1 for moment in self._moments if moment >= now - self.period)

    def clear(self) -> None:
        """Forget what was counted."""
        self._moments.clear()
