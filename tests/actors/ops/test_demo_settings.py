"""The demo's own settings are good ones, and what they say about the defaults is true."""

import re
import tomllib

import pytest

from relight.actors.ops.demo import SETTINGS_FILE
from relight.actors.providers import Anthropic, OpenAI, RunPod
from relight.supervisors import FailureKind, Settings
from relight.supervisors.policies import Exponential, Fixed, Policy

SERVICES = {service.provider: service for service in (OpenAI, Anthropic, RunPod)}
POLICIES = {name: service.policy for name, service in SERVICES.items()}


def number(policy: Policy, name: str) -> float:
    """Find in a policy what the settings call *name*."""
    backoff = policy.retry.backoff
    rate_limit = policy.retry.backoff_by_kind.get(FailureKind.RATE_LIMIT)
    assert isinstance(backoff, Exponential)
    assert policy.breaker is not None
    return {
        "initial_delay": backoff.initial,
        "max_delay": backoff.cap,
        "rate_limit_wait": rate_limit.delay if isinstance(rate_limit, Fixed) else 0.0,
        "attempt_timeout": policy.attempt_timeout,
        "call_timeout": policy.call_timeout,
        "concurrency": policy.concurrency.limit,
        "breaker_open_seconds": policy.breaker.open_seconds,
        "breaker_open_cap": policy.breaker.open_cap,
    }[name]


def test_the_settings_are_in_force_as_written() -> None:
    settings = Settings.load(file=SETTINGS_FILE, environ={}, services=POLICIES).settings
    written = tomllib.loads(SETTINGS_FILE.read_text(encoding="utf-8"))["providers"]
    assert set(written) == set(SERVICES)
    for provider, table in written.items():
        policy = settings.policy(provider, POLICIES[provider])
        assert {name: number(policy, name) for name in table} == table


def test_the_waits_the_demo_shortens_are_the_documented_ones() -> None:
    settings = Settings.load(file=SETTINGS_FILE, environ={}).settings
    openai = settings.policy("openai", OpenAI.policy)
    assert (number(OpenAI.policy, "rate_limit_wait"), number(openai, "rate_limit_wait")) == (60.0, 1.0)
    assert (number(OpenAI.policy, "breaker_open_seconds"), number(openai, "breaker_open_seconds")) == (
        30.0,
        2.0,
    )


@pytest.mark.parametrize("provider", SERVICES)
def test_the_defaults_named_in_the_comments_are_the_defaults(provider: str) -> None:
    _, _, section = SETTINGS_FILE.read_text(encoding="utf-8").partition(f"[providers.{provider}]")
    lines = section.partition("[providers.")[0]
    named = re.findall(r"^(\w+) = \S+ +# default (\d+)(?! to)", lines, re.MULTILINE)
    assert len(named) >= 7
    assert [(name, number(POLICIES[provider], name)) for name, _ in named] == [
        (name, float(value)) for name, value in named
    ]
