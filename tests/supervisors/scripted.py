"""A service whose attempts go as a script says, and askers whose outcomes are written down."""

from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import anyio
import anyio.abc
import msgspec
from anyio import wait_all_tasks_blocked

from relight.runtime import ExitReason, Message, Ref, Request, handles
from relight.supervisors import (
    Child,
    Estimate,
    FailureKind,
    GuardedActor,
    GuardStatistics,
    ProviderError,
    System,
    current_attempt,
)
from relight.supervisors.policies import Adaptive, Breaker, Concurrency, Fixed, Policy, Retry
from relight.testing import Crash, Delay, Fail, FlakyScript, FlakyService, Hang, Ok, SeenAttempt
from relight.testing import Outcome as AttemptOutcome

PROVIDER = "svc"

Step = AttemptOutcome
"""How one attempt goes."""

STEADY = Policy(retry=Retry(backoff=Fixed(1.0)), restart_backoff=Fixed(1.0))
"""The defaults without chance: each wait is a second."""


class Call(Request[str], frozen=True, weakref=True):
    """Asked; the reply is its name and the number of the attempt."""

    name: str = ""
    model: str = "m1"


class Job(Message, frozen=True):
    """Told."""

    name: str = ""


class Unknown(Request[None], frozen=True):
    """What the service has no handler for."""


class BugError(Exception):
    """Nobody expected it."""


def _named(message: Message) -> str:
    return f"{name_of(message)} {current_attempt().number}"


def name_of(message: Message) -> str:
    """Return the name of a call or a job."""
    return str(getattr(message, "name", ""))


def _after(seconds: float, step: Ok | Fail | Crash) -> Step:
    return Delay(seconds, step) if seconds else step


def ok(after: float = 0.0) -> Step:
    return _after(after, Ok(_named))


def fails(
    kind: FailureKind, *, after: float = 0.0, retry_after: float | None = None, retryable: bool | None = None
) -> Step:
    return _after(after, Fail(kind, "", retry_after=retry_after, retryable=retryable))


def server(after: float = 0.0) -> Step:
    return fails(FailureKind.SERVER, after=after)


def limited(retry_after: float | None = None, after: float = 0.0) -> Step:
    return fails(FailureKind.RATE_LIMIT, retry_after=retry_after, after=after)


def bug(after: float = 0.0) -> Step:
    return _after(after, Crash(BugError()))


def hangs() -> Step:
    return Hang()


class Script(FlakyScript[FlakyService]):
    """What the service does next, and what it has seen: the kit's, with calls known by their names."""

    def __init__(self, *, prices: dict[str, float | None] | None = None) -> None:
        super().__init__(FlakyService, then=ok(), provider=PROVIDER)
        self.by_name: dict[str, Step] = {}
        """What attempts of calls of a name do, always."""
        self.prices = prices or {}
        self.life: list[str] = []
        """Starts and stops."""

    def plan(self, *steps: Step) -> None:
        self.outcomes.extend(steps)

    def choose(self, message: Message) -> Step:
        return self.by_name.get(name_of(message)) or super().choose(message)

    @property
    def steps(self) -> deque[Step]:
        """Attempts take a step each, in the order they begin; then all is well."""
        return self.outcomes

    @property
    def seen(self) -> list[SeenAttempt]:
        return self.attempts

    @property
    def running(self) -> int:
        return self.in_flight

    @property
    def peak(self) -> int:
        return self.in_flight_peak

    @property
    def names(self) -> list[str]:
        """Whom the attempts were for, in the order they began."""
        return [name_of(seen.message) for seen in self.attempts]

    @property
    def moments(self) -> list[float]:
        """When the attempts began, to the millisecond."""
        return [round(seen.at, 3) for seen in self.attempts]


class Scripted(GuardedActor):
    """Does what its script says."""

    def __init__(self, script: Script) -> None:
        self._script = script
        script.incarnations += 1
        self._number = script.incarnations

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        self._script.life.append(f"open {self._number}")
        try:
            yield
        except BaseException:
            self._script.life.append(f"cut {self._number}")
            raise
        self._script.life.append(f"close {self._number}")

    async def stopping(self, reason: ExitReason) -> None:
        self._script.life.append(f"stop {self._number}")

    def estimate(self, message: Message) -> Estimate | None:
        model = getattr(message, "model", "")
        prices = self._script.prices
        return Estimate(model, prices[model]) if model in prices else None

    @handles
    async def call(self, message: Call) -> str:
        return str(await self._script.attempt(message, self._number))

    @handles
    async def job(self, message: Job) -> None:
        await self._script.attempt(message, self._number)


async def serve(system: System, script: Script, policy: Policy = STEADY, *, shutdown: float = 5.0) -> Ref:
    """Start a scripted service as ``svc``."""
    return await system.spawn(Child(PROVIDER, lambda: Scripted(script), policy=policy, shutdown=shutdown))


def policy(
    *,
    attempts: int = 3,
    wait: float = 1.0,
    max_wait: float = 120.0,
    concurrency: int | Adaptive = 8,
    breaker: Breaker | None = Breaker(),  # noqa: B008 - frozen
    **others: object,
) -> Policy:
    """Make a policy without chance."""
    steady = Policy(
        retry=Retry(attempts=attempts, backoff=Fixed(wait), max_wait=max_wait),
        breaker=breaker,
        concurrency=Concurrency(concurrency) if isinstance(concurrency, int) else concurrency,
        restart_backoff=Fixed(1.0),
    )
    return msgspec.structs.replace(steady, **others)


def statistics(system: System, provider: str = PROVIDER) -> GuardStatistics:
    """Look at one service."""
    (found,) = [service for service in system.services() if service.provider == provider]
    return found


async def at_rest(system: System) -> GuardStatistics:
    """Check that nothing is in flight, queued or waiting, and that every message has had its one end."""
    await wait_all_tasks_blocked()
    found = statistics(system)
    actor = found.actor
    assert (found.bulkhead.in_flight, found.waiting_retries) == (0, 0)
    assert (actor.queued, actor.in_hand, actor.waiting) == (0, 0, 0)
    assert actor.accepted == actor.handled + actor.dead_letters + actor.abandoned
    return found


def listen(system: System, *events: str) -> list[dict[str, object]]:
    """Collect these events, each as its fields."""
    said: list[dict[str, object]] = []
    system.events.listen(lambda event, fields: said.append(dict(fields)) if event in events else None)
    return said


@dataclass
class Outcome:
    """What became of one ask."""

    name: str
    value: str | Exception | None = None
    at: float = -1.0
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    @property
    def error(self) -> Exception:
        assert isinstance(self.value, Exception), self
        return self.value

    def cancel(self) -> None:
        """Make the asker leave."""
        self.scope.cancel()


class Askers:
    """Ask from tasks of their own; leaving the block waits for all outcomes."""

    def __init__(self, ref: Ref) -> None:
        self._ref = ref
        self._group: anyio.abc.TaskGroup = anyio.create_task_group()
        self.outcomes: list[Outcome] = []

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._group.__aexit__(kind, error, trace)

    async def ask(self, name: str = "", timeout: float | None = None) -> Outcome:
        """Ask, and go on when the question is out."""
        outcome = Outcome(name)
        self.outcomes.append(outcome)
        await self._group.start(self._ask, outcome, timeout)
        return outcome

    def rush(self, names: Iterable[str]) -> None:
        """Ask all at once: all questions are out before any is begun."""
        for name in names:
            self.outcomes.append(Outcome(name))
            self._group.start_soon(self._ask_at_once, self.outcomes[-1])

    async def _ask_at_once(self, outcome: Outcome) -> None:
        await self._ask(outcome, None, task_status=anyio.TASK_STATUS_IGNORED)

    async def ask_all(self, names: Iterable[str], timeout: float | None = None) -> None:
        """Ask one after the other, without waiting for answers."""
        for name in names:
            await self.ask(name, timeout)

    async def _ask(
        self,
        outcome: Outcome,
        timeout: float | None,
        *,
        task_status: anyio.abc.TaskStatus[None],
    ) -> None:
        with outcome.scope:
            task_status.started()
            outcome.value = await caught(lambda: self._ref.ask(Call(outcome.name), timeout=timeout))
        outcome.at = round(anyio.current_time(), 3)


async def caught(call: Callable[[], Awaitable[str]]) -> str | Exception:
    """Return the reply, or the error."""
    try:
        return await call()
    except Exception as error:  # noqa: BLE001 - that is what the test looks at
        return error


ONCE = policy(attempts=1)
"""Nothing is retried."""


async def break_it(system: System, script: Script, count: int = 5) -> None:
    """Let so many calls fail: five open the breaker."""
    ref = system.get(PROVIDER)
    script.steps.extendleft([server()] * count)
    for _ in range(count):
        assert isinstance(await caught(lambda: ref.ask(Call("broken"))), ProviderError)
    script.seen.clear()


def state(system: System) -> str:
    """Tell what the service is, as its statistics say."""
    return statistics(system).state
