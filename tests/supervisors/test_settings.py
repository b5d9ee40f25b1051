from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relight.runtime import Loaded, SettingsError
from relight.supervisors import FailureKind, ProviderSettings, Settings
from relight.supervisors.policies import (
    Adaptive,
    Backoff,
    Breaker,
    Concurrency,
    CostBudget,
    Decorrelated,
    Exponential,
    Fixed,
    Policy,
    RateLimit,
    Retry,
    RetryBudget,
)

RATE_LIMIT, OVERLOADED = FailureKind.RATE_LIMIT, FailureKind.OVERLOADED


class Custom:
    """A backoff of somebody's own."""

    def wait(self, attempt: int, rng: Random) -> float:
        return attempt * rng.random()


RANGES: dict[str, tuple[float, float]] = {
    "requests_per_minute": (0.1, 1_000_000.0),
    "tokens_per_minute": (1.0, 1_000_000_000.0),
    "rate_burst": (0.1, 3_600.0),
    "retry_share": (0.0, 10.0),
    "retries_per_minute": (0.0, 1_000_000.0),
    "usd_per_minute": (0.0001, 1_000_000.0),
    "usd_per_day": (0.0001, 1_000_000.0),
    "attempts": (1, 10),
    "initial_delay": (0.1, 10.0),
    "max_delay": (1.0, 300.0),
    "base": (1.1, 10.0),
    "rate_limit_wait": (0.1, 86_400.0),
    "max_wait": (0.1, 86_400.0),
    "call_timeout": (0.1, 86_400.0),
    "attempt_timeout": (0.1, 86_400.0),
    "concurrency": (1, 1_000_000),
    "concurrency_low": (1, 1_000_000),
    "concurrency_high": (1, 1_000_000),
    "mailbox": (1, 1_000_000),
    "breaker_failures": (1, 1_000_000),
    "breaker_failure_rate": (0.01, 1.0),
    "breaker_window": (0.1, 86_400.0),
    "breaker_window_attempts": (1, 1_000_000),
    "breaker_slow_seconds": (0.1, 86_400.0),
    "breaker_slow_rate": (0.01, 1.0),
    "breaker_open_seconds": (0.1, 86_400.0),
    "breaker_open_cap": (0.1, 86_400.0),
    "probes": (1, 1_000_000),
    "probe_timeout": (0.1, 86_400.0),
    "blocked_probe": (0.1, 86_400.0),
    "failed_probe": (0.1, 86_400.0),
    "intensity": (0, 1_000),
    "period": (0.1, 86_400.0),
    "restart_initial_delay": (0.1, 10.0),
    "restart_max_delay": (1.0, 300.0),
}

WORDS = {"unpriced", "account"}
"""Settings that are no numbers."""

ORDERED = [
    ("initial_delay", "max_delay"),
    ("rate_limit_wait", "max_wait"),
    ("breaker_open_seconds", "breaker_open_cap"),
    ("restart_initial_delay", "restart_max_delay"),
]


def numbers(name: str) -> st.SearchStrategy[float]:
    low, high = RANGES[name]
    return st.integers(low, int(high)) if isinstance(low, int) else st.floats(low, high)


BOUNDS = {"concurrency_low", "concurrency_high"}
"""One of them brings the other with it."""

some_numbers = st.fixed_dictionaries({}, optional={name: numbers(name) for name in RANGES.keys() - BOUNDS})


def without_contradictions(given_numbers: dict[str, float]) -> dict[str, float]:
    in_force = {**Settings().numbers("openai", Policy()), **given_numbers}
    wrong = [pair for pair in ORDERED if (in_force[pair[0]] or 0.0) > (in_force[pair[1]] or 0.0)]
    return {name: value for name, value in given_numbers.items() if not any(name in pair for pair in wrong)}


def load(tmp_path: Path, toml: str = "", **environ: str) -> Loaded[Settings]:
    file = tmp_path / "relight.toml"
    file.write_text(toml)
    services = {
        "openai": Policy(),
        "anthropic": Policy(retry=Retry(backoff=Exponential(2.0, cap=60.0), max_wait=300.0)),
    }
    return Settings.load(file=file, environ=environ, services=services)


def refusal(tmp_path: Path, toml: str = "", **environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, toml, **environ)
    return str(caught.value).replace(f"{tmp_path}/", "")


def as_toml(given: dict[str, float]) -> str:
    return "\n".join(["[providers.openai]", *(f"{name} = {value}" for name, value in given.items())])


def test_every_setting_is_tried_here() -> None:
    assert {*RANGES, *WORDS, "operations"} == set(ProviderSettings.__struct_fields__)


@pytest.mark.parametrize("name", ["RELIGHT_STORE", "relight_store", "RELIGHT_PG_BIN"])
def test_a_variable_that_says_something_else_to_relight_is_no_mistake(name: str) -> None:
    loaded = Settings.load(file=None, environ={name: "jobs.db", "RELIGHT_LOG_LEVEL": "debug"})
    assert (loaded.settings.log_level, loaded.set_paths()) == ("debug", ["log_level"])


def test_without_sources_the_defaults_are_in_force() -> None:
    settings = Settings.load(file=None, environ={}).settings
    assert settings == Settings(log_level="info", shutdown_timeout=30.0, providers={})
    policy = Policy(mailbox=7)
    assert settings.policy("openai", policy) is policy


@pytest.mark.parametrize("name", RANGES)
def test_the_ends_of_a_range_are_allowed_and_what_lies_beyond_is_refused(tmp_path: Path, name: str) -> None:
    low, high = RANGES[name]
    for value in (low, high):
        loaded = load(tmp_path, f"[providers.one]\n{name} = {value}")
        assert getattr(loaded.settings.providers["one"], name) == value
    step = 1 if isinstance(low, int) else 0.01
    for value in (low - step, high + step):
        message = refusal(tmp_path, f"[providers.openai]\n{name} = {value}")
        assert message.startswith(f"providers.openai.{name}: must be a")
        assert f"{low:g}..{high:.12g} (got {value}), set in relight.toml" in message


@given(some_numbers.map(without_contradictions))
def test_what_is_set_is_in_force_and_all_else_stays(tmp_path: Path, given_numbers: dict[str, float]) -> None:
    settings = load(tmp_path, as_toml(given_numbers)).settings
    in_force = {**Settings().numbers("openai", Policy()), **given_numbers}
    if {"requests_per_minute", "tokens_per_minute"} & given_numbers.keys() and not in_force["rate_burst"]:
        in_force["rate_burst"] = 6.0  # the default of a limit that is switched on
    assert settings.numbers("openai", Policy()) == in_force


def test_each_number_reaches_the_policy_it_belongs_to() -> None:
    settings = ProviderSettings(
        attempts=7,
        initial_delay=0.5,
        max_delay=20.0,
        base=3.0,
        rate_limit_wait=15.0,
        max_wait=90.0,
        call_timeout=60.0,
        attempt_timeout=10.0,
        concurrency=2,
        mailbox=16,
        breaker_failures=3,
        breaker_failure_rate=0.4,
        breaker_window=30.0,
        breaker_window_attempts=10,
        breaker_slow_seconds=15.0,
        breaker_slow_rate=0.8,
        breaker_open_seconds=5.0,
        breaker_open_cap=50.0,
        probes=2,
        probe_timeout=90.0,
        blocked_probe=120.0,
        failed_probe=12.0,
        intensity=1,
        period=30.0,
        restart_initial_delay=0.2,
        restart_max_delay=4.0,
        requests_per_minute=500.0,
        tokens_per_minute=30_000.0,
        rate_burst=3.0,
        retry_share=0.1,
        retries_per_minute=5.0,
        usd_per_minute=0.5,
        usd_per_day=20.0,
        unpriced="refuse",
        account="acme",
    )
    assert settings.apply(Policy()) == Policy(
        retry=Retry(
            attempts=7,
            backoff=Exponential(0.5, cap=20.0, base=3.0),
            backoff_by_kind={RATE_LIMIT: Fixed(15.0)},
            max_wait=90.0,
        ),
        breaker=Breaker(
            failures=3,
            failure_rate=0.4,
            window=30.0,
            window_attempts=10,
            slow_seconds=15.0,
            slow_rate=0.8,
            open_seconds=5.0,
            open_cap=50.0,
            probes=2,
            probe_timeout=90.0,
        ),
        concurrency=Concurrency(2),
        call_timeout=60.0,
        attempt_timeout=10.0,
        mailbox=16,
        blocked_probe=120.0,
        intensity=1,
        period=30.0,
        restart_backoff=Exponential(0.2, cap=4.0),
        failed_probe=12.0,
        rate_limit=RateLimit(requests_per_minute=500.0, tokens_per_minute=30_000.0, burst=3.0),
        retry_budget=RetryBudget(share=0.1, per_minute=5.0),
        cost_budget=CostBudget(usd_per_minute=0.5, usd_per_day=20.0, unpriced="refuse"),
        account="acme",
    )


@pytest.mark.parametrize("backoff", [Exponential(2.0, cap=9.0, jitter="none"), Fixed(40.0), Custom()])
def test_settings_that_set_nothing_change_nothing(backoff: Backoff) -> None:
    policy = Policy(
        retry=Retry(backoff=backoff, backoff_by_kind={RATE_LIMIT: backoff}, attempts_by_kind={OVERLOADED: 5}),
        breaker=None,
        restart_backoff=backoff,
    )
    assert ProviderSettings().apply(policy) == policy


def test_attempts_hold_for_every_kind_of_failure() -> None:
    policy = Policy(retry=Retry(attempts=3, attempts_by_kind={RATE_LIMIT: 5}))
    retry = ProviderSettings(attempts=1).apply(policy).retry
    assert (retry.attempts, dict(retry.attempts_by_kind)) == (1, {})


def test_waits_of_other_kinds_stay_when_the_wait_after_a_rate_limit_is_set() -> None:
    policy = Policy(retry=Retry(backoff_by_kind={RATE_LIMIT: Fixed(60.0), OVERLOADED: Fixed(5.0)}))
    retry = ProviderSettings(rate_limit_wait=20.0, initial_delay=0.5).apply(policy).retry
    assert dict(retry.backoff_by_kind) == {RATE_LIMIT: Fixed(20.0), OVERLOADED: Fixed(5.0)}
    assert retry.backoff == Exponential(0.5, cap=30.0)


def test_the_jitter_of_the_service_stays() -> None:
    policy = Policy(retry=Retry(backoff=Exponential(1.0, cap=9.0, jitter="none")))
    assert ProviderSettings(base=4.0).apply(policy).retry.backoff == Exponential(
        1.0, cap=9.0, base=4.0, jitter="none"
    )


def test_a_wait_of_another_form_becomes_exponential_once_it_is_set() -> None:
    policy = Policy(retry=Retry(backoff=Fixed(40.0)), restart_backoff=Custom())
    applied = ProviderSettings(initial_delay=0.5, restart_max_delay=9.0).apply(policy)
    assert applied.retry.backoff == Exponential(0.5)
    assert applied.restart_backoff == Exponential(1.0, cap=9.0)


def test_a_number_for_the_breaker_switches_it_on() -> None:
    assert ProviderSettings(breaker_failures=2).apply(Policy(breaker=None)).breaker == Breaker(failures=2)


def test_a_number_for_a_budget_switches_it_on_and_leaves_the_others_of_it() -> None:
    policy = Policy(retry_budget=None)
    applied = ProviderSettings(usd_per_day=5.0, retry_share=0.2, tokens_per_minute=100.0).apply(policy)
    assert applied.cost_budget == CostBudget(usd_per_day=5.0)
    assert applied.retry_budget == RetryBudget(share=0.2)
    assert applied.rate_limit == RateLimit(tokens_per_minute=100.0)
    own = Policy(cost_budget=CostBudget(usd_per_minute=1.0), rate_limit=RateLimit(burst=2.0))
    applied = ProviderSettings(usd_per_day=5.0, requests_per_minute=10.0).apply(own)
    assert applied.cost_budget == CostBudget(usd_per_minute=1.0, usd_per_day=5.0)
    assert applied.rate_limit == RateLimit(requests_per_minute=10.0, burst=2.0)


def test_words_are_told_beside_the_numbers(tmp_path: Path) -> None:
    toml = '[providers.openai]\naccount = "acme"\nunpriced = "refuse"'
    settings = load(tmp_path, toml).settings
    assert settings.words("openai", Policy()) == {"unpriced": "refuse", "account": "acme"}
    assert Settings().words("openai", Policy()) == {"unpriced": None, "account": None}
    assert "account" in refusal(tmp_path, '[providers.openai]\naccount = ""')
    assert "unpriced" in refusal(tmp_path, '[providers.openai]\nunpriced = "free"')


def test_a_decorrelated_wait_stays_one_when_its_numbers_are_set() -> None:
    policy = Policy(retry=Retry(backoff=Decorrelated(2.0, cap=40.0)))
    assert ProviderSettings(initial_delay=0.5, base=4.0).apply(policy).retry.backoff == Decorrelated(
        0.5, cap=40.0, base=4.0
    )
    assert Settings().numbers("openai", policy)["initial_delay"] == 2.0


FOUND = Adaptive(2, 32, 4, 0.5)
"""What a service of its own accord finds out."""


@pytest.mark.parametrize(
    ("own", "given", "in_force"),
    [
        (Concurrency(8), ProviderSettings(), Concurrency(8)),
        (FOUND, ProviderSettings(), FOUND),
        (FOUND, ProviderSettings(concurrency=5), Concurrency(5)),
        (Concurrency(8), ProviderSettings(concurrency_high=20), Adaptive(1, 20, 8)),
        (Concurrency(8), ProviderSettings(concurrency_low=10), Adaptive(10, 64, 10)),
        (Concurrency(100), ProviderSettings(concurrency_low=10), Adaptive(10, 100, 100)),
        (Concurrency(8), ProviderSettings(concurrency_high=4), Adaptive(1, 4, 4)),
        (Concurrency(8), ProviderSettings(concurrency=80, concurrency_low=2), Adaptive(2, 80, 80)),
        (FOUND, ProviderSettings(concurrency=3, concurrency_high=16), Adaptive(2, 16, 3, 0.5)),
        (FOUND, ProviderSettings(concurrency_low=8), Adaptive(8, 32, 8, 0.5)),
    ],
)
def test_a_bound_makes_concurrency_adaptive_and_a_number_alone_makes_it_fixed(
    own: Concurrency | Adaptive, given: ProviderSettings, in_force: Concurrency | Adaptive
) -> None:
    assert given.apply(Policy(concurrency=own)).concurrency == in_force


def test_bounds_are_told() -> None:
    told = Settings().numbers("openai", Policy(concurrency=FOUND))
    names = ("concurrency", "concurrency_low", "concurrency_high")
    assert [told[name] for name in names] == [4, 2, 32]


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        (
            "concurrency_low = 3\nconcurrency_high = 2",
            "concurrency_low (3) is more than concurrency_high (2)",
        ),
        ("concurrency = 3\nconcurrency_high = 2", "concurrency (3) is more than concurrency_high (2)"),
        ("concurrency_low = 3\nconcurrency = 2", "concurrency_low (3) is more than concurrency (2)"),
    ],
)
def test_bounds_the_wrong_way_round_are_refused(tmp_path: Path, toml: str, problem: str) -> None:
    message = refusal(tmp_path, f"[providers.unknown]\n{toml}")
    assert message == f"providers.unknown: {problem}, set in relight.toml"


def test_a_bound_that_contradicts_the_services_own_is_refused() -> None:
    with pytest.raises(ValueError, match=r"concurrency_low \(40\) is more than concurrency_high \(32\)"):
        ProviderSettings(concurrency_low=40).apply(Policy(concurrency=FOUND))


def test_settings_reach_a_service_however_its_id_is_spelled(tmp_path: Path) -> None:
    settings = load(tmp_path, RELIGHT_PROVIDERS__OPENAI_EU__ATTEMPTS="5").settings
    assert settings.policy("OpenAI-EU", Policy()).retry.attempts == 5
    assert settings.provider_name("OpenAI-EU") == "openai_eu"
    assert settings.provider_name("openai") is None


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        ("initial_delay = 3\nmax_delay = 2", "initial_delay (3 s) is longer than max_delay (2 s)"),
        (
            "restart_initial_delay = 3\nrestart_max_delay = 2",
            "restart_initial_delay (3 s) is longer than restart_max_delay (2 s)",
        ),
        (
            "breaker_open_seconds = 3\nbreaker_open_cap = 2",
            "breaker_open_seconds (3 s) is longer than breaker_open_cap (2 s)",
        ),
        ("rate_limit_wait = 3\nmax_wait = 2", "rate_limit_wait (3 s) is longer than max_wait (2 s)"),
    ],
)
def test_a_first_wait_above_the_longest_is_refused(tmp_path: Path, toml: str, problem: str) -> None:
    # Also for a service that nobody knows yet.
    for provider in ("openai", "unknown"):
        message = refusal(tmp_path, f"[providers.{provider}]\n{toml}")
        assert message == f"providers.{provider}: {problem}, set in relight.toml"


def test_a_setting_that_contradicts_the_services_own_number_is_refused_at_load(tmp_path: Path) -> None:
    variable = "RELIGHT_PROVIDERS__ANTHROPIC__MAX_DELAY"
    message = refusal(tmp_path, "[providers.Anthropic]\nattempts = 5", **{variable: "1.5"})
    assert message == (
        f"providers.Anthropic: initial_delay (2 s) is longer than max_delay (1.5 s), set in {variable}"
    )


def test_a_breaker_switched_on_with_numbers_that_do_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Breaker\.open_cap must be 400 or more"):
        ProviderSettings(breaker_open_seconds=400.0).apply(Policy(breaker=None))


def test_what_the_service_itself_has_out_of_order_is_its_own_business() -> None:
    policy = Policy(retry=Retry(backoff_by_kind={RATE_LIMIT: Fixed(60.0)}, max_wait=30.0))
    assert ProviderSettings(attempts=2).apply(policy).retry.attempts == 2
    with pytest.raises(ValueError, match=r"rate_limit_wait \(60 s\) is longer than max_wait \(50 s\)"):
        ProviderSettings(max_wait=50.0).apply(policy)


def test_numbers_for_single_kinds_are_told_apart() -> None:
    policy = Policy(
        retry=Retry(
            backoff_by_kind={RATE_LIMIT: Fixed(60.0), OVERLOADED: Exponential(2.0, cap=9.0)},
            attempts_by_kind={OVERLOADED: 5},
        )
    )
    told = Settings().numbers("openai", policy)
    assert told["rate_limit_wait"] == 60.0
    assert {name: value for name, value in told.items() if "[" in name} == {
        "attempts[overloaded]": 5,
        "initial_delay[overloaded]": 2.0,
        "max_delay[overloaded]": 9.0,
        "base[overloaded]": 2.0,
    }
    fixed = Policy(retry=Retry(backoff_by_kind={OVERLOADED: Fixed(5.0)}))
    assert Settings().numbers("openai", fixed)["wait[overloaded]"] == 5.0


def test_numbers_a_policy_has_not_are_none() -> None:
    told = Settings().numbers("openai", Policy(retry=Retry(backoff=Custom()), breaker=None))
    missing = {name for name, value in told.items() if value is None}
    assert missing == {
        "initial_delay",
        "max_delay",
        "base",
        "rate_limit_wait",
        "concurrency_low",
        "concurrency_high",
        "breaker_failures",
        "breaker_failure_rate",
        "breaker_window",
        "breaker_window_attempts",
        "breaker_slow_seconds",
        "breaker_slow_rate",
        "breaker_open_seconds",
        "breaker_open_cap",
        "probes",
        "requests_per_minute",
        "tokens_per_minute",
        "rate_burst",
        "usd_per_minute",
        "usd_per_day",
        "probe_timeout",
    }
