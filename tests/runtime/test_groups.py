"""Groups: who has joined under a name is told the same, until it leaves or ends."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

import anyio
import pytest

from relight import Child, Group, NoSuchActorError, Overflow, Ref, System, open_system
from tests.runtime.desk import Boom, Desk, Hold, Log, Narrow, Note, asking, cell_of, settle

pytestmark = pytest.mark.anyio


class Lossy(Narrow):
    """A narrow desk that drops what it has no room for."""

    overflow = Overflow.DROP_NEWEST


@asynccontextmanager
async def open_group(*kinds: type[Desk]) -> AsyncGenerator[tuple[System, Group, list[Ref], list[Log]], None]:
    """Open a system with an actor of each class, all in one group."""
    logs = [Log() for _ in kinds]
    async with open_system() as system:
        group = system.group("desks")
        refs: list[Ref] = []
        for index, kind in enumerate(kinds):
            ref = await system.spawn(Child(f"desk{index}", partial(kind, logs[index]), restart="transient"))
            group.join(ref)
            refs.append(ref)
        yield system, group, refs, logs


async def fill(group: anyio.abc.TaskGroup, ref: Ref) -> None:
    """Have a narrow desk hold a message and queue another."""
    await asking(group, ref, Hold())
    await ref.tell(Note("filler"))


def count(ref: Ref) -> int:
    """Count the groups of the system."""
    return len(cell_of(ref).kernel.groups)


async def test_members_are_told_the_same_in_the_order_they_joined() -> None:
    async with open_group(Desk, Desk, Desk) as (_system, group, refs, logs):
        assert group.members() == refs
        assert await group.broadcast(Note("all")) == 3
        await settle()
        assert logs == [["all"]] * 3


async def test_a_group_is_its_name() -> None:
    async with open_group(Desk) as (system, group, refs, _logs):
        assert system.group("desks").members() == refs
        assert system.group("others").members() == []
        assert (group.name, repr(group)) == ("desks", "<Group 'desks', 1 members>")


async def test_who_joins_twice_is_told_once() -> None:
    async with open_group(Desk) as (_system, group, refs, logs):
        group.join(refs[0])
        await group.broadcast(Note("once"))
        await settle()
        assert logs == [["once"]]


async def test_who_leaves_is_told_nothing() -> None:
    async with open_group(Desk, Desk) as (_system, group, refs, logs):
        group.leave(refs[0])
        group.leave(refs[0])
        await group.broadcast(Note("rest"))
        await settle()
        assert logs == [[], ["rest"]]
        assert cell_of(refs[0]).ties is None


async def test_an_actor_is_in_many_groups_and_its_end_takes_it_out_of_all() -> None:
    async with open_group(Desk, Desk) as (system, group, refs, _logs):
        system.group("others").join(refs[0])
        assert count(refs[0]) == 2
        await refs[0].stop()
        assert group.members() == [refs[1]]
        assert count(refs[1]) == 1
        assert cell_of(refs[0]).ties is None
        await refs[1].stop()
        assert count(refs[1]) == 0


async def test_a_member_is_none_from_the_moment_it_stops() -> None:
    async with open_group(Desk, Desk) as (_system, group, refs, logs), anyio.create_task_group() as tasks:
        await asking(tasks, refs[0], Hold())
        tasks.start_soon(refs[0].stop)
        await settle()
        assert group.members() == [refs[1]]
        logs[0].open()


async def test_a_member_stays_one_across_restarts() -> None:
    async with open_group(Desk) as (_system, group, refs, logs):
        await refs[0].tell(Boom())
        await settle()
        assert group.members() == refs
        await group.broadcast(Note("again"))
        await settle()
        assert logs == [["again"]]


async def test_an_actor_that_has_stopped_joins_nothing() -> None:
    async with open_group(Desk) as (system, _group, refs, _logs):
        await refs[0].stop()
        with pytest.raises(NoSuchActorError):
            system.group("others").join(refs[0])
        assert count(refs[0]) == 0


async def test_an_empty_group_is_told_nothing() -> None:
    async with open_group() as (_system, group, _refs, _logs):
        assert await group.broadcast(Note()) == 0
        assert group.broadcast_nowait(Note()) == []


async def test_a_slow_member_delays_nobody_else() -> None:
    async with (
        open_group(Narrow, Desk, Narrow, Desk) as (_system, group, refs, logs),
        anyio.create_task_group() as tasks,
    ):
        await fill(tasks, refs[0])
        await fill(tasks, refs[2])
        taken: list[int] = []

        async def broadcast() -> None:
            taken.append(await group.broadcast(Note("all")))

        tasks.start_soon(broadcast)
        await settle()
        assert (logs[1], logs[3], taken) == (["all"], ["all"], [])
        logs[2].open()  # the later one has it though the earlier one still has no room
        await settle()
        assert (logs[2][-1], taken) == ("all", [])
        logs[0].open()
        await settle()
        assert (logs[0][-1], taken) == ("all", [4])


async def test_a_broadcast_takes_its_place_in_line() -> None:
    async with open_group(Narrow) as (_system, group, refs, logs), anyio.create_task_group() as tasks:
        await fill(tasks, refs[0])
        tasks.start_soon(group.broadcast, Note("first"))
        await settle()
        tasks.start_soon(refs[0].tell, Note("second"))
        await settle()
        logs[0].open()
        await settle()
        assert logs[0][-3:] == ["filler", "first", "second"]


async def test_members_that_stop_while_they_are_waited_for_are_skipped() -> None:
    async with open_group(Narrow, Narrow) as (_system, group, refs, logs), anyio.create_task_group() as tasks:
        for ref in refs:
            await fill(tasks, ref)
        taken: list[int] = []

        async def broadcast() -> None:
            taken.append(await group.broadcast(Note("all")))

        tasks.start_soon(broadcast)
        await settle()
        tasks.start_soon(partial(refs[0].stop, timeout=0))
        await settle()
        logs[1].open()
        await settle()
        assert taken == [1]
        assert logs[1][-1] == "all"


async def test_a_cancelled_broadcast_reaches_only_those_with_room() -> None:
    async with open_group(Narrow, Desk) as (_system, group, refs, logs), anyio.create_task_group() as tasks:
        await fill(tasks, refs[0])
        with anyio.move_on_after(1):
            await group.broadcast(Note("all"))
        assert refs[0].statistics().waiting == 0
        logs[0].open()
        await settle()
        assert (logs[0][-1], logs[1]) == ("filler", ["all"])


async def test_a_broadcast_that_does_not_wait_names_those_without_room() -> None:
    async with open_group(Narrow, Desk) as (_system, group, refs, logs), anyio.create_task_group() as tasks:
        await fill(tasks, refs[0])
        assert group.broadcast_nowait(Note("all")) == [refs[0]]
        logs[0].open()
        await settle()
        assert (logs[0][-1], logs[1]) == ("filler", ["all"])


async def test_what_a_member_drops_is_a_dead_letter_of_its_own() -> None:
    async with open_group(Lossy) as (system, group, refs, logs), anyio.create_task_group() as tasks:
        await fill(tasks, refs[0])
        assert await group.broadcast(Note("all")) == 1
        assert [letter.reason for letter in system.dead_letters.read()] == ["overflow"]
        logs[0].open()


async def test_a_start_that_fails_takes_its_actor_out_of_its_groups() -> None:
    class Joiner(Desk):
        async def started(self) -> None:
            system.group("joiners").join(self.ref)
            raise ValueError("no")

    async with open_system() as system:
        with pytest.raises(Exception, match="did not start"):
            await system.spawn(Child("joiner", partial(Joiner, Log())))
        assert system.group("joiners").members() == []
