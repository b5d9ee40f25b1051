"""Cell: the runtime's side of one actor, and the path every message takes.

A cell is a mailbox and a number of permits. A sender appends its message and, where a permit is
free, schedules the cell; a worker drains it: takes messages, awaits their handlers, answers asks.
Nothing here allocates for a told message, and an idle cell owns no task.

A cell outlives the incarnations of its actor. ``active`` is the object that handlers run on; it is
None whenever nothing may be handled (starting, suspended, restarting, stopped), and every worker
in the cell notices before its next message because it compares ``active`` with the object it began
with. Permits are given back in one place, so a held cell simply has none to give.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, cast

from ._current import current_request
from ._departure import Departure
from ._dispatch import Worker
from ._errors import (
    ActorCrashedError,
    ActorStoppedError,
    AskTimeoutError,
    DeadlineExceededError,
    MailboxClosedError,
    MailboxFullError,
    SelfAskError,
    UnhandledMessageError,
)
from ._exits import KILLED, NORMAL, ExitReason, exit_reason
from ._handlers import Overflow, actor_plan
from ._mailbox import Item, Mailbox
from ._messages import Message, ReplyT, Request
from ._parking import Slot, SlotOwner
from ._ref import Ref
from ._statistics import ActorState, ActorStatistics

if TYPE_CHECKING:
    from ._actor import Actor
    from ._home import Home
    from ._kernel import Kernel, Owner
    from ._monitors import Monitor


class Cell(Mailbox, SlotOwner, Ref):
    """The runtime's side of one actor. Users hold it as a `Ref`."""

    __slots__ = (
        "_path",
        "abandoned",
        "active",
        "actor",
        "busy",
        "call_timeout",
        "concurrency",
        "crashed",
        "dead_letters",
        "departures",
        "handled",
        "handlers",
        "home",
        "incarnation",
        "kernel",
        "late_replies",
        "monitors",
        "overflow",
        "owner",
        "plan",
        "reason",
        "room",
        "shutdown",
        "state",
        "workers",
    )

    def __init__(self, kernel: Kernel, path: str, actor: Actor, owner: Owner, shutdown: float) -> None:
        super().__init__(actor.mailbox)
        self.kernel = kernel
        self._path = path
        self.owner = owner
        self.shutdown = shutdown
        """Seconds a stop may take."""
        self.plan = actor_plan(type(actor))
        self.handlers = self.plan.handlers
        self.concurrency = actor.concurrency
        self.call_timeout = actor.call_timeout
        self.overflow = actor.overflow
        self.actor: Actor = actor
        """The newest incarnation."""
        self.active: Actor | None = None
        """The incarnation that may be given messages now."""
        self.state = ActorState.STARTING
        self.room = 0
        """Permits free to be taken by a sender."""
        self.busy = 0
        """Permits taken: drains scheduled or under way."""
        self.workers: list[Worker] = []
        """Who is draining this cell."""
        self.departures: list[Departure] | None = None
        """Exits under way: one, or several old incarnations of a service that finish their calls."""
        self.home: Home | None = None
        """The task that holds the lifespan."""
        self.monitors: list[Monitor] | None = None
        self.reason: ExitReason = NORMAL
        """Why the last incarnation ended."""
        self.incarnation = 0
        self.handled = 0
        self.crashed = 0
        self.dead_letters = 0
        self.abandoned = 0
        self.late_replies = 0

    # --- the face: Ref ---------------------------------------------------------------------

    @property
    def ref(self) -> Ref:
        """The cell itself, as users see it."""
        return self

    @property
    def path(self) -> str:
        """Where the actor stands in the tree."""
        return self._path

    @property
    def is_alive(self) -> bool:
        """Tell whether the actor takes messages."""
        return self.state not in (ActorState.STOPPING, ActorState.STOPPED)

    def __repr__(self) -> str:
        return f"<Ref {self._path} {self.state}>"

    async def tell(self, message: Message) -> None:
        """Send *message* and go on; see `Ref.tell`."""
        queue = self.queue
        if len(queue) < self.open_capacity:
            queue.append(message)
            if self.room:
                self.room -= 1
                self.busy += 1
                self.kernel.schedule(self)
        elif not self.offer(message):
            turn = self.kernel.slot()
            self.wait_in_line(message, turn)
            try:
                await turn
            except BaseException:
                turn.done = True
                raise

    def tell_nowait(self, message: Message) -> None:
        """Send *message* or raise; see `Ref.tell_nowait`."""
        queue = self.queue
        if len(queue) < self.open_capacity:
            queue.append(message)
            if self.room:
                self.room -= 1
                self.busy += 1
                self.kernel.schedule(self)
        elif not self.offer(message):
            raise MailboxFullError(self, message, self.capacity)

    async def ask(self, message: Request[ReplyT], *, timeout: float | None = None) -> ReplyT:
        """Send *message* and wait for the reply; see `Ref.ask`."""
        kernel = self.kernel
        slot = kernel.slot(message, self)
        if timeout is None and current_request.get() is None:
            slot.timeout = timeout = self.call_timeout
            slot.due = due = kernel.now() + timeout
            kernel.timers.after(timeout, due, slot)
        else:
            self._set_deadline(slot, timeout)
        if not self.room and self._is_asking_itself():
            slot.done = True
            raise SelfAskError(self, message)
        queue = self.queue
        try:
            if len(queue) < self.open_capacity:
                queue.append(slot)
                if self.room:
                    self.room -= 1
                    self.busy += 1
                    kernel.schedule(self)
            elif not self.offer(slot):
                self.wait_in_line(slot, slot)
            return cast("ReplyT", await slot)
        except BaseException:
            if slot.error is None:  # the asker was cancelled, or the message was never taken
                slot.done = True
                self.asker_left(slot)
            raise

    async def stop(self, reason: ExitReason = NORMAL, *, timeout: float | None = None) -> None:
        """Stop the actor for good; see `Ref.stop`."""
        if self.state is not ActorState.STOPPED:
            await self.owner.stop_child(self, reason, timeout)

    def statistics(self) -> ActorStatistics:
        """Look at the actor's counters."""
        return self._statistics(len(self.queue), len(self.workers))

    def _statistics(self, queued: int, in_hand: int) -> ActorStatistics:
        return ActorStatistics(
            state=self.state,
            accepted=self.handled + self.dead_letters + self.abandoned + queued + in_hand,
            handled=self.handled,
            crashed=self.crashed,
            dead_letters=self.dead_letters,
            abandoned=self.abandoned,
            late_replies=self.late_replies,
            queued=queued,
            queued_peak=max(self.queued_peak, queued),
            waiting=self.waiting,
            in_hand=in_hand,
            capacity=self.capacity,
            restarts=max(0, self.incarnation - 1),
        )

    # --- taking messages in ------------------------------------------------------------------

    def offer(self, item: Item) -> bool:
        """Take in *item* though the short way is closed; False when its sender has to wait.

        Raises:
            MailboxClosedError: The actor has stopped.
        """
        if self.state in (ActorState.STOPPING, ActorState.STOPPED):
            raise MailboxClosedError(self, message_of(item), self.reason)
        if len(self.queue) < self.capacity:
            self.queue.append(item)
            self.kick()
            return True
        return self.overflow is not Overflow.WAIT and self._drop_for(item)

    def _drop_for(self, item: Item) -> bool:
        """Make room by the overflow policy; asks are never dropped."""
        if isinstance(item, Slot):
            return False
        if self.overflow is Overflow.DROP_NEWEST:
            self.bury(item, "overflow")
            return True
        for index, queued in enumerate(self.queue):
            if not isinstance(queued, Slot):
                del self.queue[index]
                self.bury(queued, "overflow")
                self.queue.append(item)
                return True
        return False

    def kick(self) -> None:
        """Schedule the cell for what is queued, as far as permits are free."""
        pending = self.pending
        while self.room and pending > 0:
            self.room -= 1
            self.busy += 1
            pending -= 1
            self.kernel.schedule(self)

    @property
    def is_idle(self) -> bool:
        """Tell whether the actor runs and has nothing to do, so that its owner may act on it at once."""
        return self.active is not None and not self.busy and not self.queue

    @property
    def pending(self) -> int:
        """How many messages a worker could begin now."""
        return len(self.queue)

    def asker_left(self, slot: Slot) -> None:
        """Note that nobody waits for *slot* any more. A plain actor is not disturbed."""

    def slot_expired(self, slot: Slot) -> None:
        """Fail an ask whose deadline has passed."""
        message = message_of(slot)
        if slot.taken:
            slot.resolve(error=AskTimeoutError(self, message, slot.timeout))
        else:
            slot.resolve(error=_too_late(self, message, slot.timeout))
        self.asker_left(slot)

    def _set_deadline(self, slot: Slot, timeout: float | None) -> None:
        """Give an ask its own deadline, or the one it inherits where that comes first."""
        now, timers = self.kernel.now(), self.kernel.timers
        outer = current_request.get()
        inherited = inf if outer is None or outer.done else outer.limit
        seconds = self.call_timeout if timeout is None else timeout
        due = now + seconds
        slot.limit = inherited if timeout is None else min(inherited, due)
        slot.due = min(due, inherited)
        slot.timeout = slot.due - now
        if not slot.due > now:
            raise _too_late(self, message_of(slot), seconds if due <= inherited else slot.timeout)
        if inherited < due:
            timers.at(inherited, slot)
        elif due < inf:
            timers.after(seconds, due, slot)

    def _is_asking_itself(self) -> bool:
        if self.concurrency > 1 or not self.workers:
            return False
        task = self.kernel.current_task()
        return any(worker.task is task for worker in self.workers)

    # --- handling ------------------------------------------------------------------------------

    async def drain(self, worker: Worker, left: int, /) -> int:  # noqa: C901 - a call less a message
        """Handle up to *left* messages. The caller holds one of the cell's permits."""
        actor = self.active
        queue, handlers, slot_type = self.queue, self.handlers, self.kernel.slot
        if len(queue) > self.queued_peak:
            self.queued_peak = len(queue)
        item: Item | None = None
        self.workers.append(worker)
        worker.actor = worker.hand = actor
        try:
            while queue and left > 0 and self.active is actor and actor is not None and not worker.spent:
                item = queue.popleft()
                left -= 1
                if self.senders:
                    self.admit()
                if type(item) is slot_type:
                    if TYPE_CHECKING:
                        assert isinstance(item, Slot)
                    worker.slot = item
                    await self._answer(actor, item)
                    continue
                if TYPE_CHECKING:
                    assert isinstance(item, Message)
                try:
                    handler = handlers[type(item)]
                except KeyError:
                    if (found := self.plan.find(type(item))) is None:
                        self.bury(item, "unhandled")
                        continue
                    handler = found
                await handler(actor, item)
                self.handled += 1
        except Exception as error:  # noqa: BLE001 - an actor's edge: it becomes the crash
            worker.actor = worker.hand = None  # the crash ends others in hand, not this worker
            self.handler_raised(actor, item, error)
        except BaseException:
            self.handler_cancelled(item)
            raise
        finally:
            worker.actor = worker.hand = None
            self.workers.remove(worker)
            self.permit_back()
        return left

    async def _answer(self, actor: Actor, slot: Slot) -> None:
        if slot.done:
            self.abandoned += 1
            return
        message = message_of(slot)
        handler = self.handlers.get(type(message)) or self.plan.find(type(message))
        if handler is None:
            self.bury(slot, "unhandled", UnhandledMessageError(self, message, type(actor).__name__))
            return
        slot.taken = True
        token = current_request.set(slot)
        try:
            reply = await handler(actor, message)
        finally:
            current_request.reset(token)
        if not slot.resolve(reply):
            self.late_replies += 1
        self.handled += 1

    def permit_back(self) -> None:
        """Give a permit back, or use it again for what is queued."""
        if self.active is not None:
            if self.pending:
                self.kernel.schedule(self)
                return
            self.busy -= 1
            self.room = self.concurrency - self.busy
        else:
            self.busy -= 1
        if self.departures:
            for departure in tuple(self.departures):
                departure.quieter()

    def handler_raised(self, actor: Actor | None, item: Item | None, error: Exception) -> None:
        """A handler raised: fail its asker and let the incarnation end."""
        self.handled += 1
        reason = exit_reason(error)
        if reason.is_crash:
            self.report_crash(actor, item, error)
        if isinstance(item, Slot):
            self._fail_in_hand(item, reason)
        if actor is self.active and actor is not None:
            self.crash(reason)

    def crash(self, reason: ExitReason) -> None:
        """End the incarnation because a handler raised; other handlers in hand are cancelled."""
        self.depart(reason, grace=0.0)

    def handler_cancelled(self, item: Item | None) -> None:
        """A handler was cancelled from outside, together with its worker."""
        self.handled += 1
        self.crashed += 1
        if isinstance(item, Slot):
            self._fail_in_hand(item, self.reason)

    def report_crash(self, actor: Actor | None, item: Item | None, error: Exception) -> None:
        """Count a crash and say so."""
        self.crashed += 1
        kind = type(actor).__name__
        message = "" if item is None else type(message_of(item)).__name__
        self.kernel.events.crashed(self._path, kind, message, error)

    def _fail_in_hand(self, slot: Slot, reason: ExitReason) -> None:
        message = message_of(slot)
        if reason.error is not None:
            slot.resolve(error=ActorCrashedError(self, message, reason.error))
        else:
            slot.resolve(error=ActorStoppedError(self, message, reason))

    # --- lifecycle: what the supervisor calls ---------------------------------------------------

    def adopt(self, actor: Actor) -> None:
        """Make *actor* the next incarnation; it is given no messages yet."""
        if type(actor) is not type(self.actor):
            self.plan = actor_plan(type(actor))
            self.handlers = self.plan.handlers
        actor._home = self
        self.actor = actor
        self.state = ActorState.STARTING

    def begin(self) -> None:
        """Let the adopted incarnation be given messages."""
        self.incarnation += 1
        self.resume()

    def resume(self) -> None:
        """Handle messages again after a start or a suspension."""
        self.state = ActorState.RUNNING
        self.active = self.actor
        self.room = self.concurrency - self.busy
        self.kick()

    def hold(self, state: ActorState) -> None:
        """Begin no more messages; those in hand go on."""
        self.state = state
        self.active = None
        self.room = 0

    def depart(self, reason: ExitReason, *, grace: float, final: bool = False) -> None:
        """End the incarnation: see `Departure`. The owner is told when it is over.

        Args:
            reason: Why; the stop hook and the monitors see it.
            grace: Seconds that handlers in hand may take to finish.
            final: Stop the actor for good, and fail what is queued at once.
        """
        Departure(self, reason, self.kernel.now() + grace, final=final).begin()

    async def stop_and_wait(self, reason: ExitReason, grace: float, *, final: bool) -> None:
        """Stop the incarnation in order and wait for its end. Called by the owner alone."""
        if self.state is ActorState.STOPPED or (not final and self.state is ActorState.RESTARTING):
            return
        due = self.kernel.now() + grace
        for departure in tuple(self.departures or ()):
            departure.hasten(reason, due, final=final)
        if self.state is ActorState.RESTARTING and not self._is_departing:
            self.close(reason)
            self.gone()
        elif not self._is_departing:
            self.depart(reason, grace=grace, final=final)
        while self.departures:
            turn = self.kernel.slot()
            self.departures[-1].waiters.append(turn)
            await turn

    @property
    def _is_departing(self) -> bool:
        """Tell whether the newest incarnation is on its way out."""
        return any(departure.actor is self.actor for departure in self.departures or ())

    def kill(self, reason: ExitReason = KILLED) -> None:
        """End the actor at once: fail everything, cancel its handlers, run no stop hook."""
        if self.state is ActorState.STOPPED:
            return
        self.actor.killed(reason)
        for worker in self.workers:
            if worker.slot is not None and worker.hand is not None:
                self._fail_in_hand(worker.slot, reason)
        self.close(reason)
        for departure in tuple(self.departures or ()):
            departure.kill(reason)
        if not self._is_departing:
            Departure(self, reason, self.kernel.now(), final=True).begin(hooks=False)

    def close(self, reason: ExitReason) -> None:
        """Take no more messages and fail what is queued, at once."""
        self.reason = reason
        self.hold(ActorState.STOPPING)
        self.open_capacity = 0
        for item in self.take_all():
            self.bury(item, "stopped", ActorStoppedError(self, message_of(item), reason))
        for item, turn in self.dismiss_senders():
            turn.resolve(error=MailboxClosedError(self, message_of(item), reason))

    def gone(self) -> None:
        """Note that the actor has ended for good: its names are free."""
        self.state = ActorState.STOPPED
        self.kernel.registry.forget(self)

    def bury(self, item: Item, why: str, error: BaseException | None = None) -> None:
        """Make a dead letter of a message no handler will see; an asker gets *error*."""
        if isinstance(item, Slot) and item.done:
            self.abandoned += 1
            return
        self.dead_letters += 1
        if isinstance(item, Slot):
            item.resolve(error=error)
        self.kernel.dead_letters.add(self, message_of(item), why)


def message_of(item: Item) -> Message:
    """Return the message of a queued item, whether it was told or asked."""
    if isinstance(item, Slot):
        assert item.message is not None
        return item.message
    return item


def _too_late(ref: Ref, message: Message, seconds: float) -> DeadlineExceededError:
    problem = f"{type(message).__name__} not begun: its deadline ({seconds:.3g} s) passed first"
    return DeadlineExceededError(ref.path, problem)
