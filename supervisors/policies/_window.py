"""The window: what became of the attempts of the last seconds, counted in slices.

A list of verdicts would grow with the traffic. Here ten slices are kept, whatever the traffic is: the
newest one fills, and the oldest one is forgotten as a whole when the next begins. So a window of 60 s looks
at the last 54 to 60 s. (Polly's advanced breaker cuts its sampling duration into ten as well.)

The counters only ever go up, and the window keeps what they were when each slice began: what is in the
window is a difference. So a verdict costs one addition and one comparison.
"""

from collections import deque
from typing import Final, NamedTuple, final

SLICES: Final = 10


class Recent(NamedTuple):
    """Attempts that ended within the window."""

    attempts: int = 0
    """Those that have a verdict: answered, or failed in a way that counts."""
    failures: int = 0
    """Those that failed."""
    slow: int = 0
    """Those that took too long, failed or not."""


@final
class Window:
    """Count attempts, failures and slow ones of the last *seconds*, to a tenth of it.

    Whoever counts calls `turn` first where `until` has come, and then adds to the counters itself: a method
    of the window's own would cost as much again as all of it.
    """

    __slots__ = ("_index", "_marks", "_slice", "attempts", "failures", "slow", "until")

    def __init__(self, seconds: float) -> None:
        self._slice = seconds / SLICES
        self.attempts = 0
        """Attempts that have a verdict, since the window was made."""
        self.failures = 0
        """Those that failed."""
        self.slow = 0
        """Those that took too long, failed or not."""
        self.until = 0.0
        """The end of the newest slice."""
        # What the counters were when each slice began, the oldest first.
        self._marks: deque[Recent] = deque([Recent()], SLICES)
        self._index: int | None = None

    def recent(self) -> Recent:
        """Return what is in the window, as of the last turn."""
        oldest = self._marks[0]
        return Recent(
            self.attempts - oldest.attempts, self.failures - oldest.failures, self.slow - oldest.slow
        )

    def turn(self, now: float) -> None:
        """Begin the slice that *now* is in, and forget what is too old."""
        index = int(now // self._slice)
        passed = 0 if self._index is None else index - self._index
        mark = Recent(self.attempts, self.failures, self.slow)
        self._marks.extend([mark] * min(passed, SLICES))
        self._index = index
        self.until = (index + 1) * self._slice
