"""Kernel: everything the actors of one system share."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Protocol

import anyio
import anyio.abc

from ._dead_letters import DeadLetters
from ._dispatch import Dispatcher
from ._events import Events
from ._groups import Groups
from ._links import Links
from ._logging import Logger
from ._monitors import Monitors
from ._parking import Backend
from ._registry import Registry
from ._timers import Timers

if TYPE_CHECKING:
    from ._cell import Cell
    from ._entry import Entry
    from ._exits import ExitReason


class Owner(Protocol):
    """Who started an actor and decides what its end means: its supervisor."""

    def exited(self, cell: Cell, reason: ExitReason, *, final: bool) -> None:
        """Hear that an incarnation has ended. Must not wait.

        Args:
            cell: The actor.
            reason: Why it ended.
            final: It was stopped for good; else the owner decides between a restart and `Cell.close`.
        """
        ...

    async def stop_child(self, cell: Cell, reason: ExitReason, timeout: float | None) -> None:
        """Stop *cell* for good because its ref was asked to, and wait for its end."""
        ...


class Kernel:
    """The shared parts of one system: no global state, a process may hold many."""

    __slots__ = (
        "backend",
        "current_task",
        "dead_letters",
        "dispatcher",
        "events",
        "groups",
        "is_failure",
        "links",
        "monitors",
        "now",
        "registry",
        "restarts",
        "rng",
        "schedule",
        "slot",
        "start_soon",
        "starts",
        "timers",
    )

    def __init__(
        self,
        backend: Backend,
        group: anyio.abc.TaskGroup,
        *,
        rng: Random | None = None,
        logger: Logger | None = None,
    ) -> None:
        self.backend = backend
        self.now = backend.now
        self.slot = backend.slot
        self.current_task = backend.current_task
        self.is_failure = backend.is_failure
        self.rng = rng or Random()
        self.timers = Timers(backend.now)
        self.dispatcher = Dispatcher(backend, group)
        self.schedule = self.dispatcher.schedule
        self.start_soon = self.dispatcher.start_soon
        self.events = Events(backend.now, logger)
        self.registry = Registry()
        self.monitors = Monitors(self)
        self.links = Links()
        self.groups = Groups()
        self.dead_letters = DeadLetters(self.events)
        self.starts: dict[Cell, Entry] = {}
        """The actors whose start hooks run now."""
        self.restarts: Counter[str] = Counter()
        """Incarnations after the first, by the actor's class: of all actors there ever were."""
