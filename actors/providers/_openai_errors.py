"""OpenAI's errors, and those of the servers that speak its protocol."""

from ...supervisors import FailureKind
from .._classification import ErrorRule, ErrorTable

_BILLING = frozenset(
    {
        "insufficient_quota",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "billing_not_active",
        "usage_limit_exceeded",
        "billing_hard_limit_reached",
    }
)
_POLICY = frozenset(
    {
        "content_policy_violation",
        "image_content_policy_violation",
        "invalid_prompt",
        "moderation_blocked",
        # Azure, by the age of the endpoint.
        "content_filter",
        "contentFilter",
        "ResponsibleAIPolicyViolation",
    }
)

OPENAI_ERRORS = ErrorTable(
    [
        # A 429 is four things. Money never comes back by waiting, and what is too large never fits.
        ErrorRule(kind=FailureKind.QUOTA, names=_BILLING),
        ErrorRule(kind=FailureKind.BAD_REQUEST, statuses={429}, texts=("request too large",)),
        # Azure: no limit of the account's, but no capacity for anybody.
        ErrorRule(kind=FailureKind.OVERLOADED, statuses={429}, texts=("experiencing high demand",)),
        # OpenRouter: the money is there, but held by requests still in flight.
        ErrorRule(kind=FailureKind.RATE_LIMIT, names=frozenset({"in_flight_budget_exhausted"})),
        ErrorRule(kind=FailureKind.RATE_LIMIT, names=frozenset({"rate_limit_exceeded", "slow_down"})),
        ErrorRule(
            kind=FailureKind.OVERLOADED,
            names=frozenset({"server_is_overloaded", "service_unavailable_error"}),
        ),
        ErrorRule(kind=FailureKind.CONTEXT_LENGTH, names=frozenset({"context_length_exceeded"})),
        # vLLM and its kin have no code for it.
        ErrorRule(kind=FailureKind.CONTEXT_LENGTH, statuses={400}, texts=("maximum context length",)),
        ErrorRule(kind=FailureKind.CONTENT_POLICY, names=_POLICY),
        # Before AUTH: a model this key may not use, told with a 403, is no reason to block the provider.
        ErrorRule(kind=FailureKind.NOT_FOUND, names=frozenset({"model_not_found"})),
        ErrorRule(kind=FailureKind.AUTH, statuses={401, 403}),
        ErrorRule(kind=FailureKind.AUTH, names=frozenset({"invalid_api_key"})),
        # The policy allows it two attempts.
        ErrorRule(kind=FailureKind.BAD_REQUEST, statuses={409}, retryable=True),
        # By name from here on: errors that come in a 200.
        ErrorRule(kind=FailureKind.SERVER, statuses={200}, names=frozenset({"server_error"})),
        ErrorRule(kind=FailureKind.BAD_REQUEST, statuses={200}, names=frozenset({"invalid_request_error"})),
    ]
)
"""A 429 by its code and text, the rest by code before status."""
