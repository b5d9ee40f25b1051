"""One guarded call, from its first attempt to its end."""

from __future__ import annotations

from math import inf
from secrets import token_hex
from typing import TYPE_CHECKING

import msgspec

from ..runtime import Item, Message, Slot, Sponsor, Timer, Worker, sink_of
from ._errors import ProviderError, StreamBrokenError
from ._failures import FailureKind
from ._guarded import Attempt
from .policies import Permit, RateReport

if TYPE_CHECKING:
    from ._guarded_mailbox import GuardedMailbox
    from ._metering import Bill


UNWIND = 5.0
"""Seconds a cancelled attempt may take to unwind before its slot is given to others."""


class Call(msgspec.Struct, eq=False):
    """One message on its way through the guard. It lives while it is attempted or waits for a retry."""

    # A msgspec class, as it is made in a fifth of the time; so is `Running`.
    cell: GuardedMailbox
    item: Item
    slot: Slot | None
    """Its asker's; None where it was told. Kept, as `isinstance` costs 60 ns on a msgspec class."""
    message: Message
    due: float
    """The moment its caller stops waiting; told messages have none."""
    began: float
    """The moment of its first attempt."""
    attempts: int = 0
    key: str = ""
    correlation: str = ""
    error: ProviderError | None = None
    """Why its last attempt failed."""
    running: Running | None = None
    """The attempt under way."""
    timer: Timer | None = None
    """The wait for its next attempt."""
    bill: Bill | None = None
    """What its attempts take of rate limit and money; None where nobody counts."""
    has_grant: bool = False
    """The retry budget counts a retry that it has not made yet."""
    is_reported: bool = False
    """Its sponsor has heard how it ended."""

    @classmethod
    def of(cls, cell: GuardedMailbox, item: Item, began: float) -> Call:
        """Begin the call that *item* asks for."""
        # The type is compared, not asked for: `isinstance` costs 60 ns on a msgspec class.
        if type(item) is cell.kernel.slot:
            slot: Slot = item  # pyright: ignore[reportAssignmentType]
            message: Message = slot.message  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
            return cls(cell, slot, slot, message, slot.due, began)
        told: Message = item  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
        return cls(cell, told, None, told, inf, began)

    @property
    def operation(self) -> str:
        """What is asked for, as metrics name it."""
        return type(self.message).__name__

    @property
    def is_abandoned(self) -> bool:
        """Tell whether nobody waits for it any more."""
        return self.slot is not None and self.slot.done

    @property
    def has_delivered(self) -> bool:
        """Tell whether a part of its reply is out: then it can't be begun anew unnoticed."""
        if self.slot is None:
            return False
        sink = sink_of(self.slot)
        return sink is not None and sink.delivered > 0

    def last_part(self) -> object:
        """Return the last part of a stream that was handed over; None where the reply is none."""
        sink = None if self.slot is None else sink_of(self.slot)
        return None if sink is None else sink.newest

    @property
    def sponsor(self) -> Sponsor | None:
        """On whose behalf it is made; None where nobody wants to know."""
        return None if self.slot is None else self.slot.sponsor

    def report(self, reply: object = None) -> None:
        """Tell its sponsor how it ended. Of a stream that is its last part, or what came before it broke."""
        sponsor = self.sponsor
        if sponsor is None or self.is_reported:
            return
        self.is_reported = True
        if reply is None:
            partial = self.error.partial if isinstance(self.error, StreamBrokenError) else None
            reply = self.last_part() if partial is None else partial
        sponsor.call_ended(self.attempts, reply)

    @property
    def reason(self) -> FailureKind | None:
        """What made the next attempt a retry."""
        return None if self.error is None else self.error.kind

    def describe(self) -> Attempt:
        """Describe the attempt under way to its handler."""
        if not self.key:
            # Never from the seeded source: two runs must not share keys.
            sponsor = self.sponsor
            self.key = token_hex(16) if sponsor is None else sponsor.next_key()
            self.correlation = self.key[:16] if sponsor is None else token_hex(8)
        return Attempt(self.attempts, self.key, self.due, self.correlation, self.cell.provider)

    @property
    def follows_limits(self) -> bool:
        """Tell whether the service has a rate limit, which the provider's answers correct."""
        return self.bill is not None and self.bill.limiter is not None

    def report_limits(self, report: RateReport) -> None:
        """Correct the service's rate limit by an answer of the provider."""
        if self.bill is not None:
            self.cell.limits_reported(self.bill, report)


class Running(msgspec.Struct, eq=False):
    """One attempt under way, as its timeout and its cancellation see it."""

    call: Call
    worker: Worker
    permit: Permit | None
    """The circuit's; None where that is off."""
    blocks: int
    """How often the provider had been blocked when it began."""
    began: float
    """The moment it began."""
    done: bool = False
    """Its handler has ended."""
    is_released: bool = False
    """The guard has its permit back."""
    cause: str = ""
    """Why it was cancelled: ``timeout`` or ``left``."""
    unwinding: Timer | None = None
    """Until when it may unwind, once it was cancelled."""

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
            self.unwinding = kernel.timers.call_at(kernel.now() + UNWIND, self._give_up)

    def _give_up(self) -> None:
        self.call.cell.leave_behind(self)
