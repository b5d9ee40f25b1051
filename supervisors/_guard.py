"""The guard: the policy state of one service. Values and *now* go in, a decision comes out.

It holds the circuit, the gate, the bulkhead and the block, and counts. It never waits, sends or
looks at a clock: `GuardedCell` does.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from math import inf
from random import Random
from typing import Final

from ..runtime import RefusalError
from ._call import Running
from ._errors import (
    CircuitBreakerOpenError,
    ProviderBlockedError,
    ProviderError,
    ProviderFailedError,
    RateLimitedError,
)
from ._failures import FailureKind
from ._guard_statistics import GuardCounters
from .policies import Circuit, CircuitState, Gate, GiveUp, Permit, Policy, RetryIn

Transition = Callable[[CircuitState, CircuitState, float], None]


class Block(enum.Enum):
    """Whether the provider refuses the account."""

    NONE = enum.auto()
    BLOCKED = enum.auto()
    PROBING = enum.auto()
    """One call is out to see whether it still does."""


# Looked up once: an enum member costs 70 ns on Python 3.11, and every call asks for five.
_NONE: Final = Block.NONE
_BLOCKED: Final = Block.BLOCKED


class Guard:
    """Decide about the calls of one service."""

    __slots__ = (
        "_block",
        "_blocked_by",
        "_failed_until",
        "_is_timing",
        "_probe_at",
        "blocks",
        "bulkhead",
        "circuit",
        "counters",
        "gate",
        "policy",
        "provider",
        "rng",
    )

    def __init__(
        self, provider: str, policy: Policy, rng: Random, on_transition: Transition | None = None
    ) -> None:
        self.provider = provider
        self.policy = policy
        self.rng = rng
        self.circuit: Circuit | None = None
        if policy.breaker is not None:
            self.circuit = policy.breaker.circuit(on_transition)
        self._is_timing = policy.breaker is not None and policy.breaker.slow_seconds is not None
        self.bulkhead = policy.concurrency.bulkhead()
        self.gate = Gate()
        self.counters = GuardCounters()
        self.blocks = 0
        """How often the provider was blocked. What was begun before the last time says nothing about it."""
        self._block = Block.NONE
        self._blocked_by = FailureKind.QUOTA
        self._probe_at = inf
        self._failed_until: float | None = None

    # --- admit -----------------------------------------------------------------------------------

    def refusal(self, now: float, due: float) -> RefusalError | None:
        """Say why a call that must end by *due* is not taken now; None when it is."""
        if self._failed_until is not None:
            return ProviderFailedError(self.provider, retry_after=max(0.0, self._failed_until - now))
        if self._block is not _NONE and not (self._block is _BLOCKED and now >= self._probe_at):
            return self.blocked_error(now)
        if self.circuit is not None and not self.circuit.is_admitting(now):
            return self.breaker_error(now)
        if not self.gate.is_open(now) and due < self.gate.reopens_at:
            return RateLimitedError(self.provider, retry_after=self.gate.reopens_at - now)
        return None

    def admit(self, now: float) -> Permit | None:
        """Take what one attempt needs; None where the circuit is off.

        The caller holds a slot of the bulkhead, and `refusal` said at this moment that there is none.
        """
        if self._block is _BLOCKED:
            self._block = Block.PROBING
        return None if self.circuit is None else self.circuit.admit(now)

    def may_begin(self, now: float) -> bool:
        """Tell whether an attempt could begin: the gate is open and a slot is free."""
        return self.bulkhead.in_flight < self.bulkhead.limit and self.gate.is_open(now)

    def breaker_error(self, now: float) -> CircuitBreakerOpenError:
        """Make the refusal of an open or probing circuit."""
        assert self.circuit is not None
        if self.circuit.forced is not None:
            return CircuitBreakerOpenError(
                self.provider,
                "the circuit breaker was forced open, until an operator gives it back",
                is_forced=True,
            )
        if self.circuit.state is CircuitState.HALF_OPEN:
            return CircuitBreakerOpenError(
                self.provider, "the circuit breaker is half-open and its probe is out"
            )
        return CircuitBreakerOpenError(self.provider, retry_after=max(0.0, self.circuit.retry_at - now))

    def blocked_error(self, now: float) -> ProviderBlockedError:
        """Make the refusal of a blocked provider."""
        after = max(0.0, self._probe_at - now) if self._block is Block.BLOCKED else None
        what = "no quota left" if self._blocked_by is FailureKind.QUOTA else "the key is refused"
        return ProviderBlockedError(self.provider, f"blocked, {what}: a person has to act", retry_after=after)

    # --- what became of an attempt -----------------------------------------------------------------

    def succeeded(self, attempt: Running, now: float) -> bool:
        """Note an answer; True when one more attempt may be in flight than before."""
        if attempt.blocks == self.blocks:
            self._block = _NONE
        if attempt.permit is not None and self.circuit is not None:
            self.circuit.succeeded(attempt.permit, now, self._seconds(attempt, now))
        limit = self.bulkhead.limit
        self.bulkhead.grow()
        return self.bulkhead.limit > limit

    def released(self, attempt: Running, now: float) -> None:
        """Note an attempt that says nothing about the service: cancelled, or ended by a bug.

        Noted once: at the latest when the handler has unwound, and as soon as it is cancelled, so that
        a probe nobody waits for makes room for the next at once.
        """
        if attempt.is_released:
            return
        attempt.is_released = True
        self._unprobe(attempt)
        if attempt.permit is not None and self.circuit is not None:
            self.circuit.released(attempt.permit, now)

    def failed(self, attempt: Running, error: ProviderError, now: float) -> bool:
        """Note a failure, before it is decided what follows; True when it blocks the provider."""
        is_blocking = error.kind.blocks_provider and attempt.blocks == self.blocks
        if is_blocking:
            self.blocks += 1
            self._block = Block.BLOCKED
            self._blocked_by = error.kind
            self._probe_at = now + self.policy.blocked_probe
        else:
            self._unprobe(attempt)
        if attempt.permit is not None and self.circuit is not None:
            if error.kind.counts_for_breaker:
                self.circuit.failed(
                    attempt.permit, now, error.retry_after, seconds=self._seconds(attempt, now)
                )
            else:
                self.circuit.released(attempt.permit, now)
        if error.kind.is_congestion:
            self.bulkhead.congested(attempt.began, now)
        return is_blocking

    def _seconds(self, attempt: Running, now: float) -> float:
        """Return how long an attempt took, for a breaker that minds.

        A stream that flows is not slow, however long it is: its reader sets the pace.
        """
        return now - attempt.began if self._is_timing and not attempt.call.has_delivered else 0.0

    def decide(
        self, error: ProviderError, attempt: int, time_left: float, *, is_probe: bool
    ) -> RetryIn | GiveUp:
        """Decide what follows a failure. A probe is not retried: its failure is the verdict."""
        decision = self.policy.retry.decide(
            error.kind,
            attempt,
            retryable=error.retryable,
            retry_after=error.retry_after,
            time_left=time_left,
            rng=self.rng,
        )
        if is_probe and isinstance(decision, RetryIn) and error.kind.counts_for_breaker:
            return GiveUp("attempts", None)
        return decision

    def pause(self, error: ProviderError, decision: RetryIn | GiveUp, attempt: int, now: float) -> float:
        """Shut the gate for everybody after a rate limit; returns the seconds."""
        if isinstance(decision, RetryIn):
            wait = decision.wait
        else:
            # The decision carries the server's hint where it is one; inf would shut the gate for good.
            wait = decision.retry_after or self.policy.retry.wait(error.kind, attempt, None, self.rng)
        self.gate.shut(now + wait, now)
        self.bulkhead.cut()
        return wait

    def _unprobe(self, attempt: Running) -> None:
        if self._block is Block.PROBING and attempt.blocks == self.blocks:
            self._block = Block.BLOCKED

    # --- the service itself --------------------------------------------------------------------------

    def fail_until(self, moment: float) -> None:
        """Refuse everything: the service crashed too often, and is tried again at *moment*."""
        self._failed_until = moment

    def recovered(self) -> None:
        """Take calls again: the service has started."""
        self._failed_until = None

    @property
    def is_failed(self) -> bool:
        """Tell whether the service has crashed too often."""
        return self._failed_until is not None

    @property
    def is_blocked(self) -> bool:
        """Tell whether the provider refuses the account."""
        return self._block is not _NONE
