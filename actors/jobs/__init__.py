"""Durable jobs: checkpointed steps that are never run twice, whatever dies in between."""

from ...runtime import claim
from ._context import JobContext
from ._errors import (
    BlobError,
    CursorExpiredError,
    DuplicateStepError,
    Fail,
    JobArgumentsError,
    JobError,
    JobFailedError,
    LeaseLostError,
    ResultTooLargeError,
    Retry,
    StoreError,
    UnknownJobError,
    UnknownStepError,
)
from ._function import JobFunction
from ._memory import MemoryStore
from ._postgres import PostgresStore
from ._queue import Queue
from ._records import (
    Attempt,
    Claimed,
    DeadGroup,
    Event,
    Failure,
    Job,
    JobDetail,
    JobState,
    NewJob,
    Query,
    QueueState,
    Spending,
    Step,
)
from ._schedule import Cron, Every, Schedule
from ._sqlite import SqliteStore
from ._store import Store
from ._worker import Worker

__all__ = [
    "Attempt",
    "BlobError",
    "Claimed",
    "Cron",
    "CursorExpiredError",
    "DeadGroup",
    "DuplicateStepError",
    "Event",
    "Every",
    "Fail",
    "Failure",
    "Job",
    "JobArgumentsError",
    "JobContext",
    "JobDetail",
    "JobError",
    "JobFailedError",
    "JobFunction",
    "JobState",
    "LeaseLostError",
    "MemoryStore",
    "NewJob",
    "PostgresStore",
    "Query",
    "Queue",
    "QueueState",
    "ResultTooLargeError",
    "Retry",
    "Schedule",
    "Spending",
    "SqliteStore",
    "Step",
    "Store",
    "StoreError",
    "UnknownJobError",
    "UnknownStepError",
    "Worker",
]

claim(globals())
