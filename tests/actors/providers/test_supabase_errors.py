"""The errors of PostgREST, Postgres and Supabase Storage, row by row."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relight.actors import ErrorTable
from relight.actors.providers import ElevenLabs, Supabase, SupabaseStorage
from relight.supervisors import FailureKind, ProviderError

NAMES = st.sampled_from(["detail", "code", "status", "statusCode", "error", "message", "msg"])
NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


def classify(status: int, body: object, headers: dict[str, str] | None = None) -> ProviderError:
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return Supabase.errors.classify("supabase", status, headers or {}, data, now=NOW)


def classify_file(status: int, body: object) -> ProviderError:
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return SupabaseStorage.errors.classify("supabase_storage", status, {}, data, now=NOW)


def is_retried(error: ProviderError) -> bool:
    return error.kind.is_retryable if error.retryable is None else error.retryable


@pytest.mark.parametrize(
    ("status", "code", "kind", "retried", "counts"),
    [
        (503, "PGRST000", FailureKind.OVERLOADED, True, True),
        (503, "PGRST001", FailureKind.OVERLOADED, True, True),
        (503, "PGRST002", FailureKind.OVERLOADED, True, True),
        (504, "PGRST003", FailureKind.OVERLOADED, True, True),
        (500, "PGRST300", FailureKind.AUTH, False, False),
        (401, "PGRST301", FailureKind.AUTH, False, False),
        (401, "PGRST302", FailureKind.AUTH, False, False),
        (401, "PGRST303", FailureKind.AUTH, False, False),
        (400, "PGRST100", FailureKind.BAD_REQUEST, False, False),
        (406, "PGRST116", FailureKind.BAD_REQUEST, False, False),
        (404, "PGRST202", FailureKind.NOT_FOUND, False, False),
        (404, "PGRST205", FailureKind.NOT_FOUND, False, False),
        (404, "42P01", FailureKind.NOT_FOUND, False, False),
        (404, "42883", FailureKind.NOT_FOUND, False, False),
        (401, "42501", FailureKind.BAD_REQUEST, False, False),
        (403, "42501", FailureKind.BAD_REQUEST, False, False),
        (409, "23505", FailureKind.BAD_REQUEST, False, False),
        (409, "23503", FailureKind.BAD_REQUEST, False, False),
        (400, "23502", FailureKind.BAD_REQUEST, False, False),
        (400, "22P02", FailureKind.BAD_REQUEST, False, False),
        (400, "P0001", FailureKind.BAD_REQUEST, False, False),
        (500, "40001", FailureKind.BAD_REQUEST, True, False),
        (500, "40P01", FailureKind.BAD_REQUEST, True, False),
        (500, "57014", FailureKind.BAD_REQUEST, False, False),
        (500, "XX000", FailureKind.BAD_REQUEST, False, False),
        (503, "08006", FailureKind.OVERLOADED, True, True),
        (503, "53300", FailureKind.OVERLOADED, True, True),
        (503, "57P01", FailureKind.OVERLOADED, True, True),
        (500, "PGRSTX00", FailureKind.SERVER, False, True),
    ],
)
def test_a_code_decides(status: int, code: str, kind: FailureKind, *, retried: bool, counts: bool) -> None:
    error = classify(status, {"code": code, "details": None, "hint": None, "message": "m"})
    assert (error.kind, error.code, error.detail) == (kind, code, "m")
    assert is_retried(error) is retried
    assert error.kind.counts_for_breaker is counts


@pytest.mark.parametrize(
    ("status", "kind", "retried"),
    [
        (401, FailureKind.AUTH, False),
        (402, FailureKind.QUOTA, False),
        (403, FailureKind.BAD_REQUEST, False),
        (404, FailureKind.NOT_FOUND, False),
        (408, FailureKind.TIMEOUT, True),
        (413, FailureKind.BAD_REQUEST, False),
        (429, FailureKind.RATE_LIMIT, True),
        (500, FailureKind.SERVER, False),
        (502, FailureKind.SERVER, True),
        (503, FailureKind.OVERLOADED, True),
        (504, FailureKind.TIMEOUT, True),
        (520, FailureKind.SERVER, True),
        (544, FailureKind.SERVER, True),
    ],
)
def test_the_gateways_status_decides_where_there_is_no_code(
    status: int, kind: FailureKind, *, retried: bool
) -> None:
    error = classify(status, {"message": "no"})
    assert (error.kind, is_retried(error)) == (kind, retried)


def test_a_reconnecting_server_says_when_it_tries_again() -> None:
    assert classify(503, {"code": "PGRST001"}, {"retry-after": "8"}).retry_after == 8.0


@pytest.mark.parametrize(
    ("code", "told", "kind", "retried"),
    [
        ("DatabaseTimeout", 544, FailureKind.TIMEOUT, True),
        ("DatabaseConnectionLimit", 503, FailureKind.OVERLOADED, True),
        ("LockTimeout", 503, FailureKind.OVERLOADED, True),
        ("SlowDown", 503, FailureKind.RATE_LIMIT, True),
        ("InternalError", 500, FailureKind.SERVER, True),
        ("S3Error", 500, FailureKind.SERVER, True),
        ("NoSuchKey", 404, FailureKind.NOT_FOUND, False),
        ("NoSuchBucket", 404, FailureKind.NOT_FOUND, False),
        ("ResourceAlreadyExists", 409, FailureKind.BAD_REQUEST, False),
        ("KeyAlreadyExists", 409, FailureKind.BAD_REQUEST, False),
        ("AccessDenied", 403, FailureKind.BAD_REQUEST, False),
        ("EntityTooLarge", 413, FailureKind.BAD_REQUEST, False),
        ("InvalidMimeType", 415, FailureKind.BAD_REQUEST, False),
        ("InvalidJWT", 400, FailureKind.AUTH, False),
    ],
)
@pytest.mark.parametrize("status", [400, 500])
def test_a_files_code_decides_whatever_http_says(
    status: int, code: str, told: int, kind: FailureKind, *, retried: bool
) -> None:
    error = classify_file(status, {"statusCode": str(told), "error": "e", "message": "m", "code": code})
    assert (error.kind, error.status, error.code, error.detail) == (kind, told, code, "m")
    assert is_retried(error) is retried


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ({"statusCode": "404", "error": "not_found", "message": "m"}, FailureKind.NOT_FOUND, 404),
        ({"statusCode": 409, "error": "Duplicate", "message": "m"}, FailureKind.BAD_REQUEST, 409),
        ({"statusCode": "429", "error": "x", "message": "m"}, FailureKind.RATE_LIMIT, 429),
        ({"statusCode": "503", "error": "x", "message": "m"}, FailureKind.OVERLOADED, 503),
        ({"statusCode": "403", "error": "Unauthorized", "message": "jwt expired"}, FailureKind.AUTH, 403),
        ({"statusCode": "403", "error": "x", "message": "row-level security"}, FailureKind.BAD_REQUEST, 403),
        ({"statusCode": "200", "error": "x", "message": "m"}, FailureKind.BAD_REQUEST, 400),
        ({"statusCode": "what", "error": "x", "message": "m"}, FailureKind.BAD_REQUEST, 400),
        (b"<html>", FailureKind.BAD_REQUEST, 400),
        (b"[1]", FailureKind.BAD_REQUEST, 400),
    ],
)
def test_the_status_in_a_files_body_is_the_one_that_counts(
    body: object, kind: FailureKind, status: int
) -> None:
    error = classify_file(400, body)
    assert (error.kind, error.status) == (kind, status)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner),
    max_leaves=8,
)


@given(st.integers(100, 999), st.binary() | JSON.map(msgspec.json.encode))
@pytest.mark.parametrize("table", [Supabase.errors, SupabaseStorage.errors, ElevenLabs.errors])
def test_whatever_comes_is_a_typed_error(table: ErrorTable, status: int, body: bytes) -> None:
    error = table.classify("p", status, {}, body, now=NOW)
    assert error.kind in FailureKind
