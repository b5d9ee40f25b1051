"""An error in the words that a job's record keeps."""

from __future__ import annotations

import traceback
from collections.abc import Callable

from ...runtime import primary_error, redact, redact_end, text_of
from ._grouping import cause_of
from ._records import Failure
from ._texts import storable
from ._verdict import gravest_of

_FRAMES = 12
"""Of the traceback, the innermost ones."""


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
        traceback=storable(redact_end("".join(traceback.format_exception(error, limit=-_FRAMES)))),
        step=step,
    )
