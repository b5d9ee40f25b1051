"""Stop and kill: what is finished, what is cut, how long it may take, and what is said about it."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from math import inf
from typing import cast

import anyio
import pytest

from relight import (
    ActorState,
    ActorStoppedError,
    Child,
    ExitKind,
    ExitReason,
    Fixed,
    MailboxClosedError,
    StartError,
    Supervisor,
    open_system,
)
from relight.runtime import SHUTDOWN, start_incarnation
from tests.runtime.desk import (
    Boom,
    Crowd,
    Desk,
    Dig,
    Echo,
    Hold,
    Log,
    Note,
    asking,
    cell_of,
    heard,
    open_desk,
    settle,
)

pytestmark = pytest.mark.anyio


class Tidy(Crowd):
    """Logs the reason it stops for."""

    async def stopping(self, reason: ExitReason) -> None:
        self.log.append(("stopping", str(reason)))

    def killed(self, reason: ExitReason) -> None:
        self.log.append(("killed", str(reason)))


class Slow(Desk):
    """Takes a minute to clean up."""

    async def stopping(self, reason: ExitReason) -> None:
        try:
            await anyio.sleep(60)
        except BaseException:
            self.log.append("cut")
            raise
        self.log.append("clean")


class Stubborn(Desk):
    """Takes a minute to clean up and can't be cancelled."""

    async def stopping(self, reason: ExitReason) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(60)
        self.log.append("clean")


async def test_stop_finishes_the_message_in_hand_then_runs_the_hook() -> None:
    async with open_desk(Tidy) as (_, ref, log), anyio.create_task_group() as group:
        await asking(group, ref, Hold(1))
        group.start_soon(ref.stop)
        await settle()
        assert ref.statistics().state is ActorState.STOPPING
        log.open()
        await settle()
        assert log == [("holds", 1), ("held", 1), ("stopping", "normal")]
        assert ref.statistics().state is ActorState.STOPPED


async def test_a_stopped_actor_is_not_restarted() -> None:
    async with open_desk() as (system, ref, log):
        await ref.stop()
        await anyio.sleep(10)
        assert log.made == 1
        assert system.find("desk") is None


async def test_stop_takes_a_reason() -> None:
    reason = ExitReason(ExitKind.NORMAL, detail="moved away")
    async with open_desk(Tidy) as (_, ref, log):
        await ref.stop(reason)
        assert log == [("stopping", "normal: moved away")]


async def test_the_end_of_the_system_stops_for_shutdown() -> None:
    async with open_desk(Tidy) as (_, _ref, log):
        pass
    assert log == [("stopping", "shutdown")]


async def test_a_crash_runs_the_hook_of_the_incarnation_that_crashed() -> None:
    async with open_desk(Tidy) as (_, ref, log):
        await ref.tell(Boom())
        await settle()
        assert log == [("stopping", "crashed: ValueError")]


async def test_a_crash_runs_the_hook_after_the_other_handlers_were_cancelled() -> None:
    async with open_desk(Tidy) as (_, ref, log), anyio.create_task_group() as group:
        await asking(group, ref, Hold(1))
        await ref.tell(Boom())
        await settle()
        assert log[1:] == [("cancelled", 1), ("stopping", "crashed: ValueError")]


async def test_stopping_a_stopped_actor_does_nothing() -> None:
    async with open_desk(Tidy) as (_, ref, log):
        await ref.stop()
        await ref.stop()
        assert len(log) == 1


async def test_two_who_stop_one_actor_both_wait_for_its_end() -> None:
    async with open_desk(Slow, shutdown=inf) as (_, ref, log):
        began = anyio.current_time()
        async with anyio.create_task_group() as group:
            group.start_soon(ref.stop)
            group.start_soon(ref.stop)
        assert anyio.current_time() - began == pytest.approx(60)
        assert log == ["clean"]


async def test_a_hook_that_overruns_the_shutdown_time_is_cancelled_and_reported() -> None:
    async with open_desk(Slow, shutdown=2.0) as (system, ref, log):
        events = heard(system)
        began = anyio.current_time()
        await ref.stop()
        assert anyio.current_time() - began == pytest.approx(2.0)
        assert log == ["cut"]
        assert events == [("actor.stop_overran", {"actor_path": "desk", "shutdown": 2.0})]


async def test_the_hook_has_what_the_message_in_hand_left_of_the_time() -> None:
    async with open_desk(Slow, shutdown=5.0) as (_, ref, _log), anyio.create_task_group() as group:
        await asking(group, ref, Hold(1))
        group.start_soon(anyio.sleep, 0)
        began = anyio.current_time()

        async def open_later() -> None:
            await anyio.sleep(3)
            _log.open()

        group.start_soon(open_later)
        await ref.stop()
        assert anyio.current_time() - began == pytest.approx(5.0)


async def test_the_hook_of_a_crashed_incarnation_has_the_whole_shutdown_time() -> None:
    async with open_desk(Slow, shutdown=2.0) as (_, ref, log):
        began = anyio.current_time()
        await ref.tell(Boom())
        assert await ref.ask(Echo(1)) == 1
        assert anyio.current_time() - began == pytest.approx(2.0)
        assert log == ["cut", 1]


async def test_a_timeout_of_the_caller_bounds_the_whole_stop() -> None:
    async with open_desk(Slow) as (_, ref, log):
        began = anyio.current_time()
        await ref.stop(timeout=0.5)
        assert anyio.current_time() - began == pytest.approx(0.5)
        assert log == ["cut"]


async def test_the_end_of_the_system_does_not_wait_longer_for_a_hook_under_way_than_it_may() -> None:
    log = Log()
    began = anyio.current_time()
    async with anyio.create_task_group() as group:
        async with open_system(shutdown_timeout=3.0) as system:
            ref = await system.spawn(Child("slow", partial(Slow, log), shutdown=inf))
            group.start_soon(ref.stop)
            await settle()
        assert anyio.current_time() - began == pytest.approx(3.0)
    assert log == ["cut"]


async def test_a_hook_that_cannot_be_cancelled_does_not_hang_the_stop() -> None:
    async with open_desk(Stubborn, shutdown=2.0) as (system, ref, log):
        events = heard(system)
        began = anyio.current_time()
        await ref.stop()
        assert anyio.current_time() - began == pytest.approx(3.0)
        assert ("actor.stuck", {"actor_path": "desk", "reason": "normal"}) in events
        await anyio.sleep(100)
        assert log == ["clean"]  # it ends when it likes, and harms nobody
        assert ref.statistics().state is ActorState.STOPPED


async def test_a_hook_that_raises_is_reported_and_does_not_stop_the_stop() -> None:
    class Clumsy(Desk):
        async def stopping(self, reason: ExitReason) -> None:
            raise OSError("dropped it")

    async with open_desk(Clumsy) as (system, ref, _log):
        events = heard(system)
        await ref.stop()
        [(name, fields)] = events
        assert (name, fields["error_type"], fields["error"]) == ("actor.stop_failed", "OSError", "dropped it")
        assert ref.statistics().state is ActorState.STOPPED


async def test_a_cancelled_hook_whose_task_group_raises_too_takes_nobody_with_it() -> None:
    class Messy(Desk):
        async def stopping(self, reason: ExitReason) -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(self.spill)

        async def spill(self) -> None:
            try:
                await anyio.sleep(60)
            finally:
                raise OSError("spilt")

    async with open_desk(Messy, shutdown=1.0) as (system, ref, log):
        other = await system.spawn(Child("other", partial(Desk, log)))
        await ref.stop()
        assert not ref.is_alive
        assert await other.ask(Echo(1)) == 1


async def test_a_cancelled_handler_whose_task_group_raises_too_takes_nobody_with_it() -> None:
    class Messy(Crowd):
        async def hold(self, message: Hold) -> int:
            async with anyio.create_task_group() as group:
                group.start_soon(self.spill)
            return 1

        async def spill(self) -> None:
            try:
                await anyio.sleep(60)
            finally:
                raise OSError("spilt")

    async with open_desk(Messy) as (_, ref, _log), anyio.create_task_group() as group:
        held = await asking(group, ref, Hold())
        await ref.tell(Boom())
        await settle()
        assert held.error is not None
        assert await ref.ask(Echo(1)) == 1


async def test_a_brutal_kill_skips_the_hook_and_says_so_to_the_actor() -> None:
    async with open_desk(Tidy, shutdown=0.0) as (_, ref, log), anyio.create_task_group() as group:
        await asking(group, ref, Hold(1))
        await ref.stop()
        await settle()
        assert log[1:] == [("killed", "killed"), ("cancelled", 1)]


async def test_a_kill_cancels_a_hook_under_way() -> None:
    log = Log()
    async with open_system() as system, anyio.create_task_group() as group:
        tree = await system.spawn(
            Supervisor("tree", children=[Child("slow", partial(Slow, log), shutdown=inf)])
        )
        group.start_soon(system.get("tree/slow").stop)
        await settle()
        began = anyio.current_time()
        await tree.ref.stop(timeout=0)
        assert anyio.current_time() == began
        assert log == ["cut"]


async def test_a_kill_before_the_hook_could_begin_skips_it_and_ends_the_actor_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log, exits = Log(), list[ExitReason]()

    def exited(_: object, cell: object, reason: ExitReason, *, final: bool) -> None:
        exits.append(reason)

    async with open_system() as system:
        ref = await system.spawn(Child("tidy", partial(Tidy, log)))
        monkeypatch.setattr(type(cell_of(ref).owner), "exited", exited)
        cell_of(ref).depart(SHUTDOWN, grace=5.0, final=True)
        cell_of(ref).kill()
        await settle()
        assert log == [("killed", "killed")]
        assert [reason.kind for reason in exits] == [ExitKind.KILLED]


async def test_a_kill_hook_that_raises_is_reported_and_does_not_stop_the_kill() -> None:
    class Sore(Desk):
        def killed(self, reason: ExitReason) -> None:
            raise OSError("sore")

    async with open_desk(Sore, shutdown=0.0) as (system, ref, _log):
        events = heard(system)
        await ref.stop()
        assert [name for name, _ in events] == ["actor.stop_failed"]
        assert ref.statistics().state is ActorState.STOPPED


async def test_a_handler_that_swallows_its_cancellation_is_reported_as_stuck_and_left_behind() -> None:
    async with open_desk(shutdown=2.0) as (system, ref, _log), anyio.create_task_group() as group:
        events = heard(system)
        await asking(group, ref, Dig(30))
        began = anyio.current_time()
        await ref.stop()
        assert anyio.current_time() - began == pytest.approx(3.0)
        assert ("actor.stuck", {"actor_path": "desk", "reason": "normal"}) in events
        assert system.find("desk") is None


async def test_a_stuck_handler_that_ends_at_last_harms_nobody() -> None:
    async with open_desk(shutdown=2.0) as (system, ref, log), anyio.create_task_group() as group:
        await asking(group, ref, Dig(30))
        await ref.stop()
        again = await system.spawn(Child("desk", partial(Desk, log)))
        await anyio.sleep(60)
        assert "dug" in log
        assert await again.ask(Echo(1)) == 1


async def test_a_stop_while_the_actor_restarts_ends_it_for_good() -> None:
    log = Log()
    async with open_system() as system, anyio.create_task_group() as group:
        child = Child("desk", partial(Desk, log), backoff=Fixed(60))
        ref = await system.spawn(child)
        await ref.tell(Boom())
        await settle()
        assert ref.statistics().state is ActorState.RESTARTING
        queued = await asking(group, ref, Echo(1))
        await ref.stop()
        await settle()
        assert isinstance(queued.error, ActorStoppedError)
        assert ref.statistics().state is ActorState.STOPPED
        await anyio.sleep(120)
        assert log.made == 1


async def test_a_stop_while_a_crashed_incarnation_cleans_up_ends_the_actor_for_good() -> None:
    async with open_desk(Slow, shutdown=10.0) as (_, ref, log):
        began = anyio.current_time()
        await ref.tell(Boom())
        await settle()
        await ref.stop(timeout=3)
        assert anyio.current_time() - began == pytest.approx(3.0)
        assert ref.statistics().state is ActorState.STOPPED
        assert log == ["cut"]
        assert log.made == 1


async def test_a_second_stop_brings_the_deadline_of_the_message_in_hand_forward() -> None:
    log = Log()
    async with open_system() as system, anyio.create_task_group() as group:
        ref = await system.spawn(Child("desk", partial(Desk, log), shutdown=inf))
        await asking(group, ref, Hold(1))
        began = anyio.current_time()
        cell_stop = cell_of(ref).stop_and_wait
        group.start_soon(partial(cell_stop, SHUTDOWN, inf, final=True))
        await settle()
        await cell_stop(SHUTDOWN, 2.0, final=True)
        assert anyio.current_time() - began == pytest.approx(2.0)


async def test_a_stop_during_the_start_waits_for_its_turn() -> None:
    class SlowStarter(Desk):
        async def started(self) -> None:
            await anyio.sleep(3)

    log = Log()
    async with open_system() as system, anyio.create_task_group() as group:

        async def spawn() -> None:
            await system.spawn(Child("slow", partial(SlowStarter, log)))

        group.start_soon(spawn)
        await settle()
        began = anyio.current_time()
        await system.get("slow").stop()
        assert anyio.current_time() - began == pytest.approx(3.0)
        assert system.find("slow") is None


async def test_an_actor_killed_while_it_starts_does_not_come_to_life() -> None:
    class Shielded(Desk):
        async def started(self) -> None:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(3)

    log = Log()
    async with open_system() as system, anyio.create_task_group() as group:
        tree = await system.spawn(Supervisor("tree"))

        async def spawn() -> None:
            with pytest.raises((StartError, ActorStoppedError)):
                await tree.start_child(Child("slow", partial(Shielded, log)))

        group.start_soon(spawn)
        await settle()
        ref = system.get("tree/slow")
        await tree.ref.stop(timeout=0)
        await anyio.sleep(5)
        assert ref.statistics().state is ActorState.STOPPED


async def test_a_cancelled_spawn_leaves_nothing_behind() -> None:
    class SlowStarter(Desk):
        async def started(self) -> None:
            await anyio.sleep(3)
            self.log.append("started")

        async def stopping(self, reason: ExitReason) -> None:
            self.log.append("stopped")

    log = Log()
    async with open_system() as system:
        with anyio.move_on_after(1):
            await system.spawn(Child("slow", partial(SlowStarter, log)))
        await anyio.sleep(5)
        assert system.find("slow") is None
        assert log in ([], ["started", "stopped"])


async def test_a_cancelled_stop_goes_on_without_its_caller() -> None:
    async with open_desk(Slow, shutdown=inf) as (_, ref, log):
        with anyio.move_on_after(1):
            await ref.stop()
        assert ref.statistics().state is ActorState.STOPPING
        await anyio.sleep(70)
        assert ref.statistics().state is ActorState.STOPPED
        assert log == ["clean"]


async def test_queued_told_messages_become_dead_letters() -> None:
    async with open_desk(shutdown=1.0) as (system, ref, _log), anyio.create_task_group() as group:
        await asking(group, ref, Hold(1))
        for number in range(3):
            await ref.tell(Note(number))
        await ref.stop()
        assert [(letter.message, letter.reason) for letter in system.dead_letters.read()] == [
            (Note(number), "stopped") for number in range(3)
        ]


async def test_queued_asks_whose_askers_left_are_abandoned_not_dead() -> None:
    async with open_desk(shutdown=1.0) as (system, ref, _log), anyio.create_task_group() as group:
        await asking(group, ref, Hold(1))
        queued = await asking(group, ref, Echo(2))
        queued.scope.cancel()
        await settle()
        await ref.stop()
        assert ref.statistics().abandoned == 1
        assert system.dead_letters.read() == []


async def test_the_newest_reason_is_kept() -> None:
    async with open_desk(shutdown=0.0) as (_, ref, _log):
        await ref.stop()
        assert str(ref) == "<Ref desk stopped>"
        with pytest.raises(Exception, match="the actor has stopped"):
            await ref.tell(Note())


async def test_a_kill_while_the_actor_waits_for_its_restart_ends_it() -> None:
    log = Log()
    async with open_system() as system:
        ref = await system.spawn(Child("tidy", partial(Tidy, log), backoff=Fixed(60)))
        await ref.tell(Boom())
        await settle()
        await ref.stop(timeout=0)
        assert ref.statistics().state is ActorState.STOPPED
        assert system.find("tidy") is None
        assert log == [("stopping", "crashed: ValueError")]  # there was nobody to kill


async def test_a_second_stop_that_gives_more_time_changes_nothing() -> None:
    async with open_desk(Slow, shutdown=inf) as (_, ref, log):
        began = anyio.current_time()
        stop = cell_of(ref).stop_and_wait
        async with anyio.create_task_group() as group:
            group.start_soon(partial(stop, SHUTDOWN, 2.0, final=True))
            await settle()
            group.start_soon(partial(stop, SHUTDOWN, 50.0, final=True))
        assert anyio.current_time() - began == pytest.approx(2.0)
        assert log == ["cut"]


async def test_a_second_stop_before_the_hook_has_begun_shortens_it() -> None:
    async with open_desk(Slow, shutdown=inf) as (_, ref, log):
        began = anyio.current_time()
        cell_of(ref).depart(SHUTDOWN, grace=50.0, final=True)
        await cell_of(ref).stop_and_wait(SHUTDOWN, 2.0, final=True)
        assert anyio.current_time() - began == pytest.approx(2.0)
        assert log == ["cut"]


async def test_a_told_message_that_gets_stuck_is_left_behind_like_an_asked_one() -> None:
    async with open_desk(shutdown=2.0) as (system, ref, log):
        events = heard(system)
        await ref.tell(Dig(30))
        await settle()
        await ref.stop()
        assert [name for name, _ in events] == ["actor.stuck"]
        await anyio.sleep(60)
        assert log == ["dug"]
        assert ref.statistics().in_hand == 0


async def test_a_start_cancelled_by_a_kill_leaves_nothing_behind() -> None:
    class SlowStarter(Desk):
        async def started(self) -> None:
            try:
                await anyio.sleep(60)
            finally:
                self.log.append("cancelled")

    log = Log()
    async with open_system() as system, anyio.create_task_group() as group:
        tree = await system.spawn(Supervisor("tree"))

        async def spawn() -> None:
            with pytest.raises((StartError, ActorStoppedError)):
                await tree.start_child(Child("slow", partial(SlowStarter, log)))

        group.start_soon(spawn)
        await settle()
        await tree.ref.stop(timeout=0)
        await settle()
        assert log == ["cancelled"]
        assert system.find("tree/slow") is None


async def test_a_lifespan_entered_after_its_actor_was_killed_is_left_again() -> None:
    class Shielded(Desk):
        @asynccontextmanager
        async def lifespan(self) -> AsyncGenerator[None, None]:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.5)
            try:
                yield
            finally:
                self.log.append("left")

        async def started(self) -> None:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.5)

    log = Log()
    async with open_system() as system, anyio.create_task_group() as group:
        tree = await system.spawn(Supervisor("tree"))

        async def spawn() -> None:
            with pytest.raises((StartError, ActorStoppedError)):
                await tree.start_child(Child("slow", partial(Shielded, log)))

        group.start_soon(spawn)
        await settle()
        ref = system.get("tree/slow")
        await anyio.sleep(0.7)
        await tree.ref.stop(timeout=0)
        await anyio.sleep(5)
        assert log == ["left"]
        assert ref.statistics().state is ActorState.STOPPED


async def test_an_actor_stopped_while_its_restart_fails_takes_no_messages_again() -> None:
    """Its supervisor is busy with the restart and closing down, so the stop goes past it."""

    class OnceOnly(Slow):
        async def started(self) -> None:
            if self.number > 1:
                await anyio.sleep(2)
                raise ValueError("no second life")

        async def stopping(self, reason: ExitReason) -> None:
            if self.number > 1:
                await super().stopping(reason)

    log = Log()
    async with open_system() as system, anyio.create_task_group() as group:
        once = Child("once", partial(OnceOnly, log), shutdown=3.0)
        tree = await system.spawn(Supervisor("tree", children=[once]))
        ref = system.get("tree/once")
        await ref.tell(Boom())
        await anyio.sleep(1)
        group.start_soon(tree.stop)
        await settle()
        group.start_soon(ref.stop)
        await anyio.sleep(2)  # the start has failed, the stop hook still runs
        with pytest.raises(MailboxClosedError):
            await ref.tell(Note())
        await anyio.sleep(5)
        assert ref.statistics().state is ActorState.STOPPED


async def test_a_killed_actor_whose_start_then_fails_stays_stopped() -> None:
    class Shielded(Desk):
        async def started(self) -> None:
            if self.number > 1:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(2)
                raise ValueError("no second life")

    log = Log()
    async with open_system() as system:
        tree = await system.spawn(Supervisor("tree", children=[Child("once", partial(Shielded, log))]))
        ref = system.get("tree/once")
        await ref.tell(Boom())
        await settle()
        await tree.ref.stop(timeout=0)
        await anyio.sleep(5)
        assert ref.statistics().state is ActorState.STOPPED
        with pytest.raises(MailboxClosedError):
            await ref.tell(Note())


async def test_a_kill_cancels_a_lifespan_that_is_being_entered() -> None:
    class Slow(Desk):
        @asynccontextmanager
        async def lifespan(self) -> AsyncGenerator[None, None]:
            try:
                await anyio.sleep(20)
            finally:
                self.log.append("cancelled")
            yield

    log = Log()
    async with open_system() as system, anyio.create_task_group() as group:

        async def spawn() -> None:
            with pytest.raises(StartError, match="it was ended meanwhile"):
                await system.spawn(Child("slow", partial(Slow, log)))

        group.start_soon(spawn)
        await settle()
        cell_of(system.get("slow")).kill()
        await settle()
        assert log == ["cancelled"]


async def test_a_lifespan_entered_in_the_moment_of_a_kill_is_left_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Slow(Desk):
        @asynccontextmanager
        async def lifespan(self) -> AsyncGenerator[None, None]:
            try:
                yield
            finally:
                self.log.append("left")

    log = Log()
    async with open_system() as system:
        first = await system.spawn(Child("first", partial(Slow, log)))
        home = cell_of(first).home
        assert home is not None
        enter_in_peace = cast("Callable[[object], Awaitable[None]]", type(home).enter)

        async def enter(entered: object) -> None:
            await enter_in_peace(entered)
            cell_of(system.get("slow")).kill()

        monkeypatch.setattr(type(home), "enter", enter)
        with pytest.raises(StartError, match="it was ended meanwhile"):
            await system.spawn(Child("slow", partial(Slow, log)))
        await settle()
        assert log == ["left"]


async def test_a_dead_actor_is_given_no_new_incarnation() -> None:
    async with open_desk() as (_, ref, log):
        await ref.stop()
        with pytest.raises(StartError, match="it has ended"):
            await start_incarnation(cell_of(ref), Desk(log), timeout=1)
        assert not ref.is_alive
