"""Classification: what an HTTP error means, where no provider says it in its own way."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relight.actors import ErrorBody, ErrorRule, ErrorTable, HttpService, read_error
from relight.supervisors import FailureKind, ProviderError

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


def classify(status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> ProviderError:
    return HttpService.errors.classify("http", status, headers or {}, body, now=NOW)


@pytest.mark.parametrize(
    ("status", "kind", "is_retried"),
    [
        (301, FailureKind.BAD_REQUEST, False),
        (400, FailureKind.BAD_REQUEST, False),
        (401, FailureKind.AUTH, False),
        (402, FailureKind.QUOTA, False),
        (403, FailureKind.BAD_REQUEST, False),
        (404, FailureKind.NOT_FOUND, False),
        (408, FailureKind.TIMEOUT, True),
        (409, FailureKind.BAD_REQUEST, False),
        (413, FailureKind.BAD_REQUEST, False),
        (422, FailureKind.BAD_REQUEST, False),
        (425, FailureKind.BAD_REQUEST, True),
        (429, FailureKind.RATE_LIMIT, True),
        (500, FailureKind.SERVER, True),
        (501, FailureKind.BAD_REQUEST, False),
        (502, FailureKind.SERVER, True),
        (503, FailureKind.OVERLOADED, True),
        (504, FailureKind.TIMEOUT, True),
        (505, FailureKind.BAD_REQUEST, False),
        (520, FailureKind.SERVER, True),
        (529, FailureKind.OVERLOADED, True),
        (599, FailureKind.SERVER, True),
        (200, FailureKind.INVALID_RESPONSE, True),
        (999, FailureKind.INVALID_RESPONSE, True),
    ],
)
def test_a_status_decides_where_the_body_says_nothing(
    status: int, kind: FailureKind, is_retried: bool
) -> None:
    error = classify(status)
    assert error.kind is kind
    assert (kind.is_retryable if error.retryable is None else error.retryable) is is_retried
    assert (error.provider, error.status) == ("http", status)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"error": {"type": "t", "code": "c", "message": "m"}}, ("t", "c", "m")),
        ({"error": {"type": "t", "code": None, "message": "m"}}, ("t", "", "m")),
        ({"error": {"type": "t", "message": "m", "details": {"error_code": "c"}}}, ("t", "c", "m")),
        ({"error": {"type": "t", "message": "m", "details": None}}, ("t", "", "m")),
        (
            {"object": "error", "type": "BadRequestError", "code": 400, "message": "m"},
            ("BadRequestError", "400", "m"),
        ),
        ({"error": "not found"}, ("", "", "not found")),
        ({"detail": "throttled"}, ("", "", "throttled")),
        ({"detail": {"code": "c", "message": "m"}}, ("", "c", "m")),
        ({"message": "m"}, ("", "", "m")),
        ({"error": {"code": True, "type": ["x"], "message": 7}}, ("", "", "")),
        (["error"], ("", "", "")),
        ("error", ("", "", "")),
    ],
)
def test_every_usual_shape_of_an_error_is_read(body: object, expected: tuple[str, str, str]) -> None:
    error = read_error(msgspec.json.encode(body))
    assert (error.type, error.code, error.message) == expected


@pytest.mark.parametrize("body", [b"", b"<html>413</html>", b'{"error": {"mess', b"\xff\xfe", b"[" * 5000])
def test_a_body_that_is_no_json_says_nothing(body: bytes) -> None:
    assert read_error(body) == ErrorBody()


@given(st.integers(100, 999), st.binary())
def test_no_response_breaks_the_table(status: int, body: bytes) -> None:
    assert classify(status, body).kind in FailureKind


def test_the_servers_wait_is_kept() -> None:
    assert classify(503, headers={"retry-after": "7"}).retry_after == 7.0
    assert classify(503).retry_after is None


def test_the_servers_words_are_kept_short() -> None:
    error = classify(500, msgspec.json.encode({"message": "long \n  words " * 1000}))
    assert error.detail.startswith("long words long words")
    assert len(error.detail) <= 400


def test_a_secret_is_hidden_before_the_text_is_cut() -> None:
    key = "k" * 40
    body = msgspec.json.encode({"error": {"message": f"{'x' * 390}{key}", "code": key}})
    error = ErrorTable().classify("p", 400, {}, body, now=NOW, hide=lambda text: text.replace(key, "***"))
    assert "kk" not in str(error)
    assert error.code == "***"


def test_html_is_not_quoted() -> None:
    error = classify(502, b"<html>secret page</html>", {"content-type": "text/html; charset=utf-8"})
    assert error.detail == "HTTP 502 without an error text (text/html)"


def test_a_gateways_200_is_classified_by_the_status_in_its_body() -> None:
    error = classify(200, b'{"error": {"code": 429, "message": "slow"}}')
    assert (error.kind, error.status) == (FailureKind.RATE_LIMIT, 200)


def test_a_status_in_the_body_does_not_override_an_error_status() -> None:
    assert classify(500, b'{"error": {"code": 404}}').kind is FailureKind.SERVER


def test_own_rules_come_first_and_all_their_conditions_must_hold() -> None:
    rule = ErrorRule(
        kind=FailureKind.QUOTA,
        statuses={429},
        names=frozenset({"limit"}),
        texts=("no credit",),
        retryable=False,
    )
    table = ErrorTable([rule])

    def kind(status: int, code: str, message: str) -> FailureKind:
        body = msgspec.json.encode({"error": {"code": code, "message": message}})
        return table.classify("p", status, {}, body, now=NOW).kind

    assert kind(429, "limit", "You have NO CREDIT left") is FailureKind.QUOTA
    assert kind(429, "other", "no credit") is FailureKind.RATE_LIMIT
    assert kind(429, "limit", "calm down") is FailureKind.RATE_LIMIT
    assert kind(500, "limit", "no credit") is FailureKind.SERVER
