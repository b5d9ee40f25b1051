"""Starting: in which order, and what becomes of those that do not start (T1 to T8)."""

from functools import partial

import anyio
import pytest

from relight.runtime import (
    Actor,
    ActorCrashedError,
    AskError,
    StartError,
)
from relight.supervisors import (
    Child,
    Supervisor,
    open_system,
)
from tests.runtime.desk import settle
from tests.supervisors.recorded import (
    BoomError,
    Crash,
    Diary,
    Who,
    failing,
    hanging,
)

pytestmark = pytest.mark.anyio


class Plain(Actor):
    pass


def explode() -> Actor:
    raise BoomError("no parts")


def return_nothing() -> Actor:
    return None  # type: ignore[return-value]


async def test_t1_children_start_left_to_right_each_ready_before_the_next_begins() -> None:
    diary = Diary()

    async def slowly(_: int) -> None:
        diary.lines.append("begin a")
        await settle()

    async with open_system() as system:
        await system.spawn(Supervisor("tree", children=[diary.child("a", started=slowly), diary.child("b")]))
        assert diary.take() == ["begin a", "start a", "start b"]


@pytest.mark.parametrize(
    ("failed", "expected"),
    [
        (0, ["startfail a"]),
        (1, ["start a", "startfail b", "stop a shutdown"]),
        (2, ["start a", "start b", "startfail c", "stop b shutdown", "stop a shutdown"]),
    ],
)
async def test_t2_a_child_that_fails_to_start_stops_the_earlier_ones_in_reverse(
    failed: int, expected: list[str]
) -> None:
    diary = Diary()
    names = ["a", "b", "c", "d"]
    children = [
        diary.child(name, started=failing(1) if index == failed else failing())
        for index, name in enumerate(names)
    ]
    async with open_system() as system:
        with pytest.raises(StartError) as caught:
            await system.spawn(Supervisor("tree", children=children))
        assert diary.take() == expected
        assert f"tree/{names[failed]}" in str(caught.value)
        assert [ref.path for ref in system.actors()] == []
        await system.spawn(Supervisor("tree"))


async def test_t8_a_hanging_start_of_a_subtree_that_is_cut_off_leaves_none_of_its_children() -> None:
    diary = Diary()
    inner = Supervisor(
        "in", children=[diary.child("a"), diary.child("b"), diary.child("c", started=hanging(1))]
    )
    async with open_system() as system:
        tree = await system.spawn(Supervisor("tree", shutdown=1.0))
        async with anyio.create_task_group() as group:

            async def start() -> None:
                with pytest.raises(AskError):
                    await tree.start_child(inner)

            group.start_soon(start)
            await settle()
            assert diary.take() == ["start a", "start b"]
            await tree.stop()
        await anyio.sleep(20)
        assert system.actors() == []
        assert system.find("tree/in/a") is None


async def test_t5_a_started_child_comes_last_and_a_restarted_one_keeps_its_place() -> None:
    diary = Diary()
    async with open_system() as system:
        tree = await system.spawn(Supervisor("tree", children=[diary.child("a"), diary.child("b")]))
        await tree.start_child(diary.child("c"))
        await tree.terminate_child("a")
        await tree.restart_child("a")
        with pytest.raises(ActorCrashedError):
            await system.get("tree/b").ask(Crash())
        await settle()
        assert [child.id for child in await tree.which_children()] == ["c", "b", "a"]
        await tree.terminate_child("a")
        await tree.delete_child("a")
        await tree.start_child(diary.child("a"))
        assert [child.id for child in await tree.which_children()] == ["a", "c", "b"]


@pytest.mark.parametrize("start", [explode, return_nothing, partial(explode)])
async def test_t6_a_child_that_fails_to_start_leaves_no_spec(start: partial[Actor]) -> None:
    async with open_system() as system:
        tree = await system.spawn(Supervisor("tree"))
        with pytest.raises(StartError) as caught:
            await tree.start_child(Child("a", start, name="alias"))
        assert caught.value.path == "tree/a"
        assert await tree.which_children() == []
        assert system.find("alias") is None
        await tree.start_child(Child("a", Plain))


async def test_t6_a_failing_restart_on_request_keeps_the_spec() -> None:
    diary = Diary()
    async with open_system() as system:
        tree = await system.spawn(Supervisor("tree", children=[diary.child("a", started=failing(2))]))
        await tree.terminate_child("a")
        with pytest.raises(StartError):
            await tree.restart_child("a")
        (child,) = await tree.which_children()
        assert (child.id, child.ref, child.is_restarting) == ("a", None, False)
        assert await (await tree.restart_child("a")).ask(Who()) == 3
