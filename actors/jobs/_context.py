"""What a job function sees."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple, Unpack, cast

from ...runtime import NoSuchActorError, Ref, Request, redact, redact_mapping
from ...supervisors import find_actor
from ._checks import check_callable, check_finite, check_kind, check_number, check_text, check_timeout
from ._errors import JobSpecError, UnknownJobError
from ._ids import id_of_moment
from ._texts import check_name, storable, storable_facts

if TYPE_CHECKING:
    from ._function import JobFunction
    from ._queue import Queue
    from ._run import Run

ArgsT = TypeVarTuple("ArgsT")
ResultT = TypeVar("ResultT")

_TO = Ref | str
"""What names an actor."""


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
        check_name("step: name", step)
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

        A step that failed may be tried again under its name, in this run too. What had finished before may
        be asked for again then, by the same call, and returns its stored result.

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
            DuplicateStepError: Another step of this run has the name: it is in hand, or has finished.
            JobSpecError: The name can't be stored, or is longer than 1,000 bytes; *f* can't be called, or an
                option is out of range; the result is not of its type: another attempt may bring one that is.
            UnknownStepError: It was finished by another version.
            ResultTooLargeError: The result is larger than the queue keeps.
            BudgetExceededError: The job has spent its budget, or its user or queue that of the day.
            TimeoutError: It was not done in time.
            UnstorableResultError: The result can't be stored. Each of these ends the job.
            LeaseLostError: Another worker has the job; this one's run is being cancelled.
        """
        run = self._run
        if timeout is not None or version != "" or not callable(f):
            _check_step(name, f, version, timeout)
        steps, call = run.steps, (f, *args)
        codec = run.queue.codecs.find(f, args, returns)
        with steps.taken(name, call) as is_again:
            stored = await steps.find(name, is_again=is_again)
            if stored is not None:
                return cast("ResultT", await steps.recall(stored, codec, version))
            await run.check_budget()
            return cast("ResultT", await steps.carry_out(name, call, codec, version, timeout))

    async def ask(
        self,
        to: Ref | str,
        message: Request[ResultT],
        *,
        timeout: float | None = None,
        name: str | None = None,
    ) -> ResultT:
        """Ask an actor, as a step named by the message's type and its place: ``Paint-1``, ``Paint-2``.

        Places are counted in the order asked, so give parallel ones names, or use `step`.

        Args:
            to: The actor: its ref, or its path or name, which is looked up when the step is carried out.
            message: What to ask.
            timeout: As of `Ref.ask`.
            name: The step's name.

        Raises:
            NoSuchActorError: None is there now.
            RelightError: As by `step` and `Ref.ask`.
        """
        check_kind("ask: to", to, _TO, "a ref, or an actor's path or name", "write ask(ref, message)")
        check_kind("ask: message", message, Request, "a request", "write ask(ref, Paint(...))")
        place = name or self._run.steps.name_by_place(type(message).__name__)
        return await self.step(place, self._ask, message, to, timeout)

    async def _ask(self, message: Request[ResultT], to: Ref | str, timeout: float | None) -> ResultT:
        return await self._find(to).ask(message, timeout=timeout)

    def _find(self, to: Ref | str) -> Ref:
        if not isinstance(to, str):
            return to
        found = find_actor(self._run.desk.kernel, to)
        if found is None:
            raise NoSuchActorError(to)
        return found

    async def enqueue(
        self,
        function: JobFunction[*ArgsT, ResultT],
        *arguments: *ArgsT,
        queue: Queue | None = None,
        delay: float = 0.0,
        user: str | None = None,
        name: str | None = None,
    ) -> str:
        """Store another job, once, however often this one is run: a step. Returns its id.

        The new job is on its own from then on: it has its own attempts, and goes on when this one ends. Its
        id is the same in every run of this one, so it is stored once also where the process dies before the
        step is.

        Args:
            function: What to run.
            arguments: Its arguments, without the context.
            queue: The function's, where it is not this job's.
            delay: Seconds until it may begin.
            user: Whose job it is; by default what the function's ``user`` says, or who this one is for.
            name: The step's name; by default by the function's, and its place: ``make_page-1``.

        Raises:
            JobArgumentsError: The arguments don't fit.
            UnknownJobError: The queue has no such job.
            RelightError: As by `step` and `Queue.enqueue`.
        """
        run = self._run
        where = run.queue if queue is None else queue
        if not hasattr(where, "enqueue"):
            problem = f"must be a queue, got a {type(where).__name__}: leave it out for this job's own"
            raise JobSpecError("enqueue: queue", problem)
        if not hasattr(function, "kind"):
            named = getattr(function, "__name__", function)
            raise UnknownJobError(
                f"queue {where.name!r}: {named!r} is no job: declare it with @queue.job(), and name the "
                "function itself"
            )
        place = name or run.steps.name_by_place(function.kind)
        if user is None and function.options.user is None:
            user = self.user
        made = id_of_moment(run.job.created_at, self.id, place)

        def store() -> Awaitable[str]:
            return where.enqueue(function, *arguments, delay=delay, user=user, id=made)

        async def insist() -> str:
            return await run.desk.insist(store, lambda: run.is_lost)

        return await self.step(place, insist)

    async def sleep(self, seconds: float, *, name: str | None = None) -> None:
        """Wait, without a worker's slot and through restarts; no attempt is spent.

        The run ends here: it is cancelled, and when the time has come the job function begins again from
        the top, with its finished steps. Less than a second, and while other steps of the job are in
        hand, is waited in place.

        Args:
            seconds: From when the job first came here.
            name: The step's name; by default by its place, ``sleep-1``.

        Raises:
            JobSpecError: It is no number, or would never end.
        """
        check_finite("sleep: seconds", seconds)
        run = self._run
        place = name or run.steps.name_by_place("sleep")
        moment = await run.steps.note_moment(place, run.store_now() + max(0.0, seconds))
        await run.sleep(moment)

    async def log(self, text: str, /, **facts: object) -> None:
        """Say something about the job, as an event of its store. Secrets are taken out.

        Args:
            text: One line.
            facts: What else there is to know; plain JSON values.

        Raises:
            JobSpecError: It is no text.
        """
        check_text("log: text", text)
        await self._run.note("log", storable_facts({"text": redact(text), **redact_mapping(facts)}))

    async def progress(self, value: float, message: str = "") -> None:
        """Say how far the job is.

        Args:
            value: 0 to 1; what is beyond is taken for the nearer of the two.
            message: For people.

        Raises:
            JobSpecError: It is no number, or the message no text.
        """
        check_timeout("progress: value", value, of="0 to 1")
        check_text("progress: message", message)
        data: dict[str, object] = {"value": min(1.0, max(0.0, value))}
        await self._run.note("progress", {**data, "message": storable(redact(message))} if message else data)

    def charge(self, usd: float) -> None:
        """Add what something cost that is not in a service's reply. Stored when this run ends.

        Args:
            usd: US dollars.

        Raises:
            JobSpecError: Less than nothing, or no number: all sums it is in would be none either.
        """
        check_number("charge: usd", usd)
        self._run.tally.cost_usd += usd


def _check_step(name: str, f: object, version: object, timeout: object) -> None:
    check_callable(f"step {name!r}: f", f, "a function, which is called with the arguments given after it")
    check_name(f"step {name!r}: version", version)
    if timeout is not None:
        check_number(f"step {name!r}: timeout", timeout, is_open=True, of="seconds")
