"""Watchdog: notice from beside that the event loop does not turn, and say whose fault it is.

One daemon thread a system. Once a second it has a **beat** called on the loop and looks a second
later whether that was done. A beat is no timer, so it moves no clock, and costs messages nothing.
When none was taken for long enough, the frames of the loop's thread say which actor is at work.

The thread logs at once, because nobody else can. Listeners in the process belong to the loop's
thread: they hear of it when the loop turns again.

Where it may end the process (`ForcedExit`), it also watches the end: what swallows its cancellation
cannot be killed in Python, and would keep the process for ever.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._forced_exit import ForcedExit
from ._frames import hand_of, stack_of, steps_of_thread, within
from ._hands import Hands

if TYPE_CHECKING:
    from ._kernel import Kernel

BEAT = 1.0
"""Seconds between two beats, where four of them fit into the time a loop may be stuck."""
JOIN = 1.0
"""Seconds the loop waits for the thread's end: it may be writing to somebody who does not read."""


@dataclass(frozen=True, slots=True)
class WatchdogStatistics:
    """How often, and how long, the event loop stood still."""

    blocked: int
    """Times the loop did not turn for the watchdog's time."""
    blocked_seconds: float
    """Seconds of all these together; those of one that lasts are added when it ends."""


class Watchdog:
    """The thread beside one system's loop."""

    def __init__(self, kernel: Kernel, *, seconds: float, forced_exit: ForcedExit | None = None) -> None:
        """Watch *kernel*; *seconds* without a turn are reported, 0 never."""
        self.hands = Hands(kernel)
        self._kernel = kernel
        self._seconds = seconds
        self._forced_exit = forced_exit
        self._beat = min(BEAT, seconds / 4) if seconds > 0 else BEAT
        self._loop_thread = threading.get_ident()
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_taken = True
        """The loop has taken the last beat."""
        self._posted = time.monotonic()
        """When it was posted."""
        self._report: dict[str, object] | None = None
        """What was logged about the standstill that lasts."""
        self._blocked = 0
        self._blocked_seconds = 0.0

    def start(self) -> None:
        """Start the thread, unless there is nothing to watch for. On the loop's thread."""
        if self._seconds > 0 or self._forced_exit is not None:
            self._thread = threading.Thread(target=self._run, name="relight watchdog", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it. On the loop's thread."""
        self._end.set()
        if self._thread is not None:
            self._thread.join(JOIN)

    def stopping(self) -> None:
        """Hear that the system has begun to stop: from now on it has to end in time."""
        if self._forced_exit is not None:
            self._forced_exit.stopping()

    def statistics(self) -> WatchdogStatistics:
        """Look at the counters."""
        return WatchdogStatistics(self._blocked, self._blocked_seconds)

    # --- on the thread -----------------------------------------------------------------------

    def _run(self) -> None:
        while not self._end.wait(self._beat):
            now = time.monotonic()
            if self._forced_exit is not None and self._forced_exit.is_due(
                now, stuck_since=None if self._is_taken else self._posted
            ):
                self._forced_exit.carry_out(self.hands.left_behind(self._loop_thread), self._kernel.events)
                return
            if self._is_taken:
                self._is_taken = False
                self._posted = now
                try:
                    self._kernel.backend.run_soon(self._tick)
                except RuntimeError:
                    return  # the loop has ended without its system: nobody is left to be watched
            elif self._report is None and 0 < self._seconds <= now - self._posted:
                self._say(now - self._posted)

    def _say(self, seconds: float) -> None:
        steps = steps_of_thread(self._loop_thread)
        hand = hand_of(steps)
        seconds, stack = round(seconds, 3), stack_of(within(steps))
        self._report = {"seconds": seconds, "stack": stack}
        events = self._kernel.events
        with contextlib.suppress(Exception):  # of the application's logging; there is nobody to tell
            if hand is None:
                events.log("loop.blocked", seconds=seconds, stack=stack)
            else:
                path, doing = hand.cell.path, hand.doing
                self._report = {"actor_path": path, "message": doing, **self._report}
                events.log("actor.blocking", actor_path=path, message=doing, seconds=seconds, stack=stack)

    # --- on the loop -------------------------------------------------------------------------

    def _tick(self) -> None:
        """Take a beat."""
        report, seconds = self._report, time.monotonic() - self._posted
        self._report = None
        self._is_taken = True
        if self._end.is_set():
            return
        if report is not None:
            self._recovered(report, round(seconds, 3))
        self.hands.look()
        for found in self.hands.new_rings():
            self._kernel.events.error(
                "actor.deadlocked",
                actor_path=found.path,
                message=found.message,
                ring=" -> ".join((*found.ring, found.path)),
                seconds=found.seconds,
            )

    def _recovered(self, report: dict[str, object], seconds: float) -> None:
        self._blocked += 1
        self._blocked_seconds += seconds
        events = self._kernel.events
        if "actor_path" in report:
            events.tell("actor.blocking", **report)
        else:
            events.tell("loop.blocked", **report)
        events.warning("loop.recovered", actor_path=str(report.get("actor_path", "")), seconds=seconds)
