"""The cell of a service: every message passes the guard, inside the dispatch.

    agent --ask--> mailbox --> guard: admit --> one attempt in the service --> guard: decide
                      ^                                                          |
                      +------ a retry waits in a timer, holding no slot <--------+

A refusal is raised in the sender's stack where it can be known there, when the call's turn comes,
and for everything queued whenever the guard changes its mind. A call that waits for a retry keeps
its place in the mailbox's bound. Doing this inline saves the two ticks of a second mailbox.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING, cast

from ..runtime import (
    ActorCell,
    ActorState,
    ActorStatistics,
    ActorStoppedError,
    Departure,
    Exit,
    ExitReason,
    Item,
    Kernel,
    Owner,
    RefusalError,
    Slot,
    UnhandledMessageError,
    Worker,
    current_request,
    message_of,
)
from ._call import Call, Running
from ._errors import ProviderError, RetriesExhaustedError
from ._failures import FailureKind
from ._guard import Guard
from ._guard_statistics import GuardStatistics, RetryKey
from ._guarded import GuardedActor, attempt_in_hand
from .policies import CircuitState, GiveUp, Policy, RetryIn

if TYPE_CHECKING:
    from ..runtime import Handler


VERDICT_POLL = 0.1
"""Seconds at least between two looks of a due retry at a half-open breaker whose probe is out."""


class GuardedCell(ActorCell):
    """The runtime's side of a service."""

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

    # --- taking messages in ------------------------------------------------------------------------

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
            return self._take_in(item)
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

    def asker_left(self, slot: Slot) -> None:
        """Cancel what is being done for an asker who has left: it costs money."""
        call = self.calls.get(slot)
        if call is None:
            return
        if call.running is not None:
            call.running.cancel("left")
            self.guard.released(call.running, self.kernel.now())
        else:
            self._end(call)
            self._take_back(call)
            self.abandoned += 1
            self._count_end(call, "cancelled")
            self.admit()
            self.kick()

    # --- one attempt -------------------------------------------------------------------------------

    async def drain(self, worker: Worker, left: int, /) -> int:
        """Make up to *left* attempts. The caller holds one of the cell's permits."""
        actor = cast("GuardedActor | None", self.active)
        begun_with = left
        self.queued_peak = max(self.queued_peak, self.length)
        self.workers.append(worker)
        worker.actor = actor
        try:
            while left > 0 and actor is not None and self.active is actor and not worker.spent:
                call = self._next_call()
                if call is None:
                    break
                left -= 1
                await self._attempt(worker, actor, call)
        finally:
            self.leave(worker)
        # A turn in which nothing could begin counts too: no mistake about that may stop the event loop.
        return left if left < begun_with else left - 1

    def leave(self, worker: Worker) -> None:
        """Let go of a worker. The attempt of one that is given up as stuck is over as if it was cancelled."""
        stuck = worker.hand
        if isinstance(stuck, Running):
            self._attempt_cancelled(stuck)
        worker.slot = None
        super().leave(worker)

    def _next_call(self) -> Call | None:
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
            wait = max(VERDICT_POLL, self.policy.retry.backoff.wait(1, self.kernel.rng))
        if wait is None or wait > self.policy.retry.max_wait or now + wait > call.due:
            reason = call.reason
            assert reason is not None
            self.guard.counters.retries[RetryKey(call.operation, reason, "breaker_open")] += 1
            self._fail(call, refusal)
        else:
            self._wait_for_retry(call, now + wait)
        return False

    async def _attempt(self, worker: Worker, actor: GuardedActor, call: Call) -> None:
        handler = self.handlers.get(type(call.message)) or self.plan.find(type(call.message))
        if handler is None:
            error = UnhandledMessageError(self, call.message, type(actor).__name__)
            self._end(call)
            self.bury(call.item, "unhandled", error)
            return
        running = self._begin(worker, call)
        try:
            reply = await self._handle(handler, actor, call)
        except BaseException as error:
            is_failure = self.kernel.is_failure(error)
            if running.done:
                pass  # it was given up as stuck
            elif is_failure:
                self._attempt_failed(actor, running, error)
            else:
                self._attempt_cancelled(running)
            if not is_failure:
                raise
        else:
            if not running.done:
                self._attempt_succeeded(running, reply)
        finally:
            worker.hand = worker.slot = None

    def _begin(self, worker: Worker, call: Call) -> Running:
        guard, now = self.guard, self.kernel.now()
        guard.bulkhead.try_acquire()
        guard.counters.attempts += 1
        call.attempts += 1
        call.running = running = Running(call, worker, guard.admit(now), guard.blocks)
        worker.hand = running
        if isinstance(call.item, Slot):
            worker.slot = call.item
            call.item.taken = True
            self.calls[call.item] = call
        timeout = self.policy.attempt_timeout
        self.kernel.timers.after(timeout, now + timeout, running)
        return running

    async def _handle(self, handler: Handler, actor: GuardedActor, call: Call) -> object:
        if call.attempts == 1:
            call.is_repeatable = actor.is_repeatable(call.message)
        else:
            estimate = actor.estimate(call.message)
            if estimate is not None:
                self.guard.counters.charged(estimate, self.kernel.now())
        attempt = attempt_in_hand.set(call.describe)
        request = current_request.set(call.item if isinstance(call.item, Slot) else None)
        try:
            return await handler(actor, call.message)
        finally:
            current_request.reset(request)
            attempt_in_hand.reset(attempt)

    # --- what became of it -------------------------------------------------------------------------

    def _attempt_over(self, running: Running, outcome: str) -> Call:
        call = running.call
        running.done = True
        call.running = None
        self.guard.bulkhead.release()
        if call.attempts > 1 and call.reason is not None:
            self.guard.counters.retries[RetryKey(call.operation, call.reason, outcome)] += 1
        return call

    def _attempt_succeeded(self, running: Running, reply: object) -> None:
        call = self._attempt_over(running, "success")
        now = self.kernel.now()
        has_grown = self.guard.succeeded(running, now)
        self._end(call)
        self.handled += 1
        if isinstance(call.item, Slot) and not call.item.resolve(reply):
            self.late_replies += 1
        outcome = "ok" if call.attempts == 1 else "retried_ok"
        self.guard.counters.ended(call.message, outcome, now - call.began)
        if has_grown:
            self.kick()

    def _attempt_failed(self, actor: GuardedActor, running: Running, raised: BaseException) -> None:
        if running.cause:
            self._attempt_cancelled(running)
            return
        try:
            error = actor.classify(raised) if isinstance(raised, Exception) else None
        except Exception as bug:  # noqa: BLE001 - the service's own code, as its handlers are
            error, raised = None, bug
        if error is not None:
            self._attempt_over(running, "failed")
            self._decide(running, error)
        elif isinstance(raised, actor.declines):
            self._attempt_declined(running, raised)
        else:
            self._attempt_bugged(actor, running, raised)

    def _attempt_declined(self, running: Running, error: Exception) -> None:
        """The actor answered with an exception of its own: that says nothing about the service."""
        call = self._attempt_over(running, "failed")
        self.guard.released(running, self.kernel.now())
        self._fail(call, error)

    def _attempt_cancelled(self, running: Running) -> None:
        """The attempt was cancelled: by its timeout, by its asker's leaving, or with the service."""
        if running.cause == "timeout" and not running.call.is_abandoned:
            self._attempt_over(running, "failed")
            self._decide(running, self._timeout_error(running.call))
            return
        call = self._attempt_over(running, "cancelled")
        self.guard.released(running, self.kernel.now())
        self._end(call)
        self.handled += 1
        self._count_end(call, "cancelled")
        if isinstance(call.item, Slot):
            self.fail_in_hand(call.item, self.reason)

    def _attempt_bugged(self, actor: GuardedActor, running: Running, error: BaseException) -> None:
        """An exception nobody expected: this incarnation is over, its other attempts may finish."""
        call = self._attempt_over(running, "failed")
        if not isinstance(error, Exit):
            self.guard.counters.failures[FailureKind.BUG] += 1
        self.guard.released(running, self.kernel.now())
        self._end(call)
        self._count_end(call, "failed")
        running.worker.actor = running.worker.hand = None
        self.handler_raised(actor, call.item, error)

    def crash(self, reason: ExitReason) -> None:
        """Let a new incarnation take over while the other attempts of this one finish."""
        now = self.kernel.now()
        Departure(self, reason, now + self.policy.attempt_timeout, detached=True).begin()

    def _timeout_error(self, call: Call) -> ProviderError:
        detail = f"no answer within {self.policy.attempt_timeout:g} s"
        retryable = None if call.is_repeatable else False
        return ProviderError(self.provider, FailureKind.TIMEOUT, detail, retryable=retryable)

    def _decide(self, running: Running, error: ProviderError) -> None:
        """Find out what follows a failed attempt: a retry, or the end of the call."""
        call, guard, now = running.call, self.guard, self.kernel.now()
        guard.counters.failures[error.kind] += 1
        call.error = error
        blocked = guard.failed(running, error, now)
        is_probe = running.permit is not None and running.permit.is_probe
        decision = guard.decide(error, call.attempts, call.due - now, is_probe=is_probe)
        if error.kind is FailureKind.RATE_LIMIT:
            self._pause(error, decision, call.attempts, now)
        if blocked:
            self.kernel.events.error(
                "provider.blocked", provider=self.provider, reason=str(error.kind), code=error.code
            )
            self.sweep()
        if isinstance(decision, GiveUp):
            self._fail(call, _last_word(call, error, decision))
        elif not self.is_alive:
            self._fail(call, _last_word(call, error, GiveUp("attempts", None)))
        elif len(self.waiting_retries) + len(self.due_retries) >= max(1, self.capacity // 4):
            self._fail(call, RetriesExhaustedError.after(error, call.attempts))
        else:
            guard.counters.wait_seconds += decision.wait
            self._wait_for_retry(call, now + decision.wait)
            self.kernel.events.info(
                "provider.retry_scheduled",
                provider=self.provider,
                operation=call.operation,
                attempt=call.attempts,
                delay_s=round(decision.wait, 3),
                reason=str(error.kind),
                status=error.status,
            )

    def _fail(self, call: Call, error: Exception) -> None:
        """End a call with an error. A told message becomes a dead letter."""
        self._end(call)
        self._count_end(call, "failed")
        if isinstance(call.item, Slot):
            self.handled += 1
            call.item.resolve(error=error)
        else:
            self.bury(call.item, type(error).__name__)

    def _end(self, call: Call) -> None:
        if isinstance(call.item, Slot):
            self.calls.pop(call.item, None)

    def _count_end(self, call: Call, outcome: str) -> None:
        self.guard.counters.ended(call.message, outcome, self.kernel.now() - call.began)

    # --- retries that wait ---------------------------------------------------------------------------

    def _wait_for_retry(self, call: Call, moment: float) -> None:
        self.waiting_retries.add(call)
        call.timer = self.kernel.timers.call_at(moment, lambda: self._retry_due(call))

    def _retry_due(self, call: Call) -> None:
        self.waiting_retries.discard(call)
        call.timer = None
        self.due_retries.append(call)
        self.kick()

    def _take_back(self, call: Call) -> None:
        """Forget a retry that waits or is due."""
        if call.timer is None:
            self.due_retries.remove(call)
        else:
            call.timer.cancel()
            call.timer = None
            self.waiting_retries.discard(call)

    # --- when the guard changes its mind ----------------------------------------------------------------

    def _pause(self, error: ProviderError, decision: RetryIn | GiveUp, attempt: int, now: float) -> None:
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
            self._take_back(call)
            self._end(call)
            self._count_end(call, "failed")
            self.bury(call.item, "stopped", ActorStoppedError(self, call.message, reason))

    # --- looking at it -------------------------------------------------------------------------------------

    def statistics(self) -> ActorStatistics:
        """Look at the actor's counters; a call that waits for its retry counts as queued."""
        return self._statistics(self.length, sum(1 for worker in self.workers if worker.hand is not None))

    def service_statistics(self) -> GuardStatistics:
        """Look at what became of the service's calls and where its guard is."""
        guard, now = self.guard, self.kernel.now()
        counters = guard.counters
        actor = self.statistics()
        return GuardStatistics(
            provider=self.provider,
            state=self._guard_state(now),
            actor=actor,
            calls=dict(counters.calls),
            attempts=counters.attempts,
            retries=dict(counters.retries),
            failures=dict(counters.failures),
            refusals=dict(counters.refusals),
            breaker=None if guard.circuit is None else guard.circuit.statistics(),
            breaker_transitions=dict(counters.transitions),
            bulkhead=guard.bulkhead.statistics(),
            gate=guard.gate.statistics(),
            waiting_retries=len(self.waiting_retries),
            wait_seconds=counters.wait_seconds,
            latencies=tuple(counters.latencies),
            durations=dict(counters.durations),
            retry_cost_usd=counters.retry_cost(now),
            unpriced_retries=dict(counters.unpriced),
            restarts=actor.restarts,
        )

    def _guard_state(self, now: float) -> str:
        circuit = self.guard.circuit
        state = CircuitState.CLOSED if circuit is None else circuit.poll(now)
        facts = (
            (self.guard.is_failed, "failed"),
            (self.guard.is_blocked, "blocked"),
            (self.state is ActorState.RESTARTING, "restarting"),
            (state is CircuitState.OPEN, "breaker_open"),
            (state is CircuitState.HALF_OPEN, "half_open"),
            (not self.guard.gate.is_open(now), "paused"),
        )
        return next((word for holds, word in facts if holds), "ok")


def _due(item: Item) -> float:
    """Return the moment the sender of *item* stops waiting; told messages have none."""
    return item.due if isinstance(item, Slot) else inf


def _last_word(call: Call, error: ProviderError, decision: GiveUp) -> ProviderError:
    """Say how a call ended: with its last error, or with the news that all attempts failed."""
    error.attempts = call.attempts
    if decision.retry_after is not None:
        error.retry_after = decision.retry_after
    if decision.reason == "attempts" and call.attempts > 1:
        return RetriesExhaustedError.after(error, call.attempts, retry_after=decision.retry_after)
    return error
