"""The cell of a service: every message passes the guard, inside the dispatch.

    agent --ask--> mailbox --> guard: admit --> one attempt in the service --> guard: decide
                      ^                                                          |
                      +------ a retry waits in a timer, holding no slot <--------+

Doing this inline saves the two ticks of a second mailbox. What waits and what is refused is the
business of the mailbox, `GuardedMailbox`; here is what happens to one attempt.
"""

from __future__ import annotations

from typing import cast

from ..runtime import (
    ActorCell,
    Departure,
    Exit,
    ExitReason,
    Handler,
    RefusalError,
    Slot,
    UnhandledMessageError,
    Worker,
    current_request,
)
from ._call import Call, Running
from ._errors import ProviderError, RetriesExhaustedError, StreamBrokenError, refused_on_the_way
from ._failures import FailureKind
from ._guard_statistics import GuardStatistics, RetryKey
from ._guarded import Charge, GuardedActor, attempt_in_hand
from ._guarded_mailbox import GuardedMailbox
from ._metering import UNKNOWN, Bill, charge_of, charge_of_failure
from ._service_view import look_at_service
from .policies import GiveUp


class GuardedCell(GuardedMailbox):
    """The runtime's side of a service."""

    __slots__ = ()

    def asker_left(self, slot: Slot) -> None:
        """Cancel what is being done for an asker who has left: it costs money."""
        call = self.calls.get(slot)
        if call is None:
            return
        if call.running is not None:
            if call.has_delivered:
                call.report()  # now: by the time its handler has unwound, who pays may have closed the books
            call.running.cancel("left")
            self.guard.released(call.running, self.kernel.now())
        else:
            self.end_call(call)
            self.take_back(call)
            self.abandoned += 1
            self.count_end(call, "cancelled")
            self.admit()
            self.kick()

    async def drain(self, worker: Worker, left: int, /) -> int:
        """Make up to *left* attempts. The caller holds one of the cell's permits."""
        # No cast: it costs a call.
        actor: GuardedActor | None = self.active  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
        begun_with = left
        queued = len(self.queue) + len(self.waiting_retries) + len(self.due_retries)
        if queued > self.queued_peak:
            self.queued_peak = queued
        self.workers += (worker,)
        worker.actor = actor
        try:
            while left > 0 and actor is not None and self.active is actor and not worker.spent:
                call = self.next_call()
                if call is None:
                    break
                left -= 1
                await self._attempt(worker, actor, call)
        finally:
            ActorCell.leave(self, worker)  # there is no attempt in its hand any more
        # A turn in which nothing could begin counts too: no mistake about that may stop the event loop.
        return left if left < begun_with else left - 1

    def leave(self, worker: Worker) -> None:
        """Let go of a worker. The attempt of one that is given up as stuck is over as if it was cancelled."""
        stuck = worker.hand
        if stuck is not None and isinstance(stuck, Running):
            self._attempt_cancelled(stuck)
        worker.slot = None
        super().leave(worker)

    async def _attempt(self, worker: Worker, actor: GuardedActor, call: Call) -> None:
        try:
            handler: Handler | None = self.handlers[type(call.message)]
        except KeyError:
            handler = self.plan.find(type(call.message))
        if handler is None:
            self._unhandled(actor, call)
            return
        running = self._begin(worker, call)
        try:
            if call.attempts > 1:
                self._charge_retry(actor, call)
            if call.bill is not None and call.bill.flaw is not None:
                raise call.bill.flaw
            attempt = attempt_in_hand.set(call)
            request = current_request.set(call.slot)
            try:
                reply = await handler(actor, call.message)
            finally:
                current_request.reset(request)
                attempt_in_hand.reset(attempt)
        except BaseException as error:
            self._attempt_raised(actor, running, error)
            if not self.kernel.is_failure(error):
                raise
        else:
            if not running.done:
                self._attempt_succeeded(actor, running, reply)
        finally:
            worker.hand = worker.slot = None

    def _unhandled(self, actor: GuardedActor, call: Call) -> None:
        error = UnhandledMessageError(self, call.message, type(actor).__name__)
        self.end_call(call)
        if call.bill is not None:
            self._not_sent(call.bill)
        self.bury(call.item, "unhandled", error)

    def _begin(self, worker: Worker, call: Call) -> Running:
        guard = self.guard
        guard.bulkhead.try_acquire()
        guard.counters.attempts += 1
        call.attempts += 1
        if call.attempts == 1:
            now = call.began
            if guard.ledger is not None:
                guard.ledger.called(now)
        else:
            now = self.kernel.now()
            if guard.ledger is not None and call.has_grant:
                call.has_grant = False
                guard.ledger.made(now)
        call.running = running = Running(call, worker, guard.admit(now), guard.block.count, now)
        worker.hand = running
        slot = call.slot
        if slot is not None:
            worker.slot = slot
            slot.taken = True
            self.calls[slot] = call
        policy = self.policy
        if policy.by_operation:
            policy = guard.policy_of(call.operation)
        timeout = policy.attempt_timeout
        self.kernel.timers.after(timeout, now + timeout, running)
        return running

    def _charge_retry(self, actor: GuardedActor, call: Call) -> None:
        estimate = actor.estimate(call.message) if call.bill is None else call.bill.estimate
        if estimate is not None:
            self.guard.counters.charged(estimate, self.kernel.now())

    def _attempt_over(
        self, running: Running, outcome: str, charge: Charge = UNKNOWN, now: float | None = None
    ) -> Call:
        call = running.call
        running.done = True
        if running.unwinding is not None:
            running.unwinding.cancel()
        call.running = None
        self.guard.bulkhead.release()
        bill, meter = call.bill, self.guard.meter
        if bill is not None and bill.is_open and meter is not None:
            # What the attempt had taken of rate limit and money is replaced by what it used.
            now = self.kernel.now() if now is None else now
            meter.settle(bill, charge, now, is_retry=call.attempts > 1)
            if charge.tokens is not None and self.guard.account.line:
                self.guard.account.wake_line()
        if call.attempts > 1 and call.reason is not None:
            self.guard.counters.retries[RetryKey(call.operation, call.reason, outcome)] += 1
        return call

    def _not_sent(self, bill: Bill) -> None:
        assert self.guard.meter is not None
        self.guard.meter.cancel(bill, self.kernel.now())
        self.guard.account.wake_line()

    def _attempt_succeeded(self, actor: GuardedActor, running: Running, reply: object) -> None:
        call, slot, charge, now = running.call, running.call.slot, UNKNOWN, self.kernel.now()
        if call.bill is not None:
            charge = charge_of(actor, call.message, call.last_part() if reply is None else reply)
        self._attempt_over(running, "success", charge, now)
        has_grown = self.guard.succeeded(running, now)
        self.handled += 1
        if slot is not None:
            self.calls.pop(slot, None)
            if slot.sponsor is not None:
                call.report(reply)
            if not slot.resolve(reply):
                self.late_replies += 1
        outcome = "ok" if call.attempts == 1 else "retried_ok"
        self.guard.counters.ended(call.message, outcome, now - call.began)
        if has_grown:
            self.widen()

    def _attempt_raised(self, actor: GuardedActor, running: Running, error: BaseException) -> None:
        if running.done:
            return  # it was given up as stuck
        if self.kernel.is_failure(error):
            self._attempt_failed(actor, running, error)
        else:
            self._attempt_cancelled(running)

    def _attempt_failed(self, actor: GuardedActor, running: Running, raised: BaseException) -> None:
        if running.cause:
            self._attempt_cancelled(running)
            return
        try:
            error = actor.classify(raised) if isinstance(raised, Exception) else None
        except Exception as bug:  # noqa: BLE001 - the service's own code, as its handlers are
            error, raised = None, bug
        if error is not None:
            charge = UNKNOWN
            if running.call.bill is not None:
                charge = charge_of_failure(actor, running.call, error)
            self._attempt_over(running, "failed", charge)
            self._decide(running, error)
        elif isinstance(raised, actor.declines):
            self._attempt_declined(running, raised)
        elif isinstance(raised, RefusalError):
            self._attempt_over(running, "failed")
            self._decide(running, refused_on_the_way(self.provider, raised))
        else:
            self._attempt_bugged(actor, running, raised)

    def _attempt_declined(self, running: Running, error: Exception) -> None:
        """The actor answered with an exception of its own: that says nothing about the service."""
        call = self._attempt_over(running, "failed")
        self.guard.released(running, self.kernel.now())
        self.fail_call(call, error)

    def _attempt_cancelled(self, running: Running) -> None:
        """The attempt was cancelled: by its timeout, by its asker's leaving, or with the service."""
        if running.cause == "timeout" and not running.call.is_abandoned:
            self._attempt_timed_out(running)
            return
        call = self._attempt_over(running, "cancelled")
        self.guard.released(running, self.kernel.now())
        self.end_call(call)
        self.handled += 1
        self.count_end(call, "cancelled")
        if call.slot is not None:
            self.fail_in_hand(call.slot, self.reason)

    def _attempt_timed_out(self, running: Running) -> None:
        actor = cast("GuardedActor", running.worker.actor)
        try:
            error = self._timeout_error(actor, running.call)
        except Exception as bug:  # noqa: BLE001 - the service's own code, as its handlers are
            self._attempt_bugged(actor, running, bug)
        else:
            self._attempt_over(running, "failed")
            self._decide(running, error)

    def _attempt_bugged(self, actor: GuardedActor, running: Running, error: BaseException) -> None:
        """An exception nobody expected: this incarnation is over, its other attempts may finish."""
        call = self._attempt_over(running, "failed")
        if not isinstance(error, Exit):
            self.guard.counters.failures[FailureKind.BUG] += 1
        self.guard.released(running, self.kernel.now())
        self.end_call(call)
        self.count_end(call, "failed")
        running.worker.actor = running.worker.hand = None
        self.handler_raised(actor, call.item, error)

    def crash(self, reason: ExitReason) -> None:
        """Let a new incarnation take over while the other attempts of this one finish."""
        now = self.kernel.now()
        Departure(self, reason, now + self.policy.longest_attempt, detached=True).begin()

    def _timeout_error(self, actor: GuardedActor, call: Call) -> ProviderError:
        seconds = self.guard.policy_of(call.operation).attempt_timeout
        detail = f"no answer within {seconds:g} s"
        retryable = None if actor.is_repeatable(call.message) else False
        return ProviderError(self.provider, FailureKind.TIMEOUT, detail, retryable=retryable)

    def _decide(self, running: Running, error: ProviderError) -> None:
        """Find out what follows a failed attempt: a retry, or the end of the call."""
        call, guard, now = running.call, self.guard, self.kernel.now()
        guard.counters.failures[error.kind] += 1
        if call.has_delivered:
            error = StreamBrokenError.after(error)
        call.error = error
        blocked = guard.failed(running, error, now)
        is_probe = running.permit is not None and running.permit.is_probe
        decision = guard.decide(
            error, call.attempts, call.due - now, is_probe=is_probe, operation=call.operation
        )
        if error.kind is FailureKind.RATE_LIMIT:
            self.pause(error, decision, call, now)
        if blocked:
            self.blocked(error)
        if isinstance(decision, GiveUp):
            self.fail_call(call, _last_word(call, error, decision))
        elif not self.is_alive:
            self.fail_call(call, _last_word(call, error, GiveUp("attempts", None)))
        elif len(self.waiting_retries) + len(self.due_retries) >= max(1, self.capacity // 4):
            self.fail_call(call, RetriesExhaustedError.after(error, call.attempts))
        elif (denied := guard.unaffordable(call, error, decision.wait, now)) is not None:
            self.deny_retry(call, denied)
        else:
            guard.retries_denied = False
            guard.counters.wait_seconds += decision.wait
            self.wait_for_retry(call, now + decision.wait)
            self.kernel.events.info(
                "provider.retry_scheduled",
                provider=self.provider,
                operation=call.operation,
                attempt=call.attempts,
                delay_s=round(decision.wait, 3),
                reason=str(error.kind),
                status=error.status,
            )

    def service_statistics(self) -> GuardStatistics:
        """Look at what became of the service's calls and where its guard is."""
        return look_at_service(self)


def _last_word(call: Call, error: ProviderError, decision: GiveUp) -> ProviderError:
    """Say how a call ended: with its last error, or with the news that all attempts failed."""
    error.attempts = call.attempts
    if decision.retry_after is not None:
        error.retry_after = decision.retry_after
    if decision.reason == "attempts" and call.attempts > 1:
        return RetriesExhaustedError.after(error, call.attempts, retry_after=decision.retry_after)
    return error
