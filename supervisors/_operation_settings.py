"""What an operator may change about single operations of a service, or about all of them.

    [providers.openai.operations.ChatCompletion]
    attempts = 2

The name is that of the message's class, as metrics have it; its case does not matter.
"""

from collections.abc import Mapping
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from ._call_numbers import call_numbers
from ._failures import FailureKind
from .policies import Backoff, Decorrelated, Exponential, Fixed, OperationPolicy, Policy, Retry

_Struct = TypeVar("_Struct", bound=msgspec.Struct)

_Attempts = Annotated[int, Meta(ge=1, le=10)]
_Base = Annotated[float, Meta(ge=1.1, le=10.0)]
InitialDelay = Annotated[float, Meta(ge=0.1, le=10.0)]
MaxDelay = Annotated[float, Meta(ge=1.0, le=300.0)]
Seconds = Annotated[float, Meta(ge=0.1, le=86_400.0)]

ORDERED = (
    ("initial_delay", "max_delay"),
    ("rate_limit_wait", "max_wait"),
    ("breaker_open_seconds", "breaker_open_cap"),
    ("restart_initial_delay", "restart_max_delay"),
)
"""A first wait, and the longest one of its kind."""


class CallSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Override what is decided about single calls. None keeps what is there."""

    attempts: _Attempts | None = None
    """Attempts a call, the first one included. Holds for every kind of failure: the service's numbers
    for single kinds no longer count, so that 1 means what it says."""
    initial_delay: InitialDelay | None = None
    """Seconds before the second attempt, before jitter. Kinds with waits of their own keep them."""
    max_delay: MaxDelay | None = None
    """Seconds that no such wait exceeds."""
    base: _Base | None = None
    """Each such wait is this many times the one before."""
    rate_limit_wait: Seconds | None = None
    """Seconds waited after a rate limit when the server does not say how long."""
    max_wait: Seconds | None = None
    """Seconds; what would have to wait longer fails at once, and says when to come back."""
    call_timeout: Seconds | None = None
    """Seconds for a whole call, waits and retries included, where the caller gave none."""
    attempt_timeout: Seconds | None = None
    """Seconds for one attempt."""

    def __post_init__(self) -> None:
        given = self.given()
        check_order(given, given)

    def given(self) -> dict[str, float]:
        """Return the numbers that are set."""
        values = msgspec.structs.asdict(self).items()
        return {name: value for name, value in values if isinstance(value, int | float)}

    def retry(self, retry: Retry) -> Retry:
        """Return *retry* with what is set here."""
        by_kind = dict(retry.backoff_by_kind)
        if self.rate_limit_wait is not None:
            by_kind[FailureKind.RATE_LIMIT] = Fixed(self.rate_limit_wait)
        return replaced(
            retry,
            attempts=self.attempts,
            attempts_by_kind=None if self.attempts is None else {},
            backoff=backoff_of(retry.backoff, initial=self.initial_delay, cap=self.max_delay, base=self.base),
            backoff_by_kind=by_kind,
            max_wait=self.max_wait,
        )


class OperationSettings(CallSettings, frozen=True, kw_only=True):
    """Override numbers of one operation's policy. None keeps the service's."""

    def apply(self, policy: Policy) -> OperationPolicy:
        """Return what the operation decides otherwise than the service; *policy* is what held for it.

        Raises:
            ValueError: The result contradicts itself.
        """
        numbers = call_numbers(policy)
        check_order({**numbers, **self.given()}, self.given())
        return OperationPolicy(
            retry=self.retry(policy.retry),
            call_timeout=self.call_timeout or policy.call_timeout,
            attempt_timeout=self.attempt_timeout or policy.attempt_timeout,
        )


def check_order(numbers: Mapping[str, float | None], given: Mapping[str, float]) -> None:
    """Refuse a first wait above the longest one; a pair nobody has touched is the service's business."""
    for first, longest in ORDERED:
        low, high = numbers.get(first), numbers.get(longest)
        is_given = first in given or longest in given
        if is_given and low is not None and high is not None and low > high:
            raise ValueError(f"{first} ({low:g} s) is longer than {longest} ({high:g} s)")


def backoff_of(
    backoff: Backoff, *, initial: float | None, cap: float | None, base: float | None = None
) -> Backoff:
    """Return *backoff* with other numbers, as an exponential one where it does not grow."""
    if initial is None and cap is None and base is None:
        return backoff
    growing = backoff if isinstance(backoff, Exponential | Decorrelated) else Exponential()
    return replaced(growing, initial=initial, cap=cap, base=base)


def replaced(struct: _Struct, **values: object) -> _Struct:
    """Copy *struct* with those *values* that are not None."""
    changes = {name: value for name, value in values.items() if value is not None}
    return msgspec.structs.replace(struct, **changes)
