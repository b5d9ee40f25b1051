"""What the runtime counts. Metrics and pages read these and nothing private."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class ActorState(enum.StrEnum):
    """Where an actor is in its life."""

    STARTING = "starting"
    """Its start hook or lifespan is being entered; messages queue."""
    RUNNING = "running"
    """Messages are handled."""
    SUSPENDED = "suspended"
    """Held from outside; messages queue."""
    RESTARTING = "restarting"
    """The last incarnation has ended, the next has not begun; messages queue."""
    STOPPING = "stopping"
    """Finishing what is in hand; takes no messages."""
    STOPPED = "stopped"
    """Gone."""


@dataclass(frozen=True, slots=True)
class ActorStatistics:
    """One actor, all its incarnations together.

    Every message that was taken ends exactly once:
    ``accepted == handled + dead_letters + abandoned + queued + in_hand``.
    """

    state: ActorState
    """Where it is in its life."""
    accepted: int
    """Messages taken into the mailbox."""
    handled: int
    """Messages a handler ended with, by returning or by raising."""
    crashed: int
    """Handled messages whose handler raised."""
    dead_letters: int
    """Taken messages that no handler will see."""
    abandoned: int
    """Taken messages skipped because the asker had left or its deadline had passed."""
    late_replies: int
    """Replies nobody waited for any more; their messages count as handled."""
    queued: int
    """Messages in the mailbox now."""
    queued_peak: int
    """The most seen, at the start of a turn or by whoever looked."""
    waiting: int
    """Senders that wait for room now."""
    in_hand: int
    """Messages being handled now."""
    capacity: int
    """How many messages the mailbox holds."""
    restarts: int
    """Incarnations after the first."""


@dataclass(frozen=True, slots=True)
class DeadLetterStatistics:
    """The dead-letter ring of one system."""

    total: int
    """Dead letters ever."""
    kept: int
    """Dead letters in the ring, which keeps the newest."""
    counts: dict[tuple[str, str], int]
    """Counts by the message's type and the reason."""
    dropped: int = 0
    """Dead letters that were to be kept in a store and could not be."""
