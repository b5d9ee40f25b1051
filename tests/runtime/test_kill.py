"""Forced kill: the incarnation ends at once, in the middle of a handler, and nobody else notices."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import partial

import anyio
import pytest

from relight import (
    KILLED,
    ActorState,
    ActorStoppedError,
    Child,
    ExitReason,
    Fixed,
    MailboxClosedError,
    Ref,
    StartError,
    System,
    open_system,
)
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

badge: ContextVar[str] = ContextVar("badge", default="none")


class Hooked(Desk):
    """A desk with a stop hook and a lifespan, that hears of its kill."""

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None, None]:
        try:
            yield
            self.log.append("left")
        except BaseException:
            self.log.append("cut")
            raise

    async def stopping(self, reason: ExitReason) -> None:
        self.log.append("stops")
        await anyio.sleep(10)

    def killed(self, reason: ExitReason) -> None:
        self.log.append(("killed", reason))


@asynccontextmanager
async def open_restarted(
    kind: type[Desk] = Desk, restart: str = "permanent"
) -> AsyncGenerator[tuple[System, Ref, Log], None]:
    log = Log()
    async with open_system() as system:
        child = Child("desk", partial(kind, log), restart=restart)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        yield system, await system.spawn(child), log


async def test_the_asker_in_hand_fails_at_once_and_the_handler_is_cancelled() -> None:
    async with open_restarted() as (system, ref, log), anyio.create_task_group() as group:
        answer = await asking(group, ref, Hold(1))
        system.kill(ref)
        await settle()
        assert isinstance(answer.error, ActorStoppedError)
        assert answer.error.reason == KILLED
        assert answer.at == anyio.current_time()
        assert log == [("holds", 1), ("cancelled", 1)]


@pytest.mark.parametrize("restart", ["permanent", "transient"])
async def test_what_is_queued_is_for_the_next_incarnation(restart: str) -> None:
    async with open_restarted(restart=restart) as (system, ref, log), anyio.create_task_group() as group:
        await asking(group, ref, Hold(1))
        queued = await asking(group, ref, Echo(2))
        await ref.tell(Note("told"))
        system.kill(ref)
        await settle()
        assert (queued.value, log[-2:]) == (2, [2, "told"])
        assert (log.made, ref.statistics().restarts) == (2, 1)


async def test_a_temporary_actor_ends_with_its_queue() -> None:
    async with (
        open_restarted(restart="temporary") as (system, ref, _log),
        anyio.create_task_group() as group,
    ):
        await asking(group, ref, Hold(1))
        queued = await asking(group, ref, Echo(2))
        system.kill(ref)
        await settle()
        assert isinstance(queued.error, ActorStoppedError)
        assert ref.statistics().state is ActorState.STOPPED
        with pytest.raises(MailboxClosedError):
            await ref.tell(Note())
        system.kill(ref)  # stopped: no error


async def test_all_that_several_hands_hold_is_cancelled() -> None:
    async with open_restarted(Crowd) as (system, ref, log), anyio.create_task_group() as group:
        answers = [await asking(group, ref, Hold(number)) for number in range(3)]
        queued = await asking(group, ref, Echo(9))
        system.kill(ref)
        await settle()
        assert all(isinstance(answer.error, ActorStoppedError) for answer in answers)
        assert queued.value == 9
        statistics = ref.statistics()
        assert (statistics.handled, statistics.in_hand, statistics.queued) == (4, 0, 0)
        assert sorted(str(entry) for entry in log if entry != 9)[:3] == [
            f"('cancelled', {number})" for number in range(3)
        ]


async def test_other_actors_never_notice() -> None:
    """Their handlers, the workers they run on, and what those workers' context holds."""

    class Badged(Desk):
        isolated = True

        async def hold(self, message: Hold) -> int:
            badge.set("killed one's")
            return await super().hold(message)

    class Nosy(Desk):
        async def echo(self, message: Echo) -> int:
            self.log.append(badge.get())
            return message.number

    others = Log()
    async with (
        open_restarted(Badged) as (system, ref, log),
        anyio.create_task_group() as group,
    ):
        neighbours = [
            await system.spawn(Child(f"n{number}", partial(Nosy, others), restart="temporary"))
            for number in range(4)
        ]
        held = [await asking(group, neighbour, Hold(number)) for number, neighbour in enumerate(neighbours)]
        workers: list[int] = []
        for _ in range(5):  # one more and its supervisor gives it up
            await asking(group, ref, Hold(1))
            system.kill(ref)
            await settle()
            workers.append(cell_of(ref).kernel.dispatcher.statistics().workers)
        assert workers == workers[:1] * 5  # a worker outlives the handler it loses
        assert not any(answer.is_in for answer in held)
        others.open()
        await settle()
        assert [answer.value for answer in held] == [0, 1, 2, 3]
        for neighbour in neighbours:
            assert await neighbour.ask(Echo(1)) == 1
        assert others[-4:] == ["none"] * 4
        assert log[0] == ("holds", 1)


async def test_no_stop_hook_runs_and_the_lifespan_is_cut() -> None:
    async with open_restarted(Hooked) as (system, ref, log), anyio.create_task_group() as group:
        await asking(group, ref, Hold(1))
        log.clear()
        system.kill(ref)
        await settle()
        assert sorted(map(str, log)) == sorted(map(str, [("killed", KILLED), ("cancelled", 1), "cut"]))
        assert await ref.ask(Echo(2)) == 2
        assert log.made == 2


async def test_an_idle_actor_is_killed_as_well() -> None:
    async with open_restarted() as (system, ref, log):
        system.kill(ref)
        assert await ref.ask(Echo(1)) == 1
        assert log.made == 2


async def test_a_handler_that_swallows_its_cancellation_is_left_behind() -> None:
    async with open_restarted() as (system, ref, log), anyio.create_task_group() as group:
        events = heard(system)
        answer = await asking(group, ref, Dig(60))
        system.kill(ref)
        await settle()
        assert isinstance(answer.error, ActorStoppedError)
        await anyio.sleep(1.5)
        assert [name for name, _ in events] == ["actor.stuck", "actor.restarted"]
        assert await ref.ask(Echo(1)) == 1
        await anyio.sleep(60)
        assert log == [1, "dug"]


async def test_an_actor_is_killed_while_it_starts() -> None:
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
        ref = system.get("slow")
        monitor = system.monitor(ref)
        system.kill(ref)
        await settle()
        assert log == ["cancelled"]
        assert monitor.down is not None
        assert monitor.down.reason == KILLED
        assert ref.statistics().state is ActorState.STOPPED
        assert cell_of(ref).kernel.starts == {}


async def test_an_actor_killed_while_it_restarts_is_restarted_again() -> None:
    class Slow(Desk):
        async def started(self) -> None:
            if self.number == 2:
                await anyio.sleep(60)

    async with open_restarted(Slow) as (system, ref, log):
        await ref.tell(Boom())
        await ref.tell(Note("queued"))
        await settle()
        assert ref.statistics().state is ActorState.STARTING
        system.kill(ref)
        await settle()
        assert (log, log.made) == (["queued"], 3)


async def test_an_actor_killed_between_two_incarnations_waits_on() -> None:
    log = Log()
    async with open_system() as system:
        ref = await system.spawn(Child("desk", partial(Desk, log), backoff=Fixed(60)))
        await ref.tell(Boom())
        await ref.tell(Note("queued"))
        await settle()
        system.kill(ref)
        assert ref.statistics().state is ActorState.RESTARTING
        await anyio.sleep(61)
        assert (log, log.made) == (["queued"], 2)


async def test_an_actor_killed_while_it_stops_is_gone_at_once() -> None:
    async with open_restarted(Hooked) as (system, ref, log), anyio.create_task_group() as group:
        group.start_soon(ref.stop)
        await settle()
        assert log == ["stops"]
        began = anyio.current_time()
        system.kill(ref)
        await settle()
        assert ref.statistics().state is ActorState.STOPPED
        assert log == ["stops", ("killed", KILLED), "cut"]
        assert anyio.current_time() == began
    assert log.made == 1


async def test_an_actor_killed_in_the_stop_hook_of_its_restart_is_restarted() -> None:
    async with open_restarted(Hooked) as (system, ref, log):
        await ref.tell(Boom())
        await settle()
        assert log == ["stops"]
        system.kill(ref)
        await settle()
        assert (log.made, ref.statistics().state) == (2, ActorState.RUNNING)


async def test_a_suspended_actor_is_killed_and_comes_back_running() -> None:
    async with open_restarted() as (system, ref, log), anyio.create_task_group() as group:
        await asking(group, ref, Hold(1))
        await ref.tell(Note("queued"))
        system.suspend(ref)
        system.kill(ref)
        await settle()
        assert ref.statistics().state is ActorState.RUNNING
        assert log == [("holds", 1), ("cancelled", 1), "queued"]


async def test_an_actor_may_kill_itself() -> None:
    class Weary(Desk):
        async def boom(self, message: Boom) -> int:
            system.kill(self.ref)
            await anyio.sleep(60)
            return 1

    async with open_desk(Weary) as (system, ref, log):
        with pytest.raises(ActorStoppedError):
            await ref.ask(Boom())
        assert await ref.ask(Echo(1)) == 1
        assert log.made == 2
