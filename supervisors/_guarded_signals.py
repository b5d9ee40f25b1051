"""What a service is told about its provider, and what follows for all that is queued.

A pause after a rate limit, a block, a breaker that opens, limits in an answer's headers: each is about
the provider, so it holds for every call, and for the other services of the same account.
"""

from __future__ import annotations

from math import isfinite

from ._call import Call
from ._errors import ProviderError
from ._guard_statistics import TransitionKey
from ._guarded_queue import GuardedQueue
from ._metering import Bill
from .policies import CircuitState, Forced, GiveUp, Policy, RateReport, RetryIn

LONGER = 1.0
"""Seconds by which the wait for the rate limit has to grow for all that is queued to be looked at again."""


class GuardedSignals(GuardedQueue):
    """A service's queue that hears of its provider."""

    __slots__ = ("has_timeouts", "policy")

    policy: Policy
    has_timeouts: bool
    """Some operations have a call timeout of their own."""

    def reconfigure(self, policy: Policy) -> None:
        """Go by another policy from now on; what is queued, waits, counts or is in flight stays.

        Attempts in flight and calls that were begun keep the times they were given. A mailbox that is
        fuller than it may be now takes no more until it is not.
        """
        self.policy = policy
        self.capacity = policy.mailbox
        self.call_timeout = policy.call_timeout
        self.has_timeouts = bool(policy.by_operation)
        self.guard.adopt(policy, self.kernel.now())
        self.widen()
        self.sweep()

    def pause(self, error: ProviderError, decision: RetryIn | GiveUp, call: Call, now: float) -> None:
        wait = self.guard.pause(error, decision, call.attempts, now, operation=call.operation)
        source = "server" if error.retry_after is not None else "backoff"
        self.kernel.events.warning(
            "provider.paused", provider=self.provider, seconds=round(wait, 3), source=source
        )
        self._gate_shut()
        for other in tuple(self.guard.account.members):
            if other is not self:
                other.guard.bulkhead.cut()
                self.kernel.events.warning(
                    "provider.paused", provider=other.provider, seconds=round(wait, 3), source="account"
                )
                other._gate_shut()

    def _gate_shut(self) -> None:
        self.kernel.timers.call_at(self.guard.gate.reopens_at, self.kick)
        self.sweep()

    def blocked(self, error: ProviderError) -> None:
        """Refuse what waits: the provider refuses the account, of all services that use it."""
        for member in tuple(self.guard.account.members):
            self.kernel.events.error(
                "provider.blocked", provider=member.provider, reason=str(error.kind), code=error.code
            )
            member.sweep()

    def bound_concurrency(self, most: int) -> None:
        """Hear how many attempts the provider takes at once. The policy's own limit stays the highest."""
        limit = max(1, min(most, self.policy.concurrency.most))
        if self.guard.bulkhead.bound(limit):
            self.kernel.events.info(
                "provider.concurrency_bounded", provider=self.provider, limit=limit, most=most
            )

    def limits_reported(self, bill: Bill, report: RateReport) -> None:
        """Correct the rate limit by what the provider said in its answer to a call."""
        limiter = bill.limiter
        if limiter is None:
            return
        now, account = self.kernel.now(), self.guard.account
        before = limiter.wait(now)
        limiter.report(report, now, bill.tokens)
        after = limiter.wait(now)
        if after < before:
            account.wake_line()
        elif after > before + LONGER:
            for member in tuple(account.members):
                member.sweep()

    def breaker_changed(self, old: CircuitState, new: CircuitState, now: float) -> None:
        circuit = self.guard.circuit
        assert circuit is not None
        self.guard.counters.transitions[TransitionKey(old, new, circuit.cause)] += 1
        self.kernel.events.warning(
            "breaker.transition",
            provider=self.provider,
            breaker=self.provider,
            **{"from": old.name.lower(), "to": new.name.lower()},
            cause=circuit.cause,
            reason=circuit.reason,
            failures=circuit.statistics().consecutive_failures,
            next_probe_in=round(circuit.retry_at - now, 3) if isfinite(circuit.retry_at) else None,
        )
        if new is CircuitState.OPEN:
            if circuit.forced is None:
                # So that the state is seen as half-open when the time comes, also if nobody calls.
                self.kernel.timers.call_at(circuit.retry_at, self._look_at_breaker)
            self.sweep()
        else:
            self.kick()

    def _look_at_breaker(self) -> None:
        assert self.guard.circuit is not None
        self.guard.circuit.poll(self.kernel.now())

    def force_breaker(self, forced: Forced | None) -> None:
        """Hold the breaker, which there has to be, in a state; None gives it back to itself."""
        circuit = self.guard.circuit
        assert circuit is not None
        if circuit.force(forced, self.kernel.now()):
            self.kernel.events.warning(
                "breaker.forced",
                provider=self.provider,
                breaker=self.provider,
                forced=forced,
                state=circuit.state.name.lower(),
            )
