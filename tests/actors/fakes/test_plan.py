"""Which faults a plan gives: pure, so no server is needed."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relight.actors.fakes import DEFAULT_WEIGHTS, FaultKind, FaultPlan, RetryAfterForm

OPERATIONS = st.sampled_from(
    [
        ("openai", "chat"),
        ("anthropic", "messages"),
        ("runpod", "run"),
        ("runpod", "retry"),
        ("elevenlabs", "speech"),
        ("supabase", "select"),
        ("runpod", "status"),
        ("runpod", "cancel"),
    ]
)
SEEDS = st.integers(-(2**63), 2**63)
NUMBERS = st.integers(1, 10**6)


@given(SEEDS, OPERATIONS, NUMBERS, st.floats(0.0, 1.0))
def test_the_same_seed_gives_the_same_request_the_same_fault(
    seed: int, operation: tuple[str, str], number: int, rate: float
) -> None:
    plan, again = FaultPlan(rate=rate, seed=seed), FaultPlan(rate=rate, seed=seed)
    assert plan.fault(*operation, number) == again.fault(*operation, number)
    assert plan.form(*operation, number) == again.form(*operation, number)


@given(SEEDS, OPERATIONS, NUMBERS)
def test_a_fault_does_not_depend_on_what_was_asked_before(
    seed: int, operation: tuple[str, str], number: int
) -> None:
    asked, fresh = FaultPlan(rate=0.5, seed=seed), FaultPlan(rate=0.5, seed=seed)
    for earlier in range(1, 20):
        asked.fault(*operation, earlier)
    assert asked.fault(*operation, number) == fresh.fault(*operation, number)


@given(SEEDS, OPERATIONS, NUMBERS, st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_a_higher_rate_keeps_the_faults_of_a_lower_one(
    seed: int, operation: tuple[str, str], number: int, one: float, other: float
) -> None:
    low, high = sorted([one, other])
    fault = FaultPlan(rate=low, seed=seed).fault(*operation, number)
    assert fault is None or FaultPlan(rate=high, seed=seed).fault(*operation, number) == fault


@given(SEEDS, OPERATIONS, NUMBERS)
def test_a_fault_is_one_the_operation_can_show(seed: int, operation: tuple[str, str], number: int) -> None:
    fault = FaultPlan(rate=1.0, seed=seed).fault(*operation, number)
    assert fault in DEFAULT_WEIGHTS
    assert fault not in {FaultKind.JOB_FAILED, FaultKind.COLD_START} or operation[1] in {"run", "retry"}
    assert fault is not FaultKind.OVERLOADED or operation[0] == "anthropic"


GIVEN = {
    ("openai", "chat"): ", rate_limit, reset, , , unavailable, , , unavailable, rate_limit_bare",
    (
        "anthropic",
        "messages",
    ): ", , , rate_limit, server_error, server_error, rate_limit_bare, broken_json, , overloaded",
    ("runpod", "run"): ", , rate_limit, , , server_error, , , , ",
}


@pytest.mark.parametrize(("operation", "faults"), GIVEN.items())
def test_a_seed_keeps_its_faults_from_version_to_version(operation: tuple[str, str], faults: str) -> None:
    plan = FaultPlan(rate=0.5, seed=7)
    drawn = [plan.fault(*operation, number) or "" for number in range(1, 11)]
    assert ", ".join(drawn).rstrip() == faults.rstrip()


@given(SEEDS, NUMBERS)
def test_faults_of_streams_are_kept_for_streams(seed: int, number: int) -> None:
    plan = FaultPlan(rate=1.0, seed=seed, weights={FaultKind.STREAM_RESET: 1.0})
    assert plan.fault("openai", "chat", number) is None
    assert plan.fault("openai", "chat", number, streams=True) is FaultKind.STREAM_RESET


def test_only_a_response_can_fail_inside_a_good_reply() -> None:
    plan = FaultPlan(rate=1.0, weights={FaultKind.RESPONSE_FAILED: 1.0})
    assert plan.fault("openai", "chat", 1, streams=True) is None
    assert plan.fault("openai", "responses", 1) is FaultKind.RESPONSE_FAILED


@given(SEEDS, OPERATIONS, NUMBERS)
def test_rate_zero_gives_no_fault(seed: int, operation: tuple[str, str], number: int) -> None:
    assert FaultPlan(rate=0.0, seed=seed).fault(*operation, number) is None


@given(SEEDS, NUMBERS)
def test_kinds_without_weight_are_never_given(seed: int, number: int) -> None:
    plan = FaultPlan(rate=1.0, seed=seed, weights={FaultKind.HANG: 2.0, FaultKind.RESET: 0.0})
    assert plan.fault("openai", "chat", number) is FaultKind.HANG


@given(SEEDS, NUMBERS)
def test_an_operation_that_can_show_none_of_the_kinds_gets_no_fault(seed: int, number: int) -> None:
    plan = FaultPlan(rate=1.0, seed=seed, weights={FaultKind.JOB_FAILED: 1.0})
    assert plan.fault("openai", "chat", number) is None
    assert plan.fault("runpod", "run", number) is FaultKind.JOB_FAILED


def test_the_share_of_faults_is_the_rate_and_that_of_each_kind_its_weight() -> None:
    plan = FaultPlan(rate=0.2, seed=7)
    counts = Counter(plan.fault("anthropic", "messages", number) for number in range(1, 10_001))
    weights = {kind: DEFAULT_WEIGHTS[kind] for kind in counts if kind is not None}
    assert counts[None] == pytest.approx(8_000, rel=0.03)
    for kind, weight in weights.items():
        assert counts[kind] == pytest.approx(2_000 * weight / sum(weights.values()), rel=0.25)


def test_other_seeds_and_operations_get_other_faults() -> None:
    def faults(seed: int, provider: str, operation: str) -> list[FaultKind | None]:
        plan = FaultPlan(rate=0.5, seed=seed)
        return [plan.fault(provider, operation, number) for number in range(1, 51)]

    rows = [faults(1, "runpod", "run"), faults(2, "runpod", "run"), faults(1, "runpod", "status")]
    assert all(one != other for index, one in enumerate(rows) for other in rows[:index])


def test_each_429_is_in_one_of_the_forms_chosen() -> None:
    forms = (RetryAfterForm.DATE, RetryAfterForm.MILLISECONDS)
    plan = FaultPlan(retry_after_forms=forms)
    assert {plan.form("openai", "chat", number) for number in range(1, 50)} == set(forms)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rate", 1.1),
        ("rate", -0.1),
        ("rate", math.nan),
        ("hang_seconds", 0.0),
        ("hang_seconds", math.inf),
        ("retry_after_seconds", -1.0),
        ("retry_after_forms", ()),
        ("weights", {FaultKind.HANG: -1.0}),
    ],
)
def test_an_impossible_plan_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"^FaultPlan\.{field}.*, got "):
        FaultPlan(**{field: value})  # type: ignore[arg-type]
