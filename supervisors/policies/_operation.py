"""What one operation of a service decides otherwise than the service."""

import msgspec

from ._checks import check_positive
from ._retry import Retry


class OperationPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Override parts of a service's policy for one kind of message. None keeps the service's.

    Args:
        retry: Which failures are retried, and when.
        call_timeout: Seconds for a whole call where the caller gave none.
        attempt_timeout: Seconds for one attempt.
    """

    retry: Retry | None = None
    call_timeout: float | None = None
    attempt_timeout: float | None = None

    def __post_init__(self) -> None:
        if self.call_timeout is not None:
            check_positive("OperationPolicy.call_timeout", self.call_timeout)
        if self.attempt_timeout is not None:
            check_positive("OperationPolicy.attempt_timeout", self.attempt_timeout)
