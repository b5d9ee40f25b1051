"""Administration: what a running supervisor can be asked (A1 to A7)."""

from collections.abc import Awaitable

import anyio
import pytest

from relight.runtime import (
    Actor,
    ActorCrashedError,
    ActorStoppedError,
    MailboxClosedError,
    NameTakenError,
)
from relight.supervisors import (
    AlreadyPresentError,
    AlreadyStartedError,
    Child,
    ChildNotFoundError,
    ChildRestartingError,
    ChildRunningError,
    Supervisor,
    open_system,
)
from relight.supervisors.policies import Fixed
from tests.runtime.desk import settle
from tests.supervisors.conformance.trees import (
    child_ref,
    state_of,
)
from tests.supervisors.recorded import (
    Crash,
    Diary,
    Who,
    hanging,
)

pytestmark = pytest.mark.anyio


class Plain(Actor):
    pass


async def test_a2_stopping_a_child_through_its_ref_is_for_good() -> None:
    diary = Diary()
    async with open_system() as system:
        children = [diary.child("a"), diary.child("b", "temporary")]
        tree = await system.spawn(Supervisor("tree", children=children))
        await (await child_ref(tree, "a")).stop()
        await (await child_ref(tree, "b")).stop()
        assert await state_of(tree, "a") == "undefined"
        assert await state_of(tree, "b") == "dropped"
        assert await (await tree.restart_child("a")).ask(Who()) == 2


async def test_a6_requests_to_a_supervisor_that_ends_fail_at_once() -> None:
    """Those that are queued and those that come later."""
    diary = Diary()
    async with open_system() as system:
        tree = await system.spawn(Supervisor("tree", shutdown=5.0))
        failures: list[tuple[str, float]] = []

        async def ask(request: Awaitable[object]) -> None:
            with pytest.raises((MailboxClosedError, ActorStoppedError)) as caught:
                await request
            failures.append((type(caught.value).__name__, anyio.current_time()))

        async with anyio.create_task_group() as group:
            group.start_soon(ask, tree.start_child(diary.child("a", started=hanging(1))))
            await settle()
            group.start_soon(ask, tree.which_children())
            await settle()
            group.start_soon(tree.stop)
            await settle()
            group.start_soon(ask, tree.count_children())
            await settle()
            assert failures == [("ActorStoppedError", 0.0), ("MailboxClosedError", 0.0)]
        await ask(tree.start_child(diary.child("b")))
        assert "start b" not in diary.take()


async def test_a4_children_are_listed_newest_first() -> None:
    diary = Diary()
    async with open_system() as system:
        tree = await system.spawn(
            Supervisor("tree", children=[diary.child("a"), Supervisor("s", children=[diary.child("x")])])
        )
        await tree.start_child(diary.child("b"))
        await tree.terminate_child("a")
        listed = await tree.which_children()
        assert [child.id for child in listed] == ["b", "s", "a"]
        assert [child.ref is None for child in listed] == [False, False, True]
        assert [child.is_supervisor for child in listed] == [False, True, False]
        assert not any(child.is_restarting for child in listed)


async def test_a5_children_are_counted() -> None:
    diary = Diary()
    async with open_system() as system:
        children: list[Child | Supervisor] = [diary.child("a"), diary.child("b"), Supervisor("s")]
        tree = await system.spawn(Supervisor("tree", children=children))
        await tree.terminate_child("a")
        counts = await tree.count_children()
        assert (counts.specs, counts.active, counts.supervisors, counts.workers) == (3, 2, 1, 2)


async def test_a5_g7_a_restarting_child_is_not_active() -> None:
    diary = Diary()
    async with open_system() as system:
        tree = await system.spawn(Supervisor("tree", children=[diary.child("a", backoff=Fixed(10.0))]))
        with pytest.raises(ActorCrashedError):
            await system.get("tree/a").ask(Crash())
        await settle()
        (child,) = await tree.which_children()
        assert child.is_restarting
        assert child.ref is None
        assert (await tree.count_children()).active == 0
        with pytest.raises(ChildRestartingError):
            await tree.restart_child("a")
        with pytest.raises(ChildRestartingError):
            await tree.delete_child("a")
        with pytest.raises((AlreadyPresentError, AlreadyStartedError)):
            await tree.start_child(diary.child("a"))
        await anyio.sleep(10.1)
        (child,) = await tree.which_children()
        assert child.restarts == 1


async def test_a1_a_child_that_runs_is_not_started_twice() -> None:
    """The error carries the ref of the one that runs."""
    diary = Diary()
    async with open_system() as system:
        tree = await system.spawn(Supervisor("tree"))
        ref = await tree.start_child(diary.child("a"))
        with pytest.raises(AlreadyStartedError, match="child 'a' is already running") as caught:
            await tree.start_child(diary.child("a"))
        assert caught.value.ref is ref
        assert (caught.value.supervisor, caught.value.child) == ("tree", "a")
        assert await ref.ask(Who()) == 1


async def test_a1_a_known_child_that_is_stopped_is_not_started_but_restarted() -> None:
    diary = Diary()
    async with open_system() as system:
        tree = await system.spawn(Supervisor("tree", children=[diary.child("a")]))
        await tree.terminate_child("a")
        with pytest.raises(AlreadyPresentError):
            await tree.start_child(diary.child("a"))
        ref = await tree.restart_child("a")
        assert await ref.ask(Who()) == 2


async def test_a2_terminating_is_idempotent_and_keeps_the_spec() -> None:
    diary = Diary()
    async with open_system() as system:
        children = [diary.child("a"), diary.child("t", "temporary")]
        tree = await system.spawn(Supervisor("tree", children=children))
        for _ in range(2):
            await tree.terminate_child("a")
        await tree.terminate_child("t")
        assert [child.id for child in await tree.which_children()] == ["a"]
        with pytest.raises(ChildNotFoundError):
            await tree.terminate_child("t")


async def test_a3_only_a_stopped_child_is_restarted_or_deleted() -> None:
    diary = Diary()
    async with open_system() as system:
        tree = await system.spawn(Supervisor("tree", children=[diary.child("a")]))
        for request in (tree.restart_child, tree.delete_child):
            with pytest.raises(ChildRunningError):
                await request("a")
            with pytest.raises(ChildNotFoundError, match="child 'nobody' is not known here"):
                await request("nobody")
        await tree.terminate_child("a")
        await tree.delete_child("a")
        assert await tree.which_children() == []


async def test_a7_a_name_that_is_taken_elsewhere_is_an_error_that_leaves_nothing() -> None:
    diary = Diary()
    async with open_system() as system:
        await system.spawn(Child("first", Plain, name="alias"))
        for start in (Plain, lambda: Plain()):  # a class is started in the caller's stack, a function is not
            with pytest.raises(NameTakenError):
                await system.spawn(Child("second", start, name="alias"))
            assert system.find("second") is None
        assert system.get("alias").path == "first"
        await system.get("first").stop()
        assert system.find("alias") is None
        await system.spawn(diary.child("second"))
