"""The settings of a system: what an operator may change about its services without touching code.

    [providers.openai]
    attempts = 5
    rate_limit_wait = 20.0

or ``RELIGHT_PROVIDERS__OPENAI__ATTEMPTS=5``; ``[providers.openai.operations.ChatCompletion]`` is about
one kind of message alone. What nobody sets stays as the service's own policy has it.
"""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

import msgspec
from msgspec import Meta

from ..runtime import Loaded, load_settings, same_setting
from ._budget_settings import BudgetSettings, budget_words
from ._operation_settings import (
    InitialDelay,
    MaxDelay,
    OperationSettings,
    Seconds,
    backoff_of,
    check_order,
    replaced,
)
from ._policy_numbers import policy_numbers
from ._price_settings import PriceSettings
from .policies import Adaptive, Breaker, Concurrency, OperationPolicy, Policy

_HIGH = 64
"""The high bound where only a low one is set, unless more is allowed already."""

_NO_SETTINGS = frozenset({"RELIGHT_STORE", "RELIGHT_PG_BIN"})
"""Variables that say something else: which job store, and where the benchmark finds a PostgreSQL."""

_Count = Annotated[int, Meta(ge=1, le=1_000_000)]
_Share = Annotated[float, Meta(ge=0.01, le=1.0)]


class ProviderSettings(BudgetSettings, frozen=True, kw_only=True):
    """Override numbers of one service's policy. None keeps the service's own.

    What is set for single calls also holds for operations that the service has numbers of its own for.
    """

    concurrency: _Count | None = None
    """Attempts in flight at once. Together with one of the next two: where it begins."""
    concurrency_low: _Count | None = None
    """Attempts that are allowed in any case, where the limit is to be found out. Either of these two
    numbers makes it so."""
    concurrency_high: _Count | None = None
    """Attempts that are never exceeded, where the limit is to be found out."""
    mailbox: _Count | None = None
    """Calls that may be waiting."""
    breaker_failures: _Count | None = None
    """Failures in a row that open the breaker. Any number for the breaker switches on one that is off."""
    breaker_failure_rate: _Share | None = None
    """Share of the attempts in the window that opens the breaker when they fail."""
    breaker_window: Seconds | None = None
    """Seconds that shares are taken of."""
    breaker_window_attempts: _Count | None = None
    """Attempts there have to be in the window before a share opens the breaker."""
    breaker_slow_seconds: Seconds | None = None
    """Seconds from which on an attempt is slow. Without it none is."""
    breaker_slow_rate: _Share | None = None
    """Share of the attempts in the window that opens the breaker when they are slow."""
    breaker_open_seconds: Seconds | None = None
    """Seconds the breaker stays open the first time."""
    breaker_open_cap: Seconds | None = None
    """Seconds it stays open at most."""
    probes: _Count | None = None
    """Trial calls let through while it is half-open."""
    probe_timeout: Seconds | None = None
    """Seconds after which a probe without a verdict gives its place to another one."""
    blocked_probe: Seconds | None = None
    """Seconds between trial calls while the provider refuses the account."""
    failed_probe: Seconds | None = None
    """Seconds until a failed provider is tried again."""
    intensity: Annotated[int, Meta(ge=0, le=1_000)] | None = None
    """More restarts than this within `period`, and the provider has failed."""
    period: Seconds | None = None
    """Seconds."""
    restart_initial_delay: InitialDelay | None = None
    """Seconds before a crashed service is first restarted, before jitter."""
    restart_max_delay: MaxDelay | None = None
    """Seconds that no wait before a restart exceeds."""

    operations: dict[str, OperationSettings] = msgspec.field(default_factory=dict[str, OperationSettings])
    """Other numbers for single operations, by the name of the message's class."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_bounds(self.concurrency_low, self.concurrency, self.concurrency_high)

    def apply(self, policy: Policy) -> Policy:
        """Return *policy* with what is set here in place of its own.

        Raises:
            ValueError: The result contradicts itself, such as a longest wait below the service's first.
        """
        given = self.given()
        check_order({**policy_numbers(policy), **given}, given)
        applied = replaced(
            policy,
            retry=self.retry(policy.retry),
            breaker=self._breaker(policy.breaker),
            concurrency=self._concurrency(policy.concurrency),
            call_timeout=self.call_timeout,
            attempt_timeout=self.attempt_timeout,
            mailbox=self.mailbox,
            blocked_probe=self.blocked_probe,
            failed_probe=self.failed_probe,
            intensity=self.intensity,
            period=self.period,
            restart_backoff=backoff_of(
                policy.restart_backoff, initial=self.restart_initial_delay, cap=self.restart_max_delay
            ),
            **self.budgets(policy),
        )
        return self._with_operations(applied)

    def _with_operations(self, policy: Policy) -> Policy:
        by_operation = {name: self._operation(own) for name, own in policy.by_operation.items()}
        if not (by_operation or self.operations):
            return policy
        for spelled, settings in self.operations.items():
            base = replaced(policy, by_operation=by_operation)
            name = base.operation_name(spelled) or spelled
            try:
                by_operation[name] = settings.apply(base.of(name))
            except ValueError as error:
                raise ValueError(f"operations.{spelled}: {error}") from error
        return replaced(policy, by_operation=by_operation)

    def _operation(self, own: OperationPolicy) -> OperationPolicy:
        return OperationPolicy(
            retry=None if own.retry is None else self.retry(own.retry),
            call_timeout=own.call_timeout and (self.call_timeout or own.call_timeout),
            attempt_timeout=own.attempt_timeout and (self.attempt_timeout or own.attempt_timeout),
        )

    def _breaker(self, breaker: Breaker | None) -> Breaker | None:
        numbers = {
            "failures": self.breaker_failures,
            "failure_rate": self.breaker_failure_rate,
            "window": self.breaker_window,
            "window_attempts": self.breaker_window_attempts,
            "slow_seconds": self.breaker_slow_seconds,
            "slow_rate": self.breaker_slow_rate,
            "open_seconds": self.breaker_open_seconds,
            "open_cap": self.breaker_open_cap,
            "probes": self.probes,
            "probe_timeout": self.probe_timeout,
        }
        if all(number is None for number in numbers.values()):
            return breaker
        return replaced(breaker or Breaker(), **numbers)

    def _concurrency(self, concurrency: Concurrency | Adaptive) -> Concurrency | Adaptive:
        if self.concurrency_low is None and self.concurrency_high is None:
            return concurrency if self.concurrency is None else Concurrency(self.concurrency)
        own = concurrency if isinstance(concurrency, Adaptive) else self._bounded(concurrency.limit)
        low, high = self.concurrency_low or own.low, self.concurrency_high or own.high
        _check_bounds(low, self.concurrency, high)
        start = self.concurrency or min(max(low, own.limit), high)
        return Adaptive(low, high, start, own.shrink)

    def _bounded(self, limit: int) -> Adaptive:
        """Put bounds around a fixed limit, wide enough for what is set."""
        numbers = (_HIGH, limit, self.concurrency or 1, self.concurrency_low or 1)
        return Adaptive(1, max(numbers), limit)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What may be set for a whole system."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Events below it are not logged."""
    shutdown_timeout: Seconds = 30.0
    """Seconds the whole system has to stop in order; then what is left is cancelled."""
    watchdog_seconds: Annotated[float, Meta(ge=0.0, le=3_600.0)] = 5.0
    """Seconds the event loop may stand still before it is reported, with the actor at work; 0 is off."""
    litellm_prices: bool = True
    """Whether the price list of litellm is used before the packaged one, where litellm is installed."""
    providers: dict[str, ProviderSettings] = {}
    """By the id of the service, that is of its child spec."""
    prices: dict[str, PriceSettings] = {}
    """By the name of the model or product."""

    @classmethod
    def load(
        cls, *, file: Path | None, environ: Mapping[str, str], services: Mapping[str, Policy] | None = None
    ) -> Loaded[Self]:
        """Read the settings from *file* (None: from no file) and the ``RELIGHT_`` variables of *environ*.

        Args:
            file: TOML, ``relight.toml`` by custom. An error if it does not exist.
            environ: All environment variables. ``RELIGHT_STORE``, which names a job store, is no setting.
            services: The policies of the services known now, by id: settings that contradict one of them
                are refused here, not when that service starts.

        Raises:
            SettingsError: One line with the setting, its value, what it may be, and where it was set.
        """
        environ = {name: text for name, text in environ.items() if name.upper() not in _NO_SETTINGS}
        loaded = load_settings(cls, file=file, environ=environ)
        for provider, policy in (services or {}).items():
            try:
                loaded.settings.policy(provider, policy)
            except ValueError as error:
                name = loaded.settings.provider_name(provider)
                raise loaded.error(f"providers.{name}", str(error)) from error
        return loaded

    def policy(self, provider: str, default: Policy) -> Policy:
        """Return the policy in force for *provider*: *default*, with what is set for it.

        Raises:
            ValueError: A setting contradicts *default*.
        """
        name = self.provider_name(provider)
        return default if name is None else self.providers[name].apply(default)

    def numbers(self, provider: str, default: Policy) -> dict[str, float | None]:
        """Return the numbers in force for *provider*, by the names they have in `ProviderSettings`.

        None stands where there is no such number: no breaker, or a wait of another form. What holds
        for one kind of failure alone has the kind in brackets: ``attempts[overloaded]``.
        """
        return policy_numbers(self.policy(provider, default))

    def words(self, provider: str, default: Policy) -> dict[str, str | None]:
        """Return what is in force for *provider* and is no number, by the names in `ProviderSettings`."""
        return budget_words(self.policy(provider, default))

    def provider_name(self, provider: str) -> str | None:
        """Return how the settings spell *provider*; None if they don't mention it."""
        return next((name for name in self.providers if same_setting(name, provider)), None)


def _check_bounds(low: int | None, start: int | None, high: int | None) -> None:
    """Refuse bounds of the concurrency that are the wrong way round, and a start outside of them."""
    named = (("concurrency_low", low), ("concurrency", start), ("concurrency_high", high))
    given = [(name, number) for name, number in named if number is not None]
    for (less, low_number), (more, high_number) in pairwise(given):
        if low_number > high_number:
            raise ValueError(f"{less} ({low_number}) is more than {more} ({high_number})")
