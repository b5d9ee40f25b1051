"""ElevenLabs' errors."""

from ...supervisors import FailureKind
from .._classification import ErrorRule, ErrorTable

TOO_MANY_AT_ONCE = frozenset({"too_many_concurrent_requests", "concurrent_limit_exceeded"})
"""Codes of the 429 that means: more requests at the same time than the plan allows."""

ELEVENLABS_ERRORS = ErrorTable(
    [
        # A 401 without money is no wrong key.
        ErrorRule(kind=FailureKind.QUOTA, names=frozenset({"quota_exceeded", "insufficient_credits"})),
        # Its wait is the service's business: a free slot, not a timer.
        ErrorRule(kind=FailureKind.RATE_LIMIT, names=TOO_MANY_AT_ONCE),
        ErrorRule(kind=FailureKind.OVERLOADED, names=frozenset({"system_busy"})),
        ErrorRule(kind=FailureKind.RATE_LIMIT, names=frozenset({"rate_limit_exceeded"})),
        ErrorRule(kind=FailureKind.NOT_FOUND, names=frozenset({"voice_not_found", "model_not_found"})),
        # Before the 401s: some of its refusals of a text have that status, too.
        ErrorRule(
            kind=FailureKind.BAD_REQUEST,
            names=frozenset({"max_character_limit_exceeded", "text_too_long", "invalid_voice_id"}),
        ),
        ErrorRule(kind=FailureKind.CONTENT_POLICY, names=frozenset({"content_against_policy"})),
        ErrorRule(
            kind=FailureKind.AUTH,
            names=frozenset({"invalid_api_key", "missing_api_key", "detected_unusual_activity"}),
        ),
    ]
)
"""By ``detail.code``, or ``detail.status`` of the older form; the status decides where there is neither."""
