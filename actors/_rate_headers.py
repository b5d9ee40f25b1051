"""Read what a provider says of its limits, from the headers of any answer.

x-ratelimit-{limit,remaining,reset}-{requests,tokens}        OpenAI and those that copied it
anthropic-ratelimit-{requests,tokens,...}-{limit,remaining,reset}
x-ratelimit-{limit,remaining,reset}, ratelimit-{...}         requests, most others
"""

from collections.abc import Mapping
from datetime import datetime
from math import isfinite

from ..supervisors.policies import Allowance, RateReport
from ._waits import parse_wait

_PLACES = {
    "requests": (
        "x-ratelimit-{}-requests",
        "anthropic-ratelimit-requests-{}",
        "x-ratelimit-{}",
        "ratelimit-{}",
    ),
    "tokens": (
        "x-ratelimit-{}-tokens",
        # The tightest of Anthropic's limits of tokens; the other two where it does not say.
        "anthropic-ratelimit-tokens-{}",
        "anthropic-ratelimit-input-tokens-{}",
        "anthropic-ratelimit-output-tokens-{}",
    ),
}
"""Where each limit may stand, the first that makes sense wins."""


def rate_report(headers: Mapping[str, str], *, now: datetime) -> RateReport:
    """Return what *headers* say of the limits of requests and tokens.

    Args:
        headers: Of an answer, names in lower case.
        now: An aware datetime, for the resets that are dates.
    """
    if not any("ratelimit" in name for name in headers):
        return RateReport()
    return RateReport(_allowance(headers, "requests", now), _allowance(headers, "tokens", now))


def _allowance(headers: Mapping[str, str], dimension: str, now: datetime) -> Allowance | None:
    for place in _PLACES[dimension]:
        remaining = _count(headers.get(place.format("remaining")))
        if remaining is not None:
            limit = _count(headers.get(place.format("limit")))
            reset = parse_wait(headers.get(place.format("reset"), ""), now=now)
            return Allowance(remaining, limit, reset)
    return None


def _count(text: str | None) -> float | None:
    """Read a count; what is negative, infinite or no number says nothing."""
    try:
        count = float(text or "")
    except ValueError:
        return None
    return count if isfinite(count) and count >= 0 else None
