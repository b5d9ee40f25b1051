"""What RunPod is asked, and what it answers."""

from collections.abc import Mapping

import msgspec

from ...runtime import Request
from .._usage import Usage

_FINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"})


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Describe a job as RunPod last saw it."""

    id: str
    status: str
    """IN_QUEUE, IN_PROGRESS, COMPLETED, FAILED, CANCELLED, TIMED_OUT; others may come, and are not final."""
    output: object = None
    """What the worker made; its form is the worker's."""
    error: str = ""
    queue_seconds: float = 0.0
    run_seconds: float = 0.0

    @property
    def is_final(self) -> bool:
        """Tell whether the job has ended, well or not."""
        return self.status in _FINAL


class JobResult(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what a job made."""

    id: str
    output: object
    queue_seconds: float
    run_seconds: float
    usage: Usage
    """The seconds are an estimate: RunPod also bills the worker's start, and some idle time."""


class SubmitJob(Request[Job], frozen=True, kw_only=True):
    """Start a job, and do not wait for it."""

    input: Mapping[str, object]
    execution_timeout: float = 600.0
    """Seconds the job may run; RunPod ends it then."""
    duplicate_ok: bool = False
    """Whether to submit again when it is not known if the job was taken: it may run, and cost, twice."""


class RunJob(Request[JobResult], frozen=True, kw_only=True):
    """Start a job, wait for its end, and return what it made."""

    input: Mapping[str, object]
    execution_timeout: float = 600.0
    """Seconds the job may run; RunPod ends it then."""
    duplicate_ok: bool = False
    """Whether to submit again when it is not known if the job was taken: it may run, and cost, twice."""
    needs_output: bool = True
    """Whether a job that completed without an output has failed: RunPod loses one that does not upload."""


class JobStatus(Request[Job], frozen=True):
    """Look at a job. RunPod forgets it half an hour after its end."""

    id: str


class RetryJob(Request[Job], frozen=True):
    """Begin a job again that has FAILED or TIMED_OUT, under the same id; RunPod still knows its input."""

    id: str


class EndpointHealth(msgspec.Struct, frozen=True, kw_only=True):
    """Describe an endpoint: how many of what it has."""

    jobs: Mapping[str, int]
    """``inQueue``, ``inProgress``, ``completed``, ``failed``, ``retried``."""
    workers: Mapping[str, int]
    """``idle``, ``running``, ``initializing``, ``ready``, ``throttled``."""


class CheckEndpoint(Request[EndpointHealth], frozen=True):
    """Ask how the endpoint is. It costs no job."""


class CancelJob(Request[Job], frozen=True):
    """Stop a job."""

    id: str
