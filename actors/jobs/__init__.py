"""Durable jobs: checkpointed steps that are never run twice, whatever dies in between."""

from ...runtime import claim
from ._budget import Day, JobBudget, Ledger, Spent
from ._context import JobContext
from ._counters import JobCounters
from ._dead_letters import DeadLetterOffice
from ._dead_message import DeadMessage
from ._dead_records import Letter, LetterGroup, LetterSource, Outcome, Selection
from ._errors import (
    BadTokenError,
    BlobError,
    CursorExpiredError,
    DuplicateStepError,
    EmptySelectionError,
    Fail,
    ForeignMessageError,
    JobArgumentsError,
    JobError,
    JobFailedError,
    JobSpecError,
    LeaseLostError,
    ResultTooLargeError,
    Retry,
    SchemaError,
    StoreError,
    UnknownJobError,
    UnknownStepError,
    UnstorableResultError,
)
from ._feed import Feed
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
    Prunable,
    Query,
    QueueState,
    Spending,
    Step,
)
from ._replay import Arguments
from ._report import JobReport, StepReport, event_row, report_of, row_of
from ._retention import Retention, prune_store
from ._schedule import Cron, Every, Schedule
from ._schema import SCHEMA_VERSION
from ._sqlite import SqliteStore
from ._store import Store
from ._store_url import store_from_url, store_url
from ._subscription import RESET, Subscription
from ._together import together
from ._tokens import Claims, make_token, read_token
from ._web import LiveServer
from ._worker import Worker

__all__ = [
    "RESET",
    "SCHEMA_VERSION",
    "Arguments",
    "Attempt",
    "BadTokenError",
    "BlobError",
    "Claimed",
    "Claims",
    "Cron",
    "CursorExpiredError",
    "Day",
    "DeadGroup",
    "DeadLetterOffice",
    "DeadMessage",
    "DuplicateStepError",
    "EmptySelectionError",
    "Event",
    "Every",
    "Fail",
    "Failure",
    "Feed",
    "ForeignMessageError",
    "Job",
    "JobArgumentsError",
    "JobBudget",
    "JobContext",
    "JobCounters",
    "JobDetail",
    "JobError",
    "JobFailedError",
    "JobFunction",
    "JobReport",
    "JobSpecError",
    "JobState",
    "LeaseLostError",
    "Ledger",
    "Letter",
    "LetterGroup",
    "LetterSource",
    "LiveServer",
    "MemoryStore",
    "NewJob",
    "Outcome",
    "PostgresStore",
    "Prunable",
    "Query",
    "Queue",
    "QueueState",
    "ResultTooLargeError",
    "Retention",
    "Retry",
    "Schedule",
    "SchemaError",
    "Selection",
    "Spending",
    "Spent",
    "SqliteStore",
    "Step",
    "StepReport",
    "Store",
    "StoreError",
    "Subscription",
    "UnknownJobError",
    "UnknownStepError",
    "UnstorableResultError",
    "Worker",
    "event_row",
    "make_token",
    "prune_store",
    "read_token",
    "report_of",
    "row_of",
    "store_from_url",
    "store_url",
    "together",
]

claim(globals())
