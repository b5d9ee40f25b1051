"""A rate limit of one's own: calls wait for their turn in the mailbox, or are refused at once."""

from dataclasses import dataclass
from functools import partial
from math import inf, nan

import anyio
import anyio.abc
import pytest

from relight.runtime import ActorCrashedError, Message, Ref, Request, UnhandledMessageError, handles
from relight.supervisors import (
    Charge,
    Child,
    Estimate,
    FailureKind,
    GuardedActor,
    ProviderError,
    RateLimitedError,
    current_attempt,
    follows_limits,
    open_system,
    report_limits,
)
from relight.supervisors.policies import Allowance, Policy, RateLimit, RateReport
from tests.supervisors.scripted import (
    Askers,
    Call,
    Job,
    Script,
    Unknown,
    at_rest,
    caught,
    ok,
    policy,
    serve,
    server,
    statistics,
)
from tests.support.clocks import virtual_time

pytestmark = [pytest.mark.anyio, virtual_time]

EVERY_SECOND = RateLimit(requests_per_minute=60, burst=1.0)


class Talk(Request[str], frozen=True, weakref=True):
    """So many tokens are guessed, and so many used."""

    guess: float | None = 0.0
    used: float | None = None
    fails: str = ""


class Talker(GuardedActor):
    """A service whose calls use tokens."""

    def __init__(self, moments: list[float], reports: list[RateReport] | None = None) -> None:
        self._moments = moments
        self._reports = reports or []

    @handles
    async def talk(self, message: Talk) -> str:
        self._moments.append(round(anyio.current_time(), 3))
        if self._reports:
            assert follows_limits()
            report_limits(self._reports.pop(0))
        if message.fails == "status" and current_attempt().number == 1:
            raise ProviderError("svc", FailureKind.SERVER, status=500)
        if message.fails == "network" and current_attempt().number == 1:
            raise ProviderError("svc", FailureKind.NETWORK)
        return "said"

    def estimate(self, message: Message) -> Estimate | None:
        if not isinstance(message, Talk):
            raise ValueError("no such thing")
        return Estimate("m1", None, message.guess)

    def charge(self, message: Message, reply: object) -> Charge | None:
        assert isinstance(message, Talk)
        if message.used == -1.0:
            raise ValueError("no idea")
        return Charge(tokens=message.used)


async def test_calls_wait_in_the_mailbox_until_their_turn() -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script, policy(rate_limit=EVERY_SECOND))
        async with Askers(ref) as askers:
            await askers.ask_all("abcd")
            await ref.tell(Job("e"))
            await anyio.sleep(0.5)
            assert statistics(system).actor.queued == 4
            assert statistics(system).state == "ok"
        await anyio.sleep(2)
        assert script.names == list("abcde")
        assert script.moments == [0.0, 1.0, 2.0, 3.0, 4.0]
        limit = statistics(system).rate_limit
        assert limit is not None
        assert limit.requests_left == pytest.approx(1.0)
        assert limit.tokens_left is None
        await at_rest(system)


async def test_a_call_whose_turn_comes_too_late_is_refused_at_once_and_told_when() -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script, policy(rate_limit=EVERY_SECOND))
        async with Askers(ref) as askers:
            await askers.ask_all("abc", timeout=10.0)
            hopeless = await askers.ask("d", timeout=1.5)
            just = await askers.ask("e", timeout=3.5)
        assert isinstance(hopeless.error, RateLimitedError)
        assert hopeless.at == 0.0
        assert hopeless.error.retry_after == pytest.approx(3.0)
        assert just.value == "e 1"
        assert statistics(system).refusals == {"RateLimitedError": 1}
        await at_rest(system)


async def test_one_that_leaves_in_the_queue_takes_nothing() -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script, policy(rate_limit=EVERY_SECOND))
        async with Askers(ref) as askers:
            await askers.ask("a")
            leaver = await askers.ask("b")
            await askers.ask("c")
            await anyio.sleep(0.5)
            leaver.cancel()
        assert (script.names, script.moments) == (["a", "c"], [0.0, 1.0])
        await at_rest(system)


async def test_a_retry_takes_a_turn_like_any_call() -> None:
    script = Script()
    script.plan(server(), ok(), ok())
    async with open_system() as system:
        ref = await serve(system, script, policy(wait=0.5, rate_limit=EVERY_SECOND))
        async with Askers(ref) as askers:
            await askers.ask("a")
            await askers.ask("b")
        assert (script.names, script.moments) == (["a", "a", "b"], [0.0, 1.0, 2.0])


async def test_a_due_retry_that_can_not_wait_for_its_turn_ends() -> None:
    script = Script()
    script.plan(server())
    slow = RateLimit(requests_per_minute=6, burst=1.0)
    async with open_system() as system:
        ref = await serve(system, script, policy(wait=0.5, rate_limit=slow))
        async with Askers(ref) as askers:
            outcome = await askers.ask("a", timeout=5.0)
        assert isinstance(outcome.error, RateLimitedError)
        assert outcome.at == 0.5
        await at_rest(system)


@dataclass
class Said:
    """What became of one ask."""

    value: str | Exception | None = None
    at: float = -1.0


async def ask(
    ref: Ref, said: Said, message: Talk, timeout: float | None, *, task_status: anyio.abc.TaskStatus[None]
) -> None:
    task_status.started()
    said.value = await caught(lambda: ref.ask(message, timeout=timeout))
    said.at = round(anyio.current_time(), 3)


async def ask_all(ref: Ref, *asks: tuple[Talk, float | None]) -> list[Said]:
    """Ask in this order, all at once; each with its timeout. Return what became of them."""
    outcomes: list[Said] = []
    async with anyio.create_task_group() as group:
        for message, timeout in asks:
            outcomes.append(Said())
            await group.start(ask, ref, outcomes[-1], message, timeout)
    return outcomes


async def talk(guesses: list[Talk], limit: RateLimit, reports: list[RateReport] | None = None) -> list[float]:
    """Ask all at once; return when each was begun."""
    moments: list[float] = []
    async with open_system() as system:
        service = partial(Talker, moments, reports)
        ref = await system.spawn(Child("svc", service, policy=policy(wait=0.1, rate_limit=limit)))
        await ask_all(ref, *((guess, None) for guess in guesses))
        await at_rest(system)
    return moments


TOKENS = RateLimit(tokens_per_minute=600, burst=6.0)


async def test_a_call_waits_until_its_tokens_are_there() -> None:
    assert await talk([Talk(50.0), Talk(50.0), Talk(10.0)], TOKENS) == [0.0, 4.0, 5.0]


async def test_the_first_in_line_keeps_its_turn_though_a_smaller_one_would_fit() -> None:
    assert await talk([Talk(50.0), Talk(60.0), Talk(0.0)], TOKENS) == [0.0, 5.0, 5.0]


async def test_usage_below_the_estimate_lets_the_next_begin_sooner() -> None:
    assert await talk([Talk(60.0, used=20.0), Talk(60.0)], TOKENS) == [0.0, 2.0]


async def test_usage_above_the_estimate_is_made_up_for() -> None:
    assert await talk([Talk(60.0, used=120.0), Talk(10.0)], TOKENS) == [0.0, 7.0]


@pytest.mark.parametrize("guess", [None, nan, inf, -5.0])
async def test_an_estimate_that_is_none_counts_as_unknown(guess: float | None) -> None:
    assert await talk([Talk(guess, used=90.0), Talk(10.0)], TOKENS) == [0.0, 4.0]


@pytest.mark.parametrize("used", [None, nan, -1.0])
async def test_where_the_usage_is_not_known_the_estimate_stands(used: float | None) -> None:
    """Also where the service's own code for it raises: the reply is there, and must not be lost."""
    assert await talk([Talk(60.0, used=used), Talk(60.0)], TOKENS) == [0.0, 6.0]


async def test_the_tokens_of_an_answer_that_says_no_are_given_back() -> None:
    assert await talk([Talk(60.0, fails="status")], TOKENS) == [0.0, 0.1]


async def test_the_tokens_of_an_attempt_without_an_answer_are_not() -> None:
    assert await talk([Talk(60.0, fails="network")], TOKENS) == [0.0, 6.0]


async def test_what_the_provider_says_is_left_slows_the_calls_down() -> None:
    reports = [RateReport(Allowance(0.0, 10.0, 60.0))]
    assert await talk([Talk(), Talk(), Talk()], RateLimit(), reports) == [0.0, 6.0, 12.0]


async def test_of_ones_own_limit_and_the_providers_the_slower_one_holds() -> None:
    reports = [RateReport(Allowance(2.0, 10.0, 48.0)), RateReport(Allowance(0.0, 10.0, 60.0))]
    limit = RateLimit(requests_per_minute=60, burst=1.0)
    assert await talk([Talk(), Talk(), Talk()], limit, reports) == [0.0, 1.0, 7.0]


async def test_those_queued_who_can_not_wait_so_long_are_refused_when_it_is_known() -> None:
    moments: list[float] = []
    reports = [RateReport(Allowance(0.0, 1.0, 300.0))]
    async with open_system() as system:
        service = partial(Talker, moments, reports)
        limited = policy(rate_limit=RateLimit(), concurrency=1)
        ref = await system.spawn(Child("svc", service, policy=limited))
        outcomes = await ask_all(ref, (Talk(), 10.0), (Talk(), 10.0), (Talk(), 1000.0))
        assert [(type(said.value), said.at) for said in outcomes] == [
            (str, 0.0),
            (RateLimitedError, 0.0),
            (str, 300.0),
        ]


async def test_good_news_from_the_provider_wakes_who_waits() -> None:
    """The slow answer of a call that began long ago says that all is free again."""

    class Slow(Talker):
        @handles
        async def talk(self, message: Talk) -> str:
            self._moments.append(round(anyio.current_time(), 3))
            first = len(self._moments) == 1
            if not first:
                report_limits(RateReport(Allowance(0.0, 1.0, 20.0)))
            await anyio.sleep(5.0 if first else 0.0)
            if first:
                report_limits(RateReport(Allowance(10.0, 10.0)))
            return "said"

    moments: list[float] = []
    async with open_system() as system:
        ref = await system.spawn(Child("svc", partial(Slow, moments), policy=policy(rate_limit=RateLimit())))
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(ref.ask, Talk())
            await anyio.sleep(1)
            group.start_soon(ref.ask, Talk())
    assert moments == [0.0, 0.0, 5.0]


async def test_an_answer_that_used_less_than_was_guessed_wakes_who_waits() -> None:
    class Slow(Talker):
        @handles
        async def talk(self, message: Talk) -> str:
            self._moments.append(round(anyio.current_time(), 3))
            await anyio.sleep(1.0)
            return "said"

    moments: list[float] = []
    async with open_system() as system:
        ref = await system.spawn(Child("svc", partial(Slow, moments), policy=policy(rate_limit=TOKENS)))
        await ask_all(ref, (Talk(60.0, used=0.0), None), (Talk(60.0), None))
    assert moments == [0.0, 1.0]


async def test_a_call_that_is_older_than_its_services_limit_does_not_correct_it() -> None:
    """The limit came with another service of the account, while the call was under way."""

    class Slow(Talker):
        @handles
        async def talk(self, message: Talk) -> str:
            await anyio.sleep(1.0)
            report_limits(RateReport(Allowance(0.0, 1.0, 50.0)))
            return str(follows_limits())

    said = Said()
    async with open_system() as system:
        ref = await system.spawn(Child("svc", partial(Slow, []), policy=policy(account="acme")))
        async with anyio.create_task_group() as group:
            await group.start(ask, ref, said, Talk(), None)
            its_policy = policy(account="acme", rate_limit=RateLimit())
            await system.spawn(Child("other", partial(Talker, []), policy=its_policy))
        assert said.value == "False"
        limit = statistics(system).rate_limit
        assert limit is not None
        assert (limit.reports, limit.requests_left) == (0, None)


async def test_an_estimate_that_raises_is_a_bug_of_the_service() -> None:
    class Odd(Request[str], frozen=True, weakref=True):
        pass

    class WithOdd(Talker):
        @handles
        async def odd(self, message: Odd) -> str:
            raise AssertionError

    moments: list[float] = []
    async with open_system() as system:
        ref = await system.spawn(
            Child("svc", partial(WithOdd, moments), policy=policy(rate_limit=EVERY_SECOND))
        )
        with pytest.raises(ActorCrashedError) as caught_error:
            await ref.ask(Odd())
        assert isinstance(caught_error.value.__cause__, ValueError)
        await anyio.sleep(5)
        assert await ref.ask(Talk()) == "said"


async def test_a_message_nobody_handles_takes_no_turn() -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script, policy(rate_limit=EVERY_SECOND))
        with pytest.raises(UnhandledMessageError):
            await ref.ask(Unknown())
        await ref.ask(Call("a"))
        assert script.moments == [0.0]
        await at_rest(system)


async def test_without_a_rate_limit_nobody_listens_to_the_headers() -> None:
    class Deaf(GuardedActor):
        @handles
        async def call(self, message: Call) -> str:
            report_limits(RateReport(Allowance(0.0)))
            return str(follows_limits())

    async with open_system() as system:
        ref = await system.spawn(Child("svc", Deaf, policy=Policy()))
        assert await ref.ask(Call()) == "False"
        assert await ref.ask(Call(), timeout=1.0) == "False"
    assert not follows_limits()
    report_limits(RateReport())


async def test_a_queued_call_is_refused_when_it_becomes_known_that_its_tokens_come_too_late() -> None:
    """The tokens of the one before it were not known when it came."""
    moments: list[float] = []
    async with open_system() as system:
        ref = await system.spawn(Child("svc", partial(Talker, moments), policy=policy(rate_limit=TOKENS)))
        await ref.ask(Talk(60.0))
        outcomes = await ask_all(ref, (Talk(60.0), 10.0), (Talk(60.0), 6.5))
        assert isinstance(outcomes[1].value, RateLimitedError)
        assert outcomes[1].at == 6.0
        assert moments == [0.0, 6.0]
        await at_rest(system)
