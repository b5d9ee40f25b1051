"""Anthropic's errors."""

from ...supervisors import FailureKind
from .._classification import ErrorRule, ErrorTable

_BILLING = frozenset(
    {
        "billing_error",
        "linked_organization_spend_limit_reached",
        "enforced_spend_limit_reached",
        "contract_spend_limit_reached",
    }
)
# A 400 without a code: only its opening words tell it from a malformed request.
_BALANCE = ("your credit balance is too low", "you have reached your specified api usage limits")
_TOO_LONG = ("prompt is too long", "exceed context limit")

ANTHROPIC_ERRORS = ErrorTable(
    [
        ErrorRule(kind=FailureKind.QUOTA, names=_BILLING),
        ErrorRule(kind=FailureKind.QUOTA, statuses={200, 400, 403, 429}, texts=_BALANCE),
        ErrorRule(kind=FailureKind.CONTEXT_LENGTH, statuses={200, 400}, texts=_TOO_LONG),
        # By type from here on, because a stream reports its errors in a 200.
        ErrorRule(kind=FailureKind.RATE_LIMIT, names=frozenset({"rate_limit_error", "ramp_limit_exceeded"})),
        ErrorRule(kind=FailureKind.OVERLOADED, names=frozenset({"overloaded_error"})),
        ErrorRule(kind=FailureKind.TIMEOUT, names=frozenset({"timeout_error"})),
        ErrorRule(kind=FailureKind.AUTH, names=frozenset({"authentication_error", "permission_error"})),
        ErrorRule(kind=FailureKind.NOT_FOUND, names=frozenset({"not_found_error"})),
        ErrorRule(kind=FailureKind.BAD_REQUEST, names=frozenset({"request_too_large"})),
        ErrorRule(kind=FailureKind.SERVER, names=frozenset({"api_error"})),
        ErrorRule(kind=FailureKind.AUTH, statuses={403}),
        ErrorRule(kind=FailureKind.BAD_REQUEST, statuses={409}, retryable=True),
        ErrorRule(kind=FailureKind.BAD_REQUEST, names=frozenset({"invalid_request_error"})),
    ]
)
"""By the error's type and its ``details.error_code``; the status decides where a proxy sent HTML."""
