"""Process: whether `run` owns it, and when it was asked to end."""

from __future__ import annotations

import os
import signal
import time
from contextvars import ContextVar
from types import FrameType

from ..runtime import StopAsked

stop_asked: ContextVar[StopAsked | None] = ContextVar("relight_stop_asked", default=None)
"""Set while `run` owns the process: what its systems look at when their loop can't take a signal."""


def note_signals(asked: StopAsked, *numbers: int) -> None:
    """Note these signals in *asked* before the handlers that are set for them now.

    The event loop takes a signal in its next turn. While an actor keeps it from turning, this is all
    that notices; so a second signal ends the process here.
    """
    for number in numbers:
        before = signal.getsignal(number)

        def note(number: int, frame: FrameType | None, before: object = before) -> None:
            if asked.at is not None:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
                return
            asked.at = time.monotonic()
            if callable(before):
                before(number, frame)

        signal.signal(number, note)
