"""The bundle for one service, and its real numbers."""

import math
import re

import msgspec
import pytest

from relight.supervisors.policies import Breaker, Concurrency, Exponential, Policy, Retry


def test_the_defaults_are_the_documented_numbers() -> None:
    policy = Policy()
    assert policy.retry == Retry(attempts=3, backoff=Exponential(1.0, cap=30.0), max_wait=120.0)
    assert policy.breaker == Breaker(failures=5, open_seconds=30.0, open_cap=300.0, probes=1)
    assert policy.concurrency == Concurrency(8)
    assert policy.call_timeout == 180.0
    assert policy.attempt_timeout == 30.0
    assert policy.mailbox == 1024
    assert policy.blocked_probe == 300.0
    assert (policy.intensity, policy.period) == (5, 60.0)
    assert policy.restart_backoff == Exponential(1.0, cap=30.0)
    assert policy.failed_probe == 30.0


def test_a_policy_may_do_without_a_breaker() -> None:
    assert Policy(breaker=None).breaker is None


def test_a_policy_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Policy().mailbox = 1  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("call_timeout", 0.0, "Policy.call_timeout must be more than 0 seconds, and finite, got 0.0"),
        (
            "attempt_timeout",
            math.inf,
            "Policy.attempt_timeout must be more than 0 seconds, and finite, got inf",
        ),
        ("mailbox", 0, "Policy.mailbox must be 1 or more, and finite, got 0"),
        ("blocked_probe", -1.0, "Policy.blocked_probe must be more than 0 seconds, and finite, got -1.0"),
        ("intensity", -1, "Policy.intensity must be 0 or more, and finite, got -1"),
        ("period", math.nan, "Policy.period must be more than 0 seconds, and finite, got nan"),
        ("failed_probe", 0.0, "Policy.failed_probe must be more than 0 seconds, and finite, got 0.0"),
    ],
)
def test_a_wrong_number_is_refused_when_the_policy_is_built(field: str, value: float, complaint: str) -> None:
    """Settings build policies by replacing fields, so that way in is checked as well."""
    with pytest.raises(ValueError, match=re.escape(complaint)):
        msgspec.structs.replace(Policy(), **{field: value})
