"""One run of a job: from its claim to what the store says afterwards."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from math import inf
from typing import TYPE_CHECKING, TypeVar

import anyio
import anyio.lowlevel

from ...runtime import Timer, current_request
from ._context import JobContext
from ._desk import Desk, Trouble
from ._errors import LeaseLostError, StoreError, UnknownStepError
from ._function import AnyJobFunction
from ._records import Claimed, Step
from ._saver import Saver
from ._settlement import End, Settlement
from ._steps import Steps
from ._tally import Tally

if TYPE_CHECKING:
    from ._queue import Queue

ResultT = TypeVar("ResultT")

UNWIND = 5.0
"""Seconds a cancelled job may take to unwind before it is left behind."""
_SHORT = 1.0
"""Seconds of sleep that are not worth giving up the slot."""


class Run:
    """One run of a job."""

    def __init__(self, desk: Desk, queue: Queue, function: AnyJobFunction, claimed: Claimed) -> None:
        self.desk = desk
        self.queue = queue
        self.job = claimed.job
        self.steps = Steps(self, claimed.steps)
        self.tally = Tally(f"{self.job.id}:run-{self.job.fence}")
        """What was spent outside finished steps."""
        self.saver = Saver(self)
        self.saved = Tally("")
        """What the steps finished in this run took."""
        self.function = function
        self.why: End | None = None
        """Why it was cancelled; None: it was not."""
        self.wakes = 0.0
        """Where it is asleep: until when, by the store's clock."""
        self.result: bytes | None = None
        """What its function has returned, encoded; None: it has not."""
        self._began = desk.kernel.now()
        self._is_over = False
        """It has ended, or was left behind."""
        self._is_releasing = False
        options = function.options
        self.patience = inf if options.attempt_timeout is None else options.attempt_timeout
        """Seconds that its function may take."""
        self._scope = anyio.CancelScope(deadline=self._began + min(self.patience, self.time_left()))
        self._timers: list[Timer] = []

    # --- what the job's context asks ------------------------------------------------------------------

    @property
    def is_lost(self) -> bool:
        """Tell whether another worker may have the job."""
        return self.why is End.LOST

    def key_of(self, step: str) -> str:
        """Return the idempotency key of a step."""
        return f"{self.job.id}:{step}"

    def store_now(self) -> float:
        """Return the moment by the store's clock."""
        return (self.job.started_at or 0.0) + self.desk.kernel.now() - self._began

    def time_left(self) -> float:
        """Return the seconds to the job's deadline."""
        return inf if self.job.deadline is None else self.job.deadline - self.store_now()

    async def stored_steps(self) -> Sequence[Step]:
        """Return the job's steps as they are stored now.

        Raises:
            StoreError: The store can't be read, and it is of no use to wait.
        """
        detail = await self.insist(lambda: self.desk.store.job(self.job.id))
        return () if detail is None else detail.steps

    async def check_budget(self) -> None:
        """Refuse to go on when the job, its user, its queue or everybody has spent what they may.

        Raises:
            BudgetExceededError: They have.
            StoreError: The ledger can't be read, and it is of no use to wait.
        """
        spent = self.job.cost_usd + self.saved.cost_usd + self.tally.cost_usd
        if self.queue.purse.is_asked_by(self.job):
            unstored = self.tally.cost_usd
            await self.insist(lambda: self.queue.purse.check(self.job, spent, unstored), is_answer=False)

    async def checkpoint(self) -> None:
        """Go no further when the worker ends, nor while nobody can say whose the job is."""
        while not self.desk.has_lease and not self.is_lost and not self._is_releasing:
            await self.desk.wait_for_lease()
        if self._is_releasing:
            self.release()
        # What a step does need not wait, and storing it is shielded: here it hears of its cancellation.
        await anyio.lowlevel.checkpoint_if_cancelled()

    async def note(self, kind: str, data: Mapping[str, object]) -> None:
        """Tell something of the job; see `Store.note`."""
        await self.insist(lambda: self.desk.store.note(self.job.id, self.job.fence, kind, data))

    async def insist(
        self,
        write: Callable[[], Awaitable[ResultT]],
        of: Sequence[Trouble] = (StoreError,),
        *,
        is_answer: bool = True,
    ) -> ResultT:
        """Use the store for this run, and wait while it is away, until the run is lost; see `Desk.insist`.

        Raises:
            LeaseLostError: Another worker has the job.
            StoreError: The store can't be used, and it is of no use to wait.
        """
        if self.is_lost:
            raise LeaseLostError(self.job.id, self.job.fence)
        try:
            return await self.desk.insist(write, self._is_vain, of=of, is_answer=is_answer)
        except LeaseLostError:
            self.lose()
            raise

    def _is_vain(self) -> bool:
        return self.is_lost or self.desk.is_gone

    async def sleep(self, moment: float) -> None:
        """Wait until a moment of the store's clock: shortly in place, else without a slot."""
        left = moment - self.store_now()
        if left <= _SHORT or self.steps.in_hand:
            await anyio.sleep(max(0.0, left))
            return
        self.wakes = moment
        self._end(End.ASLEEP)
        await anyio.sleep_forever()

    # --- what ends it ---------------------------------------------------------------------------------

    def cancel(self) -> None:
        """End it because a person asked for it."""
        self._end(End.CANCELLED)

    def lose(self) -> None:
        """End it because another worker may have the job."""
        self._end(End.LOST)
        self.saver.run_lost()

    def release(self) -> None:
        """End it because this worker ends."""
        self._end(End.RELEASED)

    def release_at_step(self) -> None:
        """End it when the step in hand is stored."""
        self._is_releasing = True

    def _end(self, why: End) -> None:
        if self._is_over or self.why is End.LOST or (self.why is not None and why is not End.LOST):
            return
        self.why = why
        self._scope.cancel()
        self._give_up_in(UNWIND)

    def _give_up_in(self, seconds: float) -> None:
        if seconds < inf:
            kernel = self.desk.kernel
            self._timers.append(kernel.timers.call_at(kernel.now() + seconds, self._give_up))

    def _give_up(self) -> None:
        """Go on without a function that swallows its cancellation: its fence is old from now on."""
        if self.saver.is_busy and not self.desk.is_gone:
            # It waits for the store, and what it holds may be paid for.
            self._cancel_timers()
            self._give_up_in(UNWIND)
        elif not self._is_over:
            self.desk.kernel.events.error("job.stuck", job=self.job.id, kind=self.job.kind)
            self._end_work()
            self.desk.kernel.start_soon(partial(self._settle, None))

    # --- its course -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin, in a task of its own."""
        self.desk.take(self)
        self._give_up_in(self._scope.deadline - self._began + UNWIND)
        self.desk.kernel.start_soon(self._go)

    async def _go(self) -> None:
        self.tell("job.started", attempt=self.job.attempt, steps=len(self.steps.stored))
        try:
            error = await self._work()
        except BaseException:
            self._leave()  # the system goes down; the job is rescued when the lease has ended
            raise
        if not self._is_over:
            self._end_work()
            await self._settle(error)

    def _end_work(self) -> None:
        self._is_over = True
        self.desk.free_place()

    async def _work(self) -> BaseException | None:
        kernel = self.desk.kernel
        slot = kernel.slot()
        slot.sponsor = self.tally
        current_request.set(slot)
        try:
            with self._scope:
                await self._call()
        except BaseException as error:
            if not kernel.is_failure(error):
                raise
            return error
        finally:
            slot.done = True
        return None

    async def _call(self) -> None:
        job, function = self.job, self.function
        if job.version != function.options.version and self.steps.stored:
            problem = (
                f"was finished by version {job.version!r} of the job, which is {function.options.version!r} "
                "now: put that version back and retry the job, or replay it from scratch"
            )
            raise UnknownStepError(job.id, next(iter(self.steps.stored)), problem)
        value = await function.run(JobContext(self), function.signature.decode(job.args))
        data, _ = function.signature.result.encode(f"job {job.id}", value)
        self.queue.large_results.check_inline(f"job {job.id}", data)
        if unused := self.steps.unused():
            kernel = self.desk.kernel
            kernel.events.warning("job.steps_unused", job=job.id, kind=job.kind, steps=unused)
            await self.note("log", {"text": "finished steps that the code no longer has", "steps": unused})
        self.result = data

    # --- its end --------------------------------------------------------------------------------------

    async def _settle(self, error: BaseException | None) -> None:
        try:
            if not self.is_lost:
                await Settlement(self).store(error)
        except LeaseLostError:
            self.why = End.LOST
        finally:
            if self.is_lost:
                # Where only its runner was lost, the store has it as ours still.
                self.desk.may_have_orphans = True
                self.desk.kernel.events.warning("job.lost", job=self.job.id, kind=self.job.kind)
            self._leave()

    def _cancel_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _leave(self) -> None:
        self._cancel_timers()
        if not self._is_over:
            self._end_work()
        self.desk.leave(self)

    # --- what is said of it ---------------------------------------------------------------------------

    def seconds(self) -> float:
        """Return how long it has been at it."""
        return self.desk.kernel.now() - self._began

    def facts(self) -> dict[str, object]:
        """Return what every event of it says."""
        return {"job": self.job.id, "kind": self.job.kind, "queue": self.job.queue}

    def tell(self, event: str, **facts: object) -> None:
        """Say something that is as it should be."""
        self.desk.kernel.events.info(event, **self.facts(), **facts)
