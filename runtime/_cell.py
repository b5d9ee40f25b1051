"""Cell: the runtime's side of one actor, from its start to its end.

A cell outlives the incarnations of its actor. ``active`` is the object that handlers run on; it is
None whenever nothing may be handled.

    starting -> running <-> suspended
       ^           |
       |        crash, exit -> restarting -> (the owner) -> starting, or stopped
       +-----------+---------------------------+
                   stop, kill -> stopping -> stopped

Stop, kill and the rest of the control of an actor act here at once, in the caller's stack: they
never wait behind messages. Only the actor's owner calls them.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Final

from ._actor import Actor
from ._departure import Departure
from ._dispatch import Worker
from ._errors import ActorCrashedError, ActorStoppedError, MailboxClosedError
from ._exits import KILLED, NORMAL, ExitReason
from ._handlers import actor_plan
from ._mailbox import Item, Mailbox, message_of
from ._messages import Notice
from ._parking import Slot, SlotOwner
from ._ref import Ref
from ._statistics import ActorState
from ._ties import Ties

if TYPE_CHECKING:
    from ._home import Home
    from ._kernel import Kernel, Owner
    from ._messages import Message


# An enum member costs 66 ns on Python 3.11, and a spawn or a restart asks for several.
_RESTARTING: Final = ActorState.RESTARTING
_RUNNING: Final = ActorState.RUNNING
_STARTING: Final = ActorState.STARTING
_STOPPED: Final = ActorState.STOPPED
_STOPPING: Final = ActorState.STOPPING

_NOBODY = Actor()


class Cell(Mailbox, SlotOwner, Ref):
    """The runtime's side of one actor: its state, its incarnations, their ends."""

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
        "overflow",
        "owner",
        "plan",
        "reason",
        "room",
        "shutdown",
        "state",
        "ties",
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
        self.state = _STARTING
        self.room: int = 0
        """Permits free to be taken by a sender."""
        self.busy: int = 0
        """Permits taken: drains scheduled or under way."""
        self.workers: tuple[Worker, ...] = ()
        """Who is draining this cell. A tuple: nothing while idle, and safe to walk while it changes."""
        self.departures: list[Departure] | None = None
        """Exits under way: one, or several old incarnations of a service that finish their calls."""
        self.home: Home | None = None
        """The task that holds the lifespan."""
        self.ties: Ties | None = None
        """What binds it to other actors. None while nothing does: an idle actor should be small."""
        self.reason: ExitReason = NORMAL
        """Why the last incarnation ended."""
        self.incarnation: int = 0
        self.handled: int = 0
        self.crashed: int = 0
        self.dead_letters: int = 0
        self.abandoned: int = 0
        self.late_replies: int = 0

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
        return self.state not in (_STOPPING, _STOPPED)

    @property
    def is_running(self) -> bool:
        """Tell whether an incarnation lives: it may be starting, suspended, or on its way out in order."""
        return self.state not in (_RESTARTING, _STOPPED)

    @property
    def info(self) -> object:
        """What the newest incarnation's start hook returned; see `Ref.info`."""
        return self.actor.start_info

    @property
    def is_serving(self) -> bool:
        """Tell whether messages are handled now."""
        return self.active is not None

    @property
    def load(self) -> int:
        """How many messages wait, for room or their turn, or are in hand."""
        return len(self.queue) + len(self.workers) + (self.waiting if self.senders else 0)

    @property
    def has_room(self) -> bool:
        """Tell whether a message could be taken at once."""
        return len(self.queue) < self.capacity

    def __repr__(self) -> str:
        return f"<Ref {self._path} {self.state}>"

    @property
    def is_idle(self) -> bool:
        """Tell whether the actor runs and has nothing to do, so that its owner may act on it at once."""
        return self.active is not None and not self.busy and not self.queue

    @property
    def has_life(self) -> bool:
        """Tell whether an incarnation lives: it starts, runs, or is on its way out."""
        return self.state not in (_STOPPED, _RESTARTING) or self._is_departing

    @property
    def is_signallable(self) -> bool:
        """Tell whether an incarnation lives that a signal can still reach."""
        return self.state not in (_STOPPED, _RESTARTING, _STOPPING)

    def tied(self) -> Ties:
        """Return the actor's ties, made with the first."""
        if self.ties is None:
            self.ties = Ties(self)
        return self.ties

    def adopt(self, actor: Actor) -> None:
        """Make *actor* the next incarnation; it is given no messages yet."""
        if type(actor) is not type(self.actor):
            self.plan = actor_plan(type(actor))
            self.handlers = self.plan.handlers
            if self.ties is not None and self.ties.tracer is not None:
                self.ties.tracer.attach()
        actor._home = self
        self.actor = actor
        self.state = _STARTING

    def begin(self) -> None:
        """Let the adopted incarnation be given messages."""
        self.incarnation += 1
        if self.incarnation > 1:
            self.kernel.restarts[type(self.actor).__name__] += 1
            self.reason = NORMAL  # the error of the last end holds its frames, and with them its message
        self.resume()

    def resume(self) -> None:
        """Handle messages again after a start or a suspension."""
        self.state = _RUNNING
        if self.ties is not None and self.ties.is_urgent:
            self.ties.advance()
            return
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
        if self.is_quiet:
            self._depart_at_once(reason, final=final)
        else:
            Departure(self, reason, self.kernel.now() + grace, final=final).begin()

    @property
    def is_quiet(self) -> bool:
        """Tell whether the incarnation could end now: nothing in hand, no hook, no lifespan."""
        if self.home is not None or self.plan.has_stopping or self.departures:
            return False
        return not self.workers or not any(worker.actor is not None for worker in self.workers)

    def _depart_at_once(self, reason: ExitReason, *, final: bool) -> None:
        if final:
            self.close(reason)
            self.gone()
        else:
            self.reason = reason
            self.hold(_RESTARTING)
        self.announce_exit(reason, final=final)

    def announce_exit(self, reason: ExitReason, *, final: bool) -> None:
        """Tell those tied to the incarnation, and the owner, that it has ended."""
        if self.ties is not None:
            self.ties.end(reason)
        self.owner.exited(self, reason, final=final)

    async def stop_and_wait(self, reason: ExitReason, grace: float, *, final: bool) -> None:
        """Stop the incarnation in order and wait for its end. Called by the owner alone."""
        self.begin_stop(reason, grace, final=final)
        await self.wait_stopped()

    def begin_stop(self, reason: ExitReason, grace: float, *, final: bool) -> None:
        """Begin to stop the incarnation in order; `wait_stopped` waits for its end.

        Args:
            reason: Why.
            grace: Seconds the whole stop may take.
            final: Stop the actor for good; else what is queued stays for the owner's next incarnation.
        """
        if self.state is _STOPPED:
            return
        due = self.kernel.now() + grace
        for departure in tuple(self.departures or ()):
            departure.hasten(reason, due, final=final)
        if self._is_departing:
            return
        if self.state is not _RESTARTING:
            self.depart(reason, grace=grace, final=final)
        elif final:
            self.close(reason)
            self.gone()

    async def wait_stopped(self) -> None:
        """Wait until no exit is under way."""
        while self.departures:
            turn = self.kernel.slot()
            self.departures[-1].waiters.append(turn)
            await turn

    @property
    def _is_departing(self) -> bool:
        """Tell whether the newest incarnation is on its way out."""
        return any(not departure.is_detached for departure in self.departures or ())

    def kill(self, reason: ExitReason = KILLED, *, final: bool = True) -> None:
        """End the incarnation at once: fail its calls, cancel its handlers, run no stop hook.

        Args:
            reason: Why.
            final: End the actor for good, with everything queued; else its owner decides what follows.
        """
        if self.state is _STOPPED or (self.state is _RESTARTING and not final and not self._is_departing):
            return
        for worker in self.workers:
            if worker.slot is not None and worker.hand is not None:
                self.fail_in_hand(worker.slot, reason)
        is_between = self.state is _RESTARTING
        is_departing = self._is_departing
        self.cancel_start(f"it was ended meanwhile ({reason})")
        if final:
            self.close(reason)
        for departure in tuple(self.departures or ()):
            departure.kill(reason, final=final)
        if is_departing:
            return
        if is_between:
            self.gone()
        else:
            Departure(self, reason, self.kernel.now(), final=final).begin(hooks=False)

    def cancel_start(self, problem: str) -> None:
        """Cancel the start hooks, if they are under way; their starter is told of the *problem*."""
        if self.state is _STARTING and self in self.kernel.starts:
            self.kernel.starts[self].cancel(problem)

    def close(self, reason: ExitReason) -> None:
        """Take no more messages and fail what is queued, at once."""
        self.reason = reason
        self.hold(_STOPPING)
        self.open_capacity = 0
        for item in self.take_all() if self.queue else ():
            self.bury(item, "stopped", ActorStoppedError(self, message_of(item), reason))
        for item, turn in self.dismiss_senders() if self.senders else ():
            turn.resolve(error=MailboxClosedError(self, message_of(item), reason))
        if self.ties is not None:
            self.ties.leave_groups()

    def gone(self) -> None:
        """Note that the actor has ended for good: its names are free."""
        self.state = _STOPPED
        self.kernel.registry.forget(self)
        self.actor = _NOBODY  # whoever keeps a dead ref need not keep the actor's state alive
        if self.ties is not None:
            self.ties.finish(self.reason)

    def fail_in_hand(self, slot: Slot, reason: ExitReason) -> None:
        """Tell an asker whose message was in hand that its actor has ended."""
        message = message_of(slot)
        if reason.error is not None:
            slot.resolve(error=ActorCrashedError(self, message, reason.error))
        else:
            slot.resolve(error=ActorStoppedError(self, message, reason))

    def bury(self, item: Item, why: str, error: BaseException | None = None) -> None:
        """Make a dead letter of a message no handler will see; an asker gets *error*."""
        if isinstance(item, Slot) and item.done:
            self.abandoned += 1
            return
        self.dead_letters += 1
        if isinstance(item, Slot):
            item.resolve(error=error)  # its asker decides what follows: nothing to review or replay
        elif not isinstance(item, Notice):
            self.kernel.dead_letters.add(self, item, why)

    def disown(self, actor: Actor, reason: ExitReason) -> None:
        """Give up on handlers of *actor* that do not unwind: fail their askers, take back their permits."""
        for worker in self.workers:
            if worker.actor is actor:
                if worker.slot is not None:
                    self.fail_in_hand(worker.slot, reason)
                self.leave(worker)

    @abstractmethod
    async def drain(self, worker: Worker, left: int, /) -> int:
        """Handle up to *left* messages. The caller holds one of the cell's permits."""

    @abstractmethod
    async def handle_signal(self, worker: Worker, signal: Message) -> None:
        """Handle a message of the control lane. The caller holds one of the cell's permits."""

    @abstractmethod
    def permit_back(self) -> None:
        """Give a permit back, or use it again for what is queued."""

    @abstractmethod
    def leave(self, worker: Worker) -> None:
        """Let go of a worker and take its permit back."""

    @abstractmethod
    def kick(self) -> None:
        """Have a worker come for what is queued."""
