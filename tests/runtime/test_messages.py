"""Messages and refs: data, and the only handle on an actor."""

import anyio
import msgspec
import pytest

from relight import Actor, ActorState, Message, Ref, RelightError, Request
from relight.runtime import NORMAL
from tests.runtime.desk import Desk, Echo, Hold, Log, Note, asking, open_desk, settle

pytestmark = pytest.mark.anyio


class Point(Message, frozen=True):
    x: int
    y: int = 0


def test_messages_are_compared_by_what_they_say() -> None:
    assert Point(1) == Point(1, 0)
    assert Point(1) != Point(2)
    assert len({Point(1), Point(1)}) == 1


def test_messages_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Point(1).x = 2  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def test_messages_can_be_sent_elsewhere() -> None:
    data = msgspec.json.encode(Point(1, 2))
    assert msgspec.json.decode(data, type=Point) == Point(1, 2)


def test_a_request_is_a_message() -> None:
    assert issubclass(Request, Message)
    assert isinstance(Echo(1), Message)


async def test_a_ref_knows_its_path_and_state() -> None:
    async with open_desk() as (_, ref, _log):
        assert isinstance(ref, Ref)
        assert ref.path == "desk"
        assert ref.is_alive
        assert str(ref) == "<Ref desk running>"
        await ref.stop()
        assert not ref.is_alive
        assert ref.statistics().state is ActorState.STOPPED


async def test_an_actor_knows_its_own_ref() -> None:
    class Selfish(Desk):
        async def echo(self, message: Echo) -> int:
            self.log.append(self.ref)
            await self.ref.tell(Note("to myself"))
            return 0

        async def started(self) -> None:
            self.log.append(self.ref)

    async with open_desk(Selfish) as (_, ref, log):
        await ref.ask(Echo())
        await settle()
        assert log == [ref, ref, "to myself"]


def test_an_actor_made_by_hand_has_no_ref() -> None:
    with pytest.raises(RelightError, match=r"Actor.ref: the runtime has not adopted this object yet"):
        _ = Actor().ref


async def test_a_constructor_has_no_ref_yet() -> None:
    class Hasty(Desk):
        def __init__(self, log: Log) -> None:
            super().__init__(log)
            with pytest.raises(RelightError, match="use it in started"):
                _ = self.ref

    async with open_desk(Hasty) as (_, ref, _log):
        assert await ref.ask(Echo(1)) == 1


async def test_an_actor_without_hooks_has_hooks_that_do_nothing() -> None:
    actor = Actor()
    await actor.started()
    await actor.stopping(NORMAL)
    actor.killed(NORMAL)
    async with actor.lifespan():
        pass


async def test_statistics_add_up_while_messages_are_under_way() -> None:
    async with open_desk() as (_, ref, log), anyio.create_task_group() as group:
        await asking(group, ref, Hold())
        await ref.tell(Note())
        statistics = ref.statistics()
        assert statistics.accepted == 2 == statistics.in_hand + statistics.queued
        log.open()
