"""Adaptive concurrency: the guard begins as many attempts as the service has been found to take."""

import anyio
import pytest

from relight.supervisors import FailureKind, open_system
from relight.supervisors.policies import Adaptive, Policy
from tests.supervisors.scripted import (
    Askers,
    Call,
    Script,
    at_rest,
    bug,
    caught,
    fails,
    limited,
    ok,
    policy,
    serve,
    statistics,
)
from tests.support.clocks import virtual_time

pytestmark = [pytest.mark.anyio, virtual_time]


def adaptive(low: int, high: int, start: int, *, attempts: int = 1) -> Policy:
    return policy(attempts=attempts, concurrency=Adaptive(low, high, start), breaker=None)


async def test_it_begins_more_at_once_than_it_started_with_while_all_goes_well() -> None:
    script = Script()
    script.plan(*[ok(1.0)] * 100)
    async with open_system() as system:
        ref = await serve(system, script, adaptive(1, 5, 2))
        async with Askers(ref) as askers:
            await askers.ask_all([str(number) for number in range(40)])
        moments = script.moments
        # A flight takes a second, and each that succeeds makes the next one larger by one.
        assert [moments.count(float(second)) for second in range(9)] == [2, 3, 4, 5, 5, 5, 5, 5, 5]
        assert script.peak == 5
        assert statistics(system).bulkhead.limit == 5
        await at_rest(system)
        async with Askers(ref) as askers:  # and it has not forgotten after a rest
            await askers.ask_all("abcdef")
            await anyio.sleep(0.5)
            assert script.running == 5


async def test_queued_calls_get_the_new_slot_at_once() -> None:
    script = Script()
    script.plan(ok(1.0), ok(2.0), *[ok(10.0)] * 3)
    async with open_system() as system:
        ref = await serve(system, script, adaptive(1, 64, 2))
        async with Askers(ref) as askers:
            await askers.ask_all("abcde")
        # One success is half of the limit's worth; the second makes the limit 3.
        assert script.moments == [0.0, 0.0, 1.0, 2.0, 2.0]


@pytest.mark.parametrize("kind", [FailureKind.OVERLOADED, FailureKind.TIMEOUT])
async def test_congestion_lowers_it_once_for_a_flight(kind: FailureKind) -> None:
    script = Script()
    script.plan(*[fails(kind, after=1.0)] * 10)
    async with open_system() as system:
        ref = await serve(system, script, adaptive(1, 64, 10))
        async with Askers(ref) as askers:
            await askers.ask_all([str(number) for number in range(10)])
        assert statistics(system).bulkhead.limit == 7
        script.plan(*[ok(1.0)] * 100)
        before = len(script.seen)
        async with Askers(ref) as askers:
            await askers.ask_all([str(number) for number in range(20)])
            await anyio.sleep(0.5)
            assert len(script.seen) - before == 7


@pytest.mark.parametrize("kind", [FailureKind.SERVER, FailureKind.NETWORK, FailureKind.BAD_REQUEST])
async def test_what_says_nothing_of_room_leaves_it_alone(kind: FailureKind) -> None:
    script = Script()
    script.plan(fails(kind))
    async with open_system() as system:
        ref = await serve(system, script, adaptive(1, 64, 10))
        await caught(lambda: ref.ask(Call()))
        assert statistics(system).bulkhead.limit == 10


async def test_after_a_rate_limits_pause_it_starts_at_a_quarter_of_what_was_found() -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script, adaptive(1, 64, 12))
        script.plan(limited(retry_after=5.0))
        await caught(lambda: ref.ask(Call()))
        found = statistics(system).bulkhead
        assert (found.limit, found.full_limit) == (2, 8)
        script.plan(*[ok(1.0)] * 100)
        async with Askers(ref) as askers:
            await askers.ask_all([str(number) for number in range(40)])
        moments = script.moments[1:]
        assert [moments.count(5.0 + second) for second in range(4)] == [2, 4, 8, 9]
        await at_rest(system)


async def test_a_cancelled_attempt_moves_nothing() -> None:
    script = Script()
    script.plan(*[ok(10.0)] * 50)
    async with open_system() as system:
        ref = await serve(system, script, adaptive(1, 64, 4))
        async with Askers(ref) as askers:
            await askers.ask_all("abcd")
            await anyio.sleep(1)
            for outcome in askers.outcomes:
                outcome.cancel()
        assert statistics(system).bulkhead.limit == 4
        await at_rest(system)


async def test_when_it_falls_below_what_it_started_with_no_more_than_that_begin() -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script, adaptive(1, 8, 2))
        for _ in range(100):
            await ref.ask(Call())
        assert statistics(system).bulkhead.limit == 3  # one call at a time uses less than half of it
        script.plan(*[fails(FailureKind.OVERLOADED)] * 6)
        for _ in range(6):
            await caught(lambda: ref.ask(Call()))
            await anyio.sleep(1)
        assert statistics(system).bulkhead.limit == 1
        script.plan(*[ok(1.0)] * 3)
        before = len(script.moments)
        async with Askers(ref) as askers:
            await askers.ask_all("abc")
        first, *others = script.moments[before:]
        assert others == [first + 1.0, first + 1.0]
        await at_rest(system)


async def test_growth_while_the_service_restarts_holds_when_it_is_back() -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script, adaptive(1, 8, 2))
        await ref.ask(Call())
        script.plan(bug(after=0.5), ok(1.0))
        async with Askers(ref) as askers:
            await askers.ask_all("ab")
        found = statistics(system)
        assert (found.state, found.bulkhead.limit) == ("restarting", 3)
        await anyio.sleep(1)
        script.plan(*[ok(1.0)] * 4)
        async with Askers(ref) as askers:
            await askers.ask_all("abcd")
            await anyio.sleep(0.5)
            assert script.running == 3
        await at_rest(system)
