"""A call to a service, cancelled at any moment of its life, leaves the service as good as new."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import anyio
import pytest

from relight import Ref, System, open_system
from relight.supervisors import FailureKind
from relight.supervisors.policies import Breaker, CircuitState, Policy
from tests.runtime.desk import settle
from tests.supervisors.scripted import (
    Call,
    Job,
    Script,
    Step,
    bug,
    fails,
    limited,
    ok,
    policy,
    serve,
    server,
    statistics,
)
from tests.support.cuts import Moment, cuts
from tests.support.rest import Baseline, living_tasks, living_timers

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("moment", list(Moment))]


def circuit_state(system: System) -> CircuitState:
    found = statistics(system).breaker
    assert found is not None
    return found.state


@asynccontextmanager
async def open_service(script: Script, chosen: Policy) -> AsyncGenerator[tuple[System, Ref], None]:
    """Open a system with one service, and look at it when all that was begun has had its time."""
    tasks = living_tasks()
    async with open_system() as system:
        ref = await serve(system, script, chosen)
        await settle()
        baseline = Baseline(system)
        yield system, ref
        script.steps.clear()
        await anyio.sleep(1000)
        await settle()
        found = statistics(system)
        assert (found.bulkhead.in_flight, found.waiting_retries, script.running) == (0, 0, 0)
        baseline.check(ref)
        assert await ref.ask(Call("after"), timeout=10) == "after 1"
        await settle()
        baseline.check(ref)
        assert circuit_state(system) is CircuitState.CLOSED
        assert living_timers(system) == []
    await settle()
    assert living_tasks() == tasks


@pytest.mark.parametrize(
    "steps",
    [
        [ok()],
        [ok(1.0)],
        [server(), ok(1.0)],
        [server(1.0), server(1.0), server(1.0)],
        [limited(retry_after=3.0), ok()],
        [fails(FailureKind.BAD_REQUEST, after=1.0)],
        [fails(FailureKind.QUOTA, after=1.0)],
        [bug(1.0)],
        [ok(5.0), ok()],  # the first is timed out
    ],
    ids=["at-once", "slow", "retry", "given-up", "gate", "caller-fault", "blocked", "bug", "timeout"],
)
async def test_a_call(moment: Moment, steps: list[Step]) -> None:
    for cut in cuts(moment):
        script = Script()
        script.plan(*steps)
        async with open_service(script, policy(attempt_timeout=4.0, blocked_probe=50.0)) as (_, ref):
            await cut.run(lambda: ref.ask(Call("cut"), timeout=100))
            assert script.running <= 1
            assert sum(seen.name == "cut" for seen in script.seen) <= len(steps)


async def test_a_call_that_waits_at_the_gate(moment: Moment) -> None:
    for cut in cuts(moment):
        script = Script()
        script.plan(limited(retry_after=5.0), ok(1.0), ok(1.0))
        async with open_service(script, policy()) as (_, ref), anyio.create_task_group() as group:
            group.start_soon(lambda: ref.ask(Call("first"), timeout=100))
            await anyio.sleep(1)
            await cut.run(lambda: ref.ask(Call("cut"), timeout=100))
            await anyio.sleep(100)
            assert script.names.count("first") == 2
            assert script.names.count("cut") == (1 if cut.ended else script.names.count("cut"))


async def test_a_call_in_the_line_before_a_full_mailbox(moment: Moment) -> None:
    for cut in cuts(moment):
        script = Script()
        script.plan(ok(2.0), ok(2.0), ok(2.0))
        async with (
            open_service(script, policy(concurrency=1, mailbox=1)) as (_, ref),
            anyio.create_task_group() as group,
        ):
            for name in ("one", "two"):
                group.start_soon(lambda name=name: ref.ask(Call(name), timeout=100))  # type: ignore[misc]
                await settle()
            await cut.run(lambda: ref.ask(Call("cut"), timeout=100))
            await anyio.sleep(100)
            assert script.names[:2] == ["one", "two"]
            assert script.names.count("cut") == (1 if cut.ended else script.names.count("cut"))


async def test_a_told_job_in_the_line_before_a_full_mailbox(moment: Moment) -> None:
    for cut in cuts(moment):
        script = Script()
        script.plan(ok(2.0), ok(2.0), ok(2.0))
        async with open_service(script, policy(concurrency=1, mailbox=1)) as (_, ref):
            await ref.tell(Job("one"))
            await settle()
            await ref.tell(Job("two"))
            await cut.run(lambda: ref.tell(Job("cut")))
            await anyio.sleep(100)
            assert script.names == (["one", "two", "cut"] if cut.ended else ["one", "two"])


async def test_a_probe_of_a_half_open_circuit_gives_its_permit_back(moment: Moment) -> None:
    for cut in cuts(moment):
        script = Script()
        script.plan(server(), ok(1.0))
        chosen = policy(attempts=1, breaker=Breaker(failures=1, open_seconds=10.0))
        async with open_service(script, chosen) as (system, ref), anyio.create_task_group() as group:
            group.start_soon(_swallow, ref)
            await anyio.sleep(11)
            await cut.run(lambda: ref.ask(Call("probe"), timeout=100))
            await settle()
            assert script.running == 0
            assert circuit_state(system) is CircuitState.CLOSED or not cut.ended
            assert await ref.ask(Call("next"), timeout=10) == "next 1"


async def test_a_stop_in_the_middle_of_a_call(moment: Moment) -> None:
    for cut in cuts(moment):
        script = Script()
        script.plan(ok(1.0))
        tasks = living_tasks()
        async with open_system() as system, anyio.create_task_group() as group:
            before = Baseline(system)
            ref = await serve(system, script)
            group.start_soon(_swallow, ref)
            await settle()
            await cut.run(ref.stop)
            await anyio.sleep(100)
            await ref.stop()
            await settle()
            before.check(ref)
            assert script.life.count("open 1") == script.life.count("close 1") + script.life.count("cut 1")
        await settle()
        assert living_tasks() == tasks


async def _swallow(ref: Ref) -> None:
    with suppress(Exception):  # what becomes of it is another test's
        await ref.ask(Call("first"), timeout=100)
