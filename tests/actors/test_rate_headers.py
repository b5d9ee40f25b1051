"""What a provider says of its limits, in every answer's headers."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relight.actors import rate_report
from relight.supervisors.policies import Allowance, RateLimit, RateReport

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)

OPENAI = {
    "x-ratelimit-limit-requests": "500",
    "x-ratelimit-remaining-requests": "499",
    "x-ratelimit-reset-requests": "120ms",
    "x-ratelimit-limit-tokens": "30000",
    "x-ratelimit-remaining-tokens": "22000",
    "x-ratelimit-reset-tokens": "6m0s",
}
ANTHROPIC = {
    "anthropic-ratelimit-requests-limit": "50",
    "anthropic-ratelimit-requests-remaining": "49",
    "anthropic-ratelimit-requests-reset": "2026-11-22T12:00:02Z",
    "anthropic-ratelimit-input-tokens-limit": "40000",
    "anthropic-ratelimit-input-tokens-remaining": "39000",
    "anthropic-ratelimit-input-tokens-reset": "2026-11-22T12:00:05Z",
}


def test_openais_headers_are_read() -> None:
    assert rate_report(OPENAI, now=NOW) == RateReport(
        Allowance(499.0, 500.0, 0.12), Allowance(22_000.0, 30_000.0, 360.0)
    )


def test_anthropics_headers_are_read() -> None:
    assert rate_report(ANTHROPIC, now=NOW) == RateReport(
        Allowance(49.0, 50.0, 2.0), Allowance(39_000.0, 40_000.0, 5.0)
    )


def test_of_several_limits_of_tokens_the_tightest_is_taken() -> None:
    tightest = {"anthropic-ratelimit-tokens-remaining": "7"}
    assert rate_report(ANTHROPIC | tightest, now=NOW).tokens == Allowance(7.0, None, None)


@pytest.mark.parametrize("prefix", ["x-ratelimit-", "ratelimit-"])
def test_a_limit_without_a_name_is_one_of_requests(prefix: str) -> None:
    headers = {f"{prefix}limit": "10", f"{prefix}remaining": "3", f"{prefix}reset": "30"}
    assert rate_report(headers, now=NOW) == RateReport(Allowance(3.0, 10.0, 30.0), None)


def test_no_headers_say_nothing() -> None:
    assert rate_report({"content-type": "text/html"}, now=NOW) == RateReport(None, None)


@pytest.mark.parametrize("remaining", ["", "-1", "nan", "inf", "many", "1e999"])
def test_a_limit_is_left_out_if_what_is_left_of_it_makes_no_sense(remaining: str) -> None:
    headers = OPENAI | {"x-ratelimit-remaining-requests": remaining}
    report = rate_report(headers, now=NOW)
    assert report.requests is None
    assert report.tokens is not None


@pytest.mark.parametrize(("limit", "reset"), [("-5", "-1"), ("nan", "0"), ("", "soon")])
def test_what_else_makes_no_sense_is_left_out_alone(limit: str, reset: str) -> None:
    headers = OPENAI | {"x-ratelimit-limit-requests": limit, "x-ratelimit-reset-requests": reset}
    assert rate_report(headers, now=NOW).requests == Allowance(499.0, None, None)


@given(st.dictionaries(st.sampled_from([*OPENAI, *ANTHROPIC]), st.text() | st.floats().map(str)))
def test_whatever_the_headers_say_a_rate_limit_can_go_by_it(headers: dict[str, str]) -> None:
    limiter = RateLimit().limiter()
    limiter.take(0.0, 100.0)
    limiter.report(rate_report(headers, now=NOW), 0.0, 100.0)
    assert 0.0 <= limiter.wait(0.0, 100.0) < float("inf")
