"""Escalation: what happens one floor up when a supervisor gives up."""

from collections.abc import Mapping

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from relight.runtime import ActorStoppedError, AskError, MailboxClosedError, Ref
from relight.supervisors import Restart, Supervisor, System, open_system
from relight.supervisors.policies import Fixed
from tests.supervisors.recorded import Crash, Diary, Finish, Nap, Note, Who, failing
from tests.support.clocks import virtual_time

pytestmark = pytest.mark.anyio


def listen(system: System, *events: str) -> list[tuple[str, object]]:
    """Collect what the system says: the event and whom it is about."""
    said: list[tuple[str, object]] = []

    def hear(event: str, fields: Mapping[str, object]) -> None:
        if event in events:
            said.append((event, fields["actor_path"]))

    system.events.listen(hear)
    return said


async def crash(ref: Ref) -> None:
    with pytest.raises(AskError):
        await ref.ask(Crash())
    await wait_all_tasks_blocked()


async def test_a_permanent_supervisor_that_gave_up_starts_afresh_with_the_children_of_its_description() -> (
    None
):
    """E1: what was started on request is gone."""
    diary = Diary()
    async with open_system() as system:
        inner = Supervisor("in", intensity=0, children=[diary.child("a"), diary.child("b")])
        await system.spawn(Supervisor("out", children=[diary.child("z"), inner]))
        said = listen(system, "actor.gave_up")
        diary.take()
        await crash(system.get("out/in/a"))
        assert diary.take() == ["stop a boom", "stop b shutdown", "start a", "start b"]
        assert said == [("actor.gave_up", "out/in")]
        assert await system.get("out/z").ask(Who()) == 1


async def test_budgets_multiply_down_the_levels() -> None:
    """E3: one restart inside, one outside: the fourth crash ends the whole."""
    diary = Diary()
    async with open_system() as system:
        inner = Supervisor("in", intensity=1, children=[diary.child("a")])
        await system.spawn(Supervisor("out", intensity=1, restart="temporary", children=[inner]))
        said = listen(system, "actor.gave_up")
        for _ in range(3):
            await crash(system.get("out/in/a"))
        assert system.find("out/in/a") is not None
        await crash(system.get("out/in/a"))
        assert system.actors() == []
        assert said == [("actor.gave_up", "out/in"), ("actor.gave_up", "out/in"), ("actor.gave_up", "out")]


@pytest.mark.parametrize("restart", ["transient", "temporary"])
async def test_a_supervisor_that_gave_up_and_is_not_restarted_says_so(restart: str) -> None:
    """E2: giving up is a shutdown, so a transient supervisor stays away, but never silently."""
    diary = Diary()
    async with open_system() as system:
        inner = Supervisor("in", intensity=0, restart=Restart(restart), children=[diary.child("a")])
        tree = await system.spawn(Supervisor("out", children=[inner, diary.child("z")]))
        said = listen(system, "actor.gave_up")
        ref = system.get("out/in/a")
        await crash(ref)
        assert said == [("actor.gave_up", "out/in")]
        assert [child.ref is None for child in await tree.which_children()] == (
            [False, True] if restart == "transient" else [False]
        )
        with pytest.raises(MailboxClosedError):
            await ref.ask(Who())
        assert await system.get("out/z").ask(Who()) == 1


@virtual_time
async def test_a_supervisor_may_wait_before_it_is_restarted() -> None:
    diary = Diary()
    async with open_system() as system:
        inner = Supervisor("in", intensity=0, backoff=Fixed(20.0), children=[diary.child("a")])
        await system.spawn(Supervisor("out", children=[inner]))
        await crash(system.get("out/in/a"))
        assert system.find("out/in/a") is None
        await anyio.sleep(20.1)
        assert await system.get("out/in/a").ask(Who()) == 2


async def test_a_supervisor_whose_children_do_not_start_again_gives_up_upward() -> None:
    """B3 across levels: failed starts of the inner one count in the outer one."""
    diary = Diary()
    async with open_system() as system:
        inner = Supervisor("in", intensity=0, children=[diary.child("a", started=failing(2, 3, 4, 5, 6))])
        await system.spawn(Supervisor("out", intensity=2, restart="temporary", children=[inner]))
        await crash(system.get("out/in/a"))
        assert system.actors() == []
        assert diary.take() == ["start a", "stop a boom", "startfail a", "startfail a"]


@virtual_time
async def test_messages_queued_with_a_given_up_tree_fail_at_once() -> None:
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
            await wait_all_tasks_blocked()
            group.start_soon(ask)
            b.tell_nowait(Note())
            await wait_all_tasks_blocked()
            await crash(system.get("tree/a"))
        assert [letter.reason for letter in system.dead_letters.read()] == ["stopped"]  # the ask was told


# --- the root ---


async def test_the_root_gives_up_only_the_child_that_crashes_too_often() -> None:
    diary = Diary()
    async with open_system() as system:
        said = listen(system, "actor.gave_up")
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


@virtual_time
async def test_the_root_counts_each_child_in_a_window_of_its_own() -> None:
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
async def test_an_id_at_the_root_is_free_again_when_its_actor_has_ended(restart: str) -> None:
    diary = Diary()
    async with open_system() as system:
        for number in range(1, 4):
            ref = await system.spawn(diary.child("a", restart))
            assert await ref.ask(Who()) == number
            with pytest.raises(AskError):
                await ref.ask(Finish())
            await wait_all_tasks_blocked()
            assert not ref.is_alive
