"""ElevenLabs' errors, row by row."""

from datetime import UTC, datetime

import msgspec
import pytest

from relight.actors.providers import ElevenLabs
from relight.supervisors import FailureKind, ProviderError

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


def classify(status: int, body: object, headers: dict[str, str] | None = None) -> ProviderError:
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return ElevenLabs.errors.classify("elevenlabs", status, headers or {}, data, now=NOW)


def new(code: str, type_: str = "t") -> dict[str, object]:
    return {"detail": {"type": type_, "code": code, "message": "m", "request_id": "r", "param": None}}


def old(status: str) -> dict[str, object]:
    return {"detail": {"status": status, "message": "m"}}


ROWS = [
    (401, "quota_exceeded", FailureKind.QUOTA),
    (400, "quota_exceeded", FailureKind.QUOTA),
    (401, "invalid_api_key", FailureKind.AUTH),
    (400, "invalid_api_key", FailureKind.AUTH),
    (401, "detected_unusual_activity", FailureKind.AUTH),
    (404, "voice_not_found", FailureKind.NOT_FOUND),
    (400, "voice_not_found", FailureKind.NOT_FOUND),
    (400, "max_character_limit_exceeded", FailureKind.BAD_REQUEST),
    (401, "max_character_limit_exceeded", FailureKind.BAD_REQUEST),
    (429, "too_many_concurrent_requests", FailureKind.RATE_LIMIT),
    (429, "concurrent_limit_exceeded", FailureKind.RATE_LIMIT),
    (429, "rate_limit_exceeded", FailureKind.RATE_LIMIT),
    (429, "system_busy", FailureKind.OVERLOADED),
    (403, "content_against_policy", FailureKind.CONTENT_POLICY),
]


@pytest.mark.parametrize(("status", "code", "kind"), ROWS)
@pytest.mark.parametrize("form", [new, old])
def test_a_code_decides_in_the_old_form_and_the_new(
    status: int, code: str, kind: FailureKind, form: type
) -> None:
    error = classify(status, form(code))
    assert (error.kind, error.code, error.status, error.detail) == (kind, code, status, "m")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, FailureKind.AUTH),
        (403, FailureKind.BAD_REQUEST),
        (404, FailureKind.NOT_FOUND),
        (422, FailureKind.BAD_REQUEST),
        (429, FailureKind.RATE_LIMIT),
        (500, FailureKind.SERVER),
        (503, FailureKind.OVERLOADED),
    ],
)
def test_the_status_decides_where_there_is_no_code(status: int, kind: FailureKind) -> None:
    assert classify(status, b"<html>").kind is kind


def test_the_first_flaw_of_a_list_is_told() -> None:
    flaws = [{"loc": ["body", "text"], "msg": "field required", "type": "missing"}, {"msg": "more"}]
    error = classify(422, {"detail": flaws})
    assert (error.kind, error.detail) == (FailureKind.BAD_REQUEST, "field required")


@pytest.mark.parametrize("detail", [[], [7], [{}], [{"msg": 7}]])
def test_a_list_without_a_flaw_is_no_text(detail: object) -> None:
    assert classify(422, {"detail": detail}).detail.startswith("HTTP 422")
