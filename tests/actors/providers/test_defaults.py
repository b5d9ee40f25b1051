"""Defaults: the policies recommended for the providers, in their own numbers."""

from random import Random

import pytest

from relight.actors import HttpService
from relight.actors.providers import (
    Anthropic,
    ElevenLabs,
    OpenAI,
    RunPod,
    Supabase,
    SupabaseStorage,
)
from relight.supervisors import FailureKind
from relight.supervisors.policies import GiveUp, Policy, RetryIn

LUCKLESS = Random()
LUCKLESS.random = lambda: 1.0 - 2**-53  # type: ignore[method-assign]  # the longest wait of every jitter


def longest_waits(
    policy: Policy, kind: FailureKind, *, retry_after: float | None = None, retryable: bool | None = None
) -> list[float]:
    """Follow a call that fails the same way in every attempt, with all the time in the world."""
    waits: list[float] = []
    for attempt in range(1, 11):
        decision = policy.retry.decide(
            kind, attempt, retryable=retryable, retry_after=retry_after, time_left=1e9, rng=LUCKLESS
        )
        if isinstance(decision, GiveUp):
            break
        waits.append(decision.wait)
    return waits


def test_openai_waits_sixty_seconds_without_a_header() -> None:
    assert longest_waits(OpenAI.policy, FailureKind.RATE_LIMIT) == [60.0, 60.0]


@pytest.mark.parametrize(
    "kind", [FailureKind.SERVER, FailureKind.OVERLOADED, FailureKind.NETWORK, FailureKind.TIMEOUT]
)
def test_openai_makes_three_attempts_one_and_two_seconds_apart_at_most(kind: FailureKind) -> None:
    assert longest_waits(OpenAI.policy, kind) == pytest.approx([1.0, 2.0])


def test_openai_repeats_a_conflict_once() -> None:
    assert len(longest_waits(OpenAI.policy, FailureKind.BAD_REQUEST, retryable=True)) == 1


@pytest.mark.parametrize("kind", [FailureKind.RATE_LIMIT, FailureKind.OVERLOADED])
def test_anthropic_waits_exponentially_over_five_attempts(kind: FailureKind) -> None:
    assert longest_waits(Anthropic.policy, kind) == pytest.approx([2.0, 4.0, 8.0, 16.0])


@pytest.mark.parametrize("kind", [FailureKind.SERVER, FailureKind.NETWORK, FailureKind.TIMEOUT])
def test_anthropic_makes_three_attempts_at_anything_else(kind: FailureKind) -> None:
    assert longest_waits(Anthropic.policy, kind) == pytest.approx([2.0, 4.0])


def test_anthropic_is_waited_for_through_its_longest_windows() -> None:
    decision = Anthropic.policy.retry.decide(
        FailureKind.RATE_LIMIT, 1, retryable=None, retry_after=171.0, time_left=1e9, rng=Random(1)
    )
    assert isinstance(decision, RetryIn)
    assert 171.0 <= decision.wait <= 171.0 * 1.1


@pytest.mark.parametrize(
    "policy",
    [
        OpenAI.policy,
        Anthropic.policy,
        RunPod.policy,
        ElevenLabs.policy,
        Supabase.policy,
        SupabaseStorage.policy,
        HttpService.policy,
    ],
)
@pytest.mark.parametrize("kind", [kind for kind in FailureKind if not kind.is_retryable])
def test_no_provider_retries_what_never_clears(policy: Policy, kind: FailureKind) -> None:
    assert longest_waits(policy, kind) == []


@pytest.mark.parametrize("kind", [FailureKind.SERVER, FailureKind.TIMEOUT])
def test_a_failed_job_gets_five_attempts(kind: FailureKind) -> None:
    assert longest_waits(RunPod.policy, kind) == pytest.approx([2.0, 4.0, 8.0, 16.0])


@pytest.mark.parametrize("kind", [FailureKind.RATE_LIMIT, FailureKind.OVERLOADED, FailureKind.NETWORK])
def test_a_job_runpod_does_not_take_gets_three_attempts(kind: FailureKind) -> None:
    assert longest_waits(RunPod.policy, kind) == pytest.approx([1.0, 2.0])


@pytest.mark.parametrize(
    ("policy", "waits"),
    [
        (ElevenLabs.policy, [1.0, 2.0]),
        (Supabase.policy, [0.5, 1.0]),
        (SupabaseStorage.policy, [0.5, 1.0]),
    ],
)
@pytest.mark.parametrize(
    "kind", [FailureKind.RATE_LIMIT, FailureKind.OVERLOADED, FailureKind.SERVER, FailureKind.NETWORK]
)
def test_speech_rows_and_files_get_three_attempts(
    policy: Policy, waits: list[float], kind: FailureKind
) -> None:
    assert longest_waits(policy, kind) == pytest.approx(waits)


def test_an_http_service_makes_three_attempts() -> None:
    assert longest_waits(HttpService.policy, FailureKind.SERVER) == pytest.approx([1.0, 2.0])


@pytest.mark.parametrize(
    ("policy", "limit", "attempt_timeout"),
    [
        (OpenAI.policy, 8, 120.0),
        (Anthropic.policy, 4, 120.0),
        (RunPod.policy, 2, 1000.0),
        (ElevenLabs.policy, 2, 120.0),
        (Supabase.policy, 10, 30.0),
        (SupabaseStorage.policy, 4, 120.0),
        (HttpService.policy, 10, 30.0),
    ],
)
def test_each_provider_has_its_slots_and_its_patience(
    policy: Policy, limit: int, attempt_timeout: float
) -> None:
    assert policy.concurrency.limit == limit
    assert policy.attempt_timeout == attempt_timeout


def test_an_attempt_at_a_job_lasts_longer_than_the_job_may() -> None:
    assert RunPod.policy.attempt_timeout > 300.0 + 600.0 + 30.0


@pytest.mark.parametrize("service", [OpenAI("k"), Anthropic("k"), HttpService("http://localhost")])
def test_a_stream_has_a_minute_to_begin_and_ninety_seconds_between_its_bytes(service: HttpService) -> None:
    connect, first_byte, idle = service._timeouts
    assert (connect, first_byte, idle) == (5.0, 60.0, 90.0)
