"""Dispatch: a few worker tasks serve every actor that has something to do.

An idle actor owns no task. Work that becomes ready is put in one queue; workers take it from
there and await the handlers themselves. Leader and followers (Schmidt et al., PLoP 2000): when a
handler may suspend while other work is ready, one follower is *armed*, that is woken or started,
so nothing is stranded and a message between actors needs no tick of the event loop.

A worker serves at most a batch of messages, then lets everything else run once. A batch that took
too long halves the next one, so slow handlers cannot hold the loop for many messages.

Each worker has a cancel scope of its own, made once and replaced when used: that is how one
handler is cancelled without a scope a message. A late cancel could hit the next message, so
whoever cancels names what it means to cancel, and the worker leaves its scope after it.
"""

from __future__ import annotations

import contextvars
import time
from collections import deque
from dataclasses import dataclass
from typing import Protocol

import anyio
import anyio.abc

from ._parking import Backend, Procedure, Slot

BATCH = 64
"""Messages a worker handles before it lets the event loop run."""
QUANTUM = 500e-6
"""Seconds of processor time a batch may take before the next one is halved."""
KEEP = 256
"""Idle workers kept for later."""


class Work(Protocol):
    """Something a worker can be given."""

    async def drain(self, worker: Worker, left: int, /) -> int:
        """Do up to *left* pieces of work and return how many are left of the batch."""
        ...


class Worker:
    """One task of the pool."""

    __slots__ = ("actor", "hand", "scope", "slot", "spent", "task")

    def __init__(self) -> None:
        self.scope: anyio.CancelScope | None = None
        self.task: object = None
        self.actor: object = None
        """The incarnation whose handlers it runs now."""
        self.hand: object = None
        """What it is working on now: an incarnation, or a single attempt. Cancelling names it."""
        self.slot: Slot | None = None
        """The last ask it took in hand."""
        self.spent = False
        """Its scope was cancelled: it must be left before the next piece of work."""

    def cancel(self, hand: object) -> bool:
        """Cancel what the worker is doing if that is *hand*; False when it has gone on."""
        if self.hand is not hand or self.scope is None:
            return False
        self.spent = True
        self.scope.cancel()
        return True


class Chore:
    """One asynchronous procedure, run once by a worker."""

    __slots__ = ("_worker", "procedure")

    def __init__(self, procedure: Procedure) -> None:
        self.procedure = procedure
        self._worker: Worker | None = None

    async def drain(self, worker: Worker, left: int, /) -> int:
        """Run the procedure."""
        self._worker = worker
        worker.hand = self
        try:
            await self.procedure()
        finally:
            worker.hand = None
        return left - 1

    def cancel(self) -> bool:
        """Cancel the procedure; False when it has not begun, or has ended."""
        return self._worker is not None and self._worker.cancel(self)


class Pace:
    """How many messages a worker handles before it yields.

    Wall time is cheap to read but counts what handlers spend waiting, which costs the loop
    nothing. So a batch that looks slow halves the next one on suspicion, and from then on the
    thread's processor time (ten times dearer to read) decides.
    """

    __slots__ = ("_batch", "_began", "_processor")

    def __init__(self) -> None:
        self._batch = BATCH
        self._began = 0.0
        self._processor: float | None = None

    def begin(self) -> int:
        """Begin a batch; returns its size."""
        self._began = time.perf_counter()
        if self._processor is not None:
            self._processor = time.thread_time()
        return self._batch

    def end(self) -> None:
        """End a batch and choose the size of the next."""
        if time.perf_counter() - self._began <= QUANTUM:
            self._processor = None
            self._batch = min(BATCH, self._batch * 2)
        elif self._processor is None:
            self._processor = time.thread_time()
            self._batch = max(1, self._batch // 2)
        elif time.thread_time() - self._processor > QUANTUM:
            self._batch = max(1, self._batch // 2)
        else:
            self._batch = min(BATCH, self._batch * 2)


@dataclass(frozen=True, slots=True)
class DispatchStatistics:
    """The worker pool."""

    workers: int
    """Worker tasks alive."""
    workers_peak: int
    """The most there were."""
    idle: int
    """Workers parked."""
    ready: int
    """Pieces of work that wait for a worker."""


class Dispatcher:
    """The worker pool of one system."""

    __slots__ = (
        "_backend",
        "_context",
        "_idle",
        "_start",
        "_workers",
        "_workers_peak",
        "armed",
        "ready",
        "tasks",
    )

    def __init__(self, backend: Backend, group: anyio.abc.TaskGroup) -> None:
        self._backend = backend
        self._start = backend.starter_in(group)
        # Workers start in a copy of the context the system was opened in, never of a handler's:
        # what one actor binds must not be seen by others.
        self._context = contextvars.copy_context()
        self._idle: list[Slot] = []
        self._workers = 0
        self._workers_peak = 0
        self.tasks: set[object] = set()
        """The tasks that run the actors' code, workers and lifespans: where whoever looks for it looks."""
        self.ready: deque[Work] = deque()
        self.armed = False
        """A worker is on its way to the ready queue."""

    def schedule(self, work: Work) -> None:
        """Have a worker drain *work* soon. Never waits."""
        self.ready.append(work)
        if not self.armed:
            if self._idle:
                self.armed = True
                self._idle.pop().resolve()
            else:
                self.arm()

    def arm(self) -> None:
        """Send one more worker to the ready queue."""
        self.armed = True
        if self._idle:
            self._idle.pop().resolve()
        else:
            self._workers += 1
            self._workers_peak = max(self._workers_peak, self._workers)
            self.start_soon(self._work)

    def start_soon(self, procedure: Procedure) -> None:
        """Run *procedure* in a task of its own, in the context the system was opened in."""
        self._context.copy().run(self._start, procedure)

    def statistics(self) -> DispatchStatistics:
        """Look at the pool."""
        return DispatchStatistics(self._workers, self._workers_peak, len(self._idle), len(self.ready))

    async def _work(self) -> None:
        worker = Worker()
        worker.task = task = self._backend.current_task()
        self.tasks.add(task)
        retired = False
        try:
            while not retired:
                worker.spent = False
                with anyio.CancelScope() as worker.scope:
                    retired = await self._serve(worker)
        finally:
            self.tasks.discard(task)
            self._workers -= 1

    async def _serve(self, worker: Worker) -> bool:
        """Drain what is ready, park, and go on; True when the worker is one too many."""
        ready, idle, turn, pace = self.ready, self._idle, self._backend.slot(), Pace()
        left = pace.begin()
        while True:
            self.armed = False
            while ready:
                work = ready.popleft()
                if ready and not self.armed:
                    self.arm()
                left = await work.drain(worker, left)
                if worker.spent:
                    return False
                if left <= 0:
                    pace.end()
                    if self.armed:
                        break  # another is on its way; with two at work a tick would cost two batches
                    self.armed = True  # this worker itself comes back for what is ready
                    await self._backend.checkpoint()
                    self.armed = False
                    left = pace.begin()
            # Decide before parking, never after being woken: a woken worker is the armed one.
            if len(idle) >= KEEP:
                return True
            turn.done, turn.sleeper = (
                False,
                None,
            )  # the same one each time: whoever resolved it has let go of it
            idle.append(turn)
            await turn
            left = pace.begin()
