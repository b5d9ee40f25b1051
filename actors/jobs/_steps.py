"""The steps of one run: recall those that are finished, carry out and store the others."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from inspect import isawaitable
from math import inf
from typing import TYPE_CHECKING

import anyio
import msgspec

from ...runtime import current_request
from ._errors import DuplicateStepError, JobSpecError, UnknownStepError
from ._records import Step
from ._signature import Codec
from ._tally import Tally
from ._texts import check_label
from ._verdict import leaves_of

if TYPE_CHECKING:
    from ._run import Run

Call = tuple[Callable[..., Awaitable[object]], *tuple[object, ...]]
"""What a step does: a function and its arguments."""
_KEPT = 32
"""Errors of steps to be remembered."""


class Steps:
    """The steps of one run of a job."""

    def __init__(self, run: Run, stored: Iterable[Step]) -> None:
        self._run = run
        self.stored = {step.name: step for step in stored}
        self._begun: set[str] = set()
        self._names: set[str] = set()
        """Of steps in hand."""
        self._finished: dict[str, tuple[Call, int]] = {}
        """Steps that this run has carried out: what was called, and how many had failed before."""
        self._failures = 0
        self._failed_calls: dict[str, list[tuple[object, ...]]] = {}
        """Of steps that failed: the arguments, each once."""
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

    def taken(self, name: str, call: Call) -> Taken:
        """Hold a name while its step is in hand.

        One that fails gives its name free, to be tried again. One that has finished is asked for again by
        a job function that begins anew after a failure: the same call then, or it is a mistake.

        Raises:
            DuplicateStepError: Another step of this run has it.
            JobSpecError: It can't be stored.
        """
        check_label("step: name", name)
        finished = self._finished.get(name)
        if name in self._names or (finished is not None and not self._is_repeated(call, *finished)):
            raise DuplicateStepError(self._run.job.id, name)
        self._names.add(name)
        self._begun.add(name)
        return Taken(self, name, call, is_again=finished is not None)

    def _is_repeated(self, call: Call, earlier: Call, failures: int) -> bool:
        return self._failures > failures and _is_same(call, earlier)

    def ended(self, name: str, call: Call, *, is_failed: bool) -> None:
        """Hear that a step is no longer in hand."""
        self._names.discard(name)
        if not is_failed:
            self._finished[name] = call, self._failures
            return
        self._failures += 1
        tried = self._failed_calls.setdefault(name, [])
        if _place_of(call[1:], tried) == len(tried):
            tried.append(call[1:])

    def key_of(self, name: str, call: Call) -> str:
        """Return the idempotency key of a step. One tried again with other arguments has another."""
        key, tried = self._run.key_of(name), self._failed_calls.get(name)
        place = 0 if tried is None else _place_of(call[1:], tried)
        return f"{key}:again-{place + 1}" if place else key

    async def find(self, name: str, *, is_again: bool) -> Step | None:
        """Return a step that is stored; None: it is to be carried out.

        Raises:
            StoreError: The store can't be read, and it is of no use to wait.
        """
        if is_again and name not in self.stored:
            steps = await self._run.stored_steps()
            self.stored.update((step.name, step) for step in steps)
        return self.stored.get(name)

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
        self, name: str, call: Call, codec: Codec, version: str, timeout: float | None
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
        tally = Tally(self.key_of(name, call))
        slot = kernel.slot()
        slot.sponsor = tally
        slot.limit = inf if timeout is None else began + timeout
        token = current_request.set(slot)
        self.in_hand += 1
        try:
            result = await _in_time(name, call, timeout)
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
        where, queue = self._where(name), run.queue
        queue.large_results.check_size(where, data)
        # What a step has done may be paid for: a cancellation waits until it is stored.
        with anyio.CancelScope(shield=True):
            step = Step(
                name=name,
                result=data,
                version=version,
                seconds=seconds,
                cost_usd=tally.cost_usd,
                service_retries=tally.retries,
            )
            await run.saver.save(where, step)
        queue.counters.step_ended(run.job.kind, seconds)
        run.saved.absorb(tally)

    async def note_moment(self, name: str, moment: float) -> float:
        """Return the moment stored under *name*; the first time, store *moment*."""
        with self.taken(name, (_no_call,)) as is_again:
            stored = await self.find(name, is_again=is_again)
            if stored is not None:
                return msgspec.json.decode(stored.result, type=float)
            await self._run.checkpoint()
            with anyio.CancelScope(shield=True):
                step = Step(name=name, result=msgspec.json.encode(moment))
                await self._run.saver.save(self._where(name), step)
            return moment


class Taken:
    """A name that is held; see `Steps.taken`."""

    # A class, as a generator takes three times as long.
    __slots__ = ("_call", "_is_again", "_name", "_steps")

    def __init__(self, steps: Steps, name: str, call: Call, *, is_again: bool) -> None:
        self._steps = steps
        self._name = name
        self._call = call
        self._is_again = is_again

    def __enter__(self) -> bool:
        """Tell whether this run has carried the step out before."""
        return self._is_again

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Give the name free, or note that its step has finished."""
        self._steps.ended(self._name, self._call, is_failed=kind is not None)


async def _no_call() -> None: ...


def _place_of(arguments: tuple[object, ...], tried: Sequence[tuple[object, ...]]) -> int:
    """Return the first place at which *tried* has these arguments, or the one after its last."""
    places = (place for place, earlier in enumerate(tried) if _is_same(arguments, earlier))
    return next(places, len(tried))


def _is_same(one: object, other: object) -> bool:
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001 - of the arguments' own, numbers in arrays say
        return False


async def _in_time(name: str, call: Call, timeout: float | None) -> object:
    f, *arguments = call
    if timeout is None:
        return await _called(name, f, arguments)
    with anyio.move_on_after(timeout) as scope:
        return await _called(name, f, arguments)
    assert scope.cancelled_caught
    raise TimeoutError(f"step {name!r}: not done within {timeout:g} s")


def _called(name: str, f: Callable[..., Awaitable[object]], arguments: Sequence[object]) -> Awaitable[object]:
    made: object = f(*arguments)
    if not isawaitable(made):
        raise JobSpecError(
            f"step {name!r}: f", f"must be an `async def`: it returned a {type(made).__name__}"
        )
    return made
