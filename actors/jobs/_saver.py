"""How the finished steps of one run are stored, also when that takes long, or when it comes late."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec

from ...runtime import redact
from ._errors import BlobError, LeaseLostError, StoreError, UnstorableResultError
from ._records import Step

if TYPE_CHECKING:
    from ._run import Run

_TROUBLES = (StoreError, BlobError)


class Saver:
    """Store what the steps of one run have finished: it may be paid for.

    While the store is away it waits, however long: the lease is not lost before the store says so. When it
    is lost, what is at hand is stored late, if the job still has use for it, before this worker claims again.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._in_hand = 0

    @property
    def is_busy(self) -> bool:
        """Tell whether a result waits to be stored."""
        return self._in_hand > 0

    async def save(self, where: str, step: Step) -> None:
        """Store a finished step. Call it in a shield.

        Args:
            where: Which one, for errors.
            step: It, with its result, however large.

        Raises:
            LeaseLostError: Another worker may have the job.
            ResultTooLargeError: The result is large, and there is no folder for it.
            UnstorableResultError: The store can be used, but does not take this.
            StoreError: The store can't be used, and it is of no use to wait.
            BlobError: The same of the folder of large results.
        """
        self._in_hand += 1
        if self._run.is_lost:
            self._run.desk.late.add(self)
        try:
            await self._save(where, step)
        finally:
            self._in_hand -= 1
            if not self._in_hand and self in self._run.desk.late:
                self._run.desk.late.discard(self)
                self._run.desk.wake.ring()

    def run_lost(self) -> None:
        """Have the worker claim nothing until what waits here is stored."""
        if self._in_hand:
            self._run.desk.late.add(self)

    async def _save(self, where: str, step: Step) -> None:
        run = self._run
        store, job = run.desk.store, run.job

        async def save() -> None:
            await store.save_step(job.id, job.fence, await self._in_place(where, step))

        async def save_late() -> bool:
            return await store.save_late(job.id, job.runs, await self._in_place(where, step))

        try:
            await run.insist(save, of=_TROUBLES)
        except LeaseLostError:
            await self._save_late(step, save_late)
            raise
        except _TROUBLES as error:
            if refusal := refusal_of(where, step.result, error):
                raise refusal from error
            if not run.is_lost:
                self._tell_dropped(step, redact(str(error)))
                raise
            await self._save_late(step, save_late)
            raise LeaseLostError(job.id, job.fence) from error

    async def _in_place(self, where: str, step: Step) -> Step:
        """Put a large result into its file: again before each try, as a sweep may have removed it."""
        blob = await self._run.queue.large_results.put(where, step.result)
        return msgspec.structs.replace(step, result=b"", blob=blob) if blob else step

    async def _save_late(self, step: Step, save: Callable[[], Awaitable[bool]]) -> None:
        desk = self._run.desk
        try:
            is_stored = await desk.insist(save, lambda: desk.is_gone, of=_TROUBLES)
        except _TROUBLES as error:
            self._tell_dropped(step, redact(str(error)))
            return
        if is_stored:
            desk.kernel.events.info("job.step_saved_late", **self._facts(step))
        else:
            self._tell_dropped(step, "another run of the job has begun")

    def _tell_dropped(self, step: Step, reason: str) -> None:
        self._run.desk.kernel.events.error("job.step_dropped", **self._facts(step), reason=reason)

    def _facts(self, step: Step) -> dict[str, object]:
        job = self._run.job
        return {"job": job.id, "kind": job.kind, "step": step.name, "cost_usd": step.cost_usd}


def refusal_of(where: str, data: bytes, error: Exception) -> UnstorableResultError | None:
    """Return what it means that a store has something against a result; None: its *error* is no such."""
    if isinstance(error, StoreError) and error.is_of_value:
        return UnstorableResultError(where, str(error), len(data))
    return None
