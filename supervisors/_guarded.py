"""Guarded actors: actors whose every call passes a guard."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol, cast

import msgspec

from ..runtime import Actor, Message, RelightError, cell_of
from ._errors import ProviderError
from .policies import Policy, RateReport

if TYPE_CHECKING:
    from ._guarded_mailbox import GuardedMailbox
    from ._settings import Settings


# Msgspec classes, as a service makes one of each for every call, and they are made in a fifth of the time.
class Estimate(msgspec.Struct, frozen=True):
    """What one attempt may cost."""

    model: str
    """The model or product it is charged for."""
    usd: float | None
    """US dollars; None when the price is not known, which is not the same as nothing."""
    tokens: float | None = None
    """What it may use of a limit of tokens a minute; None when nobody can guess."""


class Charge(msgspec.Struct, frozen=True):
    """What one attempt did use."""

    usd: float | None = None
    """US dollars; None when nobody knows: what was estimated stands."""
    tokens: float | None = None
    """Of a limit of tokens a minute; None when nobody knows: what was estimated stands."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """The attempt a handler is making."""

    number: int
    """Counted from 1."""
    idempotency_key: str
    """The same for every attempt of one call. Hand it to a service that knows such keys."""
    deadline: float
    """The moment, on the system's clock, when the caller stops waiting; ``inf`` for a told message."""
    correlation_id: str
    """The same for every attempt and log line of one call."""
    provider: str = ""
    """The service that makes it, by its child's id."""


class AttemptInHand(Protocol):
    """The guard's side of the attempt under way."""

    def describe(self) -> Attempt:
        """Describe it."""
        ...

    @property
    def follows_limits(self) -> bool:
        """Tell whether anybody wants to know what the provider says of its limits."""
        ...

    def report_limits(self, report: RateReport) -> None:
        """Take over what the provider says of its limits."""
        ...


attempt_in_hand: ContextVar[AttemptInHand | None] = ContextVar("relight_attempt", default=None)
"""The attempt; most handlers never ask."""


def current_attempt() -> Attempt:
    """Return the attempt this handler is making.

    Raises:
        RelightError: Called outside a handler of a guarded actor.
    """
    attempt = attempt_in_hand.get()
    if attempt is None:
        raise RelightError("current_attempt(): call it in a handler of a service")
    return attempt.describe()


def follows_limits() -> bool:
    """Tell whether it is worth the while to read what the provider says of its limits.

    False outside a handler, and where the service's policy has no `RateLimit`.
    """
    attempt = attempt_in_hand.get()
    return attempt is not None and attempt.follows_limits


def report_limits(report: RateReport) -> None:
    """Say what an answer told of the provider's limits; the service's rate limit is corrected by it.

    `HttpService` does it for every answer. Outside a handler, or without a `RateLimit`, it does nothing.
    """
    attempt = attempt_in_hand.get()
    if attempt is not None:
        attempt.report_limits(report)


class GuardedActor(Actor):
    """An actor that stands for an external service. Its handlers make one attempt each.

    A handler is the happy path: it raises `ProviderError` when the service failed and returns the
    reply when it did not. Its supervisor's guard decides the rest by the `Policy`: whether the call
    may be made now, how long it may take, whether it is made again and when.
    """

    isolated: ClassVar[bool] = True
    provider: ClassVar[str] = ""
    """What its own errors call it. Refusals, metrics and settings go by the child's id."""
    policy: ClassVar[Policy] = Policy()
    """What the guard goes by, unless settings or the child spec say otherwise."""

    def configured(self, settings: Settings) -> None:
        """Take the system's settings, before each start and whenever they change."""

    @property
    def policy_in_force(self) -> Policy:
        """What its guard goes by: the class's policy, or what settings and child spec have made of it."""
        cell = self._guarded_cell()
        return type(self).policy if cell is None else cell.policy

    def bound_concurrency(self, most: int) -> None:
        """Tell the guard how many attempts at once the provider takes from this account, as it says itself.

        The guard lets no more begin from then on, and never more than its policy allows.
        """
        cell = self._guarded_cell()
        if cell is not None:
            cell.bound_concurrency(most)

    def _guarded_cell(self) -> GuardedMailbox | None:
        try:
            return cast("GuardedMailbox", cell_of(self.ref))
        except RelightError:  # not adopted yet
            return None

    def classify(self, error: Exception) -> ProviderError | None:
        """Say what an exception of a handler means; None is a bug, which crashes the incarnation."""
        return error if isinstance(error, ProviderError) else None

    def is_repeatable(self, message: Message) -> bool:
        """Say whether an attempt at *message* that got no answer in time may be made again.

        False for what may have been carried out and must not happen twice.
        """
        return True

    def estimate(self, message: Message) -> Estimate | None:
        """Say what one attempt at *message* may cost; None when it costs nothing.

        Asked once a call, and only where the policy has a rate limit or a cost budget, or for a retry.
        """
        return None

    def charge(self, message: Message, reply: object) -> Charge | None:
        """Say what the attempt that ended with *reply* did use; None when nobody knows.

        Of a stream *reply* is the last part, or the list of all where it was asked for as one.
        Asked only where the policy has a rate limit or a cost budget.
        """
        return None
