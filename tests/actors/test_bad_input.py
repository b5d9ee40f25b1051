"""Whatever a server sends: the parser of waits and the tables of errors raise nothing and talk sense."""

import json
import math
import sys
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relight.actors import HttpReply, HttpService, parse_wait, read_error, wait_hint
from relight.actors.providers import PROVIDERS
from relight.supervisors import FailureKind, ProviderError

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
TABLES: list[type[HttpService]] = [
    HttpService,
    *(kind for kind in PROVIDERS if issubclass(kind, HttpService)),
]

PIECES = (
    *"0123456789dhmsTZ:.,+-_ eE\t\n\x00٣",
    "ms",
    "00",
    "99",
    "2026",
    "9999",
    "0000",
    "-01-01T00:00:00",
    "+23:59",
    "-23:59",
    "Sun, ",
    " Nov ",
    " GMT",
    " -9999",
    "12:00:00",
    "9" * 30,
    "9" * 400,
    "inf",
    "nan",
    "1e",
    "Infinity",
)
SHAPES = (
    r"[A-Z][a-z]{2}, [0-9]{1,2} (Jan|Nov|Xyz) [0-9]{1,12} [0-9]{2}:[0-9]{2}:[0-9]{2} (GMT|[+-][0-9]{1,20})",
    r"[09][0-9]{2}[19]-(01|12)-(01|31)[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2})?(\.[0-9]+)?(Z|[+-][0-9:]{5})?",
    r"([0-9]{1,3}d)?([0-9]+h)?([0-9]+m)?([0-9]+(\.[0-9]+)?s)?([0-9]+ms)?",
    r"[1-9][0-9]{0,15}(\.[0-9]*)?",
)
waits = st.one_of(
    *(st.from_regex(shape, fullmatch=True) for shape in SHAPES),
    st.builds(
        "".join, st.tuples(st.integers(300, 400).map("9".__mul__), st.sampled_from(["", "s", "d", ".5"]))
    ),
    st.lists(st.sampled_from(PIECES), max_size=9).map("".join),
    st.floats().map(str),
    st.integers().map(str),
    st.datetimes().map(str),
    st.text(),
)
"""Texts that are nearly waits, in one of their forms."""
HEADERS = (
    "retry-after",
    "Retry-After",
    "retry-after-ms",
    "x-ratelimit-reset",
    "x-ratelimit-remaining",
    "x-ratelimit-reset-tokens",
    "x-ratelimit-remaining-tokens",
    "anthropic-ratelimit-requests-reset",
    "anthropic-ratelimit-requests-remaining",
    "content-type",
    "x-should-retry",
)
headers = st.dictionaries(st.sampled_from(HEADERS), waits, max_size=5)
WORDS = (
    "insufficient_quota",
    "rate_limit_exceeded",
    "overloaded_error",
    "billing",
    "try again in ",
    "Please retry in ",
    "your credit balance is too low",
    "context_length_exceeded",
    "429",
    "503",
    "٣٣٣",
)
words = st.lists(st.sampled_from(WORDS) | waits, max_size=3).map("".join)
FIELDS = (
    "error",
    "errors",
    "detail",
    "details",
    "message",
    "type",
    "code",
    "status",
    "retry_after",
    "retryDelay",
    "error_code",
    "choices",
    "content",
    "id",
    "output",
    "usage",
)
values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | words | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5),
    max_leaves=12,
)
"""What JSON may hold, and a little more."""


def encoded(value: object) -> bytes:
    """Write JSON as a careless server does: with NaN, numbers without an end, and lone surrogates."""
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        return json.dumps(value).encode("utf-8", "surrogatepass")
    finally:
        sys.set_int_max_str_digits(limit)


bodies = st.one_of(
    values.map(encoded),
    values.map(encoded).flatmap(lambda body: st.integers(0, len(body)).map(lambda end: body[:end])),
    st.binary(max_size=64),
    st.sampled_from([b"", b"<html><h1>502 Bad Gateway</h1>", b"[" * 100_000, b'{"error":' * 20_000, b"null"]),
)


def is_wait(seconds: float | None) -> bool:
    return seconds is None or (math.isfinite(seconds) and seconds > 0)


@given(waits, st.datetimes(timezones=st.just(UTC)))
def test_what_is_nearly_a_wait_is_one_or_none(text: str, now: datetime) -> None:
    assert is_wait(parse_wait(text, now=now))


@given(headers, values)
def test_a_hint_is_a_wait_or_none_whatever_headers_and_body_hold(
    headers: dict[str, str], body: object
) -> None:
    assert is_wait(wait_hint(headers, body, now=NOW))


@given(bodies)
def test_an_error_is_read_out_of_any_body(body: bytes) -> None:
    error = read_error(body)
    assert isinstance(error.message, str)
    assert isinstance(error.type, str)
    assert isinstance(error.code, str)


@pytest.mark.parametrize("service", TABLES)
@given(st.integers(-1, 1000), headers, bodies)
def test_any_response_is_classified(
    service: type[HttpService], status: int, headers: dict[str, str], body: bytes
) -> None:
    error = service.errors.classify("p", status, headers, body, now=NOW)
    assert type(error) is ProviderError
    assert isinstance(error.kind, FailureKind)
    assert (error.provider, error.status) == ("p", status)
    assert is_wait(error.retry_after)
    assert str(error)


class Answer(msgspec.Struct):
    """What a service expects."""

    id: str
    output: dict[str, int] | None = None
    usage: float = 0.0


@given(st.integers(200, 299), headers, bodies)
def test_a_body_is_what_was_expected_or_a_failure_of_the_provider(
    status: int, headers: dict[str, str], body: bytes
) -> None:
    service = HttpService("http://localhost")
    try:
        answer: Answer | ProviderError = service.decode(HttpReply(status, headers, body), Answer)
    except ProviderError as error:
        answer = error
    assert isinstance(answer, Answer) or is_wait(answer.retry_after)
