"""System: a running tree of actors, from its start to its orderly end."""

from __future__ import annotations

import signal
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.util import find_spec
from random import Random
from typing import TypeVar, overload

import anyio

from ..runtime import (
    SHUTDOWN,
    ActorCell,
    ActorStatistics,
    Cell,
    DeadLetters,
    Engine,
    Events,
    ExitReason,
    Kernel,
    Monitor,
    Ref,
    event_logger,
    primary_error,
    start_incarnation,
)
from ._child import Child, Supervisor
from ._children import ChildRecord
from ._guard_statistics import GuardStatistics
from ._guarded_cell import GuardedCell
from ._intensity import RestartWindow
from ._settings import Settings
from ._supervisor import SupervisorActor
from ._supervisor_ref import SupervisorRef

ResultT = TypeVar("ResultT")

ROOT_INTENSITY = 5
ROOT_PERIOD = 60.0


class RootSupervisor(SupervisorActor):
    """The top of the tree. It gives up single children, never itself: there is nobody above it.

    Each child has a window of its own, so that what one user of a shared system spawns can't end
    what another did.
    """

    def __init__(self, settings: Settings) -> None:
        spec = Supervisor("root", intensity=ROOT_INTENSITY, period=ROOT_PERIOD)
        super().__init__(spec, settings)
        self._windows: dict[str, RestartWindow] = {}

    def path_of(self, record: ChildRecord) -> str:
        """Leave the root out of paths."""
        return record.id

    def window_of(self, record: ChildRecord) -> RestartWindow:
        """Return the child's own window."""
        window = self._windows.get(record.id)
        if window is None:
            window = self._windows[record.id] = RestartWindow(ROOT_INTENSITY, ROOT_PERIOD)
        return window

    def exceeded(self, record: ChildRecord, reason: ExitReason) -> None:
        """Give up this child alone, and say so."""
        assert record.cell is not None
        self.report_given_up(record.cell.path, record, reason)
        self.let_go(record, reason)

    def let_go(self, record: ChildRecord, reason: ExitReason) -> None:
        """Forget a child that has ended: its id may be used again."""
        super().let_go(record, reason)
        self._forget(record)

    def after_stop(self, record: ChildRecord) -> None:
        """Forget a child that was stopped: its id may be used again."""
        self._forget(record)

    def _forget(self, record: ChildRecord) -> None:
        self.children.pop(record.id, None)
        self._windows.pop(record.id, None)


class _Tree:
    """What the engine starts first and stops last."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.cell: Cell | None = None

    async def start(self, kernel: Kernel) -> None:
        """Start the root supervisor."""
        actor = RootSupervisor(self._settings)
        self.cell = ActorCell(kernel, "root", actor, self, shutdown=float("inf"))
        await start_incarnation(self.cell, actor, timeout=float("inf"))

    async def stop(self) -> None:
        """Stop every actor, newest first."""
        assert self.cell is not None
        await self.cell.stop_and_wait(SHUTDOWN, float("inf"), final=True)

    def abort(self) -> None:
        """Fail everything that waits."""
        if self.cell is not None:
            self.cell.kill()

    def exited(self, cell: Cell, reason: ExitReason, *, final: bool) -> None:
        """Hear that the root has ended; one that crashed takes its tree down, with nobody to restart it."""
        if not final:
            cell.kernel.events.error("system.root_crashed", reason=str(reason))
            cell.kill(reason)

    async def stop_child(self, cell: Cell, reason: ExitReason, timeout: float | None) -> None:
        """Stop the root because its ref was asked to."""
        await self.stop()


class System:
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

    def monitor(self, ref: Ref) -> Monitor:
        """Watch the incarnation that runs behind *ref* now; reports at once if it has ended."""
        if isinstance(ref, Cell):
            return self._kernel.monitors.watch(ref)
        raise TypeError(f"monitor(): {ref!r} is not an actor of this system")

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
    tree = _Tree(chosen)
    seconds = chosen.shutdown_timeout if shutdown_timeout is None else shutdown_timeout
    engine = Engine(tree, shutdown_timeout=seconds, rng=rng, logger=event_logger(chosen.log_level))
    async with engine as kernel:
        assert tree.cell is not None
        yield System(kernel, tree.cell, engine)


def run(
    main: Callable[[], Awaitable[ResultT]],
    *,
    backend: str = "trio",
    handle_signals: bool = True,
) -> ResultT:
    """Run an asynchronous program that opens systems; blocks until it ends.

    SIGINT and SIGTERM cancel *main*: its systems stop in order, then the process ends with the
    status 128 + signal, without a traceback. A second signal ends it at once.

    Args:
        main: An async function without arguments.
        backend: ``trio``, or ``asyncio``, which uses uvloop where it is installed.
        handle_signals: False leaves signals alone, as does a thread that is not the main one.
    """
    if backend not in ("trio", "asyncio"):
        raise ValueError(f"backend must be 'trio' or 'asyncio', got {backend!r}")
    options = {"use_uvloop": find_spec("uvloop") is not None} if backend == "asyncio" else {}
    in_main = threading.current_thread() is threading.main_thread()
    if not (handle_signals and in_main):
        return anyio.run(main, backend=backend, backend_options=options)
    result, caught = anyio.run(_run_until_signal, main, backend=backend, backend_options=options)
    if caught is not None:
        raise SystemExit(128 + caught)
    return result[0]


async def _run_until_signal(main: Callable[[], Awaitable[ResultT]]) -> tuple[list[ResultT], int | None]:
    result: list[ResultT] = []
    caught: list[int] = []
    error: BaseException | None = None

    async def watch(scope: anyio.CancelScope) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for number in signals:
                caught.append(number)
                scope.cancel()
                break
        # Leaving the receiver restores the default handlers: a second signal ends the process.

    async with anyio.create_task_group() as group:
        group.start_soon(watch, group.cancel_scope)
        try:
            result.append(await main())
        except Exception as raised:  # noqa: BLE001 - carried out of the group, which would wrap it
            error = raised
        group.cancel_scope.cancel()
    if error is not None:
        raise primary_error(error) if not isinstance(error, ExceptionGroup) else error
    return result, caught[0] if caught else None
