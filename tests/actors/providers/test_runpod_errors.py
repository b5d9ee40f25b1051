"""RunPod's errors: those of its API. Those of its jobs are in test_runpod."""

from datetime import UTC, datetime

import pytest

from relight.actors.providers import RunPod
from relight.supervisors import FailureKind

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, b'{"error": "bad request"}', FailureKind.BAD_REQUEST),
        (401, b"", FailureKind.AUTH),
        (403, b"", FailureKind.AUTH),
        (402, b'{"error": "insufficient balance"}', FailureKind.QUOTA),
        (404, b'{"error": "endpoint not found"}', FailureKind.NOT_FOUND),
        (413, b"", FailureKind.BAD_REQUEST),
        (429, b'{"error": "too many requests"}', FailureKind.RATE_LIMIT),
        (500, b'{"error": "internal"}', FailureKind.SERVER),
        (502, b"<html>", FailureKind.SERVER),
        (503, b"", FailureKind.OVERLOADED),
        (504, b"", FailureKind.TIMEOUT),
        (200, b"{", FailureKind.INVALID_RESPONSE),
    ],
)
def test_each_error_of_runpods_api_is_classified(status: int, body: bytes, kind: FailureKind) -> None:
    error = RunPod.errors.classify("runpod", status, {}, body, now=NOW)
    assert error.kind is kind
    assert error.retryable is None
