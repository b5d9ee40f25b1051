"""Forced exit: end the process of a system that does not end.

A handler in a busy loop, or one that swallows its cancellation for ever, cannot be killed in Python.
Whoever stopped the process would wait for ever, so past the deadline the process ends hard, and says
who kept it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence

from ._events import Events
from ._hands import LeftBehind

EXIT_STATUS = 70
"""With which the process ends: EX_SOFTWARE of sysexits.h."""
MARGIN = 3.0
"""Seconds after the stop's deadline: cancelled handlers unwind, what doesn't is reported as stuck."""
WRITING = 1.0
"""Seconds the last words may take: nobody may be reading them."""


class StopAsked:
    """When the process was asked to stop, as a signal handler notes it and another thread reads it."""

    def __init__(self) -> None:
        self.at: float | None = None
        """On the clock of `time.monotonic`; None before."""


class ForcedExit:
    """The deadline of a process. Asked from the watchdog's thread."""

    def __init__(
        self,
        shutdown_timeout: float,
        asked: StopAsked | None = None,
        leave: Callable[[int], object] = os._exit,
    ) -> None:
        """Leave *shutdown_timeout* seconds and a margin for the stop.

        Args:
            shutdown_timeout: Seconds the orderly stop may take.
            asked: Tells of a signal that a loop which is stuck can't take.
            leave: Ends the process.
        """
        self._limit = shutdown_timeout + MARGIN
        self._asked = asked or StopAsked()
        self._leave = leave
        self._since: float | None = None

    def stopping(self) -> None:
        """Note that the stop has begun."""
        if self._since is None:
            self._since = time.monotonic()

    def is_due(self, now: float, *, stuck_since: float | None) -> bool:
        """Tell whether the process has to end.

        Args:
            now: The moment, on the clock of `time.monotonic`.
            stuck_since: Since when the loop takes nothing in; None if it does. A loop that turns learns
                of the signal itself, and what it does before its system stops is the program's affair.
        """
        since, asked = self._since, self._asked.at
        if since is None and asked is not None and stuck_since is not None:
            since = max(asked, stuck_since)
        return since is not None and now >= since + self._limit

    def carry_out(self, left: Sequence[LeftBehind], events: Events) -> None:
        """Say who is left and end the process with `EXIT_STATUS`."""
        words = threading.Thread(
            target=self._say, args=(left, events), name="relight last words", daemon=True
        )
        words.start()
        words.join(WRITING)
        self._leave(EXIT_STATUS)

    def _say(self, left: Sequence[LeftBehind], events: Events) -> None:
        paths = ", ".join(dict.fromkeys(one.path for one in left))
        with contextlib.suppress(Exception):  # of the application's logging
            events.log("system.forced_exit", actors=paths, limit_s=self._limit, status=EXIT_STATUS)
        with contextlib.suppress(Exception):  # standard error may be closed
            sys.stderr.write("".join(_lines(left, self._limit)))
            sys.stderr.flush()
            sys.stdout.flush()


def _lines(left: Sequence[LeftBehind], limit: float) -> list[str]:
    first = f"relight: not ended {limit:.3g} s after the stop began, exit {EXIT_STATUS}; still at work:\n"
    at_work = [f"{one.path} ({one.doing})\n{one.stack}\n" for one in left]
    return [first, *(at_work or ["no actor's code that could be found\n"])]
