"""System: a running tree of actors, from its start to its orderly end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import TypeVar, overload

from ..runtime import (
    ActorStatistics,
    Cell,
    DeadLetters,
    Engine,
    Events,
    ForcedExit,
    Kernel,
    NoSuchActorError,
    Ref,
    RelightError,
    ShutdownPhase,
    ShutdownProcedure,
    StuckHandler,
    WatchdogStatistics,
    event_logger,
)
from ._child import Child
from ._dynamic_supervisor import DynamicSupervisorActor
from ._find import find_actor
from ._guard_statistics import GuardStatistics
from ._guarded_cell import GuardedCell
from ._health import Health, judge
from ._outlook import ended_children, restarts_due
from ._pool_ref import PoolRef
from ._portal import Portal
from ._process import stop_asked
from ._reload import SettingChange, apply_settings
from ._root import Tree
from ._settings import Settings
from ._specs import DynamicSupervisor, Pool, Spec, Supervisor
from ._supervisor import SupervisorActor
from ._supervisor_ref import DynamicSupervisorRef, SupervisorRef
from ._system_ties import SystemTies
from ._tree_view import TreeNode, look_at_tree
from .policies import Forced

ResultT = TypeVar("ResultT")


class System(SystemTies):
    """A running tree of actors. Get one from `open_system`."""

    def __init__(self, kernel: Kernel, tree: Tree, engine: Engine) -> None:
        assert tree.cell is not None
        self._kernel = kernel
        self._tree = tree
        self._engine = engine
        self._supervisor = SupervisorRef(tree.cell)
        self._portal = Portal(kernel, self._spawn)
        engine.when_over(self._portal.close)

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
        return await self._spawn(spec)

    async def _spawn(self, spec: Spec) -> Ref | SupervisorRef | DynamicSupervisorRef:
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

    def dynamic_supervisor(self, path: str) -> DynamicSupervisorRef:
        """Return the handle that administers the dynamic supervisor at *path*.

        Raises:
            NoSuchActorError: No dynamic supervisor runs there.
        """
        cell = self._kernel.registry.find(path)
        if isinstance(cell, Cell) and type(cell.actor) is DynamicSupervisorActor:
            return DynamicSupervisorRef(cell)
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
        return find_actor(self._kernel, name)

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

    def apply_settings(self, settings: Settings) -> list[SettingChange]:
        """Put other settings in force while the system runs. Call it in the event loop's thread.

        Services keep their queues, counts, breakers, pauses and what is in flight; their numbers change.
        Calls that were begun keep their times. A policy that stands in a child spec stays, as settings do
        not change it. A blocked provider is tried with its next call, as its key or plan may be another.
        Each change is an event (``settings.changed``).

        Returns:
            What has changed. What only takes effect when a system is opened (the log level, the times of
            shutdown and watchdog) says so.

        Raises:
            SettingsError: A setting contradicts a service's policy. Nothing is applied.
        """
        return apply_settings(self._kernel, self._tree.root.context, settings)

    def force_breaker(self, service: Ref | str, state: Forced | None) -> None:
        """Hold the breaker of a service in a state, or give it back to itself.

        It lasts over restarts of the service, until it is given back or the service is stopped for good.

        Args:
            service: Its ref, path or name, or the id of its child spec: all services of this id. A pool or
                a supervisor stands for all services below it.
            state: ``"open"`` refuses every call, without a ``retry_after``; ``"closed"`` refuses none;
                ``"metrics_only"`` refuses none and counts how often it would have opened. None gives it
                back: half-open where it was forced open, else closed with a new count.

        Raises:
            NoSuchActorError: There is no such service.
            RelightError: A policy has no breaker; then nothing has changed.
            ValueError: There is no such state.
        """
        path = service if isinstance(service, str) else service.path
        target = self.find(service) if isinstance(service, str) else service
        cells = [
            cell
            for cell in self._kernel.registry.cells()
            if isinstance(cell, GuardedCell)
            and (cell is target or cell.provider == service or cell.path.startswith(f"{path}/"))
        ]
        if not cells:
            raise NoSuchActorError(path)
        for cell in cells:  # all of them or none
            if cell.guard.circuit is None:
                raise RelightError(f"{cell.provider}: has no breaker to force: give its policy a Breaker()")
        for cell in cells:
            cell.force_breaker(state)

    def actor_statistics(self) -> list[tuple[str, ActorStatistics]]:
        """Look at every live actor: the name of its class, its counters."""
        return [(type(cell.actor).__name__, cell.statistics()) for cell in self._kernel.registry.cells()]

    def restarts_by_kind(self) -> dict[str, int]:
        """Count restarts since the system was opened, by the actor's class."""
        return dict(self._kernel.restarts)

    def given_up_by_kind(self) -> dict[str, int]:
        """Count what was given up since the system was opened, by the actor's class."""
        return dict(self._tree.losses.counts)

    def restarts_due(self) -> list[tuple[str, float]]:
        """List the actors that are to be started again, by path, each with the moment on the system's clock.

        One whose restart waits for nothing but its supervisor's turn is due now.
        """
        return restarts_due(self._cells(), self._kernel.now())

    def ended_children(self) -> list[str]:
        """List the paths of children that have ended and that their supervisors still hold.

        Between two turns of its supervisor a child may be listed. For longer it is a leak.
        """
        return ended_children(self._cells())

    def _cells(self) -> list[Cell]:
        return [self._tree.root.cell, *self._kernel.registry.cells()]

    def stop(self) -> None:
        """Begin the orderly stop; the block of `open_system` is cancelled."""
        self._engine.halt()

    # --- how it ends, and who keeps it from going on --------------------------------------------

    def at_shutdown(
        self, phase: ShutdownPhase, procedure: ShutdownProcedure, *, name: str, timeout: float = 5.0
    ) -> Callable[[], None]:
        """Have *procedure* awaited in a phase of the shutdown.

        INTAKE and DRAIN come before the actors stop, CLOSE comes after. The procedures of one phase run
        at once, whatever is cancelled outside, and within the system's shutdown timeout as a whole.
        One that raises is reported (``shutdown.step_failed``) and keeps nothing from going on.

        Args:
            phase: INTAKE, DRAIN or CLOSE.
            procedure: An async function without arguments.
            name: Names it in events.
            timeout: Seconds; then it is cancelled and reported (``shutdown.step_overran``).

        Returns:
            A function that takes it back.

        Raises:
            RelightError: The phase has begun.
            ValueError: The phase is ACTORS, the tree's own, or the timeout is not above 0.
        """
        return self._engine.shutdown.add(phase, procedure, name=name, timeout=timeout)

    @property
    def portal(self) -> Portal:
        """The way into this system for ordinary threads and synchronous code."""
        return self._portal

    def stuck(self, older_than: float = 30.0) -> list[StuckHandler]:
        """List the messages that have been in hand for long, the oldest first, and rings of asks.

        The age is sampled: once a second by the watchdog, and by each call of this. So what began since
        the last look has an age of 0, and no age is more than the truth.

        Args:
            older_than: Seconds.
        """
        return self._engine.watchdog.hands.stuck(older_than)

    def watchdog_statistics(self) -> WatchdogStatistics:
        """Look at how often and how long the event loop stood still."""
        return self._engine.watchdog.statistics()


@asynccontextmanager
async def open_system(
    *,
    settings: Settings | None = None,
    shutdown_timeout: float | None = None,
    rng: Random | None = None,
    forced_exit: bool | None = None,
) -> AsyncGenerator[System, None]:
    """Open a system of actors; leaving the block stops them in order, newest first.

    Whatever ends the block, its end, an exception or a cancellation, the order of the stop holds:
    actors live in a shield of their own and only hear that they are to stop.

    Args:
        settings: What an operator may change; None reads nothing and keeps all defaults.
        shutdown_timeout: Seconds the whole stop may take; then every actor left is killed. None: the
            settings' (30 s by default).
        rng: Source of jitter.
        forced_exit: End the process with status 70 when the system has not ended some seconds after its
            shutdown timeout, because a handler computes for ever or swallows its cancellation. None:
            under `run`, which owns the process.
    """
    chosen = settings or Settings()
    tree = Tree(chosen)
    seconds = chosen.shutdown_timeout if shutdown_timeout is None else shutdown_timeout
    asked = stop_asked.get()
    is_forced = asked is not None if forced_exit is None else forced_exit
    engine = Engine(
        tree,
        shutdown_timeout=seconds,
        rng=rng,
        logger=event_logger(chosen.log_level),
        watchdog_seconds=chosen.watchdog_seconds,
        forced_exit=ForcedExit(seconds, asked) if is_forced else None,
    )
    async with engine as kernel:
        yield System(kernel, tree, engine)
