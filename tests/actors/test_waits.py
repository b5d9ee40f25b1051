"""Waits: what a provider asks for, in whatever place and form."""

import math
import string
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relight.actors import parse_wait, wait_hint

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
JUNK = [
    "",
    " ",
    "soon",
    "-1",
    "0",
    "0.0",
    "nan",
    "NaN",
    "inf",
    "-inf",
    "1e3",
    "1_0",
    "5 s",
    "--",
    "9" * 400,
    "٣",
]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30.0),
        ("1.5", 1.5),
        (" 2 ", 2.0),
        ("0.25", 0.25),
        ("12ms", 0.012),
        ("20ms", 0.02),
        ("1s", 1.0),
        ("1.5s", 1.5),
        ("6m0s", 360.0),
        ("1h0m5.2s", 3605.2),
        ("10h17m5.72s", 37025.72),
        ("2d", 172800.0),
        ("1m20ms", 60.02),
        ("58s", 58.0),
        ("2026-11-22T12:00:59Z", 59.0),
        ("2026-11-22T14:00:30+02:00", 30.0),
        ("2026-11-22T12:00:01.500Z", 1.5),
        ("Sun, 22 Nov 2026 12:01:00 GMT", 60.0),
        ("1795348860", 1795348860 - 1795348800),
        ("1795348860000", 60.0),
    ],
)
def test_every_form_of_a_wait_is_read(text: str, seconds: float) -> None:
    assert parse_wait(text, now=NOW) == pytest.approx(seconds)


@pytest.mark.parametrize("text", JUNK)
def test_a_wait_that_makes_no_sense_is_no_wait(text: str) -> None:
    assert parse_wait(text, now=NOW) is None


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 22 Nov 2026 11:59:00 GMT",
        "2026-11-22T11:59:59Z",
        "1795348799",
        "Sun, 99 Nov 2026",
        "2026-99-99T00:00:00Z",
    ],
)
def test_a_moment_that_has_passed_or_never_comes_is_no_wait(text: str) -> None:
    assert parse_wait(text, now=NOW) is None


@given(st.text())
@example("Sun, 22 Nov 99999999999 12:00:00 GMT")
@example("9999-12-31T23:59:59-23:59")
@example("0001-01-01T00:00:00+23:59")
def test_no_text_breaks_the_parser(text: str) -> None:
    seconds = parse_wait(text, now=NOW)
    assert seconds is None or (math.isfinite(seconds) and seconds > 0)


@given(
    st.integers(0, 99),
    st.integers(0, 99),
    st.integers(0, 99),
    st.decimals(0, 59, places=3),
    st.integers(1, 999),
)
def test_a_go_duration_is_the_sum_of_its_parts(
    days: int, hours: int, minutes: int, seconds: object, ms: int
) -> None:
    text = f"{days}d{hours}h{minutes}m{seconds}s{ms}ms"
    expected = days * 86400 + hours * 3600 + minutes * 60 + float(str(seconds)) + ms / 1000
    assert parse_wait(text, now=NOW) == pytest.approx(expected)


@given(st.integers(1, 10**8))
def test_an_http_date_is_read_as_the_seconds_until_then(seconds: int) -> None:
    moment = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    assert parse_wait(moment, now=NOW) == seconds


SPENT = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "4s"}
GEMINI: dict[str, object] = {
    "error": {"message": "Please retry in 6s.", "details": [{"quotaId": "x"}, {"retryDelay": "3s"}]}
}
ORDERED: list[tuple[dict[str, str], object]] = [
    ({"retry-after-ms": "1000"}, None),
    ({"retry-after": "2"}, None),
    ({}, GEMINI),
    (SPENT, None),
    ({}, {"error": {"message": "Please try again in 5s."}}),
]


@pytest.mark.parametrize("first", range(len(ORDERED)))
def test_the_first_place_that_says_something_wins(first: int) -> None:
    headers: dict[str, str] = {}
    bodies = [body for _, body in ORDERED[first:] if body]
    for more, _ in ORDERED[first:]:
        headers |= more
    assert wait_hint(headers, bodies[0], now=NOW) == first + 1


@pytest.mark.parametrize("junk", JUNK)
def test_a_place_that_makes_no_sense_is_passed_over(junk: str) -> None:
    headers = {
        "retry-after-ms": junk,
        "retry-after": junk,
        "x-ratelimit-reset": junk,
        "x-ratelimit-remaining": "0",
    }
    body = {"retry_after": junk, "error": {"message": "try again in 7s"}}
    assert wait_hint(headers, body, now=NOW) == 7.0


def test_header_names_are_read_in_any_case() -> None:
    assert wait_hint({"Retry-After": "3"}, None, now=NOW) == 3.0


def test_nothing_said_is_no_hint() -> None:
    assert wait_hint({"content-type": "text/html"}, "<html>", now=NOW) is None


@pytest.mark.parametrize("value", [5, 5.0, "5", "5s"])
def test_a_wait_in_the_body_is_read(value: object) -> None:
    assert wait_hint({}, {"detail": "Request was throttled.", "retry_after": value}, now=NOW) == 5.0


@pytest.mark.parametrize("value", [True, None, [], {}, -1, 0, math.nan, math.inf, 10**400])
def test_a_wait_in_the_body_that_is_no_number_of_seconds_is_passed_over(value: object) -> None:
    assert wait_hint({}, {"retry_after": value}, now=NOW) is None


def test_only_spent_limits_are_waited_for_and_the_longest_of_them() -> None:
    headers = {
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "12ms",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "6m0s",
        "x-ratelimit-remaining-images": "3",
        "x-ratelimit-reset-images": "10h",
    }
    assert wait_hint(headers, None, now=NOW) == 360.0


def test_a_reset_of_a_limit_with_something_left_says_nothing() -> None:
    headers = {
        "x-ratelimit-remaining-requests": "1",
        "x-ratelimit-reset-requests": "6m0s",
        "x-ratelimit-reset": "9",
    }
    assert wait_hint(headers, None, now=NOW) is None


def test_anthropics_resets_are_moments() -> None:
    headers = {
        "anthropic-ratelimit-input-tokens-remaining": "0",
        "anthropic-ratelimit-input-tokens-reset": "2026-11-22T12:02:51Z",
    }
    assert wait_hint(headers, None, now=NOW) == 171.0


def test_azures_resets_of_minus_one_are_ignored() -> None:
    headers = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "-1"}
    assert wait_hint(headers, None, now=NOW) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Rate limit reached for M. Please try again in 18.642s. Visit ...", 18.642),
        ("Please try again in 644ms.", 0.644),
        ("Please try again in 6m0s.", 360.0),
        ("Please retry in 58.93s.", 58.93),
        ("Your rate limit resets in ~30s.", 30.0),
        ("Please retry after 8 seconds.", 8.0),
        ("Try again in 2 minutes", 120.0),
        ("try again in 1 second", 1.0),
        ("try again in a while", None),
        ("try again in 0ms", None),
        ("try again in 1.2.3s", None),
    ],
)
def test_a_wait_announced_in_the_text_is_read(text: str, seconds: float | None) -> None:
    assert wait_hint({}, {"error": {"message": text}}, now=NOW) == seconds
    assert wait_hint({}, {"detail": text}, now=NOW) == seconds


json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["error", "details", "message", "retry_after"]), inner)
    ),
)


@given(
    st.dictionaries(
        st.sampled_from(["retry-after", "retry-after-ms", "x-ratelimit-reset"]), st.text(string.printable)
    ),
    json,
)
def test_no_response_breaks_the_parser(headers: dict[str, str], body: object) -> None:
    seconds = wait_hint(headers, body, now=NOW)
    assert seconds is None or (math.isfinite(seconds) and seconds > 0)
