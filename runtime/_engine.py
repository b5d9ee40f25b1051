"""Engine: keep actors alive until they have been stopped in order, whatever is cancelled outside.

A task group cancels its tasks in no particular order, so actors that hung in one would die in any
order when a caller's scope is cancelled. Two parts prevent that:

* the **engine**, one task inside a shield, whose group holds every worker, lifespan and timer. No
  outer cancellation reaches it; it ends when it has been told to halt and has stopped its actors.
* the **watcher**, a task outside the shield. All it does is notice the cancellation and say halt.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from types import TracebackType
from typing import Protocol

import anyio
import anyio.abc
from anyio.lowlevel import checkpoint_if_cancelled

from ._exits import primary_error
from ._forced_exit import ForcedExit
from ._kernel import Kernel
from ._logging import Logger
from ._parking import current_backend
from ._shutdown import Shutdown, ShutdownPhase
from ._watchdog import Watchdog


class Root(Protocol):
    """What the engine starts first and stops last: the top of the tree."""

    async def start(self, kernel: Kernel) -> None:
        """Start the tree."""
        ...

    async def stop(self) -> None:
        """Stop the tree, in order."""
        ...

    def abort(self) -> None:
        """Fail everything that waits, at once: the engine itself is going down."""
        ...


class Engine:
    """Run a kernel inside a shield. An asynchronous context manager.

    Leaving the block, by its end, an exception or a cancellation, goes through the phases of the
    shutdown, the orderly stop of the tree among them, for at most ``shutdown_timeout`` seconds in all.
    """

    def __init__(
        self,
        root: Root,
        *,
        shutdown_timeout: float,
        rng: Random | None = None,
        logger: Logger | None = None,
        watchdog_seconds: float = 0.0,
        forced_exit: ForcedExit | None = None,
    ) -> None:
        self.shutdown = Shutdown()
        """What is to be done when the system ends."""
        self.watchdog: Watchdog
        """The thread beside the loop; from the start of the kernel on."""
        self._watchdog_seconds = watchdog_seconds
        self._forced_exit = forced_exit
        self._at_end: list[Callable[[], None]] = []
        self._root = root
        self._logger = logger
        self._shutdown_timeout = shutdown_timeout
        self._rng = rng
        self._halt = anyio.Event()
        self._over = anyio.Event()
        self._outside = anyio.create_task_group()
        self._body = anyio.CancelScope()
        """Around the block: how the engine cancels it. The group would wrap its errors."""
        self._failure: BaseException | None = None

    async def __aenter__(self) -> Kernel:
        await self._outside.__aenter__()
        self._outside.start_soon(self._watch)
        try:
            kernel: Kernel = await self._outside.start(self._run)
            if self._halt.is_set():
                # Trio's `start` returns although it was cancelled when the task it starts, being shielded,
                # ends well. The block would run without a system, and see its errors, not the cancellation.
                await checkpoint_if_cancelled()
        except BaseException as error:  # noqa: BLE001 - re-raised without its group
            await self._leave_outside()
            raise primary_error(error) from None
        self._body.__enter__()
        return kernel

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._halt.set()
        with anyio.CancelScope(shield=True):
            await self._over.wait()
        cancelled = anyio.get_cancelled_exc_class()
        try:
            is_ours = bool(self._body.__exit__(kind, error, trace))
        finally:
            try:
                await self._leave_outside()
            except cancelled:
                if error is None or isinstance(error, cancelled):
                    raise
                # The body's own error goes first; the cancellation comes again at the next await.
        if self._failure is not None:
            raise primary_error(self._failure)
        return is_ours

    def halt(self) -> None:
        """Begin the orderly stop and cancel the body."""
        self._halt.set()
        self._body.cancel()

    def when_over(self, callback: Callable[[], None]) -> None:
        """Call *callback* once, on the loop, when the tree has stopped or the engine fails."""
        self._at_end.append(callback)

    async def _leave_outside(self) -> None:
        """End the watcher and wait for the engine."""
        self._outside.cancel_scope.cancel()
        await self._outside.__aexit__(None, None, None)

    async def _watch(self) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            self._halt.set()

    async def _run(self, *, task_status: anyio.abc.TaskStatus[Kernel]) -> None:
        is_started = False
        try:
            with anyio.CancelScope(shield=True):
                async with anyio.create_task_group() as group:
                    kernel = Kernel(current_backend(), group, rng=self._rng, logger=self._logger)
                    self.watchdog = Watchdog(
                        kernel, seconds=self._watchdog_seconds, forced_exit=self._forced_exit
                    )
                    self.watchdog.start()
                    group.start_soon(kernel.timers.run)
                    try:
                        await self._root.start(kernel)
                        task_status.started(kernel)
                        is_started = True
                        await self._halt.wait()
                        await self._shut_down(kernel)
                    except BaseException:
                        # What waits in a shield of its own, such as a stop hook, would keep the group open.
                        self.watchdog.stopping()
                        self._root.abort()
                        self._tree_is_over()
                        raise
                    group.cancel_scope.cancel()
        except BaseException as error:
            self._root.abort()
            if not is_started:
                raise
            self._failure = error
            self._body.cancel()
        finally:
            self.watchdog.stop()
            self._over.set()

    async def _shut_down(self, kernel: Kernel) -> None:
        """Go through the phases, within one deadline."""
        self.watchdog.stopping()
        due = kernel.now() + self._shutdown_timeout
        await self.shutdown.run(ShutdownPhase.INTAKE, kernel, due)
        await self.shutdown.run(ShutdownPhase.DRAIN, kernel, due)
        await self._stop_tree(kernel, due)
        self._tree_is_over()
        await self.shutdown.run(ShutdownPhase.CLOSE, kernel, due)

    def _tree_is_over(self) -> None:
        callbacks, self._at_end = self._at_end, []
        for callback in callbacks:
            callback()

    async def _stop_tree(self, kernel: Kernel, due: float) -> None:
        self.shutdown.phase = ShutdownPhase.ACTORS
        with anyio.CancelScope(deadline=due) as scope:
            await self._root.stop()
        if scope.cancelled_caught:
            kernel.events.error("system.shutdown_overran", shutdown_timeout=self._shutdown_timeout)
            self._root.abort()
