"""The mailbox of a service: what is taken in, what waits for a retry, and what is refused.

A refusal is raised in the sender's stack where it can be known there, when the call's turn comes,
and for everything queued whenever the guard changes its mind. A call that waits for a retry keeps
its place in the mailbox's bound, and goes before new messages when it is due.
"""

from __future__ import annotations

from collections import deque
from math import inf, isfinite
from typing import cast

from ..runtime import (
    ActorCell,
    ActorStatistics,
    ActorStoppedError,
    ExitReason,
    Item,
    Kernel,
    Message,
    Overflow,
    Owner,
    RefusalError,
    Slot,
    message_of,
)
from ._account import Account
from ._call import Call, Running
from ._errors import BudgetExceededError, ProviderError, RetriesExhaustedError
from ._guard import Guard
from ._guard_statistics import RetryKey, TransitionKey
from ._guarded import GuardedActor
from ._metering import Bill, Meter
from ._retry_layers import NestedRetries, guard_of, retry_layer
from .policies import CircuitState, Forced, GiveUp, Policy, RateReport, RetryIn, wait_of

VERDICT_POLL = 0.1
"""Seconds at least between two looks of a due retry at a half-open breaker whose probe is out."""
LONGER = 1.0
"""Seconds by which the wait for the rate limit has to grow for all that is queued to be looked at again."""
_BECAUSE = {
    "retry_budget": "as too many calls are retried already (the retry budget is spent)",
    "cost_budget": "as there is no money for another (the cost budget is spent)",
}


class GuardedMailbox(ActorCell):
    """The mailbox of a service: what waits for the guard, and what the guard refuses."""

    __slots__ = (
        "_nested",
        "calls",
        "due_retries",
        "guard",
        "has_timeouts",
        "policy",
        "provider",
        "waiting_retries",
    )

    def __init__(
        self,
        kernel: Kernel,
        path: str,
        actor: GuardedActor,
        owner: Owner,
        shutdown: float,
        provider: str,
        policy: Policy,
        account: Account,
    ) -> None:
        super().__init__(kernel, path, actor, owner, shutdown)
        self.provider = provider
        self.policy = policy
        self.capacity = policy.mailbox
        self.open_capacity = 0  # every sender has to ask the guard first
        self.call_timeout = policy.call_timeout
        self.has_timeouts = bool(policy.by_operation)
        self.guard = Guard(provider, policy, kernel.rng, self._breaker_changed, account=account)
        account.join(self)
        self.concurrency = self.guard.bulkhead.limit
        self._nested = NestedRetries()
        self.calls: dict[Slot, Call] = {}
        """Calls that were begun and are waited for."""
        self.waiting_retries: set[Call] = set()
        """Calls whose retry is not due yet."""
        self.due_retries: deque[Call] = deque()
        """Calls whose retry is due: they go before new messages."""

    def timeout_of(self, message: Message) -> float:
        """Return the seconds a call may take that was given no timeout."""
        return self.guard.policy_of(type(message).__name__).call_timeout

    # --- taking messages in --------------------------------------------------------------------------------

    def offer(self, item: Item) -> bool:
        """Take in *item* if the guard does not refuse it; False when its sender has to wait.

        Raises:
            RefusalError: The guard refuses it. A told message becomes a dead letter instead.
            MailboxClosedError: The actor has stopped.
        """
        if self.active is None and not self.is_alive:
            return super().offer(item)
        if layer := retry_layer.get():
            self.warn_nested(layer, guard_of(self.provider))
        kernel, guard, queue = self.kernel, self.guard, self.queue
        now = kernel.now()
        refusal = None if guard.is_clear(now) else guard.refusal(now, _due(item))
        # Where its turn is now, it is seen there what there is of rate limit and money.
        if refusal is None and guard.meter is not None and (queue or not self.room or now < guard.held_until):
            refusal = self._hopeless(guard.meter, item, now)
        if refusal is None:
            if len(queue) + len(self.waiting_retries) + len(self.due_retries) >= self.capacity:
                return self.overflow is not Overflow.WAIT and self.drop_for(item)
            queue.append(item)
            if self.room:  # whether the call may begin is seen when a worker has come
                self.room -= 1
                self.busy += 1
                kernel.schedule(self)
            return True
        self.guard.counters.refused(message_of(item), refusal)
        if isinstance(item, Slot):
            raise refusal
        self.bury(item, type(refusal).__name__)
        return True

    def warn_nested(self, outer: str, inner: str) -> None:
        """Say, once, that a layer of retries stands inside another one."""
        self._nested.warn(self.kernel.events, outer, inner)

    @property
    def length(self) -> int:
        """Messages that count against the mailbox's bound."""
        return len(self.queue) + len(self.waiting_retries) + len(self.due_retries)

    @property
    def load(self) -> int:
        """How many calls wait, for room, their turn or their retry, or are in hand."""
        return super().load + len(self.waiting_retries) + len(self.due_retries)

    @property
    def has_room(self) -> bool:
        """Tell whether a call could be taken at once."""
        return self.length < self.capacity

    def admit(self) -> int:
        """Move in waiting senders, as far as the retries leave room."""
        room = self.capacity
        self.capacity = room - len(self.waiting_retries) - len(self.due_retries)
        try:
            return super().admit()
        finally:
            self.capacity = room

    @property
    def pending(self) -> int:
        """How many messages a worker could begin now."""
        if not (self.queue or self.due_retries):
            return 0
        if not self.guard.may_begin(self.kernel.now()):
            return 0
        free = self.guard.bulkhead.limit - self.guard.bulkhead.in_flight
        return min(free, len(self.queue) + len(self.due_retries))

    def permit_back(self) -> None:
        """Give a permit back, or use it again for what the guard lets begin."""
        if self.departures:
            self.tell_departures()
        if self.active is not None and (self.queue or self.due_retries) and self.pending:
            self.kernel.schedule(self)
            return
        self.busy -= 1
        if self.active is not None:
            self.room = self.concurrency - self.busy
        elif self.ties is not None:
            self.ties.advance()

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

    def widen(self) -> None:
        """Begin what the guard lets begin since its limit has grown.

        Beyond what it began with there have to be more permits. They stay when the limit falls again: a
        worker that comes too many finds that nothing may begin, and goes.
        """
        limit = self.guard.bulkhead.limit
        if limit > self.concurrency:
            self.concurrency = limit
            if self.active is not None:
                self.room = limit - self.busy
        self.kick()

    def leave_behind(self, running: Running) -> None:
        """Give up an attempt that does not unwind, or it would hold its slot for ever."""
        self.kernel.events.error("actor.stuck", actor_path=self.path, reason=running.cause)
        self.leave(running.worker)

    # --- what comes next -----------------------------------------------------------------------------------

    def next_call(self) -> Call | None:
        """Choose what is attempted next: retries that are due first, then the queue."""
        if not (self.queue or self.due_retries or self.senders):
            return None
        now = self.kernel.now()
        if not self.guard.may_begin(now):
            return None
        retry = self._next_retry(now) if self.due_retries else None
        if self.senders:
            self._admit_next()
        if now < self.guard.held_until:
            return None
        return retry or self._next_queued(now)

    def _next_retry(self, now: float) -> Call | None:
        while self.due_retries:
            call = self.due_retries.popleft()
            if self._may_retry(call, now) and (self.guard.meter is None or self._is_metered_in(call, now)):
                return call
            if now < self.guard.held_until:
                break
        return None

    def _next_queued(self, now: float) -> Call | None:
        while self.queue:
            call = Call.of(self, self.queue.popleft(), now)
            if self.senders:
                self._admit_next()
            if call.is_abandoned:
                self.abandoned += 1
            elif not self.guard.is_clear(now) and (refusal := self.guard.refusal(now, inf)) is not None:
                self._refuse(call.item, refusal)
            elif self.guard.meter is None or self._is_metered_in(call, now):
                return call
            elif now < self.guard.held_until:
                break
        return None

    def _admit_next(self) -> None:
        """Fill the room that a message leaves; where the mailbox was the narrow place, slots are free too."""
        if self.admit():
            self.kick()

    def _may_retry(self, call: Call, now: float) -> bool:
        """Let a due retry through, make it wait for the breaker, or end it."""
        refusal = self.guard.refusal(now, call.due)
        if refusal is None:
            return True
        wait = refusal.retry_after
        retry = self.guard.policy_of(call.operation).retry
        if (
            wait is None
            and self.guard.circuit is not None
            and self.guard.circuit.state is CircuitState.HALF_OPEN
        ):
            # Until the probe's verdict. Not zero, or a backoff without a wait would spin till then.
            wait = max(VERDICT_POLL, wait_of(retry.backoff, 1, self.kernel.rng))
        if wait is None or wait > retry.max_wait or now + wait > call.due:
            reason = call.reason
            assert reason is not None
            self.guard.counters.retries[RetryKey(call.operation, reason, "breaker_open")] += 1
            self.fail_call(call, refusal)
        else:
            self.wait_for_retry(call, now + wait)
        return False

    # --- rate limit and money ------------------------------------------------------------------------------

    def _hopeless(self, meter: Meter, item: Item, now: float) -> RefusalError | None:
        """Refuse, in its sender's stack, what would wait for a turn that comes too late, or for money."""
        late = meter.lateness(now, _due(item), len(self.queue) + len(self.due_retries))
        if late is not None or not meter.is_spent(now):
            return late
        bill = Bill.of(cast("GuardedActor", self.actor), message_of(item), meter.purses)
        return self._say_if_spent(meter.shortfall(bill, now))

    def _objection(self, item: Item, now: float) -> RefusalError | None:
        """Say why what is queued, behind those that are, can't be served in time; None where it can."""
        refusal = self.guard.refusal(now, _due(item))
        if refusal is None and self.guard.meter is not None:
            return self.guard.meter.lateness(now, _due(item), len(self.queue))
        return refusal

    def _is_metered_in(self, call: Call, now: float) -> bool:
        """Take what an attempt needs of rate limit and money; False: it waits in its place, or is refused."""
        meter = self.guard.meter
        assert meter is not None
        bill = call.bill
        if bill is None:
            # No cast: it costs as much as the rest of the call.
            actor: GuardedActor = self.actor  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
            bill = call.bill = Bill.of(actor, call.message, meter.purses)
        verdict = meter.admit(call, bill, now)
        if verdict is None:
            account = self.guard.account
            account.turns = self.guard.last_begun = account.turns + 1
            return True
        if isinstance(verdict, RefusalError):
            self._metered_out(call, verdict)
        else:
            self._hold(call, now + verdict)
        return False

    def _hold(self, call: Call, until: float) -> None:
        """Put a call back to its place, and begin nothing before its turn."""
        if call.attempts:
            self.due_retries.appendleft(call)
        else:
            self.queue.appendleft(call.item)
        self.guard.held_until = until
        self.guard.account.wait_in_line(self, until)

    def _metered_out(self, call: Call, refusal: RefusalError) -> None:
        self._say_if_spent(refusal)
        if not call.attempts:
            self._refuse(call.item, refusal)
        elif isinstance(refusal, BudgetExceededError):
            self.deny_retry(call, GiveUp("cost_budget", refusal.retry_after))
        else:
            self.fail_call(call, refusal)

    def deny_retry(self, call: Call, decision: GiveUp) -> None:
        """End a call with its last error, because a budget of all calls has no room for its retry."""
        assert call.error is not None
        self.guard.counters.retries[RetryKey(call.operation, call.error.kind, decision.reason)] += 1
        if not self.guard.retries_denied:
            self.guard.retries_denied = True
            self.kernel.events.warning(
                "provider.retries_denied", provider=self.provider, reason=decision.reason
            )
        because = _BECAUSE[decision.reason]
        self.fail_call(
            call,
            RetriesExhaustedError.after(
                call.error, call.attempts, retry_after=decision.retry_after, because=because
            ),
        )

    def _say_if_spent(self, refusal: RefusalError | None) -> BudgetExceededError | None:
        """Tell the operator, once each time that it runs out."""
        if not isinstance(refusal, BudgetExceededError):
            return None
        meter = self.guard.meter
        if meter is not None and not meter.is_said:
            meter.is_said = True
            self.kernel.events.warning(
                "provider.budget_spent",
                provider=self.provider,
                scope=refusal.scope,
                window=refusal.window,
                limit_usd=refusal.limit_usd,
                retry_after=refusal.retry_after,
            )
        return refusal

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

    # --- the end of a call ---------------------------------------------------------------------------------

    def fail_call(self, call: Call, error: Exception) -> None:
        """End a call with an error. A told message becomes a dead letter."""
        self.end_call(call)
        self.count_end(call, "failed")
        if call.slot is not None:
            self.handled += 1
            call.slot.resolve(error=error)
        else:
            self.bury(call.item, type(error).__name__)

    def end_call(self, call: Call) -> None:
        if call.slot is not None:
            self.calls.pop(call.slot, None)
        if call.has_grant:
            self.guard.give_back_grant(call)

    def count_end(self, call: Call, outcome: str) -> None:
        self.guard.counters.ended(call.message, outcome, self.kernel.now() - call.began)

    # --- retries that wait ---------------------------------------------------------------------------------

    def wait_for_retry(self, call: Call, moment: float) -> None:
        self.waiting_retries.add(call)
        call.timer = self.kernel.timers.call_at(moment, lambda: self._retry_due(call))

    def _retry_due(self, call: Call) -> None:
        self.waiting_retries.discard(call)
        call.timer = None
        self.due_retries.append(call)
        self.kick()

    def take_back(self, call: Call) -> None:
        """Forget a retry that waits or is due."""
        if call.timer is None:
            self.due_retries.remove(call)
        else:
            call.timer.cancel()
            call.timer = None
            self.waiting_retries.discard(call)

    # --- when the guard changes its mind -------------------------------------------------------------------

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

    def _breaker_changed(self, old: CircuitState, new: CircuitState, now: float) -> None:
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

    def _look_at_breaker(self) -> None:
        assert self.guard.circuit is not None
        self.guard.circuit.poll(self.kernel.now())

    def sweep(self) -> None:
        """Refuse what is queued, or in line for the queue, and can't be served in time any more."""
        now = self.kernel.now()
        for item in self.take_all():
            if isinstance(item, Slot) and item.done:
                self.abandoned += 1
            elif (refusal := self._objection(item, now)) is not None:
                self._refuse(item, refusal)
            else:
                self.queue.append(item)
        for item, turn in self.dismiss_senders():
            if (refusal := self._objection(item, now)) is None:
                self.wait_in_line(item, turn)
            else:
                self._refuse_in_line(item, turn, refusal)
        self.admit()
        self.kick()

    def _refuse_in_line(self, item: Item, turn: Slot, refusal: RefusalError) -> None:
        """Refuse what was not taken yet; a told message becomes a dead letter, as in `offer`."""
        if turn.resolve(error=refusal if turn is item else None):
            self.guard.counters.refused(message_of(item), refusal)
            if turn is not item:
                self.bury(item, type(refusal).__name__)

    def _refuse(self, item: Item, refusal: RefusalError) -> None:
        self.guard.counters.refused(message_of(item), refusal)
        self.bury(item, type(refusal).__name__, refusal)

    def fail_until(self, moment: float) -> None:
        """Refuse everything until *moment*: the service crashed too often."""
        self.guard.fail_until(moment)
        self.sweep()

    def close(self, reason: ExitReason) -> None:
        """Take no more messages and fail what is queued or waits for a retry, at once."""
        super().close(reason)
        self.guard.account.leave(self)
        for call in (*self.waiting_retries, *self.due_retries):
            self.take_back(call)
            self.end_call(call)
            self.count_end(call, "failed")
            self.bury(call.item, "stopped", ActorStoppedError(self, call.message, reason))

    # --- looking at it -------------------------------------------------------------------------------------

    def statistics(self) -> ActorStatistics:
        """Look at the actor's counters; a call that waits for its retry counts as queued."""
        return self._statistics(self.length, sum(1 for worker in self.workers if worker.hand is not None))


def _due(item: Item) -> float:
    """Return the moment the sender of *item* stops waiting; told messages have none."""
    return item.due if isinstance(item, Slot) else inf
