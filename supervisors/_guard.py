"""The guard: the policy state of one service. Values and *now* go in, a decision comes out.

It holds the circuit, the gate, the bulkhead and the block, and counts. It never waits, sends or
looks at a clock: `GuardedCell` does.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from random import Random

from ..runtime import RefusalError
from ._account import Account
from ._call import Call, Running
from ._errors import (
    CircuitBreakerOpenError,
    ProviderBlockedError,
    ProviderError,
    ProviderFailedError,
    RateLimitedError,
)
from ._failures import FailureKind
from ._guard_statistics import GuardCounters
from ._metering import Meter
from .policies import Bulkhead, Circuit, CircuitState, GiveUp, Permit, Policy, RetryIn, RetryLedger

Transition = Callable[[CircuitState, CircuitState, float], None]


class Guard:
    """Decide about the calls of one service."""

    __slots__ = (
        "_failed_until",
        "_on_transition",
        "_operations",
        "_slow_seconds",
        "account",
        "block",
        "bulkhead",
        "circuit",
        "counters",
        "gate",
        "held_until",
        "last_begun",
        "ledger",
        "meter",
        "policy",
        "provider",
        "retries_denied",
        "rng",
    )

    def __init__(
        self,
        provider: str,
        policy: Policy,
        rng: Random,
        on_transition: Transition | None = None,
        *,
        account: Account,
    ) -> None:
        self.provider = provider
        self.policy: Policy = policy
        self._operations: dict[str, Policy] = {}
        self._on_transition = on_transition
        self.rng = rng
        self.circuit: Circuit | None = None
        if policy.breaker is not None:
            self.circuit = policy.breaker.circuit(on_transition)
        self._slow_seconds = _slow_seconds(policy)
        self.bulkhead: Bulkhead = policy.concurrency.bulkhead()
        self.account = account
        self.gate = account.gate
        self.block = account.block
        self.ledger: RetryLedger | None = None
        """Bounds the retries of all calls together."""
        if policy.retry_budget is not None:
            self.ledger = policy.retry_budget.ledger()
        self.retries_denied = False
        """A budget had no room for the last retry that was wanted."""
        self.meter: Meter | None = None
        """Counts what calls take of rate limit and money; None where neither is bounded."""
        self.take_limits()
        self.held_until = -inf
        """No call may begin before this moment: the next one's turn under the rate limit."""
        self.last_begun = 0
        """When it last began a call, in the account's count of them."""
        self.counters = GuardCounters()
        self._failed_until: float | None = None

    def policy_of(self, operation: str) -> Policy:
        """Return the policy in force for the messages of one class."""
        if not self.policy.by_operation:
            return self.policy
        found = self._operations.get(operation)
        if found is None:
            found = self._operations[operation] = self.policy.of(operation)
        return found

    def adopt(self, policy: Policy, now: float) -> None:
        """Go by another policy. States and counts stay; a blocked provider may be tried at once."""
        if policy.concurrency != self.policy.concurrency:
            before, self.bulkhead = self.bulkhead, policy.concurrency.bulkhead()
            self.bulkhead.take_over(before)
        self.policy = policy
        self._operations.clear()
        if policy.breaker is None:
            self.circuit = None
        elif self.circuit is None:
            self.circuit = policy.breaker.circuit(self._on_transition)
        else:
            self.circuit.reconfigure(policy.breaker)
        self._slow_seconds = _slow_seconds(policy)
        if policy.retry_budget is None:
            self.ledger = None
        elif self.ledger is None:
            self.ledger = policy.retry_budget.ledger()
        else:
            self.ledger.reconfigure(policy.retry_budget)
        # Whoever changed the settings may have changed what it was blocked for: a key, a plan.
        self.block.may_be_tried(now)
        self.held_until = -inf

    def take_limits(self) -> None:
        """Keep to the limits that the account has now."""
        limiter, purse = self.account.limiter, self.account.purse
        if self.meter is None:
            if limiter is None and purse is None:
                return
            self.meter = Meter(self.provider)
        self.meter.limiter = limiter
        self.meter.purses = () if purse is None else (purse,)

    # --- admit -----------------------------------------------------------------------------------

    def is_clear(self, now: float) -> bool:
        """Tell whether nothing at all is in a call's way; if anything is, `refusal` has to be asked.

        It nearly always is clear, and every message comes by here twice: so there is no call in it.
        """
        return (
            self._failed_until is None
            and now >= self.block.refuses_until
            and now >= self.gate.reopens_at
            and (self.circuit is None or self.circuit.standing is not None)
        )

    def refusal(self, now: float, due: float) -> RefusalError | None:
        """Say why a call that must end by *due* is not taken now; None when it is."""
        gate, circuit = self.gate, self.circuit
        if self._failed_until is not None:
            return ProviderFailedError(self.provider, retry_after=max(0.0, self._failed_until - now))
        if now < self.block.refuses_until:
            return self.blocked_error(now)
        if circuit is not None and not circuit.is_admitting(now):
            return self.breaker_error(now)
        if now < gate.reopens_at and due < gate.reopens_at:
            return RateLimitedError(self.provider, retry_after=gate.reopens_at - now)
        return None

    def admit(self, now: float) -> Permit | None:
        """Take what one attempt needs; None where the circuit is off.

        The caller holds a slot of the bulkhead, and `refusal` said at this moment that there is none.
        """
        if self.block.probe_at > -inf:
            self.block.probe()
        if self.circuit is None:
            return None
        return self.circuit.standing or self.circuit.admit(now)

    def may_begin(self, now: float) -> bool:
        """Tell whether an attempt could begin: a slot is free, the gate is open, its turn has come."""
        bulkhead = self.bulkhead
        return bulkhead.in_flight < bulkhead.limit and now >= self.held_until and now >= self.gate.reopens_at

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
        after = None if self.block.is_probing else max(0.0, self.block.probe_at - now)
        what = "no quota left" if self.block.by is FailureKind.QUOTA else "the key is refused"
        return ProviderBlockedError(self.provider, f"blocked, {what}: a person has to act", retry_after=after)

    # --- what became of an attempt -----------------------------------------------------------------

    def succeeded(self, attempt: Running, now: float) -> bool:
        """Note an answer; True when one more attempt may be in flight than before."""
        block = self.block
        if block.probe_at > -inf and attempt.blocks == block.count:
            block.lift()
        if attempt.permit is not None and self.circuit is not None:
            seconds = now - attempt.began
            if seconds >= self._slow_seconds:
                seconds = self._seconds(attempt, now)
            self.circuit.succeeded(attempt.permit, now, seconds)
        return self.bulkhead.grow()

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
        is_blocking = error.kind.blocks_provider and attempt.blocks == self.block.count
        if is_blocking:
            self.block.shut(error.kind, now + self.policy.blocked_probe)
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
        """Return how long an attempt took where that is too long for the breaker; else 0.0.

        A stream that flows is not slow, however long it is: its reader sets the pace.
        """
        seconds = now - attempt.began
        return 0.0 if seconds < self._slow_seconds or attempt.call.has_delivered else seconds

    def decide(
        self, error: ProviderError, attempt: int, time_left: float, *, is_probe: bool, operation: str = ""
    ) -> RetryIn | GiveUp:
        """Decide what follows a failure. A probe is not retried: its failure is the verdict."""
        decision = self.policy_of(operation).retry.decide(
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

    def pause(
        self,
        error: ProviderError,
        decision: RetryIn | GiveUp,
        attempt: int,
        now: float,
        *,
        operation: str = "",
    ) -> float:
        """Shut the gate for everybody after a rate limit; returns the seconds."""
        if isinstance(decision, RetryIn):
            wait = decision.wait
        else:
            # The decision carries the server's hint where it is one; inf would shut the gate for good.
            retry = self.policy_of(operation).retry
            wait = decision.retry_after or retry.wait(error.kind, attempt, None, self.rng)
        self.gate.shut(now + wait, now)
        self.bulkhead.cut()
        return wait

    def unaffordable(self, call: Call, error: ProviderError, wait: float, now: float) -> GiveUp | None:
        """Say which budget has no room for a retry in *wait* seconds; None: there is, and it is kept."""
        # A wait at the provider's gate is free: it is over when the provider said that we may come.
        is_free = self.ledger is None or error.kind is FailureKind.RATE_LIMIT
        if self.ledger is not None and not is_free and not self.ledger.grant(now):
            return GiveUp("retry_budget", None)
        call.has_grant = not is_free
        if self.meter is not None and call.bill is not None:
            refusal = self.meter.shortfall(call.bill, now)
            if refusal is not None and (refusal.retry_after is None or refusal.retry_after > wait):
                return GiveUp("cost_budget", refusal.retry_after)
        return None

    def give_back_grant(self, call: Call) -> None:
        """Note that a retry will not be made."""
        if call.has_grant and self.ledger is not None:
            call.has_grant = False
            self.ledger.give_back()

    def _unprobe(self, attempt: Running) -> None:
        if attempt.blocks == self.block.count:
            self.block.probe_again()

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
        return self.block.is_on


def _slow_seconds(policy: Policy) -> float:
    """Return from when on an attempt is slow, in seconds."""
    breaker = policy.breaker
    return inf if breaker is None or breaker.slow_seconds is None else breaker.slow_seconds
