"""The mailbox of a service: what is taken in, what waits for a retry, and what is refused.

A refusal is raised in the sender's stack where it can be known there, when the call's turn comes,
and for everything queued whenever the guard changes its mind. A call that waits for a retry keeps
its place in the mailbox's bound, and goes before new messages when it is due.
"""

from __future__ import annotations

from collections import deque
from math import inf

from ..runtime import (
    ActorCell,
    ActorStatistics,
    ActorStoppedError,
    ExitReason,
    Item,
    Kernel,
    Overflow,
    Owner,
    RefusalError,
    Slot,
    message_of,
)
from ._call import Call, Running
from ._errors import ProviderError
from ._guard import Guard
from ._guard_statistics import RetryKey
from ._guarded import GuardedActor
from .policies import CircuitState, GiveUp, Policy, RetryIn, wait_of

VERDICT_POLL = 0.1
"""Seconds at least between two looks of a due retry at a half-open breaker whose probe is out."""


class GuardedMailbox(ActorCell):
    """The mailbox of a service: what waits for the guard, and what the guard refuses."""

    __slots__ = ("calls", "due_retries", "guard", "policy", "provider", "waiting_retries")

    def __init__(
        self,
        kernel: Kernel,
        path: str,
        actor: GuardedActor,
        owner: Owner,
        shutdown: float,
        provider: str,
        policy: Policy,
    ) -> None:
        super().__init__(kernel, path, actor, owner, shutdown)
        self.provider = provider
        self.policy = policy
        self.capacity = policy.mailbox
        self.open_capacity = 0  # every sender has to ask the guard first
        self.concurrency = policy.concurrency.limit
        self.call_timeout = policy.call_timeout
        self.guard = Guard(provider, policy, kernel.rng, self._breaker_changed)
        self.calls: dict[Slot, Call] = {}
        """Calls that were begun and are waited for."""
        self.waiting_retries: set[Call] = set()
        """Calls whose retry is not due yet."""
        self.due_retries: deque[Call] = deque()
        """Calls whose retry is due: they go before new messages."""

    # --- taking messages in --------------------------------------------------------------------------------

    def offer(self, item: Item) -> bool:
        """Take in *item* if the guard does not refuse it; False when its sender has to wait.

        Raises:
            RefusalError: The guard refuses it. A told message becomes a dead letter instead.
            MailboxClosedError: The actor has stopped.
        """
        if not self.is_alive:
            return super().offer(item)
        refusal = self.guard.refusal(self.kernel.now(), _due(item))
        if refusal is None:
            return self._take_in(item) or (self.overflow is not Overflow.WAIT and self.drop_for(item))
        self.guard.counters.refused(message_of(item), refusal)
        if isinstance(item, Slot):
            raise refusal
        self.bury(item, type(refusal).__name__)
        return True

    def _take_in(self, item: Item) -> bool:
        if self.length >= self.capacity:
            return False
        self.queue.append(item)
        if self.room:  # whether the call may begin is seen when a worker has come
            self.room -= 1
            self.busy += 1
            self.kernel.schedule(self)
        return True

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
        if self.active is not None and self.pending:
            self.kernel.schedule(self)
            return
        self.busy -= 1
        if self.active is not None:
            self.room = self.concurrency - self.busy
        elif self.ties is not None:
            self.ties.advance()

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
        retry = self._next_retry(now)
        self._admit_next()
        return retry or self._next_queued(now)

    def _next_retry(self, now: float) -> Call | None:
        while self.due_retries:
            call = self.due_retries.popleft()
            if self._may_retry(call, now):
                return call
        return None

    def _next_queued(self, now: float) -> Call | None:
        while self.queue:
            item = self.queue.popleft()
            self._admit_next()
            if isinstance(item, Slot) and item.done:
                self.abandoned += 1
            elif (refusal := self.guard.refusal(now, inf)) is not None:
                self._refuse(item, refusal)
            else:
                return Call(self, item, now)
        return None

    def _admit_next(self) -> None:
        """Fill the room that a message leaves; where the mailbox was the narrow place, slots are free too."""
        if self.senders and self.admit():
            self.kick()

    def _may_retry(self, call: Call, now: float) -> bool:
        """Let a due retry through, make it wait for the breaker, or end it."""
        refusal = self.guard.refusal(now, call.due)
        if refusal is None:
            return True
        wait = refusal.retry_after
        if (
            wait is None
            and self.guard.circuit is not None
            and self.guard.circuit.state is CircuitState.HALF_OPEN
        ):
            # Until the probe's verdict. Not zero, or a backoff without a wait would spin till then.
            wait = max(VERDICT_POLL, wait_of(self.policy.retry.backoff, 1, self.kernel.rng))
        if wait is None or wait > self.policy.retry.max_wait or now + wait > call.due:
            reason = call.reason
            assert reason is not None
            self.guard.counters.retries[RetryKey(call.operation, reason, "breaker_open")] += 1
            self.fail_call(call, refusal)
        else:
            self.wait_for_retry(call, now + wait)
        return False

    # --- the end of a call ---------------------------------------------------------------------------------

    def fail_call(self, call: Call, error: Exception) -> None:
        """End a call with an error. A told message becomes a dead letter."""
        self.end_call(call)
        self.count_end(call, "failed")
        if isinstance(call.item, Slot):
            self.handled += 1
            call.item.resolve(error=error)
        else:
            self.bury(call.item, type(error).__name__)

    def end_call(self, call: Call) -> None:
        if isinstance(call.item, Slot):
            self.calls.pop(call.item, None)

    def count_end(self, call: Call, outcome: str) -> None:
        self.guard.counters.ended(call.message, outcome, self.kernel.now() - call.began)
        if (sponsor := call.sponsor) is not None:
            sponsor.call_ended(call.attempts, None)

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

    def pause(self, error: ProviderError, decision: RetryIn | GiveUp, attempt: int, now: float) -> None:
        wait = self.guard.pause(error, decision, attempt, now)
        source = "server" if error.retry_after is not None else "backoff"
        self.kernel.events.warning(
            "provider.paused", provider=self.provider, seconds=round(wait, 3), source=source
        )
        self.kernel.timers.call_at(self.guard.gate.reopens_at, self.kick)
        self.sweep()

    def _breaker_changed(self, old: CircuitState, new: CircuitState, now: float) -> None:
        circuit = self.guard.circuit
        assert circuit is not None
        self.guard.counters.transitions[old, new] += 1
        self.kernel.events.warning(
            "breaker.transition",
            provider=self.provider,
            breaker=self.provider,
            **{"from": old.name.lower(), "to": new.name.lower()},
            failures=circuit.statistics().consecutive_failures,
            next_probe_in=round(circuit.retry_at - now, 3) if new is CircuitState.OPEN else None,
        )
        if new is CircuitState.OPEN:
            # So that the state is seen as half-open when the time comes, also if nobody calls.
            self.kernel.timers.call_at(circuit.retry_at, self._look_at_breaker)
            self.sweep()
        else:
            self.kick()

    def _look_at_breaker(self) -> None:
        assert self.guard.circuit is not None
        self.guard.circuit.poll(self.kernel.now())

    def sweep(self) -> None:
        """Refuse what is queued, or in line for the queue, and can't be served in time any more."""
        now = self.kernel.now()
        for item in self.take_all():
            if isinstance(item, Slot) and item.done:
                self.abandoned += 1
            elif (refusal := self.guard.refusal(now, _due(item))) is not None:
                self._refuse(item, refusal)
            else:
                self.queue.append(item)
        for item, turn in self.dismiss_senders():
            if (refusal := self.guard.refusal(now, _due(item))) is None:
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
