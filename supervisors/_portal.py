"""Portal: reach the actors of a system from ordinary threads and from synchronous code.

Each call runs as a task of the system, on its loop, while the calling thread waits for the outcome.
The outcome belongs to the portal, not to the loop: when the system ends, every thread that still waits
is told so. (anyio's own portal can lose a call that is posted while the loop closes.)
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, InvalidStateError
from functools import partial
from typing import Generic, Protocol, TypeVar, TypeVarTuple, overload

import anyio

from ..runtime import Kernel, Message, Ref, Request, SystemEndedError, WrongThreadError
from ._child import Child
from ._pool_ref import PoolRef
from ._specs import DynamicSupervisor, Pool, Spec, Supervisor
from ._supervisor_ref import DynamicSupervisorRef, SupervisorRef

ResultT = TypeVar("ResultT")
ReplyT = TypeVar("ReplyT")
ArgsT = TypeVarTuple("ArgsT")


Spawn = Callable[[Spec], Awaitable[Ref | SupervisorRef | DynamicSupervisorRef]]
"""How a system starts what is spawned."""


class Portal:
    """The actors of one system, for threads other than its loop's.

    Every method blocks the calling thread and raises what its asynchronous counterpart does. All of
    them raise `SystemEndedError` when the system has ended or ends meanwhile, and `WrongThreadError`
    on the loop's own thread, where waiting for the loop would never end. A thread that is interrupted
    (KeyboardInterrupt) cancels its call, as a task that is cancelled does.
    """

    def __init__(self, kernel: Kernel, spawn: Spawn) -> None:
        """Open the way into *kernel*. On the loop's thread."""
        self._kernel = kernel
        self._spawn = spawn
        self._loop_thread = threading.get_ident()
        self._lock = threading.Lock()
        self._calls: set[_AnyCall] = set()
        self._is_over = False

    def ask(self, ref: Ref, message: Request[ReplyT], timeout: float | None = None) -> ReplyT:
        """Send *message* and wait for the reply; see `Ref.ask`.

        Args:
            ref: The actor.
            message: The request.
            timeout: Seconds; None: the actor's own default.
        """
        return self._wait_for("ask", partial(ref.ask, message, timeout=timeout))

    def tell(self, ref: Ref, message: Message) -> None:
        """Send *message*, and wait while the mailbox is full: backpressure into the thread."""
        self._wait_for("tell", partial(ref.tell, message))

    def tell_nowait(self, ref: Ref, message: Message) -> None:
        """Send *message*; waits for the loop's next turn, but not for room.

        Raises:
            MailboxFullError: There is no room. Carries *message* back.
        """

        async def tell() -> None:
            ref.tell_nowait(message)

        self._wait_for("tell_nowait", tell)

    @overload
    def spawn(self, spec: Child) -> Ref: ...
    @overload
    def spawn(self, spec: Supervisor) -> SupervisorRef: ...
    @overload
    def spawn(self, spec: DynamicSupervisor) -> DynamicSupervisorRef: ...
    @overload
    def spawn(self, spec: Pool) -> PoolRef: ...

    def spawn(self, spec: Spec) -> Ref | SupervisorRef | DynamicSupervisorRef:
        """Start an actor or a subtree below the root; see `System.spawn`."""
        return self._wait_for("spawn", partial(self._spawn, spec))

    def stop(self, ref: Ref) -> None:
        """Stop an actor for good and wait for its end; see `Ref.stop`."""
        self._wait_for("stop", ref.stop)

    def call(self, function: Callable[[*ArgsT], Awaitable[ResultT]], *args: *ArgsT) -> ResultT:
        """Await ``function(*args)`` on the loop and return its result.

        It is cancelled when the system's actors have stopped.

        Raises:
            SystemEndedError: The system has ended, or ended before the function did.
            WrongThreadError: Called on the loop's own thread: await the function there.
        """
        return self._wait_for("call", partial(function, *args))

    def _wait_for(self, name: str, procedure: Callable[[], Awaitable[ResultT]]) -> ResultT:
        if threading.get_ident() == self._loop_thread:
            raise WrongThreadError(f"portal.{name}()")
        call = _Call(self._kernel, f"portal.{name}()", procedure)
        with self._lock:
            if self._is_over:
                raise SystemEndedError(call.name)
            self._calls.add(call)
        try:
            return call.wait()
        finally:
            with self._lock:
                self._calls.discard(call)

    def close(self) -> None:
        """Let no more calls through and fail those that wait. On the loop's thread."""
        with self._lock:
            self._is_over = True
            calls = tuple(self._calls)
        for call in calls:
            call.fail(SystemEndedError(call.name))


class _AnyCall(Protocol):
    """A call, whatever its result."""

    name: str

    def fail(self, error: Exception) -> None:
        """End it, done or not."""
        ...


class _Call(Generic[ResultT]):
    """One call on its way through the loop."""

    def __init__(self, kernel: Kernel, name: str, procedure: Callable[[], Awaitable[ResultT]]) -> None:
        self.name = name
        self._kernel = kernel
        self._procedure = procedure
        self._scope: anyio.CancelScope | None = None
        """Around it, once it has begun."""
        self._outcome: Future[ResultT] = Future()

    def wait(self) -> ResultT:
        """Have it done and wait for the outcome, in the calling thread."""
        self._post(self._begin)
        try:
            return self._outcome.result()
        except BaseException:
            if self._outcome.cancel():  # the thread was interrupted: nobody waits any more
                self._post(self._cancel)
            raise

    def fail(self, error: Exception) -> None:
        """End it, done or not. On the loop."""
        self._resolve(error)
        self._cancel()

    def _cancel(self) -> None:
        if self._scope is not None:
            self._scope.cancel()

    def _post(self, callback: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and the portal has said so
            self._kernel.backend.run_soon(callback)

    def _begin(self) -> None:
        if not self._outcome.done():  # else the thread has left, or the engine's tasks are at their end
            self._kernel.start_soon(self._run)

    async def _run(self) -> None:
        if self._outcome.done():
            return  # the thread left meanwhile
        try:
            with anyio.CancelScope() as self._scope:
                result = await self._procedure()
                with contextlib.suppress(InvalidStateError):  # the thread has left
                    self._outcome.set_result(result)
        except BaseException as error:
            if not self._kernel.is_failure(error):
                self._resolve(SystemEndedError(self.name))
                raise
            self._resolve(error)

    def _resolve(self, error: BaseException) -> None:
        with contextlib.suppress(InvalidStateError):  # the thread has left, or has its answer
            self._outcome.set_exception(error)
