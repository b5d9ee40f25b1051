"""The settings of a system: what an operator may change about its services without touching code.

    [providers.openai]
    attempts = 5
    rate_limit_wait = 20.0

or ``RELIGHT_PROVIDERS__OPENAI__ATTEMPTS=5``. What nobody sets stays as the service's own policy has it.
"""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

import msgspec
from msgspec import Meta

from ..runtime import Loaded, load_settings, same_setting
from ._failures import FailureKind
from ._policy_numbers import policy_numbers
from .policies import (
    Adaptive,
    Backoff,
    Breaker,
    Concurrency,
    Decorrelated,
    Exponential,
    Fixed,
    Policy,
    Retry,
)

_Struct = TypeVar("_Struct", bound=msgspec.Struct)

_ORDERED = (
    ("initial_delay", "max_delay"),
    ("rate_limit_wait", "max_wait"),
    ("breaker_open_seconds", "breaker_open_cap"),
    ("restart_initial_delay", "restart_max_delay"),
)

_HIGH = 64
"""The high bound where only a low one is set, unless more is allowed already."""

_Attempts = Annotated[int, Meta(ge=1, le=10)]
_Count = Annotated[int, Meta(ge=1, le=1_000_000)]
_InitialDelay = Annotated[float, Meta(ge=0.1, le=10.0)]
_MaxDelay = Annotated[float, Meta(ge=1.0, le=300.0)]
_Base = Annotated[float, Meta(ge=1.1, le=10.0)]
_Share = Annotated[float, Meta(ge=0.01, le=1.0)]
_Seconds = Annotated[float, Meta(ge=0.1, le=86_400.0)]


class ProviderSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Override numbers of one service's policy. None keeps the service's own."""

    attempts: _Attempts | None = None
    """Attempts a call, the first one included. Holds for every kind of failure: the service's numbers
    for single kinds no longer count, so that 1 means what it says."""
    initial_delay: _InitialDelay | None = None
    """Seconds before the second attempt, before jitter. Kinds with waits of their own keep them."""
    max_delay: _MaxDelay | None = None
    """Seconds that no such wait exceeds."""
    base: _Base | None = None
    """Each such wait is this many times the one before."""
    rate_limit_wait: _Seconds | None = None
    """Seconds waited after a rate limit when the server does not say how long."""
    max_wait: _Seconds | None = None
    """Seconds; what would have to wait longer fails at once, and says when to come back."""
    call_timeout: _Seconds | None = None
    """Seconds for a whole call, waits and retries included, where the caller gave none."""
    attempt_timeout: _Seconds | None = None
    """Seconds for one attempt."""
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
    breaker_window: _Seconds | None = None
    """Seconds that shares are taken of."""
    breaker_window_attempts: _Count | None = None
    """Attempts there have to be in the window before a share opens the breaker."""
    breaker_slow_seconds: _Seconds | None = None
    """Seconds from which on an attempt is slow. Without it none is."""
    breaker_slow_rate: _Share | None = None
    """Share of the attempts in the window that opens the breaker when they are slow."""
    breaker_open_seconds: _Seconds | None = None
    """Seconds the breaker stays open the first time."""
    breaker_open_cap: _Seconds | None = None
    """Seconds it stays open at most."""
    probes: _Count | None = None
    """Trial calls let through while it is half-open."""
    probe_timeout: _Seconds | None = None
    """Seconds after which a probe without a verdict gives its place to another one."""
    blocked_probe: _Seconds | None = None
    """Seconds between trial calls while the provider refuses the account."""
    failed_probe: _Seconds | None = None
    """Seconds until a failed provider is tried again."""
    intensity: Annotated[int, Meta(ge=0, le=1_000)] | None = None
    """More restarts than this within `period`, and the provider has failed."""
    period: _Seconds | None = None
    """Seconds."""
    restart_initial_delay: _InitialDelay | None = None
    """Seconds before a crashed service is first restarted, before jitter."""
    restart_max_delay: _MaxDelay | None = None
    """Seconds that no wait before a restart exceeds."""

    def __post_init__(self) -> None:
        given = self._given()
        _check_order(given, given)
        _check_bounds(self.concurrency_low, self.concurrency, self.concurrency_high)

    def apply(self, policy: Policy) -> Policy:
        """Return *policy* with what is set here in place of its own.

        Raises:
            ValueError: The result contradicts itself, such as a longest wait below the service's first.
        """
        given = self._given()
        _check_order({**policy_numbers(policy), **given}, given)
        return _replaced(
            policy,
            retry=self._retry(policy.retry),
            breaker=self._breaker(policy.breaker),
            concurrency=self._concurrency(policy.concurrency),
            call_timeout=self.call_timeout,
            attempt_timeout=self.attempt_timeout,
            mailbox=self.mailbox,
            blocked_probe=self.blocked_probe,
            failed_probe=self.failed_probe,
            intensity=self.intensity,
            period=self.period,
            restart_backoff=_backoff(
                policy.restart_backoff, initial=self.restart_initial_delay, cap=self.restart_max_delay
            ),
        )

    def _given(self) -> dict[str, float]:
        return {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}

    def _retry(self, retry: Retry) -> Retry:
        by_kind = dict(retry.backoff_by_kind)
        if self.rate_limit_wait is not None:
            by_kind[FailureKind.RATE_LIMIT] = Fixed(self.rate_limit_wait)
        return _replaced(
            retry,
            attempts=self.attempts,
            attempts_by_kind=None if self.attempts is None else {},
            backoff=_backoff(retry.backoff, initial=self.initial_delay, cap=self.max_delay, base=self.base),
            backoff_by_kind=by_kind,
            max_wait=self.max_wait,
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
        return _replaced(breaker or Breaker(), **numbers)

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
    shutdown_timeout: _Seconds = 30.0
    """Seconds the whole system has to stop in order; then what is left is cancelled."""
    watchdog_seconds: Annotated[float, Meta(ge=0.0, le=3_600.0)] = 5.0
    """Seconds the event loop may stand still before it is reported, with the actor at work; 0 is off."""
    providers: dict[str, ProviderSettings] = {}
    """By the id of the service, that is of its child spec."""

    @classmethod
    def load(
        cls, *, file: Path | None, environ: Mapping[str, str], services: Mapping[str, Policy] | None = None
    ) -> Loaded[Self]:
        """Read the settings from *file* (None: from no file) and the ``RELIGHT_`` variables of *environ*.

        Args:
            file: TOML, ``relight.toml`` by custom. An error if it does not exist.
            environ: All environment variables.
            services: The policies of the services known now, by id: settings that contradict one of them
                are refused here, not when that service starts.

        Raises:
            SettingsError: One line with the setting, its value, what it may be, and where it was set.
        """
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

    def provider_name(self, provider: str) -> str | None:
        """Return how the settings spell *provider*; None if they don't mention it."""
        return next((name for name in self.providers if same_setting(name, provider)), None)


def _check_order(numbers: Mapping[str, float | None], given: Mapping[str, float]) -> None:
    """Refuse a first wait above the longest one; a pair nobody has touched is the service's business."""
    for first, longest in _ORDERED:
        low, high = numbers.get(first), numbers.get(longest)
        is_given = first in given or longest in given
        if is_given and low is not None and high is not None and low > high:
            raise ValueError(f"{first} ({low:g} s) is longer than {longest} ({high:g} s)")


def _check_bounds(low: int | None, start: int | None, high: int | None) -> None:
    """Refuse bounds of the concurrency that are the wrong way round, and a start outside of them."""
    named = (("concurrency_low", low), ("concurrency", start), ("concurrency_high", high))
    given = [(name, number) for name, number in named if number is not None]
    for (less, low_number), (more, high_number) in pairwise(given):
        if low_number > high_number:
            raise ValueError(f"{less} ({low_number}) is more than {more} ({high_number})")


def _backoff(
    backoff: Backoff, *, initial: float | None, cap: float | None, base: float | None = None
) -> Backoff:
    if initial is None and cap is None and base is None:
        return backoff
    growing = backoff if isinstance(backoff, Exponential | Decorrelated) else Exponential()
    return _replaced(growing, initial=initial, cap=cap, base=base)


def _replaced(struct: _Struct, **values: object) -> _Struct:
    """Copy *struct* with those *values* that are not None."""
    changes = {name: value for name, value in values.items() if value is not None}
    return msgspec.structs.replace(struct, **changes)
