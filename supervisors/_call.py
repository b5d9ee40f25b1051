"""One guarded call, from its first attempt to its end."""

from __future__ import annotations

from math import inf
from secrets import token_hex
from typing import TYPE_CHECKING

from ..runtime import Item, Message, Slot, Sponsor, Timer, Worker, message_of, sink_of
from ._errors import ProviderError
from ._failures import FailureKind
from ._guarded import Attempt
from .policies import Permit

if TYPE_CHECKING:
    from ._guarded_mailbox import GuardedMailbox


UNWIND = 5.0
"""Seconds a cancelled attempt may take to unwind before its slot is given to others."""


class Call:
    """One message on its way through the guard. It lives while it is attempted or waits for a retry."""

    __slots__ = (
        "attempts",
        "began",
        "cell",
        "correlation",
        "due",
        "error",
        "is_repeatable",
        "item",
        "key",
        "message",
        "running",
        "timer",
    )

    def __init__(self, cell: GuardedMailbox, item: Item, began: float) -> None:
        self.cell = cell
        self.item = item
        self.message: Message = message_of(item)
        self.due = item.due if isinstance(item, Slot) else inf
        """The moment its caller stops waiting; told messages have none."""
        self.began = began
        """The moment of its first attempt."""
        self.attempts = 0
        self.is_repeatable = True
        """An attempt that got no answer in time may be made again."""
        self.key = ""
        self.correlation = ""
        self.error: ProviderError | None = None
        """Why its last attempt failed."""
        self.running: Running | None = None
        """The attempt under way."""
        self.timer: Timer | None = None
        """The wait for its next attempt."""

    @property
    def operation(self) -> str:
        """What is asked for, as metrics name it."""
        return type(self.message).__name__

    @property
    def is_abandoned(self) -> bool:
        """Tell whether nobody waits for it any more."""
        return isinstance(self.item, Slot) and self.item.done

    @property
    def has_delivered(self) -> bool:
        """Tell whether a part of its reply is out: then it can't be begun anew unnoticed."""
        if not isinstance(self.item, Slot):
            return False
        sink = sink_of(self.item)
        return sink is not None and sink.delivered > 0

    @property
    def sponsor(self) -> Sponsor | None:
        """On whose behalf it is made; None where nobody wants to know."""
        return self.item.sponsor if isinstance(self.item, Slot) else None

    @property
    def reason(self) -> FailureKind | None:
        """What made the next attempt a retry."""
        return None if self.error is None else self.error.kind

    def describe(self) -> Attempt:
        """Describe the attempt under way to its handler."""
        if not self.key:
            # Never from the seeded source: two runs must not share keys.
            self.correlation = token_hex(8)
            sponsor = self.sponsor
            self.key = token_hex(16) if sponsor is None else sponsor.next_key()
        return Attempt(self.attempts, self.key, self.due, self.correlation)


class Running:
    """One attempt under way, as its timeout and its cancellation see it."""

    __slots__ = ("blocks", "call", "cause", "done", "is_released", "permit", "worker")

    def __init__(self, call: Call, worker: Worker, permit: Permit | None, blocks: int) -> None:
        self.call = call
        self.worker = worker
        self.permit = permit
        """The circuit's; None where that is off."""
        self.blocks = blocks
        """How often the provider had been blocked when it began."""
        self.done = False
        self.is_released = False
        """The guard has its permit back."""
        self.cause = ""
        """Why it was cancelled: ``timeout`` or ``left``."""

    def expire(self) -> None:
        """End it: its time is up. A stream that flows has only its caller's deadline, and its socket's."""
        if not self.call.has_delivered:
            self.cancel("timeout")

    def cancel(self, cause: str) -> None:
        """Cancel the handler, unless it has ended or is being cancelled already."""
        if not self.done and not self.cause:
            self.cause = cause
            self.worker.cancel(self)
            kernel = self.call.cell.kernel
            kernel.timers.call_at(kernel.now() + UNWIND, self._give_up)

    def _give_up(self) -> None:
        if not self.done:
            self.call.cell.leave_behind(self)
