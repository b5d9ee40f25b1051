"""System: a running tree of actors, from its start to its orderly end."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from random import Random
from typing import TypeVar, overload

from ..runtime import (
    ActorStatistics,
    Cell,
    DeadLetters,
    Engine,
    Events,
    Kernel,
    Ref,
    event_logger,
)
from ._child import Child, Supervisor
from ._guard_statistics import GuardStatistics
from ._guarded_cell import GuardedCell
from ._root import Tree
from ._settings import Settings
from ._supervisor_ref import SupervisorRef
from ._system_ties import SystemTies

ResultT = TypeVar("ResultT")


class System(SystemTies):
    """A running tree of actors. Get one from `open_system`."""

    def __init__(self, kernel: Kernel, root: Cell, engine: Engine) -> None:
        self._kernel = kernel
        self._root = root
        self._engine = engine
        self._supervisor = SupervisorRef(root)

    @overload
    async def spawn(self, child: Child) -> Ref: ...
    @overload
    async def spawn(self, child: Supervisor) -> SupervisorRef: ...

    async def spawn(self, child: Child | Supervisor) -> Ref | SupervisorRef:
        """Start an actor, or a whole subtree, below the root.

        A service gets a supervisor of its own with the policy of its settings. A child of the root
        that crashes more than 5 times in 60 s is given up, alone; its refs raise from then on.

        Args:
            child: What to start. The id is its name: free again when it has ended.

        Returns:
            The actor's ref; for a `Supervisor` the handle that administers it.

        Raises:
            StartError: It did not start; nothing of it is left.
            AlreadyStartedError: A child of this id runs.
        """
        if isinstance(child, Supervisor):
            return await self._supervisor.start_supervisor(child)
        return await self._supervisor.start_child(child)

    @property
    def root(self) -> SupervisorRef:
        """The supervisor at the top."""
        return self._supervisor

    @property
    def events(self) -> Events:
        """The event stream."""
        return self._kernel.events

    @property
    def dead_letters(self) -> DeadLetters:
        """Messages no handler will see."""
        return self._kernel.dead_letters

    def find(self, name: str) -> Ref | None:
        """Return the live actor at this path or with this name, or None.

        A service is found by its own path: ``providers/openai``.
        """
        found = self._kernel.registry.find(name)
        if isinstance(found, Cell):
            return getattr(found.actor, "front", None) or found
        return found

    def get(self, name: str) -> Ref:
        """Return the live actor at this path or with this name.

        Raises:
            NoSuchActorError: There is none.
        """
        return self.find(name) or self._kernel.registry.get(name)

    def actors(self) -> list[Ref]:
        """List the live actors in the order they were started."""
        return list(self._kernel.registry.cells())

    def services(self) -> list[GuardStatistics]:
        """Look at every service: its calls, its breaker, its waits."""
        return [
            cell.service_statistics()
            for cell in self._kernel.registry.cells()
            if isinstance(cell, GuardedCell)
        ]

    def actor_statistics(self) -> list[tuple[str, ActorStatistics]]:
        """Look at every live actor: the name of its class, its counters."""
        return [(type(cell.actor).__name__, cell.statistics()) for cell in self._kernel.registry.cells()]

    def restarts_by_kind(self) -> dict[str, int]:
        """Count restarts since the system was opened, by the actor's class."""
        return dict(self._kernel.restarts)

    def stop(self) -> None:
        """Begin the orderly stop; the block of `open_system` is cancelled."""
        self._engine.halt()


@asynccontextmanager
async def open_system(
    *,
    settings: Settings | None = None,
    shutdown_timeout: float | None = None,
    rng: Random | None = None,
) -> AsyncGenerator[System, None]:
    """Open a system of actors; leaving the block stops them in order, newest first.

    Whatever ends the block, its end, an exception or a cancellation, the order of the stop holds:
    actors live in a shield of their own and only hear that they are to stop.

    Args:
        settings: What an operator may change; None reads nothing and keeps all defaults.
        shutdown_timeout: Seconds the whole stop may take; then every actor left is killed. None: the
            settings' (30 s by default).
        rng: Source of jitter.
    """
    chosen = settings or Settings()
    tree = Tree(chosen)
    seconds = chosen.shutdown_timeout if shutdown_timeout is None else shutdown_timeout
    engine = Engine(tree, shutdown_timeout=seconds, rng=rng, logger=event_logger(chosen.log_level))
    async with engine as kernel:
        assert tree.cell is not None
        yield System(kernel, tree.cell, engine)
