"""Durable jobs: checkpointed steps that are never run twice, whatever dies in between."""

from ...runtime import claim
from ._errors import (
    CursorExpiredError,
    Fail,
    JobError,
    LeaseLostError,
    Retry,
    StoreError,
    UnknownJobError,
    UnknownStepError,
)
from ._memory import MemoryStore
from ._postgres import PostgresStore
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
    Step,
)
from ._sqlite import SqliteStore
from ._store import Store

__all__ = [
    "Attempt",
    "Claimed",
    "CursorExpiredError",
    "DeadGroup",
    "Event",
    "Fail",
    "Failure",
    "Job",
    "JobDetail",
    "JobError",
    "JobState",
    "LeaseLostError",
    "MemoryStore",
    "NewJob",
    "PostgresStore",
    "Query",
    "QueueState",
    "Retry",
    "SqliteStore",
    "Step",
    "Store",
    "StoreError",
    "UnknownJobError",
    "UnknownStepError",
]

claim(globals())
