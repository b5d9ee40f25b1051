"""one_for_one, statement by statement: which exits restart, in which order children start and stop."""

from collections.abc import Awaitable

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from relight.runtime import (
    ActorCrashedError,
    ActorStoppedError,
    AskError,
    MailboxClosedError,
    Ref,
    Request,
    StartError,
)
from relight.supervisors import Supervisor, SupervisorRef, System, open_system
from relight.supervisors.policies import Fixed
from tests.supervisors.recorded import (
    BoomError,
    Crash,
    Diary,
    Die,
    Finish,
    Leave,
    Note,
    Who,
    failing,
    hanging,
)
from tests.support.clocks import virtual_time

pytestmark = pytest.mark.anyio

EXITS: dict[str, Request[None]] = {"normal": Finish(), "shutdown": Leave(), "crash": Crash(), "kill": Die()}
OUTCOMES = {
    "permanent": {"normal": "restarted", "shutdown": "restarted", "crash": "restarted", "kill": "restarted"},
    "transient": {"normal": "undefined", "shutdown": "undefined", "crash": "restarted", "kill": "restarted"},
    "temporary": {"normal": "dropped", "shutdown": "dropped", "crash": "dropped", "kill": "dropped"},
}


async def leave_by(ref: Ref, message: Request[None]) -> None:
    """Have an actor end itself and wait until its supervisor has decided what follows."""
    with pytest.raises(AskError):
        await ref.ask(message)
    await wait_all_tasks_blocked()


async def child_ref(supervisor: SupervisorRef, id: str) -> Ref:  # noqa: A002
    (status,) = [child for child in await supervisor.which_children() if child.id == id]
    assert status.ref is not None
    return status.ref


async def state_of(supervisor: SupervisorRef, id: str) -> str:  # noqa: A002
    for child in await supervisor.which_children():
        if child.id == id:
            return "restarting" if child.is_restarting else "undefined" if child.ref is None else "running"
    return "dropped"


@pytest.mark.parametrize("exit_kind", list(EXITS))
@pytest.mark.parametrize("restart", list(OUTCOMES))
async def test_the_restart_type_decides_what_follows_an_exit(restart: str, exit_kind: str) -> None:
    diary = Diary()
    async with open_system() as system:
        tree = await system.spawn(Supervisor("tree", children=[diary.child("a", restart), diary.child("b")]))
        ref = await child_ref(tree, "a")
        await leave_by(ref, EXITS[exit_kind])
        expected = OUTCOMES[restart][exit_kind]
        assert await state_of(tree, "a") == ("running" if expected == "restarted" else expected)
        if expected == "restarted":
            assert await ref.ask(Who()) == 2
        else:
            with pytest.raises(MailboxClosedError):
                await ref.ask(Who())
        assert await (await child_ref(tree, "b")).ask(Who()) == 1


async def test_only_the_child_that_ended_is_restarted() -> None:
    diary = Diary()
    async with open_system() as system:
        children = [diary.child(name) for name in "abc"]
        tree = await system.spawn(Supervisor("tree", children=children))
        assert diary.take() == ["start a", "start b", "start c"]
        await leave_by(await child_ref(tree, "b"), Crash())
        assert diary.take() == ["stop b boom", "start b"]


async def test_children_start_left_to_right_each_ready_before_the_next_begins() -> None:
    """T1."""
    diary = Diary()

    async def slowly(_: int) -> None:
        diary.lines.append("begin a")
        await wait_all_tasks_blocked()

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
async def test_a_child_that_fails_to_start_stops_the_earlier_ones_in_reverse(
    failed: int, expected: list[str]
) -> None:
    """T2."""
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


async def test_children_stop_in_reverse_one_at_a_time() -> None:
    """S1."""
    diary = Diary()
    async with open_system() as system:
        children = [diary.child(name, slow_stop=0.01) for name in "abc"]
        tree = await system.spawn(Supervisor("tree", children=children))
        diary.take()
        await tree.stop()
        assert diary.take() == ["stop c shutdown", "stop b shutdown", "stop a shutdown"]
        assert system.actors() == []


async def test_leaving_the_system_stops_trees_newest_first() -> None:
    diary = Diary()
    async with open_system() as system:
        await system.spawn(Supervisor("one", children=[diary.child("a"), diary.child("b")]))
        await system.spawn(Supervisor("two", children=[diary.child("c"), diary.child("d")]))
        diary.take()
    assert diary.take() == [f"stop {name} shutdown" for name in "dcba"]


@virtual_time
async def test_five_slow_children_stop_one_after_another() -> None:
    """S1: not in parallel."""
    diary = Diary()
    async with open_system() as system:
        children = [diary.child(name, slow_stop=0.2) for name in "abcde"]
        tree = await system.spawn(Supervisor("tree", children=children))
        began = anyio.current_time()
        await tree.stop()
        assert anyio.current_time() - began == pytest.approx(1.0)


@virtual_time
async def test_a_child_that_overruns_its_shutdown_time_is_killed() -> None:
    """S2, S5."""
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


async def test_a_child_without_shutdown_time_is_killed_at_once() -> None:
    """S2: 0 kills, the stop hook does not run."""
    diary = Diary()
    async with open_system() as system:
        tree = await system.spawn(Supervisor("tree", children=[diary.child("a", shutdown=0)]))
        diary.take()
        await tree.terminate_child("a")
        assert diary.take() == []


@virtual_time
async def test_a_supervisor_out_of_time_takes_its_children_with_it() -> None:
    """Nobody else could stop them."""
    diary = Diary()
    async with open_system() as system:
        children = [diary.child("a"), diary.child("b", slow_stop=5.0, shutdown=10.0)]
        tree = await system.spawn(Supervisor("tree", shutdown=1.0, children=children))
        await tree.stop()
        await anyio.sleep(20)
        assert system.actors() == []
        assert system.find("tree/a") is None


async def test_stopping_a_child_through_its_ref_is_for_good() -> None:
    diary = Diary()
    async with open_system() as system:
        children = [diary.child("a"), diary.child("b", "temporary")]
        tree = await system.spawn(Supervisor("tree", children=children))
        await (await child_ref(tree, "a")).stop()
        await (await child_ref(tree, "b")).stop()
        assert await state_of(tree, "a") == "undefined"
        assert await state_of(tree, "b") == "dropped"
        assert await (await tree.restart_child("a")).ask(Who()) == 2


async def test_messages_queued_while_a_child_restarts_go_to_its_next_incarnation() -> None:
    """N2; the message that crashed it is not delivered again."""
    diary = Diary()
    async with open_system() as system:
        tree = await system.spawn(Supervisor("tree", children=[diary.child("a")]))
        ref = await child_ref(tree, "a")
        async with anyio.create_task_group() as group:
            group.start_soon(leave_by, ref, Crash())
            await anyio.lowlevel.checkpoint()
            for _ in range(3):
                await ref.tell(Note())
        assert diary.notes == 3
        assert ref.statistics().crashed == 1


async def test_a_crash_names_its_error_to_the_asker() -> None:
    diary = Diary()
    async with open_system() as system:
        ref = await system.spawn(diary.child("a"))
        with pytest.raises(ActorCrashedError) as caught:
            await ref.ask(Crash())
        assert isinstance(caught.value.__cause__, BoomError)
        with pytest.raises(ActorStoppedError):
            await ref.ask(Finish())


# --- in the middle of a failing restart ---


async def test_a_supervisor_that_keeps_failing_to_restart_can_still_be_asked() -> None:
    """G6: each retry of the restart queues behind what was asked meanwhile."""
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


async def restarting(system: System, diary: Diary) -> SupervisorRef:
    """Start a tree whose child ``a`` waits for its restart; ``b`` runs."""
    children = [diary.child("a", backoff=Fixed(10.0)), diary.child("b")]
    tree = await system.spawn(Supervisor("tree", children=children))
    await leave_by(await child_ref(tree, "a"), Crash())
    assert await state_of(tree, "a") == "restarting"
    diary.take()
    return tree


@virtual_time
async def test_terminating_a_restarting_child_drops_the_restart() -> None:
    """G7."""
    diary = Diary()
    async with open_system() as system:
        tree = await restarting(system, diary)
        await tree.terminate_child("a")
        assert await state_of(tree, "a") == "undefined"
        await anyio.sleep(60)
        assert diary.take() == []
        await tree.restart_child("a")
        assert diary.take() == ["start a"]


@virtual_time
async def test_a_terminated_child_that_waited_for_its_restart_fails_its_queue() -> None:
    diary = Diary()
    async with open_system() as system:
        tree = await restarting(system, diary)
        ref = system.get("tree/a")
        async with anyio.create_task_group() as group:

            async def ask() -> None:
                with pytest.raises(ActorStoppedError):
                    await ref.ask(Who(), timeout=1000)

            group.start_soon(ask)
            await wait_all_tasks_blocked()
            await tree.terminate_child("a")
        assert anyio.current_time() == 0.0


@virtual_time
@pytest.mark.parametrize("backoff", [0.0, 1.0])
async def test_a_supervisor_is_stopped_in_the_middle_of_a_restart_loop(backoff: float) -> None:
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


@virtual_time
async def test_a_supervisor_whose_restart_hangs_is_stopped_within_its_time() -> None:
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


@virtual_time
async def test_a_start_that_takes_too_long_is_an_error() -> None:
    diary = Diary()
    async with open_system() as system:
        with pytest.raises(StartError, match="longer than 2 s"):
            await system.spawn(diary.child("a", started=hanging(1), start_timeout=2.0))
        assert anyio.current_time() == pytest.approx(2.0)
        assert system.actors() == []


@virtual_time
async def test_a_hanging_start_of_a_subtree_that_is_cut_off_leaves_none_of_its_children() -> None:
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
            await wait_all_tasks_blocked()
            assert diary.take() == ["start a", "start b"]
            await tree.stop()
        await anyio.sleep(20)
        assert system.actors() == []
        assert system.find("tree/in/a") is None


@virtual_time
async def test_a_restart_that_falls_due_while_its_supervisor_stops_is_not_made() -> None:
    diary = Diary()
    async with open_system() as system:
        children = [diary.child("a", backoff=Fixed(1.0)), diary.child("b", slow_stop=4.0)]
        tree = await system.spawn(Supervisor("tree", children=children))
        await leave_by(await child_ref(tree, "a"), Crash())
        diary.take()
        await tree.stop()
        await anyio.sleep(10)
        assert diary.take() == ["stop b shutdown"]


@virtual_time
async def test_a_child_that_is_stopped_twice_is_stopped_once() -> None:
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


@virtual_time
async def test_a_child_can_be_stopped_by_its_ref_while_its_supervisor_stops() -> None:
    diary = Diary()
    async with open_system() as system:
        children = [diary.child("a"), diary.child("b", slow_stop=2.0)]
        tree = await system.spawn(Supervisor("tree", children=children))
        a = await child_ref(tree, "a")
        async with anyio.create_task_group() as group:
            group.start_soon(tree.stop)
            await wait_all_tasks_blocked()
            await a.stop()
            assert anyio.current_time() == 0.0
        assert system.actors() == []


@virtual_time
async def test_the_crash_of_a_child_that_was_terminated_meanwhile_is_no_news() -> None:
    """Its exit waits in the mailbox behind the request that has ended it."""
    diary = Diary()
    async with open_system() as system:
        children = [diary.child("a"), diary.child("b", slow_stop=2.0)]
        tree = await system.spawn(Supervisor("tree", intensity=0, children=children))
        a = await child_ref(tree, "a")
        async with anyio.create_task_group() as group:
            group.start_soon(tree.terminate_child, "b")
            await wait_all_tasks_blocked()
            group.start_soon(tree.terminate_child, "a")
            await wait_all_tasks_blocked()
            a.tell_nowait(Crash())
        assert await state_of(tree, "a") == "undefined"


@virtual_time
async def test_the_retry_of_a_failed_restart_is_dropped_when_the_child_was_terminated_meanwhile() -> None:
    """G7: the retry queues behind the request."""
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
            await wait_all_tasks_blocked()
            released.set()
        assert await state_of(tree, "a") == "undefined"
        assert diary.take() == ["start a", "stop a boom", "startfail a"]


@virtual_time
async def test_requests_to_a_supervisor_that_ends_fail_at_once() -> None:
    """A6: those that are queued and those that come later."""
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
            await wait_all_tasks_blocked()
            group.start_soon(ask, tree.which_children())
            await wait_all_tasks_blocked()
            group.start_soon(tree.stop)
            await wait_all_tasks_blocked()
            group.start_soon(ask, tree.count_children())
            await wait_all_tasks_blocked()
            assert failures == [("ActorStoppedError", 0.0), ("MailboxClosedError", 0.0)]
        await ask(tree.start_child(diary.child("b")))
        assert "start b" not in diary.take()
