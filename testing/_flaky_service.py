"""FlakyService: a service whose attempts go as a script says, without sockets."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from inspect import isawaitable
from typing import Generic, Self, TypeVar, assert_never

import anyio

from ..runtime import Message, handles
from ..supervisors import Attempt, GuardedActor, ProviderError, current_attempt
from ._outcomes import Crash, Delay, Fail, Hang, Ok, Outcome

ServiceT = TypeVar("ServiceT", bound="FlakyService")


@dataclass(eq=False)
class SeenAttempt:
    """One attempt, as the service saw it."""

    message: Message
    """What was asked or told."""
    attempt: Attempt
    """Its number within the call, the idempotency key, the deadline."""
    incarnation: int
    """Which object of the service made it, counted from 1."""
    at: float
    """The moment it began."""
    ended_at: float | None = None
    """The moment it ended; None while it is under way."""
    outcome: str = "under way"
    """Then ``answered``, ``failed``, ``crashed`` or ``cancelled``."""

    @property
    def number(self) -> int:
        """Which attempt of its call it was, counted from 1."""
        return self.attempt.number


class FlakyScript(Generic[ServiceT]):
    """What a `FlakyService` does next, and what it has seen. It is the factory of the child spec.

    One script serves all incarnations of the service. Get one from `FlakyService.script`.
    """

    def __init__(
        self,
        service: type[ServiceT],
        outcomes: Iterable[Outcome] = (),
        *,
        by_type: Mapping[type[Message], Iterable[Outcome]] | None = None,
        then: Outcome | None = None,
        provider: str = "flaky",
    ) -> None:
        self._service = service
        self.outcomes = deque(outcomes)
        """What attempts take next, one each, unless their message's type has outcomes of its own."""
        self._by_type = {kind: deque(scripted) for kind, scripted in (by_type or {}).items()}
        self.then: Outcome = Ok() if then is None else then
        """What every attempt does that finds no outcome left."""
        self.provider = provider
        """What its errors call the provider."""
        self.attempts: list[SeenAttempt] = []
        """Every attempt, in the order they began."""
        self.incarnations = 0
        """How many objects of the service were made."""
        self.in_flight = 0
        """Attempts under way."""
        self.in_flight_peak = 0
        """The most there were at once."""

    def __call__(self) -> ServiceT:
        """Make the service's next incarnation."""
        self.incarnations += 1
        made = self._service()
        made.play(self, self.incarnations)
        return made

    def add(self, *outcomes: Outcome) -> Self:
        """Put more outcomes at the end of the script."""
        self.outcomes.extend(outcomes)
        return self

    def on(self, kind: type[Message], *outcomes: Outcome) -> Self:
        """Put outcomes at the end of the script of one type of message, its subclasses included."""
        self._by_type.setdefault(kind, deque()).extend(outcomes)
        return self

    @property
    def left(self) -> int:
        """How many outcomes have not been used, those by type included."""
        return len(self.outcomes) + sum(map(len, self._by_type.values()))

    def attempts_of(self, kind: type[Message]) -> list[SeenAttempt]:
        """List the attempts at messages of one type."""
        return [attempt for attempt in self.attempts if isinstance(attempt.message, kind)]

    def choose(self, message: Message) -> Outcome:
        """Take the next outcome for *message*: of its type's script, if there is one, else of the common."""
        for kind in type(message).__mro__:
            if kind in self._by_type:
                scripted = self._by_type[kind]
                return scripted.popleft() if scripted else self.then
        return self.outcomes.popleft() if self.outcomes else self.then

    async def attempt(self, message: Message, incarnation: int) -> object:
        """Go through one attempt and write down what became of it."""
        outcome = self.choose(message)
        seen = SeenAttempt(message, current_attempt(), incarnation, anyio.current_time())
        self.attempts.append(seen)
        self.in_flight += 1
        self.in_flight_peak = max(self.in_flight_peak, self.in_flight)
        try:
            reply = await self._play(outcome, message)
            seen.outcome = "answered"
        except ProviderError:
            seen.outcome = "failed"
            raise
        except Exception:
            seen.outcome = "crashed"
            raise
        finally:
            self.in_flight -= 1
            seen.ended_at = anyio.current_time()
            if seen.outcome == "under way":
                seen.outcome = "cancelled"
        return reply

    async def _play(self, outcome: Outcome, message: Message) -> object:
        while isinstance(outcome, Delay):
            await anyio.sleep(outcome.seconds)
            outcome = outcome.then
        match outcome:
            case Ok():
                reply = outcome.reply(message) if callable(outcome.reply) else outcome.reply
                return await reply if isawaitable(reply) else reply
            case Fail():
                raise self._error(outcome)
            case Crash():
                raise outcome.error.with_traceback(None)  # it may have been raised before
            case Hang():
                await anyio.sleep_forever()
                return None
            case _:
                assert_never(outcome)

    def _error(self, fail: Fail) -> ProviderError:
        return ProviderError(
            self.provider,
            fail.kind,
            fail.detail,
            status=fail.status,
            code=fail.code,
            retry_after=fail.retry_after,
            retryable=fail.retryable,
        )


class FlakyService(GuardedActor):
    """A service that does what its script says. It takes every message, so it stands in for any service.

        script = FlakyService.script([Fail(FailureKind.RATE_LIMIT, retry_after=2.0), Ok("hello")])
        flaky = await system.spawn(Child("openai", script))

    The guard before it is the real one: retries, breaker, gate, concurrency and timeouts are those of its
    policy. Subclass it for an estimate of cost, or for hooks.
    """

    _script: FlakyScript[Self] | None = None
    _number = 0

    @classmethod
    def script(
        cls,
        outcomes: Iterable[Outcome] = (),
        *,
        by_type: Mapping[type[Message], Iterable[Outcome]] | None = None,
        then: Outcome | None = None,
        provider: str = "flaky",
    ) -> FlakyScript[Self]:
        """Write a script; it is the factory to give to `Child`.

        Args:
            outcomes: One an attempt, in the order attempts begin. Retries are attempts.
            by_type: Outcomes for messages of a type. A type that is here takes nothing from *outcomes*.
            then: What attempts do that find no outcome left; None: ``Ok()``.
            provider: What errors call the provider.
        """
        return FlakyScript(cls, outcomes, by_type=by_type, then=then, provider=provider)

    def play(self, script: FlakyScript[Self], number: int) -> None:
        """Follow *script*, as the incarnation of this *number*."""
        self._script = script
        self._number = number

    @handles
    async def attempt(self, message: Message) -> object:
        """Make one attempt as the script says."""
        if self._script is None:
            return None
        return await self._script.attempt(message, self._number)
