"""Stopping: in reverse, one at a time, within the time each child has (S1 to S5)."""

import anyio
import pytest

from relight.supervisors import (
    Supervisor,
    open_system,
)
from relight.supervisors.policies import Fixed
from tests.runtime.desk import settle
from tests.supervisors.conformance.trees import (
    child_ref,
    leave_by,
)
from tests.supervisors.recorded import (
    Crash,
    Diary,
    hanging,
)

pytestmark = pytest.mark.anyio


async def test_s1_children_stop_in_reverse_one_at_a_time() -> None:
    diary = Diary()
    async with open_system() as system:
        children = [diary.child(name, slow_stop=0.01) for name in "abc"]
        tree = await system.spawn(Supervisor("tree", children=children))
        diary.take()
        await tree.stop()
        assert diary.take() == ["stop c shutdown", "stop b shutdown", "stop a shutdown"]
        assert system.actors() == []


async def test_s1_leaving_the_system_stops_trees_newest_first() -> None:
    diary = Diary()
    async with open_system() as system:
        await system.spawn(Supervisor("one", children=[diary.child("a"), diary.child("b")]))
        await system.spawn(Supervisor("two", children=[diary.child("c"), diary.child("d")]))
        diary.take()
    assert diary.take() == [f"stop {name} shutdown" for name in "dcba"]


async def test_s1_five_slow_children_stop_one_after_another() -> None:
    """Not in parallel."""
    diary = Diary()
    async with open_system() as system:
        children = [diary.child(name, slow_stop=0.2) for name in "abcde"]
        tree = await system.spawn(Supervisor("tree", children=children))
        began = anyio.current_time()
        await tree.stop()
        assert anyio.current_time() - began == pytest.approx(1.0)


async def test_s2_s5_a_child_that_overruns_its_shutdown_time_is_killed() -> None:
    diary = Diary()
    async with open_system() as system:
        overran: list[object] = []
        system.events.listen(
            lambda event, fields: (
                overran.append(fields["actor_path"]) if event == "actor.stop_overran" else None
            )
        )
        children = [diary.child("a"), diary.child("b", slow_stop=60.0, shutdown=2.0)]
        tree = await system.spawn(Supervisor("tree", children=children))
        diary.take()
        began = anyio.current_time()
        await tree.stop()
        assert anyio.current_time() - began == pytest.approx(2.0)
        assert diary.take() == ["stop a shutdown"]
        assert overran == ["tree/b"]


async def test_s2_a_child_without_shutdown_time_is_killed_at_once() -> None:
    """0 kills, the stop hook does not run."""
    diary = Diary()
    async with open_system() as system:
        tree = await system.spawn(Supervisor("tree", children=[diary.child("a", shutdown=0)]))
        diary.take()
        await tree.terminate_child("a")
        assert diary.take() == []


async def test_s2_a_supervisor_out_of_time_takes_its_children_with_it() -> None:
    """Nobody else could stop them."""
    diary = Diary()
    async with open_system() as system:
        children = [diary.child("a"), diary.child("b", slow_stop=5.0, shutdown=10.0)]
        tree = await system.spawn(Supervisor("tree", shutdown=1.0, children=children))
        await tree.stop()
        await anyio.sleep(20)
        assert system.actors() == []
        assert system.find("tree/a") is None


async def test_s2_a_supervisor_whose_restart_hangs_is_stopped_within_its_time() -> None:
    """The hanging start is cut off; nothing of the tree is left."""
    diary = Diary()
    async with open_system() as system:
        children = [diary.child("a"), diary.child("b", started=hanging(2))]
        tree = await system.spawn(Supervisor("tree", shutdown=3.0, children=children))
        await leave_by(await child_ref(tree, "b"), Crash())
        began = anyio.current_time()
        await tree.stop()
        assert anyio.current_time() - began == pytest.approx(3.0, abs=1.1)
        await anyio.sleep(10)
        assert system.actors() == []


async def test_s1_a_restart_that_falls_due_while_its_supervisor_stops_is_not_made() -> None:
    diary = Diary()
    async with open_system() as system:
        children = [diary.child("a", backoff=Fixed(1.0)), diary.child("b", slow_stop=4.0)]
        tree = await system.spawn(Supervisor("tree", children=children))
        await leave_by(await child_ref(tree, "a"), Crash())
        diary.take()
        await tree.stop()
        await anyio.sleep(10)
        assert diary.take() == ["stop b shutdown"]


async def test_s1_a_child_that_is_stopped_twice_is_stopped_once() -> None:
    diary = Diary()
    async with open_system() as system:
        tree = await system.spawn(Supervisor("tree", children=[diary.child("a", slow_stop=1.0)]))
        ref = await child_ref(tree, "a")
        diary.take()
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(ref.stop)
        assert diary.take() == ["stop a normal"]
        assert anyio.current_time() == pytest.approx(1.0)


async def test_s4_a_child_can_be_stopped_by_its_ref_while_its_supervisor_stops() -> None:
    diary = Diary()
    async with open_system() as system:
        children = [diary.child("a"), diary.child("b", slow_stop=2.0)]
        tree = await system.spawn(Supervisor("tree", children=children))
        a = await child_ref(tree, "a")
        async with anyio.create_task_group() as group:
            group.start_soon(tree.stop)
            await settle()
            await a.stop()
            assert anyio.current_time() == 0.0
        assert system.actors() == []
