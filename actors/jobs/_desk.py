"""The desk: what the actors of one worker share."""

from __future__ import annotations

import os
import platform
from collections.abc import Awaitable, Callable, Mapping, Sequence
from math import inf
from secrets import token_hex
from typing import TYPE_CHECKING, TypeVar

import anyio

from ...runtime import Kernel, redact
from ...supervisors.policies import Exponential
from ._errors import BlobError, StoreError
from ._store import Store

if TYPE_CHECKING:
    from ._queue import Queue
    from ._run import Run
    from ._saver import Saver

ResultT = TypeVar("ResultT")
Trouble = type[StoreError] | type[BlobError]
"""What is away: the store, or the folder of large results."""

GRACE = 5.0
"""Seconds for the step in hand, when the time to drain is up."""
_PATIENCE = Exponential(0.1, cap=5.0, jitter="equal")
"""Waits for a store that is away."""


class Desk:
    """What the actors of one worker share: the store, the lease, the jobs at hand.

    Args:
        queues: What it works for, by name.
        store: Theirs.
        concurrency: Jobs at hand at a time.
        lease: Seconds without a beat after which others take its jobs.
        drain: Seconds that jobs may go on after the end was announced.
    """

    def __init__(
        self, queues: Mapping[str, Queue], store: Store, *, concurrency: int, lease: float, drain: float
    ) -> None:
        self.queues = queues
        self.names: Sequence[str] = tuple(queues)
        self.store = store
        self.concurrency = concurrency
        self.lease = lease
        self.drain_time = drain
        self.worker: str | None = None
        """Its id in the store; a new one for each lease. None: it has no lease now."""
        self.lease_ends = -inf
        """On the system's clock: by then another worker may have its jobs."""
        self.runs: dict[str, Run] = {}
        """Jobs at hand, with those whose end is being stored."""
        self._working = 0
        """Jobs whose function has not ended: each has a place."""
        self.is_taking = False
        """It claims jobs: from the start of its runner until its end is announced."""
        self.is_ending = False
        """The system ends: no runner begins to claim again."""
        self.may_have_orphans = False
        """The store may have handed this worker jobs that nobody here runs."""
        self.wake = Bell()
        """Something changed that may let another job begin."""
        self._left = Bell()
        """A job is no longer at hand."""
        self.busy = Bell()
        """A job was taken."""
        self.late: set[Saver] = set()
        """Results of lost runs that are to be stored before anything is claimed."""
        self.is_gone = False
        """The worker ends, and with it what is still to be stored."""
        self._renewed = Bell()
        self._is_lease_in_doubt = False
        """Its lease has ended, and the store could not be asked whether somebody took its jobs."""
        self._kernel: Kernel | None = None
        self._troubles: dict[Trouble, str] = {}
        """What keeps the store, or the folder of large results, from being used now."""

    @property
    def kernel(self) -> Kernel:
        """The system it runs in."""
        assert self._kernel is not None, "the store's actor starts first"
        return self._kernel

    @kernel.setter
    def kernel(self, kernel: Kernel) -> None:
        self._kernel = kernel

    # --- the places -----------------------------------------------------------------------------------

    @property
    def room(self) -> int:
        """How many jobs it may claim.

        A job gives up its place when its function has ended: the next one is claimed by the transaction that
        stores its end, not by one after it. No more ends wait for a slow store than there are places.
        """
        return min(self.concurrency - self._working, 2 * self.concurrency - len(self.runs))

    def take(self, run: Run) -> None:
        """Take a job in hand."""
        self.runs[run.job.id] = run
        self._working += 1
        self.busy.ring()

    def free_place(self) -> None:
        """Hear that a job's function has ended, or was left behind."""
        self._working -= 1
        self.wake.ring()

    def leave(self, run: Run) -> None:
        """Let go of a job whose end is stored, or not its worker's to store."""
        if len(self.runs) > self.concurrency:
            self.wake.ring()  # it may be these that nothing was claimed for
        if self.runs.get(run.job.id) is run:  # else it was claimed again at once
            del self.runs[run.job.id]
        self._left.ring()

    # --- the lease ------------------------------------------------------------------------------------

    async def register(self) -> None:
        """Begin a lease under a new id: jobs of the old one are others' to rescue.

        Raises:
            StoreError: The store can't be used now.
        """
        worker = f"{platform.node() or 'host'}-{os.getpid()}-{token_hex(4)}"
        began = self.kernel.now()
        facts = {"host": platform.node(), "pid": str(os.getpid())}
        await self.store.register(worker, self.lease, facts, self.names)
        self.worker, self.is_gone = worker, False
        self.renew(began)

    @property
    def has_lease(self) -> bool:
        """Tell whether it is sure that nobody else has the jobs at hand."""
        return self.worker is not None and self.kernel.now() < self.lease_ends

    async def wait_for_lease(self) -> None:
        """Wait a moment for news of the lease."""
        await self._renewed.wait(1.0)

    def renew(self, began: float) -> None:
        """Note that the store has extended the lease, as asked at the moment *began*."""
        was_over = not self.has_lease
        self.lease_ends = began + self.lease
        if was_over:
            self._renewed.ring()
            self.wake.ring()
        if self._is_lease_in_doubt:
            self._is_lease_in_doubt = False
            self.kernel.events.info("worker.lease_renewed", worker=self.worker, jobs=len(self.runs))

    def doubt(self) -> None:
        """Note that the lease has ended, and that the store can't say whether somebody took the jobs."""
        if not self._is_lease_in_doubt:
            self._is_lease_in_doubt = True
            self.kernel.events.warning("worker.lease_in_doubt", worker=self.worker, jobs=len(self.runs))

    def lose(self) -> None:
        """Give up the lease and what is at hand: others have it by now."""
        worker, self.worker, self.lease_ends = self.worker, None, -inf
        self._is_lease_in_doubt = False
        if worker is not None:
            self.kernel.events.error("worker.lease_lost", worker=worker, jobs=len(self.runs))
        for run in tuple(self.runs.values()):
            run.lose()
        self._renewed.ring()

    # --- a store that is away -------------------------------------------------------------------------

    async def insist(
        self,
        write: Callable[[], Awaitable[ResultT]],
        is_vain: Callable[[], bool] = lambda: False,
        *,
        of: Sequence[Trouble] = (StoreError,),
        is_answer: bool = True,
    ) -> ResultT:
        """Use the store; while it is away wait, longer each time, and try again.

        Args:
            write: What to do; done again from the start.
            is_vain: Tells that it is not worth another try.
            of: Which errors are waited for: others where it is not only the store that is used.
            is_answer: When it is done the store has answered. False where it may not have been asked.

        Raises:
            StoreError: It is of no use to wait.
            BlobError: The same, where that is waited for.
        """
        tries = 0
        while True:
            try:
                done = await write()
            except (StoreError, BlobError) as error:
                if not isinstance(error, tuple(of)) or not error.is_passing or is_vain():
                    raise
                self.store_failed(error)
                tries += 1
                # When the lease is renewed the store is back: nobody has to wait for longer.
                await self._renewed.wait(_PATIENCE.wait(tries, self.kernel.rng))
            else:
                if is_answer:
                    self.store_answered(of)
                return done

    def store_failed(self, error: StoreError | BlobError) -> None:
        """Say, once, that the store is away, or the folder of large results."""
        problem, of = redact(str(error)), BlobError if isinstance(error, BlobError) else StoreError
        if problem != self._troubles.get(of):
            self._troubles[of] = problem
            self.kernel.events.warning("store.unavailable", error=problem)

    def store_answered(self, of: Sequence[Trouble] = (StoreError,)) -> None:
        """Say that it is back, if it was away."""
        if not self._troubles:
            return
        for one in of:
            if self._troubles.pop(one, None) is not None:
                self.kernel.events.info("store.recovered")

    # --- the end --------------------------------------------------------------------------------------

    def open(self) -> None:
        """Claim jobs, unless the system ends."""
        self.is_taking, self.is_gone = not self.is_ending, False

    def close(self) -> None:
        """Claim nothing more until a runner starts again."""
        self.is_taking = False
        self.wake.ring()

    async def drain(self) -> None:
        """Let the jobs at hand end; give back those that are not over in time."""
        self.close()
        await self.wait_empty(self.drain_time)
        for run in tuple(self.runs.values()):
            run.release_at_step()
        await self.wait_empty(GRACE)
        for run in tuple(self.runs.values()):
            run.release()
        if self.has_lease:
            await self.wait_empty(GRACE)
        while self.runs:
            self._leave_the_store()
            await self._left.wait(1.0)

    def _leave_the_store(self) -> None:
        """Wait no longer for a store, or a folder, that is away: what it can't be told now is lost."""
        self.is_gone = True
        if self.has_lease:
            self._renewed.ring()
        else:
            self.lose()

    async def wait_empty(self, seconds: float) -> None:
        """Wait until no job is at hand, for so many seconds at the most."""
        with anyio.move_on_after(seconds):
            while self.runs:
                await self._left.wait()


class Bell:
    """Wake whoever waits; one that is rung while nobody waits is heard by the next."""

    def __init__(self) -> None:
        self._rung = anyio.Event()

    def ring(self) -> None:
        """Wake whoever waits."""
        self._rung.set()

    async def wait(self, seconds: float = inf) -> None:
        """Wait until it is rung, or for so many seconds; several may wait."""
        rung = self._rung
        with anyio.move_on_after(seconds):
            await rung.wait()
        if self._rung is rung and rung.is_set():
            self._rung = anyio.Event()
