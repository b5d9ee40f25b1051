"""An error in the words that a job's record keeps."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from pathlib import Path

from ...runtime import primary_error, redact, redact_end, text_of
from ._grouping import cause_of
from ._records import Failure
from ._texts import storable
from ._verdict import gravest_of

_FRAMES = 12
"""Of the traceback, the innermost ones."""
_LONG = 2000
"""Characters of a traceback; of a longer one the beginning is cut off, where the first cause is."""
_ROOT = Path(__file__).parents[2]
_ROOMS = tuple(f"{_ROOT / room}{os.sep}" for room in ("runtime", "supervisors", "actors"))


def failure_of(error: BaseException, step_of: Callable[[BaseException], str | None]) -> Failure:
    """Describe why a run failed, without secrets: of several errors, the gravest.

    Args:
        error: What left the job's function.
        step_of: Tells the step that an error came out of, if it was one.
    """
    gravest = gravest_of(error)
    leaf = primary_error(gravest)
    kind = type(leaf).__name__
    text = storable(redact(text_of(leaf))) or kind
    step = step_of(gravest)
    return Failure(
        error=" ".join(text.split()),
        error_type=kind,
        cause=cause_of(step, kind, text),
        traceback=storable(redact_end(_traceback_of(error))),
        step=step,
    )


def _traceback_of(error: BaseException) -> str:
    """Return an error's traceback; of a long one, the frames of the user's code and the last one."""
    told = traceback.TracebackException.from_exception(error, limit=-_FRAMES)
    whole = "".join(told.format())
    if len(whole) <= _LONG:
        return whole
    _leave_out_own_frames(told)
    return "".join(told.format())


def _leave_out_own_frames(told: traceback.TracebackException) -> None:
    frames = [frame for frame in told.stack[:-1] if not frame.filename.startswith(_ROOMS)]
    told.stack = traceback.StackSummary.from_list([*frames, *told.stack[-1:]])
    for other in (told.__cause__, told.__context__, *(told.exceptions or ())):
        if other is not None:
            _leave_out_own_frames(other)
