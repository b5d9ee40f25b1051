"""The end of a run: what the store is told of it."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import msgspec

from ...runtime import redact, text_of
from ._errors import LeaseLostError
from ._failure import failure_of
from ._records import Failure, JobState
from ._saver import refusal_of
from ._verdict import leaves_of

if TYPE_CHECKING:
    from ._run import Run

ResultT = TypeVar("ResultT")


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


class Settlement:
    """Tell the store how a run has ended.

    Args:
        run: Which; its function has ended, or was left behind.
    """

    def __init__(self, run: Run) -> None:
        self._run = run

    async def store(self, error: BaseException | None) -> None:
        """Store the end: as it was, else as a failure, else for good, else by giving up the lease.

        Args:
            error: What its function ended with; None: nothing.

        Raises:
            LeaseLostError: Another worker may have the job.
        """
        job = self._run.job
        try:
            await self._store_end(error)
        except LeaseLostError:
            raise
        except Exception as problem:  # noqa: BLE001 - the store's: it must not end the system
            refusal = refusal_of(f"job {job.id}", self._run.result or b"", problem)
            await self._store_anyhow(refusal or problem)

    async def _store_anyhow(self, problem: Exception) -> None:
        """Store an end that the store refuses."""
        run = self._run
        try:
            await self._store_failure(problem)
        except LeaseLostError:
            raise
        except Exception as again:  # noqa: BLE001 - the store's, or that of a backoff which is no store's fault
            try:
                await self._fail(self._described(again), None, spends=True)
            except Exception:  # noqa: BLE001 - the store's
                run.desk.kernel.events.error(
                    "job.end_not_stored",
                    job=run.job.id,
                    kind=run.job.kind,
                    error_type=type(problem).__name__,
                    error=redact(text_of(problem)),
                )
                run.desk.lose()  # so that the job is rescued
                raise LeaseLostError(run.job.id, run.job.fence) from problem

    async def _store_end(self, error: BaseException | None) -> None:
        run = self._run
        if run.result is not None:
            await self._succeed(run.result)
        elif run.why is End.CANCELLED:
            await run.insist(self._with_costs(run.desk.store.end_cancelled))
            self._tell("job.cancelled")
        elif run.why is End.RELEASED:
            state = await run.insist(self._with_costs(run.desk.store.release))
            if state is JobState.CANCELLED:
                self._tell("job.cancelled")
            else:
                self._tell("job.released")
        elif run.why is End.ASLEEP:
            asleep = Failure(error="asleep", error_type="sleep", cause="asleep")
            left = max(0.0, run.wakes - run.store_now())
            await self._fail(self._with_facts(asleep), left, spends=False)
        else:
            await self._store_failure(error or self._timeout())

    async def _succeed(self, result: bytes) -> None:
        run = self._run
        await run.insist(self._with_costs(partial(run.desk.store.succeed, result=result)))
        self._tell("job.succeeded", seconds=round(run.seconds(), 3))

    def _with_costs(self, write: Callable[..., Awaitable[ResultT]]) -> Callable[[], Awaitable[ResultT]]:
        run = self._run
        return partial(
            write, run.job.id, run.job.fence, cost_usd=run.tally.cost_usd, retries=run.tally.retries
        )

    def _tell(self, event: str, **facts: object) -> None:
        """Count the end, and say so."""
        self._run.queue.counters.run_ended(self._run.job.kind, event.removeprefix("job."))
        self._run.tell(event, **facts)

    async def _store_failure(self, error: BaseException) -> None:
        run, job = self._run, self._run.job
        if any(isinstance(leaf, LeaseLostError) for leaf in leaves_of(error)):
            raise LeaseLostError(job.id, job.fence)
        verdict = run.function.options.patience.judge(
            error,
            attempt=job.attempt,
            most=job.max_attempts,
            time_left=run.time_left(),
            rng=run.desk.kernel.rng,
        )
        failure = self._described(error)
        if not verdict.spends:
            # There may be very many of them, and they say nothing about the code.
            failure = msgspec.structs.replace(failure, traceback="")
        await self._fail(failure, verdict.retry_in, spends=verdict.spends)

    async def _fail(self, failure: Failure, retry_in: float | None, *, spends: bool) -> None:
        run, job, events = self._run, self._run.job, self._run.desk.kernel.events
        state = await run.insist(
            partial(run.desk.store.fail, job.id, job.fence, failure, retry_in=retry_in, spends=spends)
        )
        outcome = str(state) if state.is_final else "retrying" if spends else "waiting"
        run.queue.counters.run_ended(job.kind, outcome)
        if state is JobState.DEAD:
            events.error("job.dead", **run.facts(), attempt=job.attempt, error=failure.error)
        elif state is JobState.CANCELLED:
            run.tell("job.cancelled")
        elif not spends:
            run.tell("job.waiting", delay_s=round(retry_in or 0.0, 3), reason=failure.error)
        else:
            events.warning(
                "job.retrying",
                **run.facts(),
                attempt=job.attempt,
                delay_s=round(retry_in or 0.0, 3),
                error=failure.error,
            )

    def _timeout(self) -> TimeoutError:
        if self._run.time_left() <= 0.0:
            return TimeoutError("its deadline passed")
        return TimeoutError(f"not done within {self._run.patience:g} s")

    def _described(self, error: BaseException) -> Failure:
        return self._with_facts(failure_of(error, self._run.steps.failed_in))

    def _with_facts(self, failure: Failure) -> Failure:
        run = self._run
        return msgspec.structs.replace(
            failure, seconds=run.seconds(), cost_usd=run.tally.cost_usd, service_retries=run.tally.retries
        )
