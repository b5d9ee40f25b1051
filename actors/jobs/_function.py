"""Job functions: what `Queue.job` makes of a function."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar, TypeVarTuple, Unpack, cast

import msgspec

from ._context import JobContext
from ._errors import JobArgumentsError
from ._records import NewJob
from ._signature import Signature
from ._verdict import Patience

ArgsT = TypeVarTuple("ArgsT")
ResultT = TypeVar("ResultT")


class JobOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for all jobs of a function; see `Queue.job`."""

    patience: Patience = Patience()
    timeout: float | None = None
    attempt_timeout: float | None = None
    version: str = ""
    unique: Callable[..., str | None] | None = None
    limit_key: Callable[..., str | None] | None = None
    limit: int = 1
    priority: int = 0
    user: Callable[..., str | None] | None = None
    budget_usd: float | None = None


class JobFunction(Generic[*ArgsT, ResultT]):
    """A function whose calls are jobs. Call it with a context to run it as it is, in a test say."""

    def __init__(
        self,
        queue: str,
        kind: str,
        function: Callable[[JobContext, Unpack[ArgsT]], Awaitable[ResultT]],
        options: JobOptions,
        names: Mapping[str, object],
    ) -> None:
        self.queue = queue
        self.kind = kind
        """Its name in the store."""
        self.options = options
        self.signature = Signature(kind, function, names)
        self.function = function
        """As it was written."""
        self.__name__ = kind
        self.__doc__ = function.__doc__

    def __repr__(self) -> str:
        return f"<JobFunction {self.queue}/{self.kind}>"

    def __call__(self, job: JobContext, *arguments: *ArgsT) -> Awaitable[ResultT]:
        """Run the function as it is."""
        return self.function(job, *arguments)

    async def run(self, job: JobContext, arguments: tuple[object, ...]) -> object:
        """Run it with arguments from the store."""
        return await cast("Callable[..., Awaitable[object]]", self.function)(job, *arguments)

    def new_job(
        self,
        id: str,  # noqa: A002 - the name people know
        *arguments: *ArgsT,
        delay: float,
        user: str | None,
        priority: int | None,
    ) -> NewJob:
        """Make a job of this function, to be put into a store.

        Args:
            id: Its id.
            arguments: Its arguments.
            delay: Seconds until it may begin.
            user: Whose job it is, instead of what ``user`` of the options says.
            priority: Instead of the options'.

        Raises:
            JobArgumentsError: The arguments don't fit.
        """
        options = self.options
        args = self.signature.encode(cast("tuple[object, ...]", arguments))
        unique = self._told("unique", options.unique, arguments)
        limit_key = self._told("limit_key", options.limit_key, arguments)
        if user is None:
            user = self._told("user", options.user, arguments)
        return NewJob(
            id=id,
            queue=self.queue,
            kind=self.kind,
            args=args,
            version=options.version,
            priority=options.priority if priority is None else priority,
            delay=delay,
            max_attempts=options.patience.attempts,
            timeout=options.timeout,
            unique_key=None if unique is None else f"{self.queue}/{self.kind}/{unique}",
            limit_key=limit_key,
            limit=options.limit,
            user=user,
            budget_usd=options.budget_usd,
        )

    def _told(
        self, name: str, tell: Callable[..., str | None] | None, arguments: tuple[*ArgsT]
    ) -> str | None:
        if tell is None:
            return None
        try:
            return tell(*arguments)
        except Exception as error:
            problem = f"{name}= can't be told from them: {type(error).__name__}: {error}"
            raise JobArgumentsError(self.kind, problem) from error


AnyJobFunction = JobFunction[*tuple[object, ...], object]
"""A job function of whatever type."""
