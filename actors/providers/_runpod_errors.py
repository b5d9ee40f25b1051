"""RunPod's errors: those of its API, and those of the jobs."""

from ...supervisors import FailureKind
from .._classification import ErrorRule, ErrorTable

RUNPOD_ERRORS = ErrorTable([ErrorRule(kind=FailureKind.AUTH, statuses={403})])
"""The API's own errors carry a text at most; the status says it all."""

# From the validator in RunPod's worker library. The same input fails again, on a paid GPU.
_INVALID_INPUT = (
    "is a required input",
    "is not a valid input option",
    "does not satisfy the constraints",
    "type, not <class",
    "job has missing field(s)",
)


def kind_of_failed_job(status: str, error: str) -> FailureKind | None:
    """Say what it means that a job ended with *status* and the text *error*; None: it went well."""
    if any(words in error.lower() for words in _INVALID_INPUT):
        return FailureKind.BAD_REQUEST
    if status == "TIMED_OUT":
        return FailureKind.TIMEOUT
    if status == "CANCELLED":
        # Not by us, who would not be here any more. Whoever did it does not want it made again.
        return FailureKind.BAD_REQUEST
    # A worker that returns its error instead of raising it leaves the job COMPLETED.
    return FailureKind.SERVER if status == "FAILED" or error else None
