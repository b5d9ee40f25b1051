"""Escalation: what happens one floor up when a supervisor gives up (E1 to E3)."""

from typing import cast

import anyio
import pytest

from relight.runtime import (
    ActorStoppedError,
    AskError,
    ExitKind,
    MailboxClosedError,
    Ref,
)
from relight.supervisors import (
    DynamicSupervisor,
    DynamicSupervisorRef,
    Restart,
    Supervisor,
    open_system,
)
from relight.supervisors._losses import Loss, Losses
from relight.supervisors.policies import Fixed
from tests.runtime.desk import cell_of, settle
from tests.supervisors.conformance.trees import (
    crash,
    hear,
    open_tree,
    spawn_tree,
    states_of,
)
from tests.supervisors.recorded import (
    Diary,
    Finish,
    Nap,
    Note,
    Who,
    failing,
)

pytestmark = pytest.mark.anyio


async def test_e2_giving_up_is_said_with_its_cause() -> None:
    diary = Diary()
    said: list[dict[str, object]] = []
    async with open_system() as system:
        system.events.listen(lambda event, fields: said.append({"event": event, **fields}))
        await spawn_tree(system, diary.child("a"), intensity=0, period=7.0)
        await crash(system.get("tree/a"))
    (gave_up,) = [event for event in said if event["event"] == "actor.gave_up"]
    assert gave_up == {
        "event": "actor.gave_up",
        "actor_path": "tree",
        "child": "a",
        "restarts": 1,
        "window_s": 7.0,
        "error_type": "BoomError",
    }


async def test_e1_a_permanent_supervisor_that_gave_up_starts_afresh() -> None:
    """What was started on request is gone."""
    diary = Diary()
    async with open_system() as system:
        inner = Supervisor("in", intensity=0, children=[diary.child("a"), diary.child("b")])
        await system.spawn(Supervisor("out", children=[diary.child("z"), inner]))
        said = hear(system, "actor.gave_up")
        diary.take()
        await crash(system.get("out/in/a"))
        assert diary.take() == ["stop a boom", "stop b shutdown", "start a", "start b"]
        assert said == [("actor.gave_up", "out/in")]
        assert await system.get("out/z").ask(Who()) == 1


async def test_e3_budgets_multiply_down_the_levels() -> None:
    """One restart inside, one outside: the fourth crash ends the whole."""
    diary = Diary()
    async with open_system() as system:
        inner = Supervisor("in", intensity=1, children=[diary.child("a")])
        await system.spawn(Supervisor("out", intensity=1, restart="temporary", children=[inner]))
        said = hear(system, "actor.gave_up")
        for _ in range(3):
            await crash(system.get("out/in/a"))
        assert system.find("out/in/a") is not None
        await crash(system.get("out/in/a"))
        assert system.actors() == []
        assert said == [("actor.gave_up", "out/in"), ("actor.gave_up", "out/in"), ("actor.gave_up", "out")]


@pytest.mark.parametrize("restart", ["transient", "temporary"])
async def test_e2_a_supervisor_that_gave_up_and_is_not_restarted_says_so(restart: str) -> None:
    """Giving up is a shutdown, so a transient supervisor stays away, but never silently."""
    diary = Diary()
    async with open_system() as system:
        inner = Supervisor("in", intensity=0, restart=Restart(restart), children=[diary.child("a")])
        tree = await system.spawn(Supervisor("out", children=[inner, diary.child("z")]))
        said = hear(system, "actor.gave_up")
        ref = system.get("out/in/a")
        await crash(ref)
        assert said == [("actor.gave_up", "out/in")]
        assert [child.ref is None for child in await tree.which_children()] == (
            [False, True] if restart == "transient" else [False]
        )
        with pytest.raises(MailboxClosedError):
            await ref.ask(Who())
        assert await system.get("out/z").ask(Who()) == 1


async def test_e1_a_supervisor_may_wait_before_it_is_restarted() -> None:
    diary = Diary()
    async with open_system() as system:
        inner = Supervisor("in", intensity=0, backoff=Fixed(20.0), children=[diary.child("a")])
        await system.spawn(Supervisor("out", children=[inner]))
        await crash(system.get("out/in/a"))
        assert system.find("out/in/a") is None
        await anyio.sleep(20.1)
        assert await system.get("out/in/a").ask(Who()) == 2


async def test_e1_a_supervisor_whose_children_do_not_start_again_gives_up_upward() -> None:
    """B3 across levels: failed starts of the inner one count in the outer one."""
    diary = Diary()
    async with open_system() as system:
        inner = Supervisor("in", intensity=0, children=[diary.child("a", started=failing(2, 3, 4, 5, 6))])
        await system.spawn(Supervisor("out", intensity=2, restart="temporary", children=[inner]))
        await crash(system.get("out/in/a"))
        assert system.actors() == []
        assert diary.take() == ["start a", "stop a boom", "startfail a", "startfail a"]


async def test_n3_messages_queued_with_a_given_up_tree_fail_at_once() -> None:
    diary = Diary()
    async with open_system() as system:
        await system.spawn(
            Supervisor(
                "tree", intensity=0, restart="temporary", children=[diary.child("a"), diary.child("b")]
            )
        )
        b = system.get("tree/b")
        async with anyio.create_task_group() as group:

            async def nap() -> None:
                assert await b.ask(Nap(1.0)) == "rested"  # in hand: it may finish

            async def ask() -> None:
                with pytest.raises(ActorStoppedError):
                    await b.ask(Who())

            group.start_soon(nap)
            await settle()
            group.start_soon(ask)
            b.tell_nowait(Note())
            await settle()
            await crash(system.get("tree/a"))
        assert [letter.reason for letter in system.dead_letters.read()] == ["stopped"]  # the ask was told


async def test_e1_the_root_gives_up_only_the_child_that_crashes_too_often() -> None:
    diary = Diary()
    async with open_system() as system:
        said = hear(system, "actor.gave_up")
        sick = await system.spawn(diary.child("sick"))
        well = await system.spawn(diary.child("well"))
        for number in range(1, 7):
            assert await sick.ask(Who()) == number
            await crash(sick)
        with pytest.raises(MailboxClosedError):
            await sick.ask(Who())
        assert said == [("actor.gave_up", "sick")]
        assert await well.ask(Who()) == 1
        again = await system.spawn(diary.child("sick"))
        await crash(again)
        assert await again.ask(Who()) == 8


async def test_e1_the_root_counts_each_child_in_a_window_of_its_own() -> None:
    diary = Diary()
    async with open_system() as system:
        refs = [await system.spawn(diary.child(name)) for name in "abcdef"]
        for _ in range(5):
            for ref in refs:
                await crash(ref)
        for ref in refs:
            assert await ref.ask(Who()) == 6
        await anyio.sleep(61)
        await crash(refs[0])
        assert await refs[0].ask(Who()) == 7


@pytest.mark.parametrize("restart", ["transient", "temporary"])
async def test_e1_an_id_at_the_root_is_free_again_when_its_actor_has_ended(restart: str) -> None:
    diary = Diary()
    async with open_system() as system:
        for number in range(1, 4):
            ref = await system.spawn(diary.child("a", restart))
            assert await ref.ask(Who()) == number
            with pytest.raises(AskError):
                await ref.ask(Finish())
            await settle()
            assert not ref.is_alive


async def test_e1_a_supervisor_started_afresh_has_lost_what_was_started_on_request() -> None:
    diary = Diary()
    crowd = DynamicSupervisor("crowd", intensity=0)
    inner = Supervisor("in", intensity=0, children=[diary.child("x")])
    async with open_tree(inner, crowd, diary=diary) as (system, tree):
        handle = system.supervisor("tree/in")
        added = await handle.start_child(diary.child("y"))
        listed = {child.id: child.ref for child in await tree.which_children()}
        members = DynamicSupervisorRef(cell_of(cast("Ref", listed["crowd"])))
        refs = [await members.start_child(diary.child(name)) for name in "pq"]
        monitor = system.monitor(handle.ref)
        await crash(system.get("tree/in/x"))
        down = await monitor.wait()
        assert down.reason.kind is ExitKind.SHUTDOWN
        assert await states_of(handle) == {"x": "running"}
        assert not added.is_alive
        await crash(refs[0])
        assert await states_of(members) == {}
        assert not refs[1].is_alive
        assert await states_of(tree) == {"in": "running", "crowd": "running"}


async def test_e2_giving_up_is_an_event_a_metric_a_line_of_the_log_and_no_good_health(
    capsys: pytest.CaptureFixture[str],
) -> None:
    diary = Diary()
    inner = Supervisor("in", intensity=0, restart="transient", children=[diary.child("x")])
    async with open_tree(inner, diary=diary) as (system, tree):
        heard = hear(system, "actor.gave_up")
        assert system.health().status == "ok"
        await crash(system.get("tree/in/x"))
        assert heard == [("actor.gave_up", "tree/in")]
        (problem,) = system.health().problems
        assert (problem.path, problem.what, problem.is_lasting) == ("tree/in", "gave_up", True)
        assert "x ended once within 5 s (BoomError)" in problem.detail
        assert system.health().status == "failing"
        assert system.given_up_by_kind() == {"SupervisorActor": 1}
        written = capsys.readouterr()
        assert "actor.gave_up" in written.out + written.err
        assert "tree/in" in written.out + written.err
        await tree.restart_child("in")
        assert system.health().status == "ok"


@pytest.mark.parametrize("way", ["delete_child", "the supervisor above is restarted"])
async def test_e2_a_loss_is_over_when_nobody_misses_it_any_more(way: str) -> None:
    diary = Diary()
    inner = Supervisor("in", intensity=0, restart="transient", children=[diary.child("x")])
    outer = Supervisor("out", intensity=0, children=[inner, diary.child("a")])
    async with open_tree(outer, diary=diary) as (system, _):
        await crash(system.get("tree/out/in/x"))
        assert [problem.path for problem in system.health().problems] == ["tree/out/in"]
        if way == "delete_child":
            await system.supervisor("tree/out").delete_child("in")
        else:
            await crash(system.get("tree/out/a"))
            assert system.given_up_by_kind() == {"SupervisorActor": 2}
        assert system.health().problems == ()


def test_e2_as_many_losses_are_remembered_as_fit_and_the_oldest_make_room() -> None:
    losses = Losses()
    for number in range(300):
        losses.add(Loss(f"tree/{number}", "x", "BoomError", 1, 5.0, float(number)))
    assert [loss.at for loss in losses.read()] == [float(number) for number in range(44, 300)]


@pytest.mark.parametrize(("inner", "outer"), [(0, 0), (1, 1), (2, 1), (1, 3)])
async def test_e3_a_tree_of_two_levels_takes_the_product_of_their_budgets(inner: int, outer: int) -> None:
    diary = Diary()
    crashes = 0
    below = Supervisor("in", intensity=inner, children=[diary.child("x")])
    async with open_tree(below, diary=diary, intensity=outer) as (system, _):
        while system.find("tree/in/x") is not None:
            await crash(system.get("tree/in/x"))
            crashes += 1
    assert crashes == (inner + 1) * (outer + 1)
