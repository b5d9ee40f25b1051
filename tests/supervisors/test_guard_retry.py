"""The guard's retries: which calls are made again, when, and what a handler is told about its attempt."""

import anyio
import anyio.lowlevel
import pytest
from msgspec.structs import replace

from relight.runtime import ActorCrashedError, AskTimeoutError, Message, RelightError, UnhandledMessageError
from relight.supervisors import (
    Child,
    FailureKind,
    ProviderError,
    RetriesExhaustedError,
    RetryKey,
    current_attempt,
    open_system,
)
from relight.supervisors.policies import Exponential, Retry
from tests.supervisors.scripted import (
    STEADY,
    Askers,
    BugError,
    Call,
    Job,
    Script,
    Scripted,
    Unknown,
    at_rest,
    fails,
    hangs,
    limited,
    listen,
    name_of,
    ok,
    policy,
    serve,
    server,
    statistics,
)
from tests.support.clocks import virtual_time

pytestmark = [pytest.mark.anyio, virtual_time]

RETRIED = [kind for kind in FailureKind if kind.is_retryable]
CALLER_FAULTS = [
    FailureKind.BAD_REQUEST,
    FailureKind.CONTEXT_LENGTH,
    FailureKind.CONTENT_POLICY,
    FailureKind.NOT_FOUND,
]


@pytest.mark.parametrize("kind", RETRIED)
async def test_a_failure_that_may_pass_is_retried(kind: FailureKind) -> None:
    script = Script()
    script.plan(fails(kind))
    async with open_system() as system:
        ref = await serve(system, script)
        assert await ref.ask(Call("a")) == "a 2"
        assert script.moments == [0.0, 1.0]
        await at_rest(system)


@pytest.mark.parametrize("kind", CALLER_FAULTS)
async def test_a_callers_fault_is_neither_retried_nor_counted_by_the_breaker(kind: FailureKind) -> None:
    script = Script()
    script.plan(*[fails(kind)] * 20)
    async with open_system() as system:
        ref = await serve(system, script)
        for _ in range(20):
            with pytest.raises(ProviderError) as caught:
                await ref.ask(Call())
            assert (caught.value.kind, caught.value.attempts) == (kind, 1)
        found = statistics(system)
        assert found.attempts == 20
        assert found.state == "ok"
        assert found.breaker is not None
        assert found.breaker.consecutive_failures == 0


async def test_attempts_are_counted_from_one_and_end_at_their_number() -> None:
    script = Script()
    script.plan(*[server()] * 3)
    async with open_system() as system:
        ref = await serve(system, script)
        with pytest.raises(RetriesExhaustedError, match="gave up after 3 attempts") as caught:
            await ref.ask(Call())
        assert [seen.attempt.number for seen in script.seen] == [1, 2, 3]
        assert script.moments == [0.0, 1.0, 2.0]
        assert (caught.value.kind, caught.value.attempts) == (FailureKind.SERVER, 3)
        assert isinstance(caught.value.__cause__, ProviderError)
        await at_rest(system)


async def test_a_single_attempt_raises_its_own_error() -> None:
    script = Script()
    script.plan(server())
    async with open_system() as system:
        ref = await serve(system, script, policy(attempts=1))
        with pytest.raises(ProviderError) as caught:
            await ref.ask(Call())
        assert not isinstance(caught.value, RetriesExhaustedError)
        assert caught.value.attempts == 1


async def test_waits_between_attempts_grow() -> None:
    script = Script()
    script.plan(*[fails(FailureKind.NETWORK)] * 4)
    growing = Retry(attempts=5, backoff=Exponential(1.0, cap=4.0, jitter="none"))
    async with open_system() as system:
        ref = await serve(system, script, replace(STEADY, retry=growing))
        assert await ref.ask(Call("a")) == "a 5"
        assert script.moments == [0.0, 1.0, 3.0, 7.0, 11.0]
        assert statistics(system).wait_seconds == pytest.approx(11.0)


async def test_a_servers_hint_is_kept_to_and_never_undercut() -> None:
    script = Script()
    script.plan(fails(FailureKind.SERVER, retry_after=20.0), limited(retry_after=7.0))
    async with open_system() as system:
        ref = await serve(system, script)
        assert await ref.ask(Call("a")) == "a 3"
        first, second, third = script.moments
        assert 20.0 <= second - first <= 22.0
        assert 7.0 <= third - second <= 7.7


async def test_a_failure_can_forbid_its_retry() -> None:
    """A POST that may have been carried out."""
    script = Script()
    script.plan(fails(FailureKind.NETWORK, retryable=False))
    async with open_system() as system:
        ref = await serve(system, script)
        with pytest.raises(ProviderError):
            await ref.ask(Call())
        assert len(script.seen) == 1
        found = statistics(system)
        assert found.breaker is not None
        assert found.breaker.consecutive_failures == 1


async def test_a_wait_that_the_deadline_does_not_allow_is_not_sat_through() -> None:
    script = Script()
    script.plan(fails(FailureKind.SERVER, retry_after=20.0))
    async with open_system() as system:
        ref = await serve(system, script)
        with pytest.raises(ProviderError) as caught:
            await ref.ask(Call(), timeout=15.0)
        assert anyio.current_time() == 0.0
        assert caught.value.retry_after is not None
        assert 20.0 <= caught.value.retry_after <= 22.0


async def test_a_backoff_that_the_deadline_does_not_allow_says_when_to_come_back() -> None:
    script = Script()
    script.plan(server())
    async with open_system() as system:
        ref = await serve(system, script, policy(wait=20.0))
        with pytest.raises(ProviderError) as caught:
            await ref.ask(Call(), timeout=15.0)
        assert caught.value.retry_after == 20.0


async def test_a_wait_beyond_the_longest_fails_at_once_and_says_when_to_come_back() -> None:
    script = Script()
    script.plan(fails(FailureKind.SERVER, retry_after=200.0))
    async with open_system() as system:
        ref = await serve(system, script)
        with pytest.raises(ProviderError) as caught:
            await ref.ask(Call(), timeout=1000.0)
        assert anyio.current_time() == 0.0
        assert caught.value.retry_after is not None
        assert caught.value.retry_after >= 200.0


async def test_an_attempt_that_takes_too_long_is_a_timeout_and_is_retried() -> None:
    script = Script()
    script.plan(hangs())
    async with open_system() as system:
        ref = await serve(system, script)
        assert await ref.ask(Call("a")) == "a 2"
        assert script.moments == [0.0, 31.0]
        assert [seen.outcome for seen in script.seen] == ["cancelled", "answered"]
        found = statistics(system)
        assert found.failures == {FailureKind.TIMEOUT: 1}
        await at_rest(system)


async def test_an_attempt_that_must_not_be_made_twice_is_not_retried_after_a_timeout() -> None:
    class Once(Scripted):
        def is_repeatable(self, message: Message) -> bool:
            return False

    script = Script()
    script.plan(hangs())
    async with open_system() as system:
        ref = await system.spawn(Child("svc", lambda: Once(script), policy=policy()))
        with pytest.raises(ProviderError, match="no answer within 30 s") as caught:
            await ref.ask(Call())
        assert (caught.value.kind, caught.value.retryable) == (FailureKind.TIMEOUT, False)
        assert len(script.seen) == 1


async def test_a_bug_in_saying_what_may_be_made_twice_crashes_the_service() -> None:
    class Unsure(Scripted):
        def is_repeatable(self, message: Message) -> bool:
            raise BugError

    script = Script()
    script.plan(hangs())
    async with open_system() as system:
        ref = await system.spawn(Child("svc", lambda: Unsure(script), policy=policy()))
        with pytest.raises(ActorCrashedError):
            await ref.ask(Call())
        await at_rest(system)
        assert statistics(system).failures == {FailureKind.BUG: 1}


async def test_an_attempt_timeout_counts_for_the_breaker() -> None:
    script = Script()
    script.plan(*[hangs()] * 5)
    async with open_system() as system:
        ref = await serve(system, script, policy(attempts=1))
        for _ in range(5):
            with pytest.raises(ProviderError, match="no answer within 30 s") as caught:
                await ref.ask(Call())
            assert caught.value.kind is FailureKind.TIMEOUT
        assert statistics(system).state == "breaker_open"


async def test_the_next_attempt_of_a_worker_is_not_hit_by_the_timeout_of_the_one_before() -> None:
    """The worker's scope was used up: it is replaced before the next message."""
    script = Script()
    script.plan(hangs(), ok(10.0), ok(10.0))
    async with open_system() as system:
        ref = await serve(system, script, policy(attempts=1, concurrency=1))
        async with Askers(ref) as askers:
            await askers.ask_all("abc")
        assert [outcome.at for outcome in askers.outcomes] == [30.0, 40.0, 50.0]
        assert [outcome.value for outcome in askers.outcomes][1:] == ["b 1", "c 1"]


async def test_an_answer_in_the_moment_of_the_timeout_is_one_or_the_other() -> None:
    script = Script()
    script.plan(*[ok(30.0)] * 3)
    async with open_system() as system:
        ref = await serve(system, script, policy(attempts=1, concurrency=1))
        async with Askers(ref) as askers:
            await askers.ask_all("abc")
        for outcome in askers.outcomes:
            assert isinstance(outcome.value, str | ProviderError)
        assert [outcome.at for outcome in askers.outcomes] == [30.0, 60.0, 90.0]
        await at_rest(system)


async def test_retries_go_before_new_messages() -> None:
    script = Script()
    script.plan(server(), ok(5.0), ok(5.0))
    async with open_system() as system:
        ref = await serve(system, script, policy(concurrency=1))
        async with Askers(ref) as askers:
            await askers.ask_all("abcd")
        assert script.names == ["a", "b", "a", "c", "d"]


async def test_a_waiting_retry_holds_no_slot() -> None:
    script = Script()
    script.plan(*[fails(FailureKind.SERVER, retry_after=50.0)] * 3)
    async with open_system() as system:
        ref = await serve(system, script, policy(concurrency=1))
        async with Askers(ref) as askers:
            await askers.ask_all("abcd")
            await anyio.sleep(1)
            found = statistics(system)
            assert (found.waiting_retries, found.bulkhead.in_flight, found.actor.queued) == (3, 0, 3)
            assert found.actor.queued_peak == 4
            assert askers.outcomes[3].value == "d 1"
        await at_rest(system)


async def test_waiting_retries_fill_at_most_a_quarter_of_the_mailbox() -> None:
    """Beyond that a call fails with its last error."""
    script = Script()
    script.plan(*[fails(FailureKind.OVERLOADED)] * 4)
    async with open_system() as system:
        ref = await serve(system, script, policy(mailbox=8))
        async with Askers(ref) as askers:
            await askers.ask_all("abcd")
        assert [outcome.value for outcome in askers.outcomes[:2]] == ["a 2", "b 2"]
        for outcome in askers.outcomes[2:]:
            assert outcome.at == 0.0
            assert isinstance(outcome.error, RetriesExhaustedError)
            assert outcome.error.attempts == 1
            assert isinstance(outcome.error.__cause__, ProviderError)
        await at_rest(system)


async def test_a_due_retry_that_can_not_begin_yet_counts_for_the_quarter_too() -> None:
    script = Script()
    script.by_name |= {
        "a": limited(retry_after=1.0),
        "late": server(after=5.0),
    }
    async with open_system() as system:
        ref = await serve(system, script, policy(mailbox=4, concurrency=4))
        async with Askers(ref) as askers:
            late = [await askers.ask("late") for _ in range(3)]
            await anyio.sleep(0.1)
            first = await askers.ask("a")
            await anyio.sleep(4)
            script.by_name["a"] = ok()
            found = statistics(system)
            assert (found.waiting_retries, found.actor.queued) == (0, 1)
        assert first.value == "a 2"
        assert [outcome.at for outcome in late] == [5.0] * 3
        assert all(isinstance(outcome.error, RetriesExhaustedError) for outcome in late)


async def test_senders_in_line_move_up_when_a_retry_leaves_the_mailbox() -> None:
    script = Script()
    script.plan(server())
    async with open_system() as system:
        ref = await serve(system, script, policy(mailbox=1))
        async with Askers(ref) as askers:
            await askers.ask("a")
            await anyio.sleep(0.5)
            waiting = await askers.ask("b")
            await anyio.lowlevel.checkpoint()
            async with anyio.create_task_group() as tellers:
                tellers.start_soon(ref.tell, Job("c"))
        assert waiting.at == 1.0
        assert script.names == ["a", "a", "b", "c"]
        await at_rest(system)


async def test_a_small_mailbox_does_not_leave_slots_unused() -> None:
    script = Script()
    script.plan(*[ok(1.0)] * 6)
    async with open_system() as system:
        ref = await serve(system, script, policy(mailbox=1, concurrency=6))
        async with Askers(ref) as askers:
            askers.rush("abcdef")
        assert {outcome.at for outcome in askers.outcomes} == {1.0}
        assert statistics(system).bulkhead.peak == 6


async def test_a_waiting_retry_keeps_its_place_in_the_mailbox() -> None:
    script = Script()
    script.plan(fails(FailureKind.SERVER, retry_after=50.0), *[ok(10.0)] * 4)
    async with open_system() as system:
        ref = await serve(system, script, policy(mailbox=2, concurrency=1))
        async with Askers(ref) as askers:
            await askers.ask("a")
            await anyio.sleep(1)
            await askers.ask_all("bcde")
            for moment in (2, 12):
                await anyio.sleep(moment - anyio.current_time())
                actor = statistics(system).actor
                assert (actor.queued, actor.waiting) == (2, 2 if moment == 2 else 1)
                assert actor.capacity == 2
        await at_rest(system)


async def test_an_asker_who_leaves_makes_room_for_the_next_in_line() -> None:
    script = Script()
    script.plan(fails(FailureKind.SERVER, retry_after=50.0))
    async with open_system() as system:
        ref = await serve(system, script, policy(mailbox=1))
        async with Askers(ref) as askers:
            first = await askers.ask("a")
            await anyio.sleep(1)
            second = await askers.ask("b")
            await anyio.sleep(1)
            first.cancel()
        assert second.at == 2.0
        await at_rest(system)


async def test_a_told_message_that_can_not_be_done_becomes_a_dead_letter() -> None:
    script = Script()
    script.plan(*[server()] * 3)
    async with open_system() as system:
        ref = await serve(system, script)
        await ref.tell(Job("a"))
        await anyio.sleep(10)
        (letter,) = system.dead_letters.read()
        assert (letter.message, letter.reason) == (Job("a"), "RetriesExhaustedError")
        assert script.names == ["a"] * 3
        await at_rest(system)


async def test_a_message_without_a_handler_harms_nobody() -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script)
        with pytest.raises(UnhandledMessageError):
            await ref.ask(Unknown())
        found = statistics(system)
        assert (found.attempts, found.restarts) == (0, 0)
        await at_rest(system)


# --- what the handler is told ---


async def test_the_idempotency_key_is_the_same_for_all_attempts_of_a_call_and_no_other() -> None:
    script = Script()
    script.plan(server(), server(), ok(), server(), ok())
    async with open_system() as system:
        ref = await serve(system, script)
        await ref.ask(Call("a"))
        await ref.ask(Call("b"))
        first, second = (
            {seen.attempt.idempotency_key for seen in script.seen if name_of(seen.message) == name}
            for name in "ab"
        )
        assert len(first) == len(second) == 1
        assert first != second
        correlations = {seen.attempt.correlation_id for seen in script.seen}
        assert len(correlations) == 2


async def test_a_handler_is_told_when_its_caller_stops_waiting() -> None:
    script = Script()
    script.plan(server())
    async with open_system() as system:
        ref = await serve(system, script)
        await anyio.sleep(5)
        await ref.ask(Call("a"), timeout=12.0)
        await ref.ask(Call("b"))
        await ref.tell(Job("c"))
        await anyio.sleep(1)
        deadlines = [seen.attempt.deadline for seen in script.seen]
        assert deadlines == pytest.approx([17.0, 17.0, 6.0 + 180.0, float("inf")])


async def test_there_is_no_current_attempt_outside_a_handler() -> None:
    with pytest.raises(RelightError, match="in a handler of a service"):
        current_attempt()


# --- what is counted and said ---


async def test_attempts_are_first_tries_and_retries() -> None:
    script = Script()
    script.plan(server(), ok(), server(), hangs(), server(), ok(), fails(FailureKind.BAD_REQUEST))
    async with open_system() as system:
        ref = await serve(system, script)
        await ref.ask(Call())
        with pytest.raises(RetriesExhaustedError):
            await ref.ask(Call())
        await ref.ask(Call())
        with pytest.raises(ProviderError):
            await ref.ask(Call())
        found = statistics(system)
        assert found.attempts == len(script.seen) == 7
        assert found.retries == {
            RetryKey("Call", FailureKind.SERVER, "success"): 1,
            RetryKey("Call", FailureKind.SERVER, "failed"): 1,
            RetryKey("Call", FailureKind.TIMEOUT, "failed"): 1,
        }
        assert found.retries_total == 3
        outcomes = {key.outcome: count for key, count in found.calls.items()}
        assert outcomes == {"retried_ok": 1, "failed": 2, "ok": 1}
        assert sum(outcomes.values()) + found.retries_total == found.attempts
        assert found.failures == {
            FailureKind.SERVER: 3,
            FailureKind.TIMEOUT: 1,
            FailureKind.BAD_REQUEST: 1,
        }


async def test_the_time_of_a_call_holds_its_retries_and_waits() -> None:
    script = Script()
    script.plan(server(after=2.0), ok(3.0), ok(0.5))
    async with open_system() as system:
        ref = await serve(system, script)
        await ref.ask(Call())
        await ref.ask(Call())
        found = statistics(system)
        assert found.latencies == pytest.approx((6.0, 0.5))
        assert found.durations["Call", "retried_ok"].seconds == pytest.approx(6.0)
        assert sum(found.durations["Call", "ok"].counts) == 1


async def test_a_retry_is_announced() -> None:
    script = Script()
    script.plan(server())
    async with open_system() as system:
        ref = await serve(system, script)
        said = listen(system, "provider.retry_scheduled")
        await ref.ask(Call())
    assert said == [
        {
            "provider": "svc",
            "operation": "Call",
            "attempt": 1,
            "delay_s": 1.0,
            "reason": "server",
            "status": None,
        }
    ]


async def test_the_cost_of_retries_is_estimated_by_model_for_a_minute() -> None:
    script = Script(prices={"m1": 0.25, "m2": None})
    async with open_system() as system:
        ref = await serve(system, script)
        for model in ("m1", "m1", "m2", "free"):
            script.plan(server(), server(), ok())
            await ref.ask(Call(model=model))
        found = statistics(system)
        assert found.retry_cost_usd == {"m1": pytest.approx(1.0)}
        assert found.unpriced_retries == {"m2": 2}
        await anyio.sleep(61)
        assert statistics(system).retry_cost_usd == {"m1": 0.0}


async def test_first_attempts_are_not_charged_as_retries() -> None:
    script = Script(prices={"m1": 0.25})
    async with open_system() as system:
        ref = await serve(system, script)
        await ref.ask(Call())
        assert statistics(system).retry_cost_usd == {}


async def test_the_callers_deadline_is_no_timeout_of_the_attempt() -> None:
    script = Script()
    script.plan(hangs())
    async with open_system() as system:
        ref = await serve(system, script)
        with pytest.raises(AskTimeoutError):
            await ref.ask(Call(), timeout=5.0)
        await anyio.lowlevel.checkpoint()
        found = statistics(system)
        assert found.failures == {}
        assert {key.outcome for key in found.calls} == {"cancelled"}
        assert script.seen[0].outcome == "cancelled"
        await at_rest(system)
