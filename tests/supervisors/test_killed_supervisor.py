"""A supervisor that is killed takes its children with it, and is restarted with new ones."""

from functools import partial

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from relight.runtime import Actor, ActorState, ActorStoppedError, Message, Request, handles
from relight.supervisors import Child, Supervisor, open_system
from tests.supervisors.recorded import Diary, Who
from tests.support.clocks import virtual_time

pytestmark = pytest.mark.anyio


class Work(Request[int], frozen=True):
    """Asked: takes a minute."""


class Tidy(Message, frozen=True):
    """Told: takes a minute, and half a second to unwind."""


class Worker(Actor):
    """Takes its time."""

    def __init__(self, made: list[int]) -> None:
        made.append(len(made) + 1)
        self.number = made[-1]

    @handles
    async def who(self, message: Who) -> int:
        return self.number

    @handles
    async def work(self, message: Work) -> int:
        await anyio.sleep(60)
        return 1

    @handles
    async def tidy(self, message: Tidy) -> None:
        try:
            await anyio.sleep(60)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.5)


async def test_the_children_of_a_killed_supervisor_are_killed_and_new_ones_started() -> None:
    diary = Diary()
    async with open_system() as system:
        tree = await system.spawn(Supervisor("tree", children=[diary.child("a"), diary.child("b")]))
        before = [system.get("tree/a"), system.get("tree/b")]
        monitors = [system.monitor(ref) for ref in before]
        system.kill(tree.ref)
        await wait_all_tasks_blocked()
        assert [str(monitor.down.reason) for monitor in monitors if monitor.down] == ["killed", "killed"]
        assert all(ref.statistics().state is ActorState.STOPPED for ref in before)
        assert await system.get("tree/a").ask(Who()) == 2
        assert await system.get("tree/b").ask(Who()) == 2
        assert tree.ref.statistics().restarts == 1
        assert (await tree.count_children()).active == 2


async def test_calls_in_hand_below_a_killed_supervisor_fail_at_once() -> None:
    made: list[int] = []
    async with open_system() as system, anyio.create_task_group() as group:
        inner = Supervisor("inner", children=[Child("worker", partial(Worker, made))])
        tree = await system.spawn(Supervisor("tree", children=[inner]))
        errors: list[Exception] = []

        async def ask() -> None:
            try:
                await system.get("tree/inner/worker").ask(Work(), timeout=100)
            except ActorStoppedError as error:
                errors.append(error)

        group.start_soon(ask)
        await wait_all_tasks_blocked()
        system.kill(tree.ref)
        await wait_all_tasks_blocked()
        assert len(errors) == 1
        assert await system.get("tree/inner/worker").ask(Who()) == 2


@virtual_time
async def test_a_child_that_takes_a_moment_to_unwind_does_not_fail_the_restart() -> None:
    made: list[int] = []
    async with open_system() as system:
        tree = await system.spawn(Supervisor("tree", children=[Child("worker", partial(Worker, made))]))
        await system.get("tree/worker").tell(Tidy())
        await wait_all_tasks_blocked()
        began = anyio.current_time()
        system.kill(tree.ref)
        await wait_all_tasks_blocked()
        assert made == [1]
        await anyio.sleep(0.6)
        assert await system.get("tree/worker").ask(Who()) == 2
        assert anyio.current_time() - began < 1
        assert tree.ref.statistics().restarts == 1


@virtual_time
async def test_a_child_started_where_a_killed_one_unwinds_waits_for_it() -> None:
    made: list[int] = []
    async with open_system() as system:
        tree = await system.spawn(Supervisor("tree"))
        await (await tree.start_child(Child("worker", partial(Worker, made)))).tell(Tidy())
        await wait_all_tasks_blocked()
        system.kill(tree.ref)
        await wait_all_tasks_blocked()
        ref = await tree.start_child(Child("worker", partial(Worker, made)))
        assert await ref.ask(Who()) == 2


async def test_a_supervisor_killed_while_it_starts_a_child_leaves_none_of_it() -> None:
    made: list[int] = []

    class Slow(Worker):
        async def started(self) -> None:
            if self.number == 1:
                await anyio.sleep(60)

    async with open_system() as system, anyio.create_task_group() as group:
        tree = await system.spawn(Supervisor("tree"))
        errors: list[Exception] = []

        async def start() -> None:
            try:
                await tree.start_child(Child("slow", partial(Slow, made)))
            except ActorStoppedError as error:
                errors.append(error)

        group.start_soon(start)
        await wait_all_tasks_blocked()
        system.kill(tree.ref)
        await wait_all_tasks_blocked()
        assert len(errors) == 1
        assert system.find("tree/slow") is None
        assert (await tree.count_children()).specs == 0


async def test_a_suspended_supervisor_is_killed_and_comes_back_running() -> None:
    diary = Diary()
    async with open_system() as system:
        tree = await system.spawn(Supervisor("tree", children=[diary.child("a")]))
        system.suspend(tree.ref)
        system.kill(tree.ref)
        await wait_all_tasks_blocked()
        assert (await tree.count_children()).active == 1
        assert await system.get("tree/a").ask(Who()) == 2


async def test_killing_supervisors_over_and_over_leaks_nothing() -> None:
    diary = Diary()
    async with open_system() as system:
        children = [diary.child(name) for name in "abc"]
        tree = await system.spawn(Supervisor("tree", children=children, restart="temporary"))
        outer = await system.spawn(
            Supervisor("outer", intensity=50, children=[Supervisor("inner", children=children)])
        )
        count = len(system.actors())
        for _ in range(20):
            system.kill(system.get("outer/inner"))
            await wait_all_tasks_blocked()
            assert len(system.actors()) == count
        system.kill(tree.ref)
        await wait_all_tasks_blocked()
        assert len(system.actors()) == count - 4
        assert await system.get("outer/inner/a").ask(Who()) == 22
        await outer.stop()
