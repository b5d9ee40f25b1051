"""What a job function sees."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from math import inf
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple, Unpack, cast

from ...runtime import Ref, Request, redact, redact_mapping
from ._texts import storable, storable_facts

if TYPE_CHECKING:
    from ._run import Run

ArgsT = TypeVarTuple("ArgsT")
ResultT = TypeVar("ResultT")


class JobContext:
    """What a job function knows of its job, and how it makes its work last."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __repr__(self) -> str:
        return f"<JobContext {self.kind} {self.id} attempt {self.attempt}>"

    # --- who it is ------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The job's id."""
        return self._run.job.id

    @property
    def kind(self) -> str:
        """The job function's name."""
        return self._run.job.kind

    @property
    def queue(self) -> str:
        """The queue's name."""
        return self._run.job.queue

    @property
    def user(self) -> str | None:
        """Whose job it is."""
        return self._run.job.user

    @property
    def attempt(self) -> int:
        """Number of this attempt, from 1. Waits that spend none don't count."""
        return self._run.job.attempt

    @property
    def runs(self) -> int:
        """How often the job was begun in all, this run included: also after waits that spent no attempt."""
        return self._run.job.runs

    @property
    def max_attempts(self) -> int:
        """How many attempts there are."""
        return self._run.job.max_attempts

    @property
    def is_last_attempt(self) -> bool:
        """Tell whether the job is dead if this attempt fails."""
        return self.attempt >= self.max_attempts

    @property
    def seconds_left(self) -> float:
        """Seconds to the job's deadline; ``inf`` where it has none."""
        return self._run.time_left()

    @property
    def cost_usd(self) -> float:
        """What the job has cost so far, in all its runs, as far as the services' replies say."""
        run = self._run
        return run.job.cost_usd + run.saved.cost_usd + run.tally.cost_usd

    @property
    def service_retries(self) -> int:
        """Retries that the services' guards made for the job so far, in all its runs."""
        run = self._run
        return run.job.service_retries + run.saved.retries + run.tally.retries

    def idempotency_key(self, step: str) -> str:
        """Return the key that calls of a step have: the same in every run of the job."""
        return self._run.key_of(step)

    # --- what lasts -----------------------------------------------------------------------------------

    async def step(
        self,
        name: str,
        f: Callable[[Unpack[ArgsT]], Awaitable[ResultT]],
        *args: *ArgsT,
        version: str = "",
        timeout: float | None = None,
        returns: type[ResultT] | None = None,
    ) -> ResultT:
        """Do something once, however often the job is run: a finished step returns its stored result.

        *f* may be a function of yours or the ``ask`` of a ref. When it has returned, its result is
        stored before this returns, and what is returned is what was stored, so every run sees the same.
        If the process dies between the two, the step is run again: calls it makes to services carry the
        same idempotency key then. Steps may run in parallel, in a task group of yours.

        Args:
            name: Unique in the job, and the same in every run.
            f: What to do.
            args: Its arguments.
            version: Of what the step does. A result of another version is not used: the job is dead,
                until that version is back or a person replays it from scratch.
            timeout: Seconds; asks the step makes inherit it.
            returns: The result's type, where *f* doesn't say it by its annotations. Without either, it is
                returned as plain JSON values.

        Raises:
            DuplicateStepError: Another step of this run has the name.
            ValueError: The name can't be stored, or is longer than 1,000 bytes.
            UnknownStepError: It was finished by another version.
            ResultTooLargeError: The result is larger than the queue keeps.
            BudgetExceededError: The job has spent its budget, or its user or queue that of the day.
            TimeoutError: It was not done in time.
            TypeError: The result can't be stored.
            LeaseLostError: Another worker has the job; this one's run is being cancelled.
        """
        run = self._run
        run.steps.begin(name)
        codec = run.queue.codecs.find(f, args, returns)
        stored = run.steps.stored.get(name)
        if stored is not None:
            return cast("ResultT", await run.steps.recall(stored, codec, version))
        await run.check_budget()
        return cast("ResultT", await run.steps.carry_out(name, partial(f, *args), codec, version, timeout))

    async def ask(
        self, ref: Ref, message: Request[ResultT], *, timeout: float | None = None, name: str | None = None
    ) -> ResultT:
        """Ask an actor, as a step named by the message's type and its place: ``Paint-1``, ``Paint-2``.

        Places are counted in the order asked, so give parallel ones names, or use `step`.

        Args:
            ref: The actor.
            message: What to ask.
            timeout: As of `Ref.ask`.
            name: The step's name.

        Raises:
            RelightError: As by `step` and `Ref.ask`.
        """
        place = name or self._run.steps.name_by_place(type(message).__name__)
        return await self.step(place, partial(ref.ask, timeout=timeout), message)

    async def sleep(self, seconds: float, *, name: str | None = None) -> None:
        """Wait, without a worker's slot and through restarts; no attempt is spent.

        The run ends here: it is cancelled, and when the time has come the job function begins again from
        the top, with its finished steps. Less than a second, and while other steps of the job are in
        hand, is waited in place.

        Args:
            seconds: From when the job first came here.
            name: The step's name; by default by its place, ``sleep-1``.

        Raises:
            ValueError: It would never end.
        """
        if not seconds < inf:
            raise ValueError(f"sleep: seconds must be finite, got {seconds!r}")
        run = self._run
        place = name or run.steps.name_by_place("sleep")
        moment = await run.steps.note_moment(place, run.store_now() + max(0.0, seconds))
        await run.sleep(moment)

    async def log(self, text: str, /, **facts: object) -> None:
        """Say something about the job, as an event of its store. Secrets are taken out.

        Args:
            text: One line.
            facts: What else there is to know; plain JSON values.
        """
        await self._run.note("log", storable_facts({"text": redact(text), **redact_mapping(facts)}))

    async def progress(self, value: float, message: str = "") -> None:
        """Say how far the job is.

        Args:
            value: 0 to 1.
            message: For people.
        """
        data: dict[str, object] = {"value": min(1.0, max(0.0, value))}
        await self._run.note("progress", {**data, "message": storable(redact(message))} if message else data)

    def charge(self, usd: float) -> None:
        """Add what something cost that is not in a service's reply. Stored when this run ends.

        Args:
            usd: US dollars.

        Raises:
            ValueError: Less than nothing, or no number: all sums it is in would be none either.
        """
        if not 0.0 <= usd < inf:
            raise ValueError(f"charge: usd must be 0 or more, and finite, got {usd!r}")
        self._run.tally.cost_usd += usd
