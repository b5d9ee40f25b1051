"""Kinds of failure: what went wrong at a provider, in one word."""

import enum


class FailureKind(enum.StrEnum):
    """Name what went wrong, whichever provider it was. The values are the metric labels.

    Every error of a provider is translated into one of these at the edge of its service; retry,
    breaker and gate look at nothing else.
    """

    RATE_LIMIT = "rate_limit"
    """Too many requests or tokens a minute: wait, and all goes well again."""
    OVERLOADED = "overloaded"
    """The provider has no capacity for anybody."""
    SERVER = "server"
    """The provider broke: most statuses from 500 up."""
    TIMEOUT = "timeout"
    """No answer within the attempt's time."""
    NETWORK = "network"
    """Not connected, or cut off before the answer."""
    STREAM_BROKEN = "stream_broken"
    """The stream ended without its end marker."""
    INVALID_RESPONSE = "invalid_response"
    """An answer came, but not one that can be read."""

    QUOTA = "quota"
    """The money or the plan is used up."""
    AUTH = "auth"
    """The key is wrong, revoked, or lacks a permission."""
    BAD_REQUEST = "bad_request"
    """The request is wrong, and would be wrong again."""
    CONTEXT_LENGTH = "context_length"
    """The request is larger than the model can take."""
    CONTENT_POLICY = "content_policy"
    """The provider declined the content."""
    NOT_FOUND = "not_found"
    """No such model, endpoint or row."""
    REFUSED = "refused"
    """Another service that was asked on the way refused, and its own guard will say when it may be asked."""
    BUG = "bug"
    """An exception nobody expected: ours, not the provider's."""

    @property
    def is_retryable(self) -> bool:
        """Tell whether the same call may go well when it is made again."""
        return self in _RETRYABLE

    @property
    def counts_for_breaker(self) -> bool:
        """Tell whether it says that the service is ill.

        Limits, caller faults and bugs do not: the service answered as it should, or was never asked.
        """
        return self in _RETRYABLE and self is not FailureKind.RATE_LIMIT

    @property
    def is_congestion(self) -> bool:
        """Tell whether it says that the provider had no room for the call."""
        return self in _CONGESTION

    @property
    def blocks_provider(self) -> bool:
        """Tell whether every following call would fail the same way until a person acts."""
        return self in _BLOCKING


_RETRYABLE = frozenset(
    {
        FailureKind.RATE_LIMIT,
        FailureKind.OVERLOADED,
        FailureKind.SERVER,
        FailureKind.TIMEOUT,
        FailureKind.NETWORK,
        FailureKind.STREAM_BROKEN,
        FailureKind.INVALID_RESPONSE,
    }
)
_CONGESTION = frozenset({FailureKind.RATE_LIMIT, FailureKind.OVERLOADED, FailureKind.TIMEOUT})
_BLOCKING = frozenset({FailureKind.QUOTA, FailureKind.AUTH})
