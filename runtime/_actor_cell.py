"""The worker's half of a cell: how messages get out of it, handler by handler.

A cell is a mailbox and a number of permits. A sender appends its message and, where a permit is
free, schedules the cell (see `Inlet`); a worker drains it: takes messages, awaits their handlers, answers
asks. Nothing here allocates for a told message, and an idle cell owns no task.

Every worker in a cell notices before its next message that the incarnation has been held or has
changed, because it compares ``active`` with the object it began with. Permits are given back in one
place, so a held cell simply has none to give.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ._current import current_request
from ._dispatch import Worker
from ._errors import AskTimeoutError, UnhandledMessageError
from ._exits import ExitReason, exit_reason
from ._handlers import Handler
from ._inlet import Inlet
from ._mailbox import Item, message_of
from ._messages import Message
from ._parking import Slot
from ._statistics import ActorState

if TYPE_CHECKING:
    from ._actor import Actor

_HANDLING: Final = (ActorState.RUNNING, ActorState.SUSPENDED)
"""Where a crash ends the incarnation. Looked up once: an enum member costs 70 ns on Python 3.11."""


class ActorCell(Inlet):
    """The runtime's side of one actor. Users hold it as a `Ref`."""

    __slots__ = ()

    def kick(self) -> None:
        """Schedule the cell for what is queued, as far as permits are free."""
        pending = self.pending
        while self.room and pending > 0:
            self.room -= 1
            self.busy += 1
            pending -= 1
            self.kernel.schedule(self)

    @property
    def pending(self) -> int:
        """How many messages a worker could begin now."""
        return len(self.queue)

    async def drain(self, worker: Worker, left: int, /) -> int:  # noqa: C901 - a call less a message
        """Handle up to *left* messages. The caller holds one of the cell's permits."""
        actor = self.active
        if actor is None:
            self.permit_back()
            return left
        queue, handlers, slot_type = self.queue, self.handlers, self.kernel.slot
        if len(queue) > self.queued_peak:
            self.queued_peak = len(queue)
        item: Item | None = None
        self.workers += (worker,)
        worker.actor = worker.hand = actor
        try:
            while queue and left > 0 and self.active is actor and not worker.spent:
                item = queue.popleft()
                left -= 1
                if self.senders and self.admit():
                    self.kick()
                # The type is compared, not asked for: `isinstance` costs 60 ns on a msgspec class.
                if type(item) is not slot_type:
                    told: Message = item  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
                    try:
                        handler = handlers[type(told)]
                    except KeyError:
                        handler = self._find_handler(told)
                    await handler(actor, told)
                    self.handled += 1
                    continue
                slot: Slot = item  # pyright: ignore[reportAssignmentType]
                if slot.done:
                    self.abandoned += 1
                    continue
                message: Message = slot.message  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
                try:
                    handler = handlers[type(message)]
                except KeyError:
                    handler = self._find_handler(message)
                worker.slot = slot
                slot.taken = True
                current_request.set(slot)
                if not slot.resolve(await handler(actor, message)):
                    self.late_replies += 1
                self.handled += 1
        except BaseException as error:
            if not self.kernel.is_failure(error):
                self.handler_cancelled(item)
                raise
            worker.actor = worker.hand = None  # the crash ends others in hand, not this worker
            self.handler_raised(actor, item, error)
        finally:
            self.leave(worker)
        return left

    async def handle_signal(self, worker: Worker, signal: Message) -> None:
        """Handle a message of the control lane. The caller holds one of the cell's permits."""
        actor = self.actor
        self.workers += (worker,)
        worker.actor = worker.hand = actor
        try:
            try:
                handler = self.handlers[type(signal)]
            except KeyError:
                handler = self._find_handler(signal)
            await handler(actor, signal)
            self.handled += 1
        except BaseException as error:
            if not self.kernel.is_failure(error):
                self.handler_cancelled(signal)
                raise
            worker.actor = worker.hand = None
            self.handler_raised(actor, signal, error)
        finally:
            self.leave(worker)

    def _find_handler(self, message: Message) -> Handler:
        """Find the handler of a type met for the first time.

        Raises:
            UnhandledMessageError: There is none. It ends the message, not the actor.
        """
        handler = self.plan.find(type(message))
        if handler is None:
            raise UnhandledMessageError(self, message, type(self.actor).__name__)
        return handler

    def leave(self, worker: Worker) -> None:
        """Let go of a worker. One that was given up as stuck had its permit taken back before."""
        worker.actor = worker.hand = None
        if worker.slot is not None:
            worker.slot = None
            current_request.set(None)  # else an idle worker would keep the last message alive
        if worker in self.workers:
            others = self.workers
            self.workers = () if len(others) == 1 else tuple(other for other in others if other is not worker)
            self.permit_back()

    def permit_back(self) -> None:
        """Give a permit back, or use it again for what is queued."""
        if self.departures:
            self.tell_departures()
        if self.active is None:
            self.busy -= 1
            if self.ties is not None:
                self.ties.advance()
        elif self.queue:
            self.kernel.schedule(self)
        else:
            self.busy -= 1
            self.room = self.concurrency - self.busy

    def tell_departures(self) -> None:
        """Let the exits under way see that a handler has ended."""
        for departure in tuple(self.departures or ()):
            departure.quieter()

    def handler_raised(self, actor: Actor | None, item: Item | None, error: BaseException) -> None:
        """A handler raised: fail its asker and let the incarnation end."""
        if actor is not None and item is not None and self._is_answer(actor, item, error):
            return
        self.handled += 1
        reason = exit_reason(error)
        if reason.is_crash:
            self.report_crash(actor, item, error)
        if isinstance(item, Slot):
            self.fail_in_hand(item, reason)
        # Not by `active`: the incarnation may be suspended, or held between two messages.
        if actor is self.actor and self.state in _HANDLING:
            self.crash(reason)

    def _is_answer(self, actor: Actor, item: Item, error: BaseException) -> bool:
        """Hand an exception that is no crash to the asker; tell whether it was one."""
        if isinstance(error, UnhandledMessageError) and error.is_about(self, message_of(item)):
            self.bury(item, "unhandled", error)
            return True
        if isinstance(error, TimeoutError) and isinstance(item, Slot) and item.limit <= self.kernel.now():
            # The asker's own deadline ended an ask this handler made: his haste is no crash of ours.
            self.handled += 1
            item.resolve(error=AskTimeoutError(self, message_of(item), item.timeout))
            return True
        if not isinstance(error, actor.declines):
            return False
        if isinstance(item, Slot):
            self.handled += 1
            item.resolve(error=error)
        else:
            self.bury(item, "declined")
        return True

    def crash(self, reason: ExitReason) -> None:
        """End the incarnation because a handler raised; other handlers in hand are cancelled."""
        self.depart(reason, grace=0.0)

    def handler_cancelled(self, item: Item | None) -> None:
        """A handler was cancelled from outside, together with its worker."""
        self.handled += 1
        self.crashed += 1
        if isinstance(item, Slot):
            self.fail_in_hand(item, self.reason)

    def report_crash(self, actor: Actor | None, item: Item | None, error: BaseException) -> None:
        """Count a crash and say so."""
        self.crashed += 1
        kind = type(actor).__name__
        message = "" if item is None else type(message_of(item)).__name__
        self.kernel.events.crashed(self._path, kind, message, error)
