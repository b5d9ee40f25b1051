"""What a fake has decided about one request."""

from __future__ import annotations

import msgspec

from ._dialects import Call
from ._limits import Seats
from ._log import LogEntry, RequestLog
from ._plan import FaultKind
from ._replies import Hint
from ._steps import Step


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one request meets."""

    call: Call
    entry: LogEntry
    log: RequestLog
    """The log the request is in; after a reset the fake has another."""
    place: int
    """The request's number among those to its operation."""
    fault: FaultKind | None
    step: Step
    delay: float
    """Seconds before the reply."""
    hang_seconds: float
    """Limit of a hang."""
    hint: Hint
    seats: Seats | None = None
    """Where it has a seat, if it needs one."""
