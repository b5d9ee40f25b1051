"""Kinds of failure: which are retried, counted, and which block the provider."""

import pytest

from relight.supervisors import FailureKind

# kind: is it retryable, does it count for the breaker, does it block the provider?
TABLE = {
    FailureKind.RATE_LIMIT: (True, False, False),
    FailureKind.OVERLOADED: (True, True, False),
    FailureKind.SERVER: (True, True, False),
    FailureKind.TIMEOUT: (True, True, False),
    FailureKind.NETWORK: (True, True, False),
    FailureKind.STREAM_BROKEN: (True, True, False),
    FailureKind.INVALID_RESPONSE: (True, True, False),
    FailureKind.QUOTA: (False, False, True),
    FailureKind.AUTH: (False, False, True),
    FailureKind.BAD_REQUEST: (False, False, False),
    FailureKind.CONTEXT_LENGTH: (False, False, False),
    FailureKind.CONTENT_POLICY: (False, False, False),
    FailureKind.NOT_FOUND: (False, False, False),
    FailureKind.REFUSED: (False, False, False),
    FailureKind.BUG: (False, False, False),
}


def test_the_table_holds_every_kind() -> None:
    assert set(TABLE) == set(FailureKind)


@pytest.mark.parametrize("kind", FailureKind)
def test_a_kind_decides_on_retry_breaker_and_block(kind: FailureKind) -> None:
    assert (kind.is_retryable, kind.counts_for_breaker, kind.blocks_provider) == TABLE[kind]


@pytest.mark.parametrize("kind", FailureKind)
def test_a_kind_is_its_metric_label(kind: FailureKind) -> None:
    assert str(kind) == kind.name.lower()
