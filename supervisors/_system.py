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
    NoSuchActorError,
    Ref,
    event_logger,
)
from ._child import Child
from ._guard_statistics import GuardStatistics
from ._guarded_cell import GuardedCell
from ._health import Health, judge
from ._pool_ref import PoolRef
from ._root import Tree
from ._settings import Settings
from ._specs import DynamicSupervisor, Pool, Spec, Supervisor
from ._supervisor import SupervisorActor
from ._supervisor_ref import DynamicSupervisorRef, SupervisorRef
from ._system_ties import SystemTies
from ._tree_view import TreeNode, look_at_tree

ResultT = TypeVar("ResultT")


class System(SystemTies):
    """A running tree of actors. Get one from `open_system`."""

    def __init__(self, kernel: Kernel, tree: Tree, engine: Engine) -> None:
        assert tree.cell is not None
        self._kernel = kernel
        self._tree = tree
        self._engine = engine
        self._supervisor = SupervisorRef(tree.cell)

    @overload
    async def spawn(self, spec: Child) -> Ref: ...
    @overload
    async def spawn(self, spec: Supervisor) -> SupervisorRef: ...
    @overload
    async def spawn(self, spec: DynamicSupervisor) -> DynamicSupervisorRef: ...
    @overload
    async def spawn(self, spec: Pool) -> PoolRef: ...

    async def spawn(self, spec: Spec) -> Ref | SupervisorRef | DynamicSupervisorRef:
        """Start an actor, or a whole subtree, below the root.

        A service gets a supervisor of its own with the policy of its settings. A child of the root
        that crashes more than 5 times in 60 s is given up, alone; its refs raise from then on.

        Args:
            spec: What to start. The id is its name: free again when it has ended.

        Returns:
            The actor's ref; for a supervisor the handle that administers it. An actor that answered
            `Ignore` has ended already: its ref raises.

        Raises:
            StartError: It did not start; nothing of it is left.
            AlreadyStartedError: A child of this id runs.
            NameTakenError: Its name is another live actor's.
        """
        return await self._supervisor.start_child(spec)

    def supervisor(self, path: str) -> SupervisorRef:
        """Return the handle that administers the supervisor at *path*.

        Raises:
            NoSuchActorError: No supervisor of a fixed list of children runs there.
        """
        cell = self._kernel.registry.find(path)
        if isinstance(cell, Cell) and type(cell.actor) is SupervisorActor:
            return SupervisorRef(cell)
        raise NoSuchActorError(path)

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

    def tree(self) -> TreeNode:
        """Look at the whole tree as data: every supervisor and actor, states, restarts, queues."""
        return look_at_tree(self._tree.root)

    def health(self) -> Health:
        """Say what does not run as it should: what was given up, restarts, is blocked or held."""
        return judge(self.tree(), self._tree.losses.read())

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

    def given_up_by_kind(self) -> dict[str, int]:
        """Count what was given up since the system was opened, by the actor's class."""
        return dict(self._tree.losses.counts)

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
        yield System(kernel, tree, engine)
