"""Links and exit signals, as in OTP: actors that end together, and those that only hear of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise

import anyio
import pytest

from relight import (
    KILLED,
    NORMAL,
    SHUTDOWN,
    ActorCrashedError,
    ActorState,
    Child,
    Exit,
    Exited,
    ExitKind,
    ExitReason,
    Fixed,
    NoSuchActorError,
    Ref,
    RelightError,
    Request,
    StartError,
    Supervisor,
    System,
    handles,
    open_system,
)
from relight.runtime import Cell, fail_start
from tests.runtime.desk import Boom, Desk, Echo, Hold, Log, Note, asking, cell_of, heard, open_desk, settle

pytestmark = pytest.mark.anyio

DONE = ExitReason(ExitKind.NORMAL, detail="done")


class Quit(Request[int], frozen=True):
    """Asked: ends the actor with a reason of its own."""

    reason: ExitReason = NORMAL


class Clerk(Desk):
    """A desk that can end itself, and writes down that it stops."""

    @handles
    async def quit(self, message: Quit) -> int:
        raise Exit(message.reason)

    async def stopping(self, reason: ExitReason) -> None:
        self.log.append(("stops", self.ref.path, str(reason)))


class Trapper(Clerk):
    """A clerk that is told of exits."""

    traps_exits = True

    @handles
    async def exited(self, message: Exited) -> None:
        path = None if message.ref is None else message.ref.path
        self.log.append((path, message.incarnation, str(message.reason)))


class Crowded(Trapper):
    """A trapper for two at once."""

    concurrency = 2


@asynccontextmanager
async def open_office(
    *kinds: Callable[[Log], Desk], restart: str = "temporary"
) -> AsyncGenerator[tuple[System, list[Ref], Log], None]:
    """Open a system with an actor of each class, named a, b, c ..."""
    log = Log()
    async with open_system() as system:
        refs = [
            await system.spawn(Child(name, partial(kind, log), restart=restart))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            for name, kind in zip("abcdefgh", kinds, strict=False)
        ]
        yield system, refs, log


def stand(ref: Ref) -> ActorState:
    return ref.statistics().state


async def test_the_end_of_one_actor_ends_the_other_with_the_same_reason() -> None:
    async with open_office(Clerk, Clerk) as (system, (a, b), log):
        system.link(a, b)
        monitor = system.monitor(b)
        await a.tell(Boom("first"))
        down = await monitor.wait()
        assert repr(down.reason.error) == "ValueError('first')"
        await settle()
        assert [stand(a), stand(b)] == [ActorState.STOPPED, ActorState.STOPPED]
        assert log == [("stops", "a", "crashed: ValueError"), ("stops", "b", "crashed: ValueError")]


async def test_a_link_is_symmetric() -> None:
    async with open_office(Clerk, Clerk) as (system, (a, b), _log):
        system.link(a, b)
        await b.tell(Boom())
        await settle()
        assert stand(a) is ActorState.STOPPED


async def test_a_normal_end_is_ignored_and_undoes_the_link() -> None:
    async with open_office(Clerk, Clerk) as (system, (a, b), _log):
        system.link(a, b)
        await a.tell(Quit(DONE))
        await settle()
        assert stand(a) is ActorState.STOPPED
        assert await b.ask(Echo(1)) == 1
        assert cell_of(b).ties is None


async def test_a_shutdown_stays_a_shutdown() -> None:
    async with open_office(Clerk, Clerk, restart="transient") as (system, (a, b), _log):
        system.link(a, b)
        monitor = system.monitor(b)
        await a.tell(Quit(SHUTDOWN))
        assert (await monitor.wait()).reason == SHUTDOWN
        await settle()
        assert stand(b) is ActorState.STOPPED  # a transient child that was shut down is not restarted


async def test_a_kill_arrives_as_killed_and_the_transient_are_restarted() -> None:
    async with open_office(Clerk, Clerk, restart="transient") as (system, (a, b), log):
        system.link(a, b)
        monitor = system.monitor(b)
        system.kill(a)
        assert (await monitor.wait()).reason == KILLED
        await settle()
        assert log == [("stops", "b", "killed")]  # b was not killed itself, so its hook ran
        assert await b.ask(Echo(1)) == 1
        assert b.statistics().restarts == 1


async def test_an_end_takes_a_whole_chain_along() -> None:
    async with open_office(*[Clerk] * 5) as (system, refs, _log):
        for one, other in pairwise(refs):
            system.link(one, other)
        await refs[2].tell(Boom())
        await settle()
        assert {stand(ref) for ref in refs} == {ActorState.STOPPED}


async def test_a_long_chain_of_links_is_no_deep_one() -> None:
    log = Log()
    async with open_system() as system:
        refs = [
            await system.spawn(Child(f"d{number}", partial(Desk, log), restart="temporary"))
            for number in range(1500)
        ]
        for one, other in pairwise(refs):
            system.link(one, other)
        await refs[0].tell(Boom())
        await settle()
        assert {stand(ref) for ref in refs} == {ActorState.STOPPED}


async def test_a_ring_of_links_ends_once_each() -> None:
    async with open_office(*[Clerk] * 3) as (system, (a, b, c), log):
        system.link(a, b)
        system.link(b, c)
        system.link(c, a)
        await a.tell(Boom())
        await settle()
        assert sorted(str(entry) for entry in log) == [
            str(("stops", name, "crashed: ValueError")) for name in "abc"
        ]


async def test_what_a_linked_actor_has_in_hand_is_cancelled() -> None:
    async with open_office(Clerk, Clerk) as (system, (a, b), log), anyio.create_task_group() as group:
        answer = await asking(group, b, Hold(1))
        system.link(a, b)
        await a.tell(Boom("from afar"))
        await settle()
        assert isinstance(answer.error, ActorCrashedError)
        assert repr(answer.error.__cause__) == "ValueError('from afar')"
        assert ("cancelled", 1) in log


async def test_a_restart_has_no_links() -> None:
    async with open_office(Clerk, Clerk, restart="permanent") as (system, (a, b), _log):
        system.link(a, b)
        await a.tell(Boom())
        await settle()
        assert (a.statistics().restarts, b.statistics().restarts) == (1, 1)
        await a.tell(Boom())
        await settle()
        assert (a.statistics().restarts, b.statistics().restarts) == (2, 1)


async def test_an_undone_link_carries_no_signal() -> None:
    async with open_office(Clerk, Clerk) as (system, (a, b), _log):
        system.link(a, b)
        system.unlink(b, a)
        system.unlink(b, a)
        assert (cell_of(a).ties, cell_of(b).ties) == (None, None)
        await a.tell(Boom())
        await settle()
        assert await b.ask(Echo(1)) == 1


async def test_a_link_made_twice_is_one() -> None:
    async with open_office(Clerk, Trapper) as (system, (a, b), log):
        system.link(a, a)
        assert cell_of(a).ties is None
        system.link(a, b)
        system.link(b, a)
        await a.stop()
        await settle()
        assert log == [("stops", "a", "normal"), ("a", 1, "normal")]


async def test_nothing_is_left_of_a_dead_actor_at_the_other_end() -> None:
    async with open_office(Trapper, *[Clerk] * 3) as (system, (hub, *spokes), log):
        for spoke in spokes:
            system.link(hub, spoke)
        for spoke in spokes:
            await spoke.stop()
        await settle()
        assert [entry for entry in log if entry[0] != "stops"] == [(name, 1, "normal") for name in "bcd"]  # type: ignore[index]  # pyright: ignore[reportIndexIssue, reportUnknownVariableType]
        assert cell_of(hub).ties is None


# --- links to what is dead, or on its way ------------------------------------------------------------


async def test_a_link_to_a_dead_actor_ends_the_living_one_at_once() -> None:
    async with open_office(Clerk, Clerk) as (system, (a, b), _log):
        await a.stop()
        monitor = system.monitor(b)
        system.link(b, a)
        await settle()
        assert monitor.down is not None
        assert isinstance(monitor.down.reason.error, NoSuchActorError)
        assert monitor.down.reason.kind is ExitKind.CRASHED


@pytest.mark.parametrize("order", ["dead first", "dead last"])
async def test_a_link_to_a_dead_actor_is_told_to_one_that_traps_exits(order: str) -> None:
    async with open_office(Clerk, Trapper) as (system, (a, b), log):
        await a.stop()
        log.clear()
        system.link(*((a, b) if order == "dead first" else (b, a)))
        await settle()
        assert log == [("a", 1, "crashed: NoSuchActorError")]


async def test_a_link_between_the_dead_is_nothing() -> None:
    async with open_office(Clerk, Clerk) as (system, (a, b), _log):
        await a.stop()
        await b.stop()
        system.link(a, b)
        assert (cell_of(a).ties, cell_of(b).ties) == (None, None)


async def test_a_link_to_an_actor_between_two_incarnations_is_one_to_the_dead() -> None:
    log = Log()
    async with open_office(Trapper) as (system, (trapper,), seen):
        ref = await system.spawn(Child("desk", partial(Desk, log), backoff=Fixed(60)))
        await ref.tell(Boom())
        await settle()
        system.link(trapper, ref)
        await settle()
        assert seen == [("desk", 1, "crashed: NoSuchActorError")]


async def test_a_link_to_an_actor_that_is_stopping_holds_until_its_end() -> None:
    async with open_office(Clerk, Trapper) as (system, (a, b), log), anyio.create_task_group() as group:
        await asking(group, a, Hold(1))
        group.start_soon(a.stop)
        await settle()
        system.link(a, b)
        await settle()
        assert ("a", 1, "normal") not in log
        log.open()
        await settle()
        assert log[-1] == ("a", 1, "normal")


async def test_a_link_to_an_actor_whose_start_fails_carries_a_signal() -> None:
    log = Log()

    class Slow(Desk):
        async def started(self) -> None:
            await anyio.sleep(1)
            raise ValueError("not today")

    async with open_office(Trapper) as (system, (trapper,), seen), anyio.create_task_group() as group:

        async def spawn() -> None:
            with pytest.raises(StartError):
                await system.spawn(Child("slow", partial(Slow, log)))

        group.start_soon(spawn)
        await settle()
        system.link(trapper, system.get("slow"))
        await anyio.sleep(2)
        assert seen == [("slow", 0, "crashed: ValueError")]


async def test_a_link_to_an_actor_whose_restart_fails_carries_a_signal() -> None:
    log = Log()

    class Once(Desk):
        async def started(self) -> None:
            if self.number == 2:
                await anyio.sleep(1)
                raise ValueError("not today")

    async with open_office(Trapper) as (system, (trapper,), seen):
        ref = await system.spawn(Child("once", partial(Once, log)))
        await ref.tell(Boom())
        await settle()
        system.link(trapper, ref)
        await anyio.sleep(2)
        assert seen == [("once", 1, "crashed: ValueError")]
        assert await ref.ask(Echo(1)) == 1
        assert cell_of(ref).ties is None


async def test_a_failed_start_of_an_actor_without_ties_tells_nobody() -> None:
    async with open_office(Clerk) as (_system, (a,), _log):
        fail_start(cell_of(a), SHUTDOWN)
        assert stand(a) is ActorState.RESTARTING


# --- trapping exits ------------------------------------------------------------------------------------


async def test_one_that_traps_exits_is_told_in_the_order_they_came() -> None:
    async with open_office(Trapper, *[Clerk] * 3) as (system, (hub, b, c, d), log):
        for ref in (b, c, d):
            system.link(hub, ref)
        system.kill(c)
        await settle()
        await d.tell(Boom())
        await b.tell(Quit(SHUTDOWN))
        await settle()
        told = [entry for entry in log if entry[0] != "stops"]  # type: ignore[index]  # pyright: ignore[reportIndexIssue, reportUnknownVariableType]
        assert told == [("c", 1, "killed"), ("d", 1, "crashed: ValueError"), ("b", 1, "shutdown")]
        assert stand(hub) is ActorState.RUNNING


@pytest.mark.parametrize("kind", [Trapper, Crowded])
async def test_a_signal_goes_before_whatever_is_queued(kind: type[Trapper]) -> None:
    async with open_office(kind) as (system, (a,), log), anyio.create_task_group() as group:
        for number in range(kind.concurrency):
            await asking(group, a, Hold(number))
        log.clear()
        for number in range(3):
            await a.tell(Note(number))
        system.exit(a, DONE)
        system.exit(a, SHUTDOWN)
        await a.tell(Note("last"))
        log.open()
        await settle()
        told = [entry for entry in log if entry not in [("held", number) for number in range(2)]]
        assert told == [(None, 0, "normal: done"), (None, 0, "shutdown"), 0, 1, 2, "last"]


async def test_an_actor_with_a_permit_free_handles_a_signal_beside_what_is_in_hand() -> None:
    async with open_office(Crowded) as (system, (a,), log), anyio.create_task_group() as group:
        held = await asking(group, a, Hold(1))
        system.exit(a, SHUTDOWN)
        await settle()
        assert log == [("holds", 1), (None, 0, "shutdown")]
        assert await a.ask(Echo(2)) == 2  # and messages go on beside it
        assert not held.is_in
        log.open()


async def test_messages_go_on_beside_a_signal_that_is_being_handled() -> None:
    class Slow(Crowded):
        async def exited(self, message: Exited) -> None:
            await self.log.gate.wait()
            await super().exited(message)

    async with open_office(Slow) as (system, (a,), log):
        system.exit(a, SHUTDOWN)
        await settle()
        assert await a.ask(Echo(1)) == 1
        log.open()
        await settle()
        assert log == [1, (None, 0, "shutdown")]


async def test_signals_never_count_against_the_bound_of_the_mailbox() -> None:
    class Narrow(Trapper):
        mailbox = 1

    async with open_office(Narrow) as (system, (a,), log), anyio.create_task_group() as group:
        await asking(group, a, Hold(1))
        for _ in range(10):
            system.exit(a, SHUTDOWN)
        a.tell_nowait(Note("there is room"))
        log.open()
        await settle()
        assert log[-11:] == [(None, 0, "shutdown")] * 10 + ["there is room"]
        statistics = a.statistics()
        assert (statistics.accepted, statistics.handled, statistics.queued_peak) == (12, 12, 1)


async def test_a_signal_nobody_has_a_handler_for_is_a_dead_letter() -> None:
    class Deaf(Desk):
        traps_exits = True

    async with open_office(Deaf) as (system, (a,), _log):
        system.exit(a, SHUTDOWN)
        await settle()
        assert stand(a) is ActorState.RUNNING
        (letter,) = system.dead_letters.read()
        assert (type(letter.message), letter.reason) == (Exited, "unhandled")


async def test_a_handler_of_signals_that_raises_is_a_crash() -> None:
    class Touchy(Trapper):
        async def exited(self, message: Exited) -> None:
            raise ValueError("not again")

    async with open_office(Touchy, restart="permanent") as (system, (a,), _log):
        events = heard(system)
        system.exit(a, SHUTDOWN)
        await settle()
        assert [name for name, _ in events] == ["actor.crashed", "actor.restarted"]
        assert events[0][1]["message"] == "Exited"
        assert (a.statistics().crashed, a.statistics().handled) == (1, 1)


async def test_a_handler_of_signals_is_cancelled_with_its_actor() -> None:
    class Slow(Trapper):
        async def exited(self, message: Exited) -> None:
            await anyio.sleep(60)

    async with open_office(Slow, restart="permanent") as (system, (a,), _log):
        system.exit(a, SHUTDOWN)
        await settle()
        assert a.statistics().in_hand == 1
        system.kill(a)
        await settle()
        assert (a.statistics().in_hand, a.statistics().handled) == (0, 1)
        assert await a.ask(Echo(1)) == 1


async def test_signals_that_wait_are_for_the_incarnation_they_came_to() -> None:
    async with open_office(Trapper, restart="permanent") as (system, (a,), log):
        group: anyio.abc.TaskGroup
        async with anyio.create_task_group() as group:
            await asking(group, a, Hold(1))
            system.exit(a, SHUTDOWN)
            system.kill(a)
            await settle()
        assert await a.ask(Echo(2)) == 2
        assert log == [("holds", 1), ("cancelled", 1), 2]
        assert cell_of(a).ties is None


async def test_a_signal_on_its_way_to_a_worker_is_dropped_with_its_incarnation() -> None:
    async with open_office(Trapper, restart="permanent") as (system, (a,), log):
        system.exit(a, SHUTDOWN)  # a worker is on its way to it
        system.kill(a)
        await settle()
        assert await a.ask(Echo(2)) == 2
        assert log == [2]


async def test_a_signal_to_an_actor_that_starts_is_its_first_message() -> None:
    class Slow(Trapper):
        async def started(self) -> None:
            await anyio.sleep(1)

    log = Log()
    async with open_system() as system, anyio.create_task_group() as group:
        group.start_soon(system.spawn, Child("slow", partial(Slow, log)))
        await settle()
        ref = system.get("slow")
        await ref.tell(Note("queued"))
        system.exit(ref, SHUTDOWN)
        await anyio.sleep(2)
        assert log == [(None, 0, "shutdown"), "queued"]


async def test_a_signal_waits_for_a_suspended_actor() -> None:
    async with open_office(Trapper) as (system, (a,), log):
        system.suspend(a)
        await a.tell(Note("queued"))
        system.exit(a, SHUTDOWN)
        await settle()
        assert log == []
        system.resume(a)
        await settle()
        assert log == [(None, 0, "shutdown"), "queued"]


async def test_an_actor_suspended_before_a_signal_is_begun_handles_it_later() -> None:
    async with open_office(Trapper) as (system, (a,), log):
        system.exit(a, SHUTDOWN)
        system.suspend(a)
        await settle()
        assert log == []
        system.resume(a)
        await settle()
        assert log == [(None, 0, "shutdown")]


# --- exit signals from outside ---------------------------------------------------------------------------


async def test_an_exit_signal_ends_an_actor_that_does_not_trap_it() -> None:
    async with open_office(Clerk, Clerk) as (system, (a, b), log):
        system.exit(a, DONE)
        await settle()
        assert await a.ask(Echo(1)) == 1
        system.exit(a, SHUTDOWN, sender=b)
        await settle()
        assert log == [1, ("stops", "a", "shutdown")]


async def test_an_exit_signal_names_its_sender() -> None:
    async with open_office(Trapper, Clerk) as (system, (a, b), log):
        system.exit(a, SHUTDOWN, sender=b)
        await settle()
        assert log == [("b", 0, "shutdown")]


async def test_a_killed_signal_cannot_be_trapped() -> None:
    async with open_office(Trapper) as (system, (a,), log):
        monitor = system.monitor(a)
        system.exit(a, ExitReason(ExitKind.KILLED, detail="enough"))
        assert str((await monitor.wait()).reason) == "killed: enough"
        await settle()
        assert log == []
        assert stand(a) is ActorState.STOPPED


async def test_an_exit_signal_to_the_dead_is_nothing() -> None:
    async with open_office(Clerk, Trapper) as (system, (a, b), log):
        await a.stop()
        await b.stop()
        log.clear()
        for ref in (a, b):
            system.exit(ref, SHUTDOWN)
            system.exit(ref, KILLED)
        await settle()
        assert log == []
        assert cell_of(b).ties is None


async def test_an_exit_signal_ends_a_suspended_actor() -> None:
    async with open_office(Clerk) as (system, (a,), log):
        system.suspend(a)
        system.exit(a, SHUTDOWN)
        await settle()
        assert log == [("stops", "a", "shutdown")]
        assert stand(a) is ActorState.STOPPED


async def test_an_exit_signal_ends_a_start() -> None:
    class Slow(Desk):
        async def started(self) -> None:
            try:
                await anyio.sleep(60)
            finally:
                self.log.append("cancelled")

    log = Log()
    async with open_system() as system, anyio.create_task_group() as group:

        async def spawn() -> None:
            with pytest.raises(StartError, match="ended meanwhile"):
                await system.spawn(Child("slow", partial(Slow, log)))

        group.start_soon(spawn)
        await settle()
        system.exit(system.get("slow"), SHUTDOWN)
        await settle()
        assert log == ["cancelled"]
        assert system.find("slow") is None


async def test_a_supervisor_ignores_exit_signals_of_others() -> None:
    """CONFORMANCE X3: whoever it is, it is no child and not the parent."""
    log = Log()
    async with open_office(Clerk) as (system, (a,), _log):
        tree = await system.spawn(Supervisor("tree", children=[Child("leaf", partial(Desk, log))]))
        system.link(tree.ref, a)
        await a.tell(Boom())
        system.exit(tree.ref, SHUTDOWN)
        await settle()
        assert await system.get("tree/leaf").ask(Echo(1)) == 1
        assert tree.ref.statistics().dead_letters == 0
        assert tree.ref.statistics().restarts == 0


async def test_the_end_of_a_supervisor_ends_those_linked_with_it() -> None:
    async with open_office(Clerk) as (system, (a,), log):
        tree = await system.spawn(Supervisor("tree"))
        system.link(tree.ref, a)
        system.kill(tree.ref)
        await settle()
        assert log == [("stops", "a", "killed")]


async def test_one_of_two_signals_that_come_together_is_enough() -> None:
    """The second finds an incarnation that is ending, or the next one, for which it is not."""
    async with open_office(Clerk, Clerk, Desk, restart="permanent") as (system, (a, b, c), _log):
        system.link(a, c)
        system.link(b, c)
        system.link(a, b)
        system.kill(a)
        await settle()
        assert [ref.statistics().restarts for ref in (a, b, c)] == [1, 1, 1]


class AtOnce:
    """Starts an actor again in the moment it ends."""

    def __init__(self, log: Log) -> None:
        self.log = log

    def exited(self, cell: Cell, reason: ExitReason, *, final: bool) -> None:
        if not final:
            cell.adopt(Clerk(self.log))
            cell.begin()

    async def stop_child(self, cell: Cell, reason: ExitReason, timeout: float | None) -> None:
        raise NotImplementedError


async def test_a_signal_is_for_the_incarnation_that_lived_when_it_was_sent() -> None:
    async with open_office(Desk, Desk, Desk, restart="permanent") as (system, (a, b, c), log):
        cell_of(c).owner, owner = AtOnce(log), cell_of(c).owner
        system.link(a, b)
        system.link(a, c)
        system.link(b, c)
        system.kill(a)  # a's end and b's each have a signal for c; the first is enough
        await settle()
        assert c.statistics().restarts == 1
        cell_of(c).owner = owner


# --- from inside -------------------------------------------------------------------------------------------


async def test_an_actor_links_itself() -> None:
    class Partner(Desk):
        async def echo(self, message: Echo) -> int:
            (self.link if message.number else self.unlink)(self.log.far)
            return 0

    async with open_office(Partner, Clerk) as (_system, (a, b), log):
        log.far = b
        await a.ask(Echo(1))
        assert list(cell_of(b).tied().links) == [a]
        await a.ask(Echo(0))
        assert cell_of(b).ties is None
        await a.ask(Echo(1))
        await b.tell(Boom())
        await settle()
        assert stand(a) is ActorState.STOPPED


async def test_an_object_the_runtime_does_not_know_has_no_links() -> None:
    async with open_desk() as (_system, ref, log):
        with pytest.raises(RelightError, match="has not adopted"):
            Desk(log).link(ref)


async def test_only_actors_of_this_library_can_be_linked() -> None:
    async with open_desk() as (system, ref, _log):
        with pytest.raises(TypeError, match="is not an actor of this system"):
            system.link(ref, object())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
