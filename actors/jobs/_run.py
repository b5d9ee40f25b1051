"""One run of a job: from its claim to what the store says afterwards."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from math import inf
from typing import TYPE_CHECKING, TypeVar

import anyio
import anyio.lowlevel
import msgspec

from ...runtime import Timer, current_request, redact, text_of
from ._context import JobContext
from ._desk import Desk, Trouble
from ._errors import LeaseLostError, StoreError, UnknownStepError
from ._failure import failure_of
from ._function import AnyJobFunction
from ._records import Claimed, Failure, JobState, Step
from ._saver import Saver, refusal_of
from ._steps import Steps
from ._tally import Tally
from ._verdict import leaves_of

if TYPE_CHECKING:
    from ._queue import Queue

ResultT = TypeVar("ResultT")

UNWIND = 5.0
"""Seconds a cancelled job may take to unwind before it is left behind."""
_SHORT = 1.0
"""Seconds of sleep that are not worth giving up the slot."""


class End(enum.Enum):
    """Why a run was cancelled."""

    CANCELLED = enum.auto()
    """A person asked for it."""
    ASLEEP = enum.auto()
    """The job waits for a moment of its own."""
    RELEASED = enum.auto()
    """This worker ends."""
    LOST = enum.auto()
    """The lease is lost."""


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
        self._function = function
        self._began = desk.kernel.now()
        self._why: End | None = None
        self._wakes = 0.0
        self._result: bytes | None = None
        self._is_over = False
        """It has ended, or was left behind."""
        self._is_releasing = False
        options = function.options
        self._patience = inf if options.attempt_timeout is None else options.attempt_timeout
        self._scope = anyio.CancelScope(deadline=self._began + min(self._patience, self.time_left()))
        self._timers: list[Timer] = []

    # --- what the job's context asks ------------------------------------------------------------------

    @property
    def is_lost(self) -> bool:
        """Tell whether another worker may have the job."""
        return self._why is End.LOST

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
            await self.insist(lambda: self.queue.purse.check(self.job, spent, unstored))

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
        self, write: Callable[[], Awaitable[ResultT]], of: Sequence[Trouble] = (StoreError,)
    ) -> ResultT:
        """Use the store for this run, and wait while it is away, until the run is lost; see `Desk.insist`.

        Raises:
            LeaseLostError: Another worker has the job.
            StoreError: The store can't be used, and it is of no use to wait.
        """
        if self.is_lost:
            raise LeaseLostError(self.job.id, self.job.fence)
        try:
            return await self.desk.insist(write, self._is_vain, of=of)
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
        self._wakes = moment
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
        if self._is_over or self._why is End.LOST or (self._why is not None and why is not End.LOST):
            return
        self._why = why
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
        self._tell("job.started", attempt=self.job.attempt, steps=len(self.steps.stored))
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
        job, function = self.job, self._function
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
        self._result = data

    # --- what the store is told -----------------------------------------------------------------------

    async def _settle(self, error: BaseException | None) -> None:
        try:
            if not self.is_lost:
                await self._write_end(error)
        except LeaseLostError:
            self._why = End.LOST
        except Exception as problem:  # noqa: BLE001 - the store's: it must not end the system
            refusal = refusal_of(f"job {self.job.id}", self._result or b"", problem)
            await self._settle_anyhow(refusal or problem)
        finally:
            if self.is_lost:
                self.desk.is_in_doubt = True  # where only its runner was lost, the store has it as ours still
                self.desk.kernel.events.warning("job.lost", job=self.job.id, kind=self.job.kind)
            self._leave()

    async def _settle_anyhow(self, problem: Exception) -> None:
        """End a run whose end the store refuses: as a failure, else for good, else by giving up the lease."""
        try:
            await self._write_failure(problem)
        except Exception as again:  # noqa: BLE001 - the store's, or that of a backoff which is no store's fault
            try:
                await self._fail(self._describe(again), None, spends=True)
            except Exception:  # noqa: BLE001 - the store's
                self._why = End.LOST
                self._report(problem)

    def _report(self, problem: Exception) -> None:
        """Say that the end could not be stored; the lease ends, so that the job is rescued."""
        self.desk.kernel.events.error(
            "job.end_not_stored",
            job=self.job.id,
            kind=self.job.kind,
            error_type=type(problem).__name__,
            error=redact(text_of(problem)),
        )
        self.desk.lose()

    def _cancel_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _leave(self) -> None:
        self._cancel_timers()
        if not self._is_over:
            self._end_work()
        self.desk.leave(self)

    async def _write_end(self, error: BaseException | None) -> None:
        store, job, tally = self.desk.store, self.job, self.tally
        result = self._result
        if result is not None:
            succeed = partial(
                store.succeed, job.id, job.fence, result, cost_usd=tally.cost_usd, retries=tally.retries
            )
            await self.insist(succeed)
            self.queue.counters.run_ended(job.kind, "succeeded")
            self._tell("job.succeeded", seconds=round(self._seconds(), 3))
        elif self._why is End.CANCELLED:
            end = partial(
                store.end_cancelled, job.id, job.fence, cost_usd=tally.cost_usd, retries=tally.retries
            )
            await self.insist(end)
            self.queue.counters.run_ended(job.kind, "cancelled")
            self._tell("job.cancelled")
        elif self._why is End.RELEASED:
            release = partial(
                store.release, job.id, job.fence, cost_usd=tally.cost_usd, retries=tally.retries
            )
            self._tell_released(await self.insist(release))
        elif self._why is End.ASLEEP:
            left = max(0.0, self._wakes - self.store_now())
            asleep = Failure(error="asleep", error_type="sleep", cause="asleep")
            await self._fail(self._with_facts(asleep), left, spends=False)
        else:
            await self._write_failure(error or self._timeout())

    def _tell_released(self, state: JobState) -> None:
        if state is JobState.CANCELLED:
            self.queue.counters.run_ended(self.job.kind, "cancelled")
            self._tell("job.cancelled")
        else:
            self.queue.counters.run_ended(self.job.kind, "released")
            self._tell("job.released")

    async def _write_failure(self, error: BaseException) -> None:
        job = self.job
        if any(isinstance(leaf, LeaseLostError) for leaf in leaves_of(error)):
            raise LeaseLostError(job.id, job.fence)
        verdict = self._function.options.patience.judge(
            error,
            attempt=job.attempt,
            most=job.max_attempts,
            time_left=self.time_left(),
            rng=self.desk.kernel.rng,
        )
        failure = self._describe(error)
        if not verdict.spends:
            # There may be very many of them, and they say nothing about the code.
            failure = msgspec.structs.replace(failure, traceback="")
        await self._fail(failure, verdict.retry_in, spends=verdict.spends)

    async def _fail(self, failure: Failure, retry_in: float | None, *, spends: bool) -> None:
        job, events = self.job, self.desk.kernel.events
        state = await self.insist(
            partial(self.desk.store.fail, job.id, job.fence, failure, retry_in=retry_in, spends=spends)
        )
        outcome = str(state) if state.is_final else "retrying" if spends else "waiting"
        self.queue.counters.run_ended(job.kind, outcome)
        if state is JobState.DEAD:
            events.error("job.dead", **self._facts(), attempt=job.attempt, error=failure.error)
        elif state is JobState.CANCELLED:
            self._tell("job.cancelled")
        elif not spends:
            self._tell("job.waiting", delay_s=round(retry_in or 0.0, 3), reason=failure.error)
        else:
            events.warning(
                "job.retrying",
                **self._facts(),
                attempt=job.attempt,
                delay_s=round(retry_in or 0.0, 3),
                error=failure.error,
            )

    def _timeout(self) -> TimeoutError:
        if self.time_left() <= 0.0:
            return TimeoutError("its deadline passed")
        return TimeoutError(f"not done within {self._patience:g} s")

    def _describe(self, error: BaseException) -> Failure:
        return self._with_facts(failure_of(error, self.steps.failed_in))

    def _with_facts(self, failure: Failure) -> Failure:
        return msgspec.structs.replace(
            failure,
            seconds=self._seconds(),
            cost_usd=self.tally.cost_usd,
            service_retries=self.tally.retries,
        )

    def _seconds(self) -> float:
        return self.desk.kernel.now() - self._began

    def _facts(self) -> dict[str, object]:
        return {"job": self.job.id, "kind": self.job.kind, "queue": self.job.queue}

    def _tell(self, event: str, **facts: object) -> None:
        self.desk.kernel.events.info(event, **self._facts(), **facts)
