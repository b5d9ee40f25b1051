"""Strategies: who restarts with whom, in which order, and what goes on meanwhile (G1 to G8)."""

import anyio
import pytest

from relight.runtime import (
    ActorStoppedError,
)
from relight.supervisors import (
    Supervisor,
    SupervisorRef,
    System,
    open_system,
)
from relight.supervisors.policies import Fixed
from tests.runtime.desk import settle
from tests.supervisors.conformance.trees import (
    child_ref,
    crash,
    leave_by,
    state_of,
)
from tests.supervisors.recorded import (
    BoomError,
    Crash,
    Diary,
    Who,
    failing,
)

pytestmark = pytest.mark.anyio


async def restarting(system: System, diary: Diary) -> SupervisorRef:
    """Start a tree whose child ``a`` waits for its restart; ``b`` runs."""
    children = [diary.child("a", backoff=Fixed(10.0)), diary.child("b")]
    tree = await system.spawn(Supervisor("tree", children=children))
    await crash(await child_ref(tree, "a"))
    assert await state_of(tree, "a") == "restarting"
    diary.take()
    return tree


async def test_one_for_one_restarts_only_the_child_that_ended() -> None:
    diary = Diary()
    async with open_system() as system:
        children = [diary.child(name) for name in "abc"]
        tree = await system.spawn(Supervisor("tree", children=children))
        assert diary.take() == ["start a", "start b", "start c"]
        await leave_by(await child_ref(tree, "b"), Crash())
        assert diary.take() == ["stop b boom", "start b"]


async def test_g6_a_supervisor_that_keeps_failing_to_restart_can_still_be_asked() -> None:
    """Each retry of the restart queues behind what was asked meanwhile."""
    diary = Diary()
    async with open_system() as system:
        child = diary.child("a", started=failing(*range(2, 10_000)))
        tree = await system.spawn(Supervisor("tree", intensity=1_000_000, children=[child]))
        await (await child_ref(tree, "a")).tell(Crash())
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        assert await state_of(tree, "a") == "restarting"
        counts = await tree.count_children()
        assert (counts.specs, counts.active) == (1, 0)
        await tree.stop()
        assert system.actors() == []
    assert len(diary.lines) < 1000


async def test_g7_terminating_a_restarting_child_drops_the_restart() -> None:
    diary = Diary()
    async with open_system() as system:
        tree = await restarting(system, diary)
        await tree.terminate_child("a")
        assert await state_of(tree, "a") == "undefined"
        await anyio.sleep(60)
        assert diary.take() == []
        await tree.restart_child("a")
        assert diary.take() == ["start a"]


async def test_g7_a_terminated_child_that_waited_for_its_restart_fails_its_queue() -> None:
    diary = Diary()
    async with open_system() as system:
        tree = await restarting(system, diary)
        ref = system.get("tree/a")
        async with anyio.create_task_group() as group:

            async def ask() -> None:
                with pytest.raises(ActorStoppedError):
                    await ref.ask(Who(), timeout=1000)

            group.start_soon(ask)
            await settle()
            await tree.terminate_child("a")
        assert anyio.current_time() == 0.0


@pytest.mark.parametrize("backoff", [0.0, 1.0])
async def test_g6_a_supervisor_is_stopped_in_the_middle_of_a_restart_loop(backoff: float) -> None:
    diary = Diary()
    async with open_system() as system:
        child = diary.child(
            "a", started=failing(*range(2, 10_000)), backoff=Fixed(backoff) if backoff else None
        )
        tree = await system.spawn(Supervisor("tree", intensity=9_999, children=[diary.child("b"), child]))
        await (await child_ref(tree, "a")).tell(Crash())
        await anyio.sleep(5.5 if backoff else 0)
        diary.take()
        began = anyio.current_time()
        await tree.stop()
        assert anyio.current_time() == began
        assert diary.take()[-1] == "stop b shutdown"
        assert system.actors() == []
        await anyio.sleep(60)
        assert diary.take() == []


async def test_g7_the_retry_of_a_failed_restart_is_dropped_when_the_child_was_terminated_meanwhile() -> None:
    """The retry queues behind the request."""
    diary = Diary()
    released = anyio.Event()

    async def started(number: int) -> None:
        if number > 1:
            await released.wait()
            raise BoomError

    async with open_system() as system:
        tree = await system.spawn(Supervisor("tree", children=[diary.child("a", started=started)]))
        await leave_by(await child_ref(tree, "a"), Crash())
        async with anyio.create_task_group() as group:
            group.start_soon(tree.terminate_child, "a")
            await settle()
            released.set()
        assert await state_of(tree, "a") == "undefined"
        assert diary.take() == ["start a", "stop a boom", "startfail a"]
