"""Settings of single operations: one kind of message of a service."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from relight.runtime import SettingsError
from relight.supervisors import FailureKind, Settings
from relight.supervisors.policies import Exponential, Fixed, OperationPolicy, Policy, Retry

RANGES: dict[str, tuple[float, float]] = {
    "attempts": (1, 10),
    "initial_delay": (0.1, 10.0),
    "max_delay": (1.0, 300.0),
    "base": (1.1, 10.0),
    "rate_limit_wait": (0.1, 86_400.0),
    "max_wait": (0.1, 86_400.0),
    "call_timeout": (0.1, 86_400.0),
    "attempt_timeout": (0.1, 86_400.0),
}
OWN = Policy(by_operation={"Paint": OperationPolicy(retry=Retry(attempts=2), attempt_timeout=60.0)})


def load(
    tmp_path: Path, toml: str = "", *, service: Policy | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    file = tmp_path / "relight.toml"
    file.write_text(toml)
    services = {} if service is None else {"openai": service}
    return Settings.load(file=file, environ=environ or {}, services=services).settings


@pytest.mark.parametrize("name", RANGES)
def test_the_ends_of_a_range_are_allowed_and_what_lies_beyond_is_refused(tmp_path: Path, name: str) -> None:
    table = "[providers.openai.operations.Chat]\n"
    low, high = RANGES[name]
    for value in (low, high):
        operation = load(tmp_path, f"{table}{name} = {value}").providers["openai"].operations["Chat"]
        assert getattr(operation, name) == value
    step = 1 if isinstance(low, int) else 0.01
    for value in (low - step, high + step):
        with pytest.raises(SettingsError, match=rf"^providers\.openai\.operations\.Chat\.{name}: must be"):
            load(tmp_path, f"{table}{name} = {value}")


def test_what_is_no_setting_of_an_operation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"operations\.Chat\.mailbox: is not a setting"):
        load(tmp_path, "[providers.openai.operations.Chat]\nmailbox = 3")


def test_a_number_of_an_operation_holds_for_it_alone(tmp_path: Path) -> None:
    toml = "[providers.openai]\nattempts = 5\n[providers.openai.operations.Chat]\nattempts = 2"
    policy = load(tmp_path, toml).policy("openai", Policy())
    assert policy.of("Chat").retry.attempts == 2
    assert policy.of("Embed").retry.attempts == policy.retry.attempts == 5
    assert policy.of("Embed") is policy


def test_every_number_reaches_the_operations_policy(tmp_path: Path) -> None:
    table = "[providers.openai.operations.Chat]\n"
    numbers = "attempts = 7\ninitial_delay = 0.5\nmax_delay = 20\nbase = 3\nrate_limit_wait = 15\n"
    others = "max_wait = 90\ncall_timeout = 60\nattempt_timeout = 10\n"
    policy = load(tmp_path, table + numbers + others).policy("openai", Policy())
    assert policy.by_operation == {
        "Chat": OperationPolicy(
            retry=Retry(
                attempts=7,
                backoff=Exponential(0.5, cap=20.0, base=3.0),
                backoff_by_kind={FailureKind.RATE_LIMIT: Fixed(15.0)},
                max_wait=90.0,
            ),
            call_timeout=60.0,
            attempt_timeout=10.0,
        )
    }


def test_a_variable_names_an_operation_in_any_case(tmp_path: Path) -> None:
    variable = "RELIGHT_PROVIDERS__OPENAI__OPERATIONS__CHATCOMPLETION__ATTEMPTS"
    settings = load(tmp_path, environ={variable: "4"})
    assert settings.policy("openai", Policy()).of("ChatCompletion").retry.attempts == 4


def test_what_the_service_says_of_its_operation_is_overridden_under_its_name(tmp_path: Path) -> None:
    settings = load(tmp_path, environ={"RELIGHT_PROVIDERS__OPENAI__OPERATIONS__PAINT__ATTEMPTS": "4"})
    policy = settings.policy("openai", OWN)
    assert list(policy.by_operation) == ["Paint"]
    assert (policy.of("Paint").retry.attempts, policy.of("Paint").attempt_timeout) == (4, 60.0)


def test_what_is_set_for_all_of_a_service_holds_for_the_operations_of_its_code_too(tmp_path: Path) -> None:
    toml = "[providers.openai]\nattempts = 1\nattempt_timeout = 5\ncall_timeout = 9"
    policy = load(tmp_path, toml).policy("openai", OWN)
    painting = policy.of("Paint")
    assert (painting.retry.attempts, painting.attempt_timeout, painting.call_timeout) == (1, 5.0, 9.0)


def test_a_contradiction_names_the_operation_and_its_source(tmp_path: Path) -> None:
    toml = "[providers.openai.operations.Paint]\nmax_delay = 1"
    slow = Policy(retry=Retry(backoff=Exponential(2.0)))
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, toml, service=slow)
    problem = "operations.Paint: initial_delay (2 s) is longer than max_delay (1 s)"
    assert str(caught.value) == f"providers.openai: {problem}, set in {tmp_path}/relight.toml"


def test_numbers_that_contradict_each_other_are_refused_where_they_stand(tmp_path: Path) -> None:
    toml = "[providers.openai.operations.Paint]\ninitial_delay = 9\nmax_delay = 1"
    with pytest.raises(SettingsError, match=r"^providers\.openai\.operations\.Paint: initial_delay"):
        load(tmp_path, toml)


def test_the_numbers_of_operations_are_listed_after_the_services(tmp_path: Path) -> None:
    settings = load(tmp_path, "[providers.openai.operations.Chat]\nattempts = 2")
    numbers = settings.numbers("openai", Policy())
    assert (numbers["attempts"], numbers["operations.Chat.attempts"]) == (3, 2)
    listed = [name for name in numbers if name.startswith("operations.")]
    assert listed == [f"operations.Chat.{name}" for name in RANGES]


@pytest.mark.parametrize("field", ["call_timeout", "attempt_timeout"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_an_operation_without_a_time_is_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"OperationPolicy\.{field} must be more than 0 seconds"):
        OperationPolicy(**{field: value})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_the_longest_attempt_is_that_of_any_operation() -> None:
    assert Policy(attempt_timeout=30.0).longest_attempt == 30.0
    assert painter(60.0).longest_attempt == 60.0
    assert painter(None).longest_attempt == 30.0


def painter(attempt_timeout: float | None) -> Policy:
    return Policy(attempt_timeout=30.0, by_operation={"A": OperationPolicy(attempt_timeout=attempt_timeout)})
