"""A provider that refuses the account is left alone, but for a probe now and then."""

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from relight.supervisors import FailureKind, ProviderBlockedError, ProviderError, open_system
from tests.supervisors.scripted import (
    Askers,
    Call,
    Job,
    Script,
    Step,
    at_rest,
    bug,
    caught,
    fails,
    hangs,
    listen,
    ok,
    policy,
    serve,
    server,
    statistics,
)
from tests.support.clocks import virtual_time

pytestmark = [pytest.mark.anyio, virtual_time]

BLOCKING = [FailureKind.QUOTA, FailureKind.AUTH]
QUOTA = FailureKind.QUOTA


@pytest.mark.parametrize("kind", BLOCKING)
async def test_a_refused_account_is_sent_one_call_and_then_none(kind: FailureKind) -> None:
    script = Script()
    script.plan(*[fails(kind)] * 100)
    async with open_system() as system:
        ref = await serve(system, script)
        said = listen(system, "provider.blocked")
        with pytest.raises(ProviderError) as failed:
            await ref.ask(Call())
        assert (failed.value.kind, failed.value.attempts) == (kind, 1)
        for _ in range(20):
            with pytest.raises(ProviderBlockedError) as refused:
                await ref.ask(Call())
            assert refused.value.retry_after is not None
        assert len(script.seen) == 1
        assert statistics(system).state == "blocked"
        assert statistics(system).refusals == {"ProviderBlockedError": 20}
        assert said == [{"provider": "svc", "reason": str(kind), "code": None}]


@pytest.mark.parametrize(
    ("kind", "words"), [(QUOTA, "no quota left"), (FailureKind.AUTH, "the key is refused")]
)
async def test_a_refusal_says_what_a_person_has_to_look_at(kind: FailureKind, words: str) -> None:
    script = Script()
    script.plan(fails(kind))
    async with open_system() as system:
        ref = await serve(system, script)
        await caught(lambda: ref.ask(Call()))
        await anyio.sleep(100)
        with pytest.raises(ProviderBlockedError, match=f"blocked, {words}") as refused:
            await ref.ask(Call())
        assert refused.value.retry_after == pytest.approx(200.0)


async def test_what_is_queued_or_in_line_is_refused_at_once() -> None:
    script = Script()
    script.plan(fails(QUOTA, after=1.0))
    async with open_system() as system:
        ref = await serve(system, script, policy(mailbox=2, concurrency=1))
        async with Askers(ref) as askers, anyio.create_task_group() as tellers:
            await askers.ask_all("abcde")
            tellers.start_soon(ref.tell, Job("f"))
        assert script.names == ["a"]
        for outcome in askers.outcomes[1:]:
            assert isinstance(outcome.error, ProviderBlockedError)
            assert outcome.at == 1.0
        letters = [letter.message for letter in system.dead_letters.read() if isinstance(letter.message, Job)]
        assert letters == [Job("f")]
        await at_rest(system)


async def test_every_five_minutes_one_probe_is_let_through() -> None:
    script = Script()
    script.plan(fails(QUOTA), fails(QUOTA, after=1.0), ok(1.0))
    async with open_system() as system:
        ref = await serve(system, script)
        await caught(lambda: ref.ask(Call()))
        await anyio.sleep(299)
        assert isinstance(await caught(lambda: ref.ask(Call())), ProviderBlockedError)
        await anyio.sleep(1)
        async with Askers(ref) as askers:
            await askers.ask_all("abc")
        assert [type(outcome.value) for outcome in askers.outcomes] == [
            ProviderError,
            ProviderBlockedError,
            ProviderBlockedError,
        ]
        assert len(script.seen) == 2
        await anyio.sleep(299)
        assert isinstance(await caught(lambda: ref.ask(Call())), ProviderBlockedError)
        await anyio.sleep(1)
        assert await ref.ask(Call("d")) == "d 1"
        assert statistics(system).state == "ok"
        assert await ref.ask(Call("e")) == "e 1"


async def test_a_probe_under_way_says_no_moment_to_come_back() -> None:
    script = Script()
    script.plan(fails(QUOTA), ok(10.0))
    async with open_system() as system:
        ref = await serve(system, script)
        await caught(lambda: ref.ask(Call()))
        await anyio.sleep(300)
        async with Askers(ref) as askers:
            await askers.ask("probe")
            await anyio.sleep(1)
            refused = await caught(lambda: ref.ask(Call()))
            assert isinstance(refused, ProviderBlockedError)
            assert refused.retry_after is None
        assert statistics(system).state == "ok"


@pytest.mark.parametrize("ends", ["cancelled", "crashed"])
async def test_a_probe_that_says_nothing_makes_room_for_the_next(ends: str) -> None:
    script = Script()
    script.plan(fails(QUOTA), bug() if ends == "crashed" else hangs())
    async with open_system() as system:
        ref = await serve(system, script)
        await caught(lambda: ref.ask(Call()))
        await anyio.sleep(300)
        await caught(lambda: ref.ask(Call(), timeout=1.0))
        await wait_all_tasks_blocked()
        assert statistics(system).state == "blocked"
        assert await ref.ask(Call("next")) == "next 1"
        assert statistics(system).state == "ok"


async def test_a_probe_that_fails_otherwise_is_retried_and_unblocks_by_its_success() -> None:
    script = Script()
    script.plan(fails(QUOTA), server())
    async with open_system() as system:
        ref = await serve(system, script)
        await caught(lambda: ref.ask(Call()))
        await anyio.sleep(300)
        assert await ref.ask(Call("probe")) == "probe 2"
        assert statistics(system).state == "ok"


async def test_the_policy_says_how_often_to_probe() -> None:
    script = Script()
    script.plan(fails(QUOTA))
    async with open_system() as system:
        ref = await serve(system, script, policy(blocked_probe=10.0))
        await caught(lambda: ref.ask(Call()))
        await anyio.sleep(10)
        assert await ref.ask(Call("a")) == "a 1"


async def test_calls_in_flight_when_it_was_blocked_do_not_unblock_it() -> None:
    """They were sent before; only what is sent after says something about the account."""
    script = Script()
    script.plan(ok(10.0), fails(QUOTA, after=1.0), fails(QUOTA, after=2.0))
    async with open_system() as system:
        ref = await serve(system, script)
        said = listen(system, "provider.blocked")
        async with Askers(ref) as askers:
            await askers.ask_all("abc")
        assert askers.outcomes[0].value == "a 1"
        assert statistics(system).state == "blocked"
        assert len(said) == 1
        refused = await caught(lambda: ref.ask(Call()))
        assert isinstance(refused, ProviderBlockedError)
        assert refused.retry_after == pytest.approx(291.0)
        assert len(script.seen) == 3


@pytest.mark.parametrize(
    "late", [fails(FailureKind.BAD_REQUEST, after=400.0), ok(400.0), fails(QUOTA, after=400.0)]
)
async def test_a_call_in_flight_for_longer_than_the_block_does_not_end_its_probe(late: Step) -> None:
    script = Script()
    script.plan(late, fails(QUOTA), ok(200.0))
    async with open_system() as system:
        ref = await serve(system, script, policy(attempt_timeout=1000.0, call_timeout=1000.0))
        async with Askers(ref) as askers:
            await askers.ask_all("ab")
            await anyio.sleep(301)
            await askers.ask("probe")
            await anyio.sleep(150)
            assert isinstance(await caught(lambda: ref.ask(Call())), ProviderBlockedError)
        assert statistics(system).state == "ok"
        assert script.names == ["a", "b", "probe"]


async def test_retries_that_fall_due_while_it_is_blocked_fail() -> None:
    script = Script()
    script.plan(server(), fails(QUOTA, after=0.5))
    async with open_system() as system:
        ref = await serve(system, script)
        async with Askers(ref) as askers:
            await askers.ask_all("ab")
        assert isinstance(askers.outcomes[0].error, ProviderBlockedError)
        assert askers.outcomes[0].at == 1.0
        await at_rest(system)


async def test_a_block_outlives_a_restart() -> None:
    script = Script()
    script.plan(fails(QUOTA), bug())
    async with open_system() as system:
        ref = await serve(system, script)
        await caught(lambda: ref.ask(Call()))
        await anyio.sleep(300)
        await caught(lambda: ref.ask(Call()))
        await anyio.sleep(5)
        assert script.incarnations == 2
        assert statistics(system).state == "blocked"
