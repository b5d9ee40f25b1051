"""Starting: in which order, and what becomes of those that do not start (T1 to T8)."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

import anyio
import pytest

from relight.runtime import (
    Actor,
    ActorCrashedError,
    AskError,
    Ignore,
    MailboxClosedError,
    StartError,
)
from relight.supervisors import (
    AlreadyPresentError,
    Child,
    DynamicSupervisor,
    Supervisor,
    open_system,
)
from tests.runtime.desk import settle
from tests.supervisors.conformance.trees import counts_of, crash, hear, spawn_tree, states_of
from tests.supervisors.recorded import (
    BoomError,
    Crash,
    Diary,
    Note,
    Who,
    failing,
    hanging,
    ignoring,
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


async def test_t1_the_start_returns_only_after_the_last_child() -> None:
    diary = Diary()
    released = anyio.Event()

    async def waiting(_: int) -> None:
        await released.wait()

    async with open_system() as system:
        async with anyio.create_task_group() as group:

            async def spawn() -> None:
                await spawn_tree(system, diary.child("a"), diary.child("b", started=waiting))
                diary.lines.append("returned")

            group.start_soon(spawn)
            await settle()
            assert diary.take() == ["start a"]
            released.set()
        assert diary.take() == ["start b", "returned"]


async def test_t2_the_failure_of_an_inner_child_stops_what_was_started_on_both_levels() -> None:
    diary = Diary()
    inner = Supervisor("in", children=[diary.child("b"), diary.child("c", started=failing(1))])
    async with open_system() as system:
        with pytest.raises(StartError) as caught:
            await spawn_tree(system, diary.child("a"), inner, diary.child("d"))
        assert diary.take() == ["start a", "start b", "startfail c", "stop b shutdown", "stop a shutdown"]
        assert "BoomError" in str(caught.value)
        assert system.actors() == []


@pytest.mark.parametrize(
    ("restart", "known"), [("permanent", True), ("transient", True), ("temporary", False)]
)
async def test_t3_a_child_that_is_not_wanted_now_is_undefined_unless_temporary(
    restart: str, known: bool
) -> None:
    diary = Diary()
    ignored = diary.child("b", restart, started=ignoring(1))
    async with open_system() as system:
        tree = await spawn_tree(system, diary.child("a"), ignored, diary.child("c"))
        assert diary.take() == ["start a", "ignore b", "start c"]
        others = {"a": "running", "c": "running"}
        expected = {"a": "running", "b": "undefined", "c": "running"} if known else others
        assert await states_of(tree) == expected
        assert await counts_of(tree) == (len(expected), 2, 0, len(expected))
        assert system.find("tree/b") is None
        if known:
            assert await (await tree.restart_child("b")).ask(Who()) == 2
        else:
            await tree.start_child(diary.child("b"))


async def test_t3_a_start_on_request_that_is_ignored_returns_the_ref_of_an_actor_that_has_ended() -> None:
    diary = Diary()
    async with open_system() as system:
        tree = await spawn_tree(system)
        ref = await tree.start_child(diary.child("a", started=ignoring(1, 2)))
        assert not ref.is_alive
        with pytest.raises(MailboxClosedError, match="ignored: not wanted now"):
            ref.tell_nowait(Note())
        assert await states_of(tree) == {"a": "undefined"}
        with pytest.raises(AlreadyPresentError):
            await tree.start_child(diary.child("a"))
        assert not (await tree.restart_child("a")).is_alive
        assert await (await tree.restart_child("a")).ask(Who()) == 3


async def test_t3_a_factory_may_say_it_too() -> None:
    """A plain class is started in the caller's stack, a function is not: both ways."""

    class Unwanted(Actor):
        def __init__(self) -> None:
            raise Ignore("no key")

    async with open_system() as system:
        tree = await spawn_tree(system, Child("first", Unwanted))
        for name, start in (("a", Unwanted), ("b", lambda: Unwanted())):
            ref = await tree.start_child(Child(name, start))
            assert not ref.is_alive
            assert str(tree) == "<SupervisorRef tree>"
        assert await states_of(tree) == {"first": "undefined", "a": "undefined", "b": "undefined"}


async def test_t3_a_lifespan_may_say_it_on_the_way_in() -> None:
    class Unwanted(Actor):
        @asynccontextmanager
        async def lifespan(self) -> AsyncGenerator[None]:
            raise Ignore
            yield

    async with open_system() as system:
        tree = await spawn_tree(system, Child("a", Unwanted))
        assert await states_of(tree) == {"a": "undefined"}
        assert [ref.path for ref in system.actors()] == ["tree"]


async def test_t3_a_dynamic_supervisor_keeps_nothing_of_it() -> None:
    diary = Diary()
    async with open_system() as system:
        crowd = await system.spawn(DynamicSupervisor("crowd"))
        for number in (1, 2):
            ref = await crowd.start_child(diary.child("a", started=ignoring(number)))
            assert not ref.is_alive
            assert await counts_of(crowd) == (0, 0, 0, 0)


async def test_t4_a_supervisor_that_is_not_wanted_now_starts_as_ignored() -> None:
    """No exit is seen, and none of its children."""
    wanted = False
    diary = Diary()

    def children() -> list[Child]:
        if not wanted:
            raise Ignore("not configured")
        return [diary.child("x")]

    async with open_system() as system:
        heard = hear(system, "actor.crashed", "actor.gave_up", "actor.start_failed")
        tree = await spawn_tree(
            system, diary.child("a"), Supervisor("in", children=children), diary.child("b")
        )
        assert await states_of(tree) == {"a": "running", "in": "undefined", "b": "running"}
        assert diary.take() == ["start a", "start b"]
        assert heard == []
        wanted = True
        await tree.restart_child("in")
        assert diary.take() == ["start x"]
        assert await counts_of(tree) == (3, 3, 1, 2)


async def test_t4_an_exception_in_what_makes_the_children_is_the_start_error() -> None:
    def children() -> list[Child]:
        raise BoomError

    async with open_system() as system:
        with pytest.raises(StartError) as caught:
            await system.spawn(Supervisor("tree", children=children))
        assert isinstance(caught.value.__cause__, BoomError)
        assert system.actors() == []


async def test_t4_the_children_are_asked_for_at_each_start_of_the_supervisor() -> None:
    diary = Diary()
    names = iter(["a", "b"])
    async with open_system() as system:
        inner = Supervisor("in", intensity=0, children=lambda: [diary.child(next(names))])
        await spawn_tree(system, inner)
        await crash(system.get("tree/in/a"))
        assert diary.take() == ["start a", "stop a boom", "start b"]
        assert system.find("tree/in/a") is None


async def test_t7_what_a_start_hook_returns_is_handed_back() -> None:
    diary = Diary()
    async with open_system() as system:
        tree = await spawn_tree(system)
        ref = await tree.start_child(diary.child("a"))
        assert ref.info == 1
        await tree.terminate_child("a")
        ref = await tree.restart_child("a")
        assert ref.info == 2
        await crash(ref)
        assert ref.info == 3
        assert (await tree.start_child(Child("plain", Plain))).info is None


async def test_t8_a_supervisor_is_busy_while_a_child_starts() -> None:
    diary = Diary()
    released = anyio.Event()

    async def waiting(_: int) -> None:
        await released.wait()

    async with open_system() as system:
        tree = await spawn_tree(system, diary.child("a"))
        async with anyio.create_task_group() as group:
            group.start_soon(tree.start_child, diary.child("b", started=waiting))
            await settle()
            answers: list[dict[str, str]] = []

            async def look() -> None:
                answers.append(await states_of(tree))

            group.start_soon(look)
            await settle()
            assert answers == []
            assert await system.get("tree/a").ask(Who()) == 1
            released.set()
        assert answers == [{"a": "running", "b": "running"}]
