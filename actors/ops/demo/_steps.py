"""Steps: what a job has finished, kept between its attempts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import msgspec

ResultT = TypeVar("ResultT")


class StepStore(Protocol):
    """Where finished steps are kept. The demo keeps them in memory; a database does as well."""

    async def load(self, job: str, step: str) -> bytes | None:
        """Return what the step's result was saved as, or None if it has not finished."""

    async def save(self, job: str, step: str, result: bytes) -> None:
        """Keep the result of a finished step."""

    async def forget(self, job: str) -> None:
        """Drop all steps of a job that has ended."""


class MemorySteps:
    """Keep finished steps for as long as the process lives."""

    def __init__(self) -> None:
        self._results: dict[str, dict[str, bytes]] = {}

    async def load(self, job: str, step: str) -> bytes | None:
        """Return what the step's result was saved as, or None if it has not finished."""
        return self._results.get(job, {}).get(step)

    async def save(self, job: str, step: str, result: bytes) -> None:
        """Keep the result of a finished step."""
        self._results.setdefault(job, {})[step] = result

    async def forget(self, job: str) -> None:
        """Drop all steps of a job that has ended."""
        self._results.pop(job, None)


class Steps:
    """The steps of one job. A step that has finished is not run again, whatever becomes of the rest."""

    def __init__(self, store: StepStore, job: str) -> None:
        self._store = store
        self._job = job

    async def run(self, step: str, result: type[ResultT], work: Callable[[], Awaitable[ResultT]]) -> ResultT:
        """Return the step's result, from *work* or from an earlier attempt.

        Args:
            step: Unique in the job.
            result: The type of the result: it is stored as msgpack and read back as this.
            work: Called only if the step has not finished yet.
        """
        kept = await self._store.load(self._job, step)
        if kept is not None:
            return msgspec.msgpack.decode(kept, type=result)
        value = await work()
        await self._store.save(self._job, step, msgspec.msgpack.encode(value))
        return value
