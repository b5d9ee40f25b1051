"""What is queued at a service: calls that wait for room, for their turn, or for their retry.

A call that waits for a retry keeps its place in the mailbox's bound. Whenever less can be served than
was queued, what can't be served in time any more is refused.
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
    RefusalError,
    Slot,
    message_of,
)
from ._call import Call, Running
from ._guard import Guard


class GuardedQueue(ActorCell):
    """The queue of a service, and its retries that wait."""

    __slots__ = ("calls", "due_retries", "guard", "provider", "waiting_retries")

    provider: str
    """What settings and metrics call the service."""
    guard: Guard
    calls: dict[Slot, Call]
    """Calls that were begun and are waited for."""
    waiting_retries: set[Call]
    """Calls whose retry is not due yet."""
    due_retries: deque[Call]
    """Calls whose retry is due: they go before new messages."""

    # --- how full it is ----------------------------------------------------------------------------------

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

    # --- the end of a call -------------------------------------------------------------------------------

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
        call.report()

    # --- retries that wait -------------------------------------------------------------------------------

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

    # --- when less can be served than was queued ---------------------------------------------------------

    def sweep(self) -> None:
        """Refuse what is queued, or in line for the queue, and can't be served in time any more."""
        now = self.kernel.now()
        for item in self.take_all():
            if isinstance(item, Slot) and item.done:
                self.abandoned += 1
            elif (refusal := self.objection(item, now)) is not None:
                self.refuse(item, refusal)
            else:
                self.queue.append(item)
        for item, turn in self.dismiss_senders():
            if (refusal := self.objection(item, now)) is None:
                self.wait_in_line(item, turn)
            else:
                self._refuse_in_line(item, turn, refusal)
        self.admit()
        self.kick()

    def objection(self, item: Item, now: float) -> RefusalError | None:
        """Say why what is queued, behind those that are, can't be served in time; None where it can."""
        refusal = self.guard.refusal(now, due_of(item))
        if refusal is None and self.guard.meter is not None:
            return self.guard.meter.lateness(now, due_of(item), len(self.queue))
        return refusal

    def _refuse_in_line(self, item: Item, turn: Slot, refusal: RefusalError) -> None:
        """Refuse what was not taken yet; a told message becomes a dead letter, as in `offer`."""
        if turn.resolve(error=refusal if turn is item else None):
            self.guard.counters.refused(message_of(item), refusal)
            if turn is not item:
                self.bury(item, type(refusal).__name__)

    def refuse(self, item: Item, refusal: RefusalError) -> None:
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

    # --- looking at it -----------------------------------------------------------------------------------

    def statistics(self) -> ActorStatistics:
        """Look at the actor's counters; a call that waits for its retry counts as queued."""
        return self._statistics(self.length, sum(1 for worker in self.workers if worker.hand is not None))


def due_of(item: Item) -> float:
    """Return the moment the sender of *item* stops waiting; told messages have none."""
    return item.due if isinstance(item, Slot) else inf
