"""Whatever becomes of an actor, whoever asked it hears of it. All asks here have no timeout of their own."""

from functools import partial
from math import inf

import anyio
import pytest

from relight import (
    Actor,
    ActorCrashedError,
    ActorStoppedError,
    Child,
    ExitKind,
    MailboxClosedError,
    Message,
    Supervisor,
    System,
    handles,
    open_system,
)
from tests.runtime.desk import (
    Answer,
    Boom,
    Crowd,
    Desk,
    Dig,
    Echo,
    Hold,
    Log,
    Narrow,
    asking,
    heard,
    open_desk,
    settle,
)
from tests.runtime.test_lifespan import Frail

pytestmark = pytest.mark.anyio


class NarrowCrowd(Crowd):
    mailbox = 1


async def test_a_crash_fails_the_call_in_hand() -> None:
    async with open_desk() as (_, ref, _log), anyio.create_task_group() as group:
        answer = await asking(group, ref, Boom())
        assert isinstance(answer.error, ActorCrashedError)


async def test_a_crash_fails_all_calls_in_hand_of_an_actor_that_handles_several() -> None:
    async with open_desk(Crowd) as (_, ref, _log), anyio.create_task_group() as group:
        answers = [await asking(group, ref, Hold(number)) for number in range(2)]
        crash = await asking(group, ref, Boom())
        assert isinstance(crash.error, ActorCrashedError)
        for answer in answers:
            assert isinstance(answer.error, ActorCrashedError)
            assert repr(answer.error.__cause__) == "ValueError('boom')"


async def test_a_crash_leaves_queued_calls_to_the_next_incarnation() -> None:
    class Fuse(Desk):
        async def hold(self, message: Hold) -> int:
            await super().hold(message)
            raise ValueError("blown")

    async with open_desk(Fuse) as (_, ref, log), anyio.create_task_group() as group:
        crash = await asking(group, ref, Hold())
        queued = [await asking(group, ref, Echo(number)) for number in range(3)]
        log.open()
        await settle()
        assert isinstance(crash.error, ActorCrashedError)
        assert [answer.value for answer in queued] == [0, 1, 2]
        assert log.made == 2


async def test_a_crash_leaves_queued_calls_of_a_concurrent_actor_to_the_next_incarnation() -> None:
    async with open_desk(Crowd) as (_, ref, log), anyio.create_task_group() as group:
        held = [await asking(group, ref, Hold(number)) for number in range(2)]
        await ref.tell(Boom())
        queued = [Answer[int]() for _ in range(5)]
        for number, answer in enumerate(queued):
            group.start_soon(answer.run, ref, Echo(number), inf)
        await settle()
        assert all(isinstance(answer.error, ActorCrashedError) for answer in held)
        assert [answer.value for answer in queued] == [0, 1, 2, 3, 4]
        assert log.made == 2


async def test_a_crash_leaves_askers_in_line_waiting_for_the_next_incarnation() -> None:
    class Fuse(Narrow):
        async def hold(self, message: Hold) -> int:
            await super().hold(message)
            raise ValueError("blown")

    async with open_desk(Fuse) as (_, ref, log), anyio.create_task_group() as group:
        await asking(group, ref, Hold())
        answers = [await asking(group, ref, Echo(number)) for number in range(4)]
        assert ref.statistics().waiting == 3
        log.open()
        await settle()
        assert [answer.value for answer in answers] == [0, 1, 2, 3]


async def test_calls_queued_while_an_actor_restarts_are_handled_by_its_next_incarnation() -> None:
    class SlowStarter(Desk):
        async def started(self) -> None:
            await anyio.sleep(3 if self.number > 1 else 0)

    async with open_desk(SlowStarter) as (_, ref, _log), anyio.create_task_group() as group:
        await ref.tell(Boom())
        await settle()
        answer = await asking(group, ref, Echo(1))
        assert not answer.is_in
        await anyio.sleep(4)
        assert answer.value == 1


async def test_a_stop_fails_queued_calls_at_once_and_lets_those_in_hand_finish() -> None:
    async with open_desk() as (_, ref, log), anyio.create_task_group() as group:
        held = await asking(group, ref, Hold(1))
        queued = await asking(group, ref, Echo(2))
        group.start_soon(ref.stop)
        await settle()
        assert isinstance(queued.error, ActorStoppedError)
        assert queued.error.reason.kind is ExitKind.NORMAL
        assert not held.is_in
        log.open()
        await settle()
        assert held.value == 1


async def test_a_stop_of_a_concurrent_actor_lets_all_calls_in_hand_finish() -> None:
    async with open_desk(Crowd) as (_, ref, log), anyio.create_task_group() as group:
        held = [await asking(group, ref, Hold(number)) for number in range(3)]
        queued = await asking(group, ref, Echo(3))
        group.start_soon(ref.stop)
        await settle()
        assert isinstance(queued.error, ActorStoppedError)
        log.open()
        await settle()
        assert [answer.value for answer in held] == [0, 1, 2]


async def test_a_stop_cancels_calls_in_hand_at_the_shutdown_deadline() -> None:
    async with open_desk(shutdown=3.0) as (_, ref, log), anyio.create_task_group() as group:
        held = await asking(group, ref, Hold(1))
        began = anyio.current_time()
        await ref.stop()
        await settle()
        assert isinstance(held.error, ActorStoppedError)
        assert anyio.current_time() - began == pytest.approx(3.0)
        assert ("cancelled", 1) in log


async def test_a_stop_fails_askers_in_line_at_once() -> None:
    async with open_desk(Narrow) as (_, ref, log), anyio.create_task_group() as group:
        await asking(group, ref, Hold(1))
        await asking(group, ref, Echo(2))
        waiting = await asking(group, ref, Echo(3))
        group.start_soon(ref.stop)
        await settle()
        assert isinstance(waiting.error, MailboxClosedError)
        assert waiting.error.message == Echo(3)
        log.open()


@pytest.mark.parametrize("actor", [Narrow, NarrowCrowd])
async def test_a_kill_fails_everybody_at_once(actor: type[Desk]) -> None:
    async with open_desk(actor, shutdown=0.0) as (_, ref, _log), anyio.create_task_group() as group:
        held = [await asking(group, ref, Hold(number)) for number in range(actor.concurrency)]
        queued = await asking(group, ref, Echo(2))
        waiting = await asking(group, ref, Echo(3))
        began = anyio.current_time()
        await ref.stop()
        await settle()
        for answer in (*held, queued):
            assert isinstance(answer.error, ActorStoppedError)
            assert answer.error.reason.kind is ExitKind.KILLED
            assert answer.at == began
        assert isinstance(waiting.error, MailboxClosedError)


async def test_a_kill_does_not_wait_for_a_handler_that_swallows_its_cancellation() -> None:
    async with open_desk(shutdown=0.0) as (_, ref, _log), anyio.create_task_group() as group:
        stuck = await asking(group, ref, Dig(30))
        began = anyio.current_time()
        await ref.stop()
        await settle()
        assert isinstance(stuck.error, ActorStoppedError)
        assert stuck.at == began


async def test_a_stop_fails_the_asker_of_a_stuck_handler_when_it_is_given_up() -> None:
    async with open_desk(shutdown=2.0) as (_, ref, _log), anyio.create_task_group() as group:
        stuck = await asking(group, ref, Dig(30))
        began = anyio.current_time()
        await ref.stop()
        await settle()
        assert isinstance(stuck.error, ActorStoppedError)
        assert anyio.current_time() - began == pytest.approx(3.0)


async def test_a_crash_fails_the_asker_of_a_stuck_handler_beside_it() -> None:
    async with open_desk(Crowd) as (system, ref, _log), anyio.create_task_group() as group:
        events = heard(system)
        stuck = await asking(group, ref, Dig(30))
        await ref.tell(Boom())
        await anyio.sleep(1.5)
        assert isinstance(stuck.error, ActorCrashedError)
        assert "actor.stuck" in [name for name, _ in events]


async def test_a_stuck_handler_does_not_keep_its_permit_from_the_next_incarnation() -> None:
    async with open_desk(Crowd) as (_, ref, log), anyio.create_task_group() as group:
        for _ in range(2):
            await asking(group, ref, Dig(30))
        await ref.tell(Boom())
        await anyio.sleep(1.5)
        answers = [await asking(group, ref, Hold(number)) for number in range(3)]
        assert ref.statistics().queued == 0
        await anyio.sleep(40)  # the stuck ones end, and give nothing back a second time
        await asking(group, ref, Hold(9))
        assert ref.statistics().in_hand == 3
        assert ref.statistics().queued == 1
        log.open()
        await settle()
        assert [answer.value for answer in answers] == [0, 1, 2]
        log.open()


async def crash_until_given_up(system: System, path: str) -> None:
    for _ in range(4):
        await system.get(path).tell(Boom())
        await settle()


async def test_giving_up_fails_queued_calls_with_the_reason() -> None:
    log = Log()

    class Fuse(Narrow):
        async def hold(self, message: Hold) -> int:
            await super().hold(message)
            raise ValueError("blown")

    async with open_system() as system, anyio.create_task_group() as group:
        tree = Supervisor(
            "tree", intensity=0, children=[Child("fuse", partial(Fuse, log))], restart="temporary"
        )
        await system.spawn(tree)
        ref = system.get("tree/fuse")
        crash = await asking(group, ref, Hold(1))
        queued = await asking(group, ref, Echo(2))
        waiting = await asking(group, ref, Echo(3))
        log.open()
        await settle()
        assert isinstance(crash.error, ActorCrashedError)
        assert isinstance(queued.error, ActorStoppedError)
        assert "RestartIntensityError" in str(queued.error)
        assert isinstance(waiting.error, MailboxClosedError)
        with pytest.raises(MailboxClosedError):
            await ref.ask(Echo())


async def test_giving_up_stops_the_siblings_and_answers_their_askers() -> None:
    log = Log()
    children = [Child("calm", partial(Desk, log), shutdown=2.0), Child("fuse", partial(Desk, log))]
    async with open_system() as system, anyio.create_task_group() as group:
        await system.spawn(Supervisor("tree", intensity=0, children=children, restart="temporary"))
        calm = system.get("tree/calm")
        held = await asking(group, calm, Hold(1))
        queued = await asking(group, calm, Echo(2))
        await system.get("tree/fuse").tell(Boom())
        await settle()
        assert isinstance(queued.error, ActorStoppedError)
        await anyio.sleep(3)
        assert isinstance(held.error, ActorStoppedError)
        assert calm.statistics().state == "stopped"


async def test_a_restart_that_fails_for_good_answers_those_who_waited_for_it() -> None:
    class OnceOnly(Desk):
        async def started(self) -> None:
            if self.number > 1:
                await anyio.sleep(1)
                raise ValueError("no second life")

    log = Log()
    async with open_system() as system, anyio.create_task_group() as group:
        tree = Supervisor(
            "tree", intensity=2, children=[Child("once", partial(OnceOnly, log))], restart="temporary"
        )
        await system.spawn(tree)
        ref = system.get("tree/once")
        await ref.tell(Boom())
        await settle()
        answer = await asking(group, ref, Echo(1))
        assert not answer.is_in
        await anyio.sleep(3)
        assert isinstance(answer.error, ActorStoppedError)


@pytest.mark.parametrize("actor", [Narrow, NarrowCrowd])
async def test_the_end_of_the_system_answers_everybody(actor: type[Desk]) -> None:
    log = Log()
    async with anyio.create_task_group() as group:
        async with open_system() as system:
            ref = await system.spawn(Child("desk", partial(actor, log), shutdown=2.0))
            held = [await asking(group, ref, Hold(number)) for number in range(actor.concurrency)]
            queued = await asking(group, ref, Echo(2))
            waiting = await asking(group, ref, Echo(3))
        await settle()
        for answer in (*held, queued):
            assert isinstance(answer.error, ActorStoppedError)
        assert isinstance(waiting.error, MailboxClosedError)


async def test_a_system_that_overruns_its_shutdown_answers_everybody() -> None:
    log = Log()
    async with anyio.create_task_group() as group:
        async with open_system(shutdown_timeout=4.0) as system:
            ref = await system.spawn(Child("desk", partial(Desk, log), shutdown=inf))
            held = await asking(group, ref, Hold(1))
            began = anyio.current_time()
        await settle()
        assert isinstance(held.error, ActorStoppedError)
        assert held.at is not None
        assert held.at - began == pytest.approx(4.0)


class Fatal(BaseException):
    """What no actor's edge may swallow."""


async def test_a_failing_engine_answers_everybody() -> None:
    class Bomb(NarrowCrowd):
        async def boom(self, message: Boom) -> int:
            await anyio.sleep(1)
            raise Fatal

    log = Log()
    async with anyio.create_task_group() as group:
        answers: list[Answer[int]] = []
        with pytest.raises(Fatal):  # noqa: PT012 - the block raises
            async with open_system() as system:
                calm = await system.spawn(Child("calm", partial(Narrow, log)))
                bomb = await system.spawn(Child("bomb", partial(Bomb, log)))
                answers += [await asking(group, calm, Hold(number)) for number in range(5)]
                messages = (Hold(1), Boom(), Hold(3), Hold(4), Hold(5))
                answers += [await asking(group, bomb, message) for message in messages]
                await anyio.sleep(60)
        await settle()
        assert all(answer.is_in for answer in answers)
        for answer in answers:
            assert isinstance(answer.error, (ActorStoppedError, MailboxClosedError))


async def test_a_lifespan_that_crashes_fails_the_calls_in_hand() -> None:
    async with open_desk(Frail) as (_, ref, log), anyio.create_task_group() as group:
        held = [await asking(group, ref, Hold(number)) for number in range(3)]
        queued = await asking(group, ref, Echo(3))
        log.storm.set()
        await settle()
        assert all(isinstance(answer.error, ActorCrashedError) for answer in held)
        assert queued.value == 3


class Suicide(Message, frozen=True):
    pass


async def test_an_actor_that_stops_itself_from_its_handler_ends_at_the_shutdown_deadline() -> None:
    """It waits for its own end; the deadline cuts that short."""

    class Lemming(Actor):
        @handles
        async def jump(self, message: Suicide) -> None:
            await self.ref.stop()

    async with open_system() as system:
        ref = await system.spawn(Child("lemming", Lemming, shutdown=2.0))
        await ref.tell(Suicide())
        await anyio.sleep(2.5)
        assert not ref.is_alive
