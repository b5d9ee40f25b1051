"""Parking: how a task waits for one answer, and what else differs between the backends.

The only module of the message path that names asyncio or trio. A slot is resolved at most once,
from any task of the same thread, before or after it is awaited. The traps it avoids:

* A waiter that was cancelled but has not run yet still looks alive. ``resolve`` says whether the
  value will be seen; nothing else does.
* A slot may be resolved before it is awaited, so ``done`` is kept beside the parked task.
* On trio, one prebuilt trap serves every slot: it saves a coroutine and a closure a wait. Trio
  clears ``custom_sleep_data`` when it reschedules a task, which is how ``resolve`` knows that the
  task still sleeps here. Reusing a trap is not a documented promise, so `PlainTrioSlot` does the
  same with the public call and is used where the trap is not what we know.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, ClassVar, Protocol, cast

import anyio.abc
import msgspec
import trio

from ._messages import Message
from ._sponsor import Sponsor

if TYPE_CHECKING:
    import outcome


class Woken(Protocol):
    """What a trio task is sent when it is woken by anybody but a slot."""

    def unwrap(self) -> object:
        """Raise the cancellation it carries."""
        ...


# Sent to the task as it is, without the outcome object trio's own calls make and unwrap.
_NOTHING = cast("outcome.Outcome[object]", None)


class SlotOwner:
    """Who is told when an asker gives up on a slot that is still open."""

    __slots__ = ()

    def slot_expired(self, slot: Slot) -> None:
        """Fail the slot because its deadline has passed."""
        raise NotImplementedError


class Slot(msgspec.Struct, eq=False):
    """One answer to wait for: the envelope of an ask, and the place a task parks in."""

    message: Message | None = None
    """The request it answers; None where a task merely waits for its turn."""
    owner: SlotOwner | None = None
    """Who fails it at its deadline."""
    timeout: float = inf
    """Seconds between the ask and its deadline."""
    due: float = inf
    """The moment, on the backend's clock, when the asker stops waiting."""
    limit: float = inf
    """The moment that asks made while handling this one inherit: set by explicit timeouts only."""
    taken: bool = False
    """A handler has begun: from here on the work may have happened."""
    done: bool = False
    """Answered, failed or abandoned."""
    value: object = None
    error: BaseException | None = None
    sleeper: object = None
    """The parked task (trio) or its future (asyncio)."""
    sink: object = None
    """Where the chunks of a stream go (`_stream.Sink`); None where one reply is asked for."""
    sponsor: Sponsor | None = None
    """On whose behalf it is asked; None where nobody wants to know."""

    def __await__(self) -> Generator[object, Woken | None, object]:
        raise NotImplementedError

    def resolve(self, value: object = None, error: BaseException | None = None) -> bool:
        """Answer the waiter; False when it was answered before or has left."""
        raise NotImplementedError

    def wake(self) -> None:
        """Let the waiter look around without an answer; it may wait again."""
        raise NotImplementedError

    def expire(self) -> None:
        """Fail the slot because its time is up."""
        if self.owner is not None:
            self.owner.slot_expired(self)


class TrioSlot(Slot, eq=False):
    """A slot on trio with the shared trap."""

    trap: ClassVar[object] = None

    def __await__(self) -> Generator[object, Woken | None, object]:
        if not self.done:
            task = trio.lowlevel.current_task()
            self.sleeper = task
            task.custom_sleep_data = self
            woken = yield self.trap
            if woken is not None:  # not ours: trio delivers a cancellation
                self.done = True
                woken.unwrap()
        if self.error is not None:
            raise self.error
        return self.value

    def resolve(self, value: object = None, error: BaseException | None = None) -> bool:
        """Answer the waiter; False when it was answered before or has left."""
        if self.done:
            return False
        task = self.sleeper
        if task is None:
            self.done, self.value, self.error = True, value, error
            return True
        sleeper: trio.lowlevel.Task = task  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
        if sleeper.custom_sleep_data is not self:
            return False  # cancelled, but not run yet
        self.done, self.value, self.error = True, value, error
        trio.lowlevel.reschedule(sleeper, _NOTHING)
        return True

    def wake(self) -> None:
        """Let the waiter look around without an answer; it may wait again."""
        task, self.sleeper = self.sleeper, None
        if isinstance(task, trio.lowlevel.Task) and task.custom_sleep_data is self:
            trio.lowlevel.reschedule(task, _NOTHING)


class PlainTrioSlot(TrioSlot, eq=False):
    """A slot on trio by public calls alone: slower by a coroutine and a closure a wait."""

    def __await__(self) -> Generator[object, Woken | None, object]:
        return self._wait().__await__()  # pyright: ignore[reportReturnType]

    async def _wait(self) -> object:
        if not self.done:
            task = trio.lowlevel.current_task()
            self.sleeper = task
            task.custom_sleep_data = self
            try:
                await trio.lowlevel.wait_task_rescheduled(_abort)
            except BaseException:
                self.done = True
                raise
        if self.error is not None:
            raise self.error
        return self.value

    def resolve(self, value: object = None, error: BaseException | None = None) -> bool:
        """Answer the waiter; False when it was answered before or has left."""
        task = self.sleeper
        if self.done or (isinstance(task, trio.lowlevel.Task) and task.custom_sleep_data is not self):
            return False
        self.done, self.value, self.error = True, value, error
        if isinstance(task, trio.lowlevel.Task):
            trio.lowlevel.reschedule(task)
        return True

    def wake(self) -> None:
        """Let the waiter look around without an answer; it may wait again."""
        task, self.sleeper = self.sleeper, None
        if isinstance(task, trio.lowlevel.Task) and task.custom_sleep_data is self:
            trio.lowlevel.reschedule(task)


def _abort(_raise_cancel: object) -> trio.lowlevel.Abort:
    return trio.lowlevel.Abort.SUCCEEDED


def _shared_trap() -> object | None:
    """Build the one trap of all trio slots, or None where trio's traps are not what we know."""
    waiting = trio.lowlevel.wait_task_rescheduled(_abort)  # noqa: ASYNC105 - taken apart, not awaited
    try:
        trap = waiting.send(None)
    except BaseException:  # noqa: BLE001 - whatever it is, it is not the trap we know
        return None
    finally:
        waiting.close()
    return trap if type(trap).__name__ == "WaitTaskRescheduled" else None


def _answered(slot: Slot) -> Generator[object, Woken | None, object]:
    """Await a slot that needs no waiting."""
    if slot.error is not None:
        raise slot.error
    return slot.value
    yield  # type: ignore[unreachable]  # never: it makes this a generator


def _asyncio_slot(create_future: Callable[[], asyncio.Future[object]]) -> type[Slot]:
    """Build the slot of one event loop: the bound method saves a loop look-up a wait."""

    class AsyncioSlot(Slot, eq=False):
        def __await__(self) -> Generator[object, Woken | None, object]:
            if self.done:
                return _answered(self)
            self.sleeper = future = create_future()
            return future.__await__()  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

        def resolve(self, value: object = None, error: BaseException | None = None) -> bool:
            if self.done:
                return False
            if self.sleeper is not None:
                future: asyncio.Future[object] = self.sleeper  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
                if future.done():
                    return False  # cancelled, but not run yet
                if error is None:
                    future.set_result(value)
                else:
                    future.set_exception(error)
                    future.exception()  # retrieved: a waiter cancelled first leaves no complaint
            self.done, self.value, self.error = True, value, error
            return True

        def wake(self) -> None:
            future = cast("asyncio.Future[object] | None", self.sleeper)
            self.sleeper = None
            if future is not None and not future.done():
                future.set_result(None)

    return AsyncioSlot


Procedure = Callable[[], Coroutine[object, object, None]]
"""Something asynchronous to be run once."""
Starter = Callable[[Procedure], object]
"""Starts a task that runs a procedure."""


@dataclass(frozen=True, slots=True)
class Backend:
    """What the runtime needs of the event loop it runs on."""

    name: str
    """``trio`` or ``asyncio``."""
    slot: type[Slot]
    """Makes reply slots and turns."""
    now: Callable[[], float]
    """The loop's clock, in seconds: virtual under a test clock."""
    checkpoint: Callable[[], Awaitable[object]]
    """Let every other task run once."""
    current_task: Callable[[], object]
    """The task that runs now."""
    is_failure: Callable[[BaseException], bool]
    """Tell what an actor did wrong from a cancellation of the task that runs it. On asyncio, awaiting
    a future that somebody cancelled raises the same exception as being cancelled."""
    run_soon: Callable[[Callable[[], object]], object]
    """Have something called on the loop's thread, soon. The one thing here that any thread may call, and
    a signal handler too. Raises RuntimeError when the loop has ended."""
    starter_in: Callable[[anyio.abc.TaskGroup], Starter]
    """Return what starts tasks in a task group, the last that the running task has opened. On trio it is
    the nursery itself: anyio makes a handle, a scope and an event for each task, which nobody asks for."""
    coroutine_of: Callable[[object], object]
    """The outermost coroutine of a task, for those who look at its frames."""


def current_backend() -> Backend:
    """Look at the running event loop and return what the runtime needs of it."""
    if trio.lowlevel.in_trio_run():
        return _trio_backend()
    loop = asyncio.get_running_loop()
    return Backend(
        "asyncio",
        _asyncio_slot(loop.create_future),
        loop.time,
        lambda: asyncio.sleep(0),
        asyncio.current_task,
        _is_asyncio_failure,
        loop.call_soon_threadsafe,
        lambda group: group.start_soon,
        lambda task: cast("asyncio.Task[object]", task).get_coro(),
    )


def _is_asyncio_failure(error: BaseException) -> bool:
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and not task.cancelling()
    return isinstance(error, Exception)


def _is_trio_failure(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        # A cancelled task group whose tasks also raised. Trio cancels again at the next wait, so
        # nothing is lost by taking the errors for what they are.
        group = cast("BaseExceptionGroup[BaseException]", error)
        return isinstance(group.split(trio.Cancelled)[1], ExceptionGroup)
    return isinstance(error, Exception)


def _trio_backend() -> Backend:
    trap = _shared_trap()
    TrioSlot.trap = trap
    slot = PlainTrioSlot if trap is None else TrioSlot
    return Backend(
        "trio",
        slot,
        # The clock's own method: `trio.current_time` looks the run and its clock up each time, 100 ns.
        trio.lowlevel.current_clock().current_time,
        trio.lowlevel.cancel_shielded_checkpoint,
        trio.lowlevel.current_task,
        _is_trio_failure,
        trio.lowlevel.current_trio_token().run_sync_soon,
        lambda _group: trio.lowlevel.current_task().child_nurseries[-1].start_soon,
        lambda task: cast("trio.lowlevel.Task", task).coro,
    )
