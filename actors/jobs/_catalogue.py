"""The catalogue of a queue: its job functions, and when some of them are enqueued by themselves."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from types import FrameType
from typing import Never, TypeVar, TypeVarTuple, Unpack, cast

from ...supervisors import FailureKind
from ...supervisors.policies import Backoff, Exponential
from ._context import JobContext
from ._errors import JobSpecError
from ._function import AnyJobFunction, JobFunction, JobOptions
from ._keys import Key
from ._options import check_options
from ._schedule import Cron, Every, Schedule
from ._texts import check_label
from ._verdict import Patience

ArgsT = TypeVarTuple("ArgsT")
ResultT = TypeVar("ResultT")

_BACKOFF = Exponential(2.0, cap=600.0, base=4.0, jitter="equal")


class Catalogue:
    """Declare jobs and their schedules.

    Args:
        name: Of the queue.

    Raises:
        JobSpecError: It is no name.
    """

    def __init__(self, name: str) -> None:
        check_label("Queue.name", name)
        self.name = name
        self.functions: dict[str, AnyJobFunction] = {}
        """The job functions, by kind."""
        self.schedules: list[tuple[Schedule, AnyJobFunction]] = []

    def job(
        self,
        *mistaken: Never,
        name: str | None = None,
        attempts: int = 5,
        backoff: Backoff = _BACKOFF,
        backoff_by_error: Mapping[type[Exception] | FailureKind, Backoff] | None = None,
        timeout: float | None = None,
        attempt_timeout: float | None = None,
        version: str = "",
        unique: Key | None = None,
        limit_key: Key | None = None,
        limit: int = 1,
        priority: int = 0,
        user: Key | None = None,
        budget_usd: float | None = None,
    ) -> Callable[[Callable[[JobContext, Unpack[ArgsT]], Awaitable[ResultT]]], JobFunction[*ArgsT, ResultT]]:
        """Make an ``async def`` a job: its calls are enqueued, stored, and run by workers.

        It takes the `JobContext` first. Its arguments and its result are JSON values as msgspec knows them
        (Structs, dataclasses, lists, dates ...), checked by the annotations when it is enqueued and again
        when it runs. It may be run several times, so what must happen once belongs in `JobContext.step`.

        Args:
            mistaken: Nothing: it takes options by name, and is written with its parentheses.
            name: Its name in the store; the function's own by default. Jobs that wait in the store are
                found by it, so it should stay.
            attempts: Tries in all, the first one included; then the job is dead.
            backoff: Waits between them; by default about 2, 8, 32 and 128 seconds.
            backoff_by_error: Other waits for some classes of errors or kinds of services' failures.
            timeout: Seconds from the moment it is enqueued until it is given up, waits included.
            attempt_timeout: Seconds one attempt may take.
            version: Of the code. A job with finished steps of another version is dead until that version is
                back or a person replays it.
            unique: Returns a key from the arguments. While a job of this function with the key is
                unfinished, another is not stored: enqueueing returns the first one's id.
            limit_key: Returns a key from the arguments. Jobs of the queue that share it are limited together.
            limit: So many of them run at a time, over all workers.
            priority: Higher ones go first.
            user: Returns from the arguments whose job it is.
            budget_usd: What it may spend; when it has, its next step fails and it is dead.

        Raises:
            JobSpecError: An option is out of range, the function can't be a job, or the queue has a job of
                this name.
        """
        if mistaken:
            problem = "takes options by name only: write @queue.job(), with the parentheses"
            raise JobSpecError("job:", problem)
        waits: Mapping[type[Exception] | FailureKind, Backoff] = (
            {} if backoff_by_error is None else backoff_by_error
        )
        options = JobOptions(
            patience=Patience(attempts=attempts, backoff=backoff, backoff_by_error=waits),
            timeout=timeout,
            attempt_timeout=attempt_timeout,
            version=version,
            unique=unique,
            limit_key=limit_key,
            limit=limit,
            priority=priority,
            user=user,
            budget_usd=budget_usd,
        )
        check_options(options)
        if name is not None:
            check_label("job: name", name)

        def declare(
            function: Callable[[JobContext, Unpack[ArgsT]], Awaitable[ResultT]],
        ) -> JobFunction[*ArgsT, ResultT]:
            kind = cast("str", getattr(function, "__name__", "job")) if name is None else name
            if kind in self.functions:
                problem = f"is {kind!r}, which queue {self.name!r} has already: give this one a name="
                raise JobSpecError("job: name", problem)
            # Classes local to the function that declares the job are in no module.
            names = _locals_of(sys._getframe(1))
            made = JobFunction(self.name, kind, function, options, names)
            self.functions[kind] = cast("AnyJobFunction", made)
            return made

        return declare

    def every(
        self, seconds: float, *, offset: float = 0.0
    ) -> Callable[[JobFunction[ResultT]], JobFunction[ResultT]]:
        """Enqueue a job without arguments again and again; stands above `job`.

        Once at each moment, however many workers run. Moments while none runs are left out.

        Args:
            seconds: Between two moments, counted from 1970; at least 1.
            offset: Seconds after each of them.

        Raises:
            JobSpecError: Less than a second.
            JobArgumentsError: The job could not be enqueued without arguments.
        """
        return self._scheduled(Every(seconds, offset))

    def cron(
        self, text: str, *, timezone: str = "UTC"
    ) -> Callable[[JobFunction[ResultT]], JobFunction[ResultT]]:
        """Enqueue a job without arguments by a schedule of cron's five fields; stands above `job`.

        Args:
            text: Minute, hour, day of month, month, day of week: ``"30 3 * * mon-fri"``. See `Cron`.
            timezone: Where the clock hangs.

        Raises:
            JobSpecError: It is no schedule, or there is no such time zone.
            JobArgumentsError: The job could not be enqueued without arguments.
        """
        return self._scheduled(Cron(text, timezone=timezone))

    def check_schedulable(self, function: AnyJobFunction) -> None:
        """Refuse what can't be enqueued without arguments: at its moment it would end the scheduler."""
        function.signature.encode(())

    def _scheduled(self, schedule: Schedule) -> Callable[[JobFunction[ResultT]], JobFunction[ResultT]]:
        def declare(function: JobFunction[ResultT]) -> JobFunction[ResultT]:
            found = cast("AnyJobFunction", function)
            self.check_schedulable(found)
            self.schedules.append((schedule, found))
            return function

        return declare


def _locals_of(frame: FrameType) -> dict[str, object]:
    return {} if frame.f_code.co_name == "<module>" else dict(frame.f_locals)
