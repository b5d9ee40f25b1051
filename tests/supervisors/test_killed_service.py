"""A service that is killed, suspended or told of exits: its guard is left as it should be."""

from contextlib import asynccontextmanager
from typing import ClassVar

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from relight.runtime import NORMAL, SHUTDOWN, ActorState, ActorStoppedError, Exited, TracePhase, handles
from relight.supervisors import Child, open_system
from tests.supervisors.scripted import (
    PROVIDER,
    STEADY,
    Askers,
    Call,
    Script,
    Scripted,
    at_rest,
    bug,
    hangs,
    ok,
    serve,
    server,
    statistics,
)
from tests.support.clocks import virtual_time

pytestmark = [pytest.mark.anyio, virtual_time]


class Trapping(Scripted):
    """A scripted service that is told of exits."""

    traps_exits: ClassVar[bool] = True

    def __init__(self, script: Script) -> None:
        super().__init__(script)
        self.script = script

    @handles
    async def exited(self, message: Exited) -> None:
        self.script.life.append(f"told {message.reason}")


async def test_attempts_in_hand_of_a_killed_service_end_and_give_back_what_they_hold() -> None:
    script = Script()
    script.plan(hangs(), hangs())
    async with open_system() as system:
        ref = await serve(system, script)
        async with Askers(ref) as askers:
            await askers.ask_all(["one", "two"])
            await wait_all_tasks_blocked()
            assert script.running == 2
            system.kill(ref)
            await wait_all_tasks_blocked()
            for outcome in askers.outcomes:
                assert isinstance(outcome.error, ActorStoppedError)
        assert [seen.outcome for seen in script.seen] == ["cancelled", "cancelled"]
        found = await at_rest(system)
        assert found.actor.state is ActorState.RESTARTING
        assert await ref.ask(Call("after")) == "after 1"
        assert script.life == ["open 1", "cut 1", "open 2"]
        await at_rest(system)


async def test_calls_of_a_killed_service_that_wait_for_their_retry_are_retried() -> None:
    script = Script()
    script.plan(server())
    async with open_system() as system:
        ref = await serve(system, script)
        async with Askers(ref) as askers:
            outcome = await askers.ask("patient")
            await wait_all_tasks_blocked()
            system.kill(ref)
        assert outcome.value == "patient 2"
        await at_rest(system)


async def test_queued_calls_of_a_killed_service_are_for_its_next_incarnation() -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script)
        system.suspend(ref)
        async with Askers(ref) as askers:
            outcome = await askers.ask("queued")
            await wait_all_tasks_blocked()
            assert outcome.at == -1.0
            system.kill(ref)
        assert outcome.value == "queued 1"
        assert script.incarnations == 2


async def test_a_suspended_service_begins_no_attempt() -> None:
    script = Script()
    script.plan(ok(after=2.0))
    async with open_system() as system:
        ref = await serve(system, script)
        async with Askers(ref) as askers:
            first = await askers.ask("in hand")
            await wait_all_tasks_blocked()
            system.suspend(ref)
            second = await askers.ask("queued")
            await anyio.sleep(10)
            assert (first.value, second.value) == ("in hand 1", None)
            system.resume(ref)
        assert second.value == "queued 1"
        await at_rest(system)


async def test_signals_to_a_service_pass_its_guard() -> None:
    script = Script()
    async with open_system() as system:
        child = Child(PROVIDER, lambda: Trapping(script), policy=STEADY)
        ref = await system.spawn(child)
        script.by_name["slow"] = ok(after=5.0)
        async with Askers(ref) as askers:
            await askers.ask("slow")
            await wait_all_tasks_blocked()
            system.exit(ref, SHUTDOWN)
            system.exit(ref, NORMAL)
            await wait_all_tasks_blocked()
            assert script.life == ["open 1", "told shutdown", "told normal"]
            assert statistics(system).bulkhead.in_flight == 1
        found = await at_rest(system)
        assert found.actor.handled == 3


async def test_a_signal_waits_for_a_slot_where_all_are_taken() -> None:
    script = Script()
    script.by_name["slow"] = ok(after=5.0)
    async with open_system() as system:
        ref = await system.spawn(Child(PROVIDER, lambda: Trapping(script), policy=STEADY))
        async with Askers(ref) as askers:
            await askers.ask_all(["slow"] * STEADY.concurrency.limit)
            await wait_all_tasks_blocked()
            queued = await askers.ask("queued")
            system.exit(ref, SHUTDOWN)
            await wait_all_tasks_blocked()
            assert script.life == ["open 1"]
        assert script.life == ["open 1", "told shutdown"]
        assert queued.value == "queued 1"
        await at_rest(system)


async def test_the_bug_of_what_a_suspended_service_has_in_hand_ends_its_incarnation() -> None:
    script = Script()
    script.plan(bug(after=1.0))
    async with open_system() as system:
        ref = await serve(system, script)
        async with Askers(ref) as askers:
            outcome = await askers.ask("bad")
            await wait_all_tasks_blocked()
            system.suspend(ref)
        assert "crashed" in str(outcome.error)
        assert await ref.ask(Call("next")) == "next 1"
        assert script.incarnations == 2


async def test_a_linked_service_is_ended_by_a_plain_actor() -> None:
    script, other = Script(), Script()
    async with open_system() as system:
        ref = await serve(system, script)
        linked = await system.spawn(Child("other", lambda: Scripted(other), policy=STEADY))
        system.link(ref, linked)
        system.kill(ref)
        await wait_all_tasks_blocked()  # its lifespan unwinds, then the signal goes out
        assert await linked.ask(Call("again")) == "again 1"
        assert (script.incarnations, other.incarnations) == (2, 2)
        assert other.life == ["open 1", "stop 1", "close 1", "open 2"]


async def test_a_service_is_traced_attempt_by_attempt() -> None:
    class Special(Call, frozen=True):
        """No handler names it."""

    script = Script()
    script.plan(server(), ok(after=2.0))
    async with open_system() as system:
        ref = await serve(system, script)
        with system.trace(ref) as trace:
            await ref.ask(Special("twice"))
        assert [entry.phase for entry in trace.read()] == [
            TracePhase.RECEIVED,
            TracePhase.CRASHED,
            TracePhase.RECEIVED,
            TracePhase.HANDLED,
        ]


async def test_a_service_killed_while_it_starts_is_started_again() -> None:
    script = Script()

    class Slow(Scripted):
        @asynccontextmanager
        async def lifespan(self):  # type: ignore[no-untyped-def]
            if script.incarnations == 2:
                await anyio.sleep(60)
            yield

    async with open_system() as system:
        ref = await system.spawn(Child(PROVIDER, lambda: Slow(script), policy=STEADY))
        system.kill(ref)
        await anyio.sleep(2)
        assert ref.statistics().state is ActorState.STARTING
        system.kill(ref)
        assert await ref.ask(Call("third")) == "third 1"
        assert script.incarnations == 3
