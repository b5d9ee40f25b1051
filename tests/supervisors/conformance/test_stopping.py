"""Stopping: in reverse, one at a time, within the time each child has (S1 to S5)."""

from math import inf

import anyio
import pytest
from anyio import CancelScope

from relight.runtime import Actor, ActorStoppedError, ExitKind, ExitReason, Request, handles
from relight.supervisors import (
    Child,
    Supervisor,
    open_system,
)
from relight.supervisors.policies import Fixed
from tests.runtime.desk import asking, settle
from tests.supervisors.conformance.trees import (
    child_ref,
    crash,
    hear,
    leave_by,
    open_tree,
    spawn_tree,
)
from tests.supervisors.recorded import (
    BoomError,
    Crash,
    Diary,
    Finish,
    Nap,
    Note,
    Starts,
    Who,
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


@pytest.mark.parametrize("moment", ["start", "run", "group restart", "waiting restart", "stop"])
async def test_s1_the_order_holds_when_an_outer_scope_is_cancelled(moment: str) -> None:
    """Plain cancellation would stop children in any order: they are shielded and told one by one."""
    diary = Diary()
    reached = anyio.Event()

    def slowly(*numbers: int) -> Starts:
        async def start(number: int) -> None:
            if number in numbers:
                reached.set()
                await anyio.sleep(1.0)

        return start

    backoff = Fixed(60.0) if moment == "waiting restart" else None
    children = [diary.child(name, slow_stop=0.2) for name in "abcd"]
    children.append(
        diary.child("e", started=slowly({"start": 1, "group restart": 2}.get(moment, 0)), slow_stop=0.2)
    )
    children.append(diary.child("f", backoff=backoff, slow_stop=0.2))

    async def run() -> None:
        async with open_system() as system:
            spec = Supervisor("tree", strategy="one_for_all", restart="temporary", children=children)
            tree = await system.spawn(spec)
            match moment:
                case "group restart" | "waiting restart":
                    system.get("tree/f").tell_nowait(Crash())
                    await settle()
                case "stop":
                    async with anyio.create_task_group() as stopping:
                        stopping.start_soon(tree.stop)
                        await anyio.sleep(0.1)
                        reached.set()
                case _:
                    pass
            reached.set()
            await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await reached.wait()
        await anyio.sleep(0.1)
        group.cancel_scope.cancel()
    lines = diary.take()
    started = [line for line in lines if line.startswith("start")]
    if moment == "start":  # the start in hand is finished, or cut off where nobody waits for it any more
        assert started[:4] == [f"start {name}" for name in "abcd"]
    stops = [line for line in lines if line.endswith(" shutdown")]
    last = [line for line in stops if line.split()[1] in "abcd"][-4:]
    assert last == [f"stop {name} shutdown" for name in "dcba"]


async def test_s1_nested_supervisors_stop_inside_out() -> None:
    diary = Diary()
    inner = Supervisor("in", children=[diary.child("x"), diary.child("y")])
    async with open_tree(diary.child("a"), inner, diary.child("b"), diary=diary):
        pass
    assert diary.take() == ["stop b shutdown", "stop y shutdown", "stop x shutdown", "stop a shutdown"]


@pytest.mark.parametrize("shutdown", [0.5, inf])
async def test_s2_a_child_has_its_shutdown_time_and_an_infinite_one_is_waited_for(shutdown: float) -> None:
    diary = Diary()
    child = diary.child("a", slow_stop=1000.0, shutdown=shutdown)
    async with open_tree(child, diary=diary) as (_, tree):
        began = anyio.current_time()
        await tree.terminate_child("a")
        waited = anyio.current_time() - began
        assert waited == pytest.approx(min(shutdown, 1000.0), abs=0.01)
        assert diary.take() == (["stop a shutdown"] if shutdown == inf else [])


async def test_s2_a_child_killed_at_once_fails_its_call_in_hand_at_once() -> None:
    diary = Diary()
    async with open_tree(diary.child("a", shutdown=0), diary=diary) as (system, tree):
        async with anyio.create_task_group() as group:
            answer = await asking(group, system.get("tree/a"), Nap(1000.0))
            await tree.terminate_child("a")
        assert isinstance(answer.error, ActorStoppedError)
        assert answer.error.reason.kind is ExitKind.KILLED
        assert answer.at == 0.0
        assert diary.take() == []


async def test_s2_a_group_restart_kills_a_member_without_shutdown_time() -> None:
    diary = Diary()
    children = [
        diary.child("a"),
        diary.child("b", shutdown=0),
        diary.child("c", slow_stop=60.0, shutdown=2.0),
    ]
    async with open_tree(*children, diary=diary, strategy="one_for_all") as (system, _):
        b = system.get("tree/b")
        await crash(system.get("tree/a"))
        await anyio.sleep(2.1)
        assert diary.take() == ["stop a boom", "start a", "start b", "start c"]
        assert await b.ask(Who()) == 2


class Hidden(Actor):
    """Hides from its supervisor: it swallows its cancellation, in a handler and in its stop hook."""

    @handles
    async def hold(self, message: Note) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(1000.0)

    async def stopping(self, reason: ExitReason) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(1000.0)


@pytest.mark.parametrize("in_handler", [True, False])
async def test_s3_a_child_that_hides_from_its_supervisor_does_not_hang_it(in_handler: bool) -> None:
    """It is named as stuck, nobody waits for it, and the others stop in order."""
    diary = Diary()
    hidden = Child("hidden", Hidden, shutdown=2.0)
    async with open_tree(diary.child("a"), hidden, diary.child("b"), diary=diary) as (system, tree):
        stuck = hear(system, "actor.stuck")
        if in_handler:
            system.get("tree/hidden").tell_nowait(Note())
        await settle()
        began = anyio.current_time()
        await tree.stop()
        assert anyio.current_time() - began <= 2.0 + 1.1
        assert stuck == [("actor.stuck", "tree/hidden")]
        assert diary.take() == ["stop b shutdown", "stop a shutdown"]
        assert system.actors() == []


@pytest.mark.parametrize(("message", "word"), [(Finish(), "normal"), (Crash(), "boom")])
async def test_s4_a_child_that_ends_by_itself_during_the_shutdown_does_not_disturb_it(
    message: Request[None], word: str
) -> None:
    """A crash is reported, and escalated to nobody."""
    diary = Diary()
    children = [diary.child("a"), diary.child("b"), diary.child("c", slow_stop=2.0)]
    async with open_tree(*children, diary=diary, strategy="one_for_all", intensity=0) as (system, tree):
        heard = hear(system, "actor.crashed", "actor.gave_up")
        monitor = system.monitor(tree.ref)
        b = system.get("tree/b")
        async with anyio.create_task_group() as group:
            group.start_soon(tree.stop)
            await anyio.sleep(1.0)
            await leave_by(b, message)
        assert diary.take() == [f"stop b {word}", "stop c shutdown", "stop a shutdown"]
        assert heard == ([("actor.crashed", "tree/b")] if word == "boom" else [])
        assert (await monitor.wait()).reason.kind is ExitKind.NORMAL


async def test_s5_the_stop_hook_runs_under_the_cancellation_of_everything_around_it() -> None:
    diary = Diary()
    with CancelScope() as scope:
        async with open_system() as system:
            await spawn_tree(system, diary.child("a", slow_stop=3.0))
            diary.take()
            scope.cancel()
            await anyio.sleep_forever()
    assert diary.take() == ["stop a shutdown"]
    assert anyio.current_time() == pytest.approx(3.0)


async def test_s5_a_stop_hook_that_raises_is_reported_and_disturbs_nobody() -> None:
    class Clumsy(Actor):
        async def stopping(self, reason: ExitReason) -> None:
            raise BoomError

    diary = Diary()
    async with open_tree(diary.child("a"), Child("b", Clumsy), diary=diary) as (system, tree):
        heard = hear(system, "actor.stop_failed")
        await tree.stop()
        assert heard == [("actor.stop_failed", "tree/b")]
        assert diary.take() == ["stop a shutdown"]


async def test_s5_the_stop_hook_runs_also_after_a_crash() -> None:
    """OTP's ``terminate`` runs on a shutdown only in a process that traps exits; ours runs unless killed."""
    diary = Diary()
    async with open_tree(diary.child("a", "temporary"), diary=diary) as (system, _):
        await crash(system.get("tree/a"))
        assert diary.take() == ["stop a boom"]
