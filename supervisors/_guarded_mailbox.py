"""The mailbox of a service: what is taken in, and what is attempted next.

A refusal is raised in the sender's stack where it can be known there, when the call's turn comes,
and for everything queued whenever the guard changes its mind. A call that waits for a retry keeps
its place in the mailbox's bound, and goes before new messages when it is due.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import cast

from ..runtime import (
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
from ._call import Call
from ._errors import BudgetExceededError, RetriesExhaustedError
from ._guard import Guard
from ._guard_statistics import RetryKey
from ._guarded import GuardedActor
from ._guarded_queue import due_of
from ._guarded_signals import GuardedSignals
from ._metering import Bill, Meter
from ._retry_layers import NestedRetries, guard_of, retry_layer
from .policies import CircuitState, GiveUp, Policy, wait_of

VERDICT_POLL = 0.1
"""Seconds at least between two looks of a due retry at a half-open breaker whose probe is out."""
_BECAUSE = {
    "retry_budget": "as too many calls are retried already (the retry budget is spent)",
    "cost_budget": "as there is no money for another (the cost budget is spent)",
}


class GuardedMailbox(GuardedSignals):
    """The mailbox of a service: what waits for the guard, and what the guard refuses."""

    __slots__ = ("_nested",)

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
        self.guard = Guard(provider, policy, kernel.rng, self.breaker_changed, account=account)
        account.join(self)
        self.concurrency = self.guard.bulkhead.limit
        self._nested = NestedRetries()
        self.calls = {}
        self.waiting_retries = set()
        self.due_retries = deque()

    def timeout_of(self, message: Message) -> float:
        """Return the seconds a call may take that was given no timeout."""
        return self.guard.policy_of(type(message).__name__).call_timeout

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
        refusal = None if guard.is_clear(now) else guard.refusal(now, due_of(item))
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

    def close(self, reason: ExitReason) -> None:
        """Take no more messages, and leave the account to the services that go on."""
        super().close(reason)
        self.guard.account.leave(self)

    def warn_nested(self, outer: str, inner: str) -> None:
        """Say, once, that a layer of retries stands inside another one."""
        self._nested.warn(self.kernel.events, outer, inner)

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
                self.refuse(call.item, refusal)
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

    def _hopeless(self, meter: Meter, item: Item, now: float) -> RefusalError | None:
        """Refuse, in its sender's stack, what would wait for a turn that comes too late, or for money."""
        late = meter.lateness(now, due_of(item), len(self.queue) + len(self.due_retries))
        if late is not None or not meter.is_spent(now):
            return late
        bill = Bill.of(cast("GuardedActor", self.actor), message_of(item), meter.purses)
        return self._say_if_spent(meter.shortfall(bill, now))

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
            self.refuse(call.item, refusal)
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
