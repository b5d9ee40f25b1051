"""The sender's half of a cell: how a message gets into it, and how long its asker waits.

All of it runs in the sender's stack. The short way is an append: ``open_capacity`` says below which
length of the queue nothing else has to be asked.
"""

from __future__ import annotations

from math import inf

from ._cell import Cell
from ._current import current_request
from ._errors import (
    AskTimeoutError,
    DeadlineExceededError,
    MailboxClosedError,
    MailboxFullError,
    SelfAskError,
)
from ._exits import NORMAL, ExitReason
from ._handlers import Overflow
from ._mailbox import Item, message_of
from ._messages import ChunkT, Message, ReplyT, Request, StreamRequest
from ._parking import Slot
from ._ref import Ref
from ._statistics import ActorState, ActorStatistics
from ._stream import CellStream, Stream, sink_of


class Inlet(Cell):
    """What others do with a `Ref`."""

    __slots__ = ()
    has_timeouts: bool = False
    """Some messages have a default timeout of their own."""

    def timeout_of(self, message: Message) -> float:
        """Return the seconds an ask waits that was given no timeout."""
        return self.call_timeout

    # --- the face: Ref ---------------------------------------------------------------------

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
        outer = current_request.get()
        if timeout is None and (outer is None or outer.done):
            slot.timeout = timeout = self.timeout_of(message) if self.has_timeouts else self.call_timeout
            slot.due = due = kernel.now() + timeout
            kernel.timers.after(timeout, due, slot)
        else:
            self._set_deadline(slot, timeout)
        if self.workers and not self.room and self._is_asking_itself():
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
            return await slot  # type: ignore[return-value]  # pyright: ignore[reportReturnType]
        except BaseException:
            if slot.error is None:  # the asker was cancelled, or the message was never taken
                slot.done = True
                self.asker_left(slot)
            raise

    def stream(self, message: StreamRequest[ChunkT], *, timeout: float | None = None) -> Stream[ChunkT]:
        """Prepare to send *message* and read the reply in parts; see `Ref.stream`."""
        return CellStream(self, message, timeout)

    def post(self, slot: Slot, timeout: float | None) -> None:
        """Send the request of a slot that its sender awaits by itself. Never waits.

        Raises:
            DeadlineExceededError: The inherited deadline has passed.
            SelfAskError: An actor that handles one message at a time asks itself.
            MailboxClosedError: The actor has stopped. A guarded one refuses in other ways too.
        """
        try:
            self._set_deadline(slot, timeout)
            if self._is_asking_itself():
                raise SelfAskError(self, message_of(slot))
            if len(self.queue) < self.open_capacity:
                self.queue.append(slot)
                self.kick()
            elif not self.offer(slot):
                self.wait_in_line(slot, slot)
        except BaseException:
            slot.done = True
            raise

    async def stop(self, reason: ExitReason = NORMAL, *, timeout: float | None = None) -> None:
        """Stop the actor for good; see `Ref.stop`."""
        if self.state is not ActorState.STOPPED:
            await self.owner.stop_child(self, reason, timeout)

    def statistics(self) -> ActorStatistics:
        """Look at the actor's counters."""
        return self._statistics(len(self.queue), len(self.workers))

    def _statistics(self, queued: int, in_hand: int) -> ActorStatistics:
        self.queued_peak = max(self.queued_peak, queued)
        return ActorStatistics(
            state=self.state,
            accepted=self.handled + self.dead_letters + self.abandoned + queued + in_hand,
            handled=self.handled,
            crashed=self.crashed,
            dead_letters=self.dead_letters,
            abandoned=self.abandoned,
            late_replies=self.late_replies,
            queued=queued,
            queued_peak=self.queued_peak,
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
        return self.overflow is not Overflow.WAIT and self.drop_for(item)

    def drop_for(self, item: Item) -> bool:
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

    def asker_left(self, slot: Slot) -> None:
        """Note that nobody waits for *slot* any more. A plain actor is not disturbed."""
        if (sink := sink_of(slot)) is not None:
            sink.make_room()  # its handler is to see that nobody reads

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
        inherited = inf
        if outer is not None and not outer.done:
            inherited, slot.sponsor = outer.limit, outer.sponsor
        seconds = self.timeout_of(message_of(slot)) if timeout is None else timeout
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
        if self.concurrency > 1 or not self.workers or self.room:
            return False
        task = self.kernel.current_task()
        return any(worker.task is task for worker in self.workers)


def _too_late(ref: Ref, message: Message, seconds: float) -> DeadlineExceededError:
    problem = f"{type(message).__name__} not begun: its deadline ({seconds:.3g} s) passed first"
    return DeadlineExceededError(ref.path, problem)
