"""The steps of one run: recall those that are finished, carry out and store the others."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable
from math import inf
from typing import TYPE_CHECKING

import anyio
import msgspec

from ...runtime import current_request
from ._errors import DuplicateStepError, UnknownStepError
from ._records import Step
from ._signature import Codec
from ._tally import Tally
from ._texts import check_name
from ._verdict import leaves_of

if TYPE_CHECKING:
    from ._run import Run

_KEPT = 32
"""Errors of steps to be remembered."""


class Steps:
    """The steps of one run of a job."""

    def __init__(self, run: Run, stored: Iterable[Step]) -> None:
        self._run = run
        self.stored = {step.name: step for step in stored}
        self._begun: set[str] = set()
        self._asked: Counter[str] = Counter()
        self.in_hand = 0
        """Steps being carried out."""
        self._failed: deque[tuple[BaseException, str]] = deque(maxlen=_KEPT)
        """Errors that left a step, and which; not all, as a job may catch any number of them."""

    def name_by_place(self, what: str) -> str:
        """Name a step by what it is and how many of these there were before."""
        self._asked[what] += 1
        return f"{what}-{self._asked[what]}"

    def unused(self) -> list[str]:
        """Return the steps that were finished before and that this run never came to."""
        return [name for name in self.stored if name not in self._begun]

    def begin(self, name: str) -> None:
        """Take a name.

        Raises:
            DuplicateStepError: Another step of this run has it.
            ValueError: It can't be stored.
        """
        check_name("step: name", name)
        if name in self._begun:
            raise DuplicateStepError(self._run.job.id, name)
        self._begun.add(name)

    def failed_in(self, error: BaseException) -> str | None:
        """Return the step that an error, or one it is part of, came out of last; None: no step."""
        steps = (name for failed, name in reversed(self._failed) if error in leaves_of(failed))
        return next(steps, None)

    async def recall(self, step: Step, codec: Codec, version: str) -> object:
        """Return the result of a step that was finished before.

        Raises:
            UnknownStepError: It was finished by another version of its code, or its result no longer fits.
            BlobError: The file that holds it is gone or damaged.
        """
        if step.version != version:
            problem = (
                f"was finished by version {step.version!r} of its code, which is {version!r} now: put that "
                "version back and retry the job, or replay it from scratch"
            )
            raise UnknownStepError(self._run.job.id, step.name, problem)
        data = step.result if step.blob is None else await self._run.queue.large_results.get(step.blob)
        try:
            return codec.decode(data)
        except msgspec.MsgspecError as error:
            problem = (
                f"has a stored result that no longer fits its type ({error}): replay the job from scratch"
            )
            raise UnknownStepError(self._run.job.id, step.name, problem) from error

    async def carry_out(
        self, name: str, f: Callable[[], Awaitable[object]], codec: Codec, version: str, timeout: float | None
    ) -> object:
        """Carry out a step and store its result.

        Raises:
            TimeoutError: It was not done in time.
            LeaseLostError: Another worker has the job.
        """
        run = self._run
        await run.checkpoint()
        kernel = run.desk.kernel
        began = kernel.now()
        tally = Tally(run.key_of(name))
        slot = kernel.slot()
        slot.sponsor = tally
        slot.limit = inf if timeout is None else began + timeout
        token = current_request.set(slot)
        self.in_hand += 1
        try:
            result = await _in_time(name, f, timeout)
            data, value = codec.encode(self._where(name), result)
            await self._save(name, data, version, kernel.now() - began, tally)
        except BaseException as error:
            run.tally.absorb(tally)
            if kernel.is_failure(error):
                self._failed.append((error, name))
            raise
        finally:
            current_request.reset(token)
            slot.done = True
            self.in_hand -= 1
        return value

    def _where(self, name: str) -> str:
        return f"job {self._run.job.id}, step {name!r}"

    async def _save(self, name: str, data: bytes, version: str, seconds: float, tally: Tally) -> None:
        run = self._run
        queue = run.queue
        queue.large_results.check_size(self._where(name), data)
        # What a step has done may be paid for: a cancellation waits until it is stored.
        with anyio.CancelScope(shield=True):
            step = Step(
                name=name,
                version=version,
                seconds=seconds,
                cost_usd=tally.cost_usd,
                service_retries=tally.retries,
            )
            await run.saver.save(self._where(name), step, data)
        queue.counters.step_ended(run.job.kind, seconds)
        run.saved.absorb(tally)

    async def note_moment(self, name: str, moment: float) -> float:
        """Return the moment stored under *name*; the first time, store *moment*."""
        self.begin(name)
        stored = self.stored.get(name)
        if stored is not None:
            return msgspec.json.decode(stored.result, type=float)
        await self._run.checkpoint()
        with anyio.CancelScope(shield=True):
            await self._run.saver.save(self._where(name), Step(name=name), msgspec.json.encode(moment))
        return moment


async def _in_time(name: str, f: Callable[[], Awaitable[object]], timeout: float | None) -> object:
    if timeout is None:
        return await f()
    with anyio.move_on_after(timeout) as scope:
        return await f()
    assert scope.cancelled_caught
    raise TimeoutError(f"step {name!r}: not done within {timeout:g} s")
