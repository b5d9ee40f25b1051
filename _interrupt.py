"""An interrupt while the libraries load: ``python -m relight`` ends, without a traceback.

Imported first by the package, because nothing of the command line runs before that is complete.
"""

from __future__ import annotations

import os
import signal
import sys

INTERRUPTED = 130
"""The status of a command that was interrupted: 128 + SIGINT."""


def _is_ours() -> bool:
    """Tell whether this process was started as the command: other programs' signals are their own."""
    given = sys.orig_argv
    return "-m" in given[:-1] and given[given.index("-m") + 1] == "relight"


def interrupt_again() -> None:
    """Have SIGINT raise KeyboardInterrupt again: from here on the command line takes it."""
    if _IS_TAKEN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


_IS_TAKEN = _is_ours() and signal.getsignal(signal.SIGINT) is signal.default_int_handler
if _IS_TAKEN:
    signal.signal(signal.SIGINT, lambda _number, _frame: os._exit(INTERRUPTED))
