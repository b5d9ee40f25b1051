"""Cancelled at any checkpoint, and at any turn of the event loop, every primitive leaves all at rest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import anyio
import pytest

from relight import (
    Actor,
    ActorCrashedError,
    Child,
    DynamicSupervisor,
    MailboxClosedError,
    Pool,
    Ref,
    StartError,
    Supervisor,
    open_system,
)
from tests.faults.stage import Hooked, Housed, Relay, Relayer, Stage, balanced, open_stage
from tests.runtime.desk import Boom, Desk, Echo, Hold, Log, Nap, Narrow, Note, asking, settle
from tests.support.cuts import Moment, cuts
from tests.support.rest import living_tasks

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("moment", list(Moment))]


# --- tell and ask ---


async def test_a_tell_with_room_is_no_checkpoint_and_sent(moment: Moment) -> None:
    for cut in cuts(moment, least=0):
        async with open_stage() as stage:
            await cut.run(lambda: stage.ref.tell(Note("told")))
            await stage.empty()
            assert not cut.made
            assert stage.log == ["told"]
            stage.baseline.check(stage.ref)


async def crowded(group: anyio.abc.TaskGroup, stage: Stage) -> None:
    """Fill a narrow desk, and have its gate opened in a second."""
    await asking(group, stage.ref, Hold(1))
    await stage.ref.tell(Note("first"))

    async def open_later() -> None:
        await anyio.sleep(1)
        stage.log.open()

    group.start_soon(open_later)


async def test_a_tell_before_a_full_mailbox_is_sent_or_not(moment: Moment) -> None:
    for cut in cuts(moment):
        async with open_stage(Narrow) as stage, anyio.create_task_group() as group:
            await crowded(group, stage)
            await cut.run(lambda: stage.ref.tell(Note("late")))
            assert stage.ref.statistics().waiting == 0
            await stage.empty()
            assert stage.log[-1] == ("late" if cut.ended else "first")
            stage.baseline.check(stage.ref)


async def test_an_ask_is_handled_once_or_skipped(moment: Moment) -> None:
    for cut in cuts(moment):
        async with open_stage() as stage:
            await cut.run(lambda: stage.ref.ask(Echo(1)))
            await stage.empty()
            found = stage.ref.statistics()
            assert stage.log == [1] * found.handled
            assert found.handled + found.abandoned == 1
            assert found.handled >= cut.ended
            stage.baseline.check(stage.ref)


async def test_an_ask_before_a_full_mailbox_is_handled_once_or_never_taken(moment: Moment) -> None:
    for cut in cuts(moment):
        async with open_stage(Narrow) as stage, anyio.create_task_group() as group:
            await crowded(group, stage)
            await cut.run(lambda: stage.ref.ask(Echo(2), timeout=50))
            assert stage.ref.statistics().waiting == 0
            handled = stage.log.count(2)
            await stage.empty()
            assert stage.log.count(2) == handled == int(cut.ended or handled)  # never after its asker left
            stage.baseline.check(stage.ref)


async def test_an_ask_whose_asker_left_in_the_queue_is_skipped(moment: Moment) -> None:
    for cut in cuts(moment):
        async with open_stage() as stage, anyio.create_task_group() as group:
            await crowded(group, stage)
            await cut.run(lambda: stage.ref.ask(Echo(2), timeout=50))
            handled = stage.log.count(2)
            await stage.empty()
            assert stage.log.count(2) == handled == 1 - stage.ref.statistics().abandoned
            stage.baseline.check(stage.ref)


async def test_an_ask_of_a_slow_handler_disturbs_no_plain_actor(moment: Moment) -> None:
    for cut in cuts(moment):
        async with open_stage() as stage:
            await cut.run(lambda: stage.ref.ask(Nap(2.0)))
            await stage.empty()
            found = stage.ref.statistics()
            assert (found.handled, found.crashed) == (1 - found.abandoned, 0)
            assert found.late_replies == (found.handled and not cut.ended)
            stage.baseline.check(stage.ref)


async def test_an_ask_that_crashes_its_actor(moment: Moment) -> None:
    for cut in cuts(moment):
        async with open_stage() as stage:
            await cut.run(lambda: stage.ref.ask(Boom()))
            await stage.empty()
            assert isinstance(cut.error, ActorCrashedError | None)
            found = stage.ref.statistics()
            assert found.crashed == found.restarts == 1 - found.abandoned
            assert await stage.ref.ask(Echo(7)) == 7
            await settle()
            stage.baseline.check(stage.ref)


async def test_a_chain_of_asks(moment: Moment) -> None:
    for cut in cuts(moment):
        async with open_stage(Relayer) as stage:
            stage.log.far = await stage.system.spawn(Child("far", partial(Desk, stage.log)))
            await cut.run(lambda: stage.ref.ask(Relay(Nap(2.0)), timeout=10))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            await stage.empty()
            stage.baseline.check(stage.ref, new=["far"])


# --- start and stop ---


@pytest.mark.parametrize("actor", [Desk, Hooked, Housed])
async def test_a_spawn_leaves_an_actor_or_nothing(moment: Moment, actor: type[Desk]) -> None:
    for cut in cuts(moment, least=int(actor is not Desk)):
        async with open_stage() as stage:
            child = Child("new", partial(actor, stage.log), name="alias")
            await cut.run(lambda: stage.system.spawn(child))  # noqa: B023
            await stage.empty()
            if cut.ended:
                stage.baseline.check(new=["new", "alias"])
                assert isinstance(cut.result, Ref)
                await cut.result.stop()
            stage.baseline.check()
            assert balanced(stage.log)


async def test_a_spawn_of_a_tree_leaves_all_of_it_or_nothing(moment: Moment) -> None:
    for cut in cuts(moment):
        async with open_stage() as stage:
            leaves = [Child(name, partial(Hooked, stage.log)) for name in "ab"]
            tree = Supervisor("tree", children=[Supervisor("inner", children=leaves[:1]), leaves[1]])
            await cut.run(lambda: stage.system.spawn(tree))  # noqa: B023
            await stage.empty()
            if cut.ended:
                stage.baseline.check(new=["tree", "tree/inner", "tree/inner/a", "tree/b"])
            else:
                stage.baseline.check()
                assert balanced(stage.log)


@pytest.mark.parametrize("actor", [Desk, Hooked, Housed])
async def test_a_stop_is_finished_or_was_never_begun(moment: Moment, actor: type[Desk]) -> None:
    for cut in cuts(moment, least=int(actor is not Desk)):
        async with open_stage(actor) as stage:
            await cut.run(stage.ref.stop)
            await stage.empty()
            assert not (cut.ended and stage.ref.is_alive)
            if stage.ref.is_alive:
                assert await stage.ref.ask(Echo(7)) == 7
                await settle()
                stage.baseline.check()
            else:
                stage.baseline.check(stage.ref, gone=["desk"])
                assert balanced(stage.log)


async def test_a_stop_with_a_message_in_hand(moment: Moment) -> None:
    for cut in cuts(moment):
        async with open_stage(Hooked) as stage, anyio.create_task_group() as group:
            held = await asking(group, stage.ref, Nap(3.0))
            queued = await asking(group, stage.ref, Echo(2))
            await cut.run(stage.ref.stop)
            await stage.empty()
            assert held.value == 3.0
            assert queued.value == 2 if stage.ref.is_alive else queued.error is not None
            stage.baseline.check(stage.ref, gone=[] if stage.ref.is_alive else ["desk"])


# --- administration ---


def tree(stage: Stage) -> Supervisor:
    return Supervisor("tree", children=[Child("a", partial(Hooked, stage.log))])


@pytest.mark.parametrize(
    ("request_name", "prepared"),
    [
        ("start", []),
        ("terminate", []),
        ("restart", ["terminate"]),
        ("delete", ["terminate"]),
        ("stop", []),
        ("list", []),
    ],
)
async def test_administration_is_done_or_not_done(
    moment: Moment, request_name: str, prepared: list[str]
) -> None:
    for cut in cuts(moment):
        async with open_stage() as stage:
            sup = await stage.system.spawn(tree(stage))
            requests: dict[str, Callable[[], Awaitable[object]]] = {
                "start": lambda: sup.start_child(Child("b", partial(Hooked, stage.log))),  # noqa: B023
                "terminate": lambda: sup.terminate_child("a"),  # noqa: B023
                "restart": lambda: sup.restart_child("a"),  # noqa: B023
                "delete": lambda: sup.delete_child("a"),  # noqa: B023
                "stop": sup.stop,
                "list": sup.which_children,
            }
            for name in prepared:
                await requests[name]()
            await cut.run(requests[request_name])
            await stage.empty()
            live = {f"tree/{child}" for child in "ab" if stage.system.find(f"tree/{child}")}
            if sup.ref.is_alive:
                children = {child.id: child.ref for child in await sup.which_children()}
                assert {f"tree/{child}" for child, ref in children.items() if ref} == live
                assert ("b" in children) == (request_name == "start" and cut.ended)
                assert request_name != "delete" or not cut.ended or children == {}
                await settle()
                stage.baseline.check(new={"tree", *live})
                await sup.stop()
            assert request_name == "stop" or not cut.ended or sup.ref.statistics().handled
            stage.baseline.check(sup.ref)
            assert balanced(stage.log)


async def test_a_request_waits_behind_a_hanging_start_and_leaves(moment: Moment) -> None:
    for cut in cuts(moment):
        async with open_stage() as stage, anyio.create_task_group() as group:
            sup = await stage.system.spawn(Supervisor("tree"))

            async def start_slowly() -> None:
                await sup.start_child(Child("slow", partial(Housed, stage.log)))  # noqa: B023

            group.start_soon(start_slowly)
            await settle()
            await cut.run(lambda: sup.start_child(Child("b", partial(Desk, stage.log))))  # noqa: B023
            await stage.empty()
            stage.baseline.check(new=["tree", "tree/slow", *(["tree/b"] if cut.ended else [])])


async def test_a_dynamic_child_is_started_whole_or_not_at_all(moment: Moment) -> None:
    for cut in cuts(moment):
        async with open_stage() as stage:
            template = Child("session", partial(Hooked, stage.log))
            sup = await stage.system.spawn(DynamicSupervisor("sessions", template=template))
            await cut.run(sup.start)
            await stage.empty()
            assert len(await sup.which_children()) == cut.ended
            await settle()
            stage.baseline.check(new=["sessions", *(["sessions/session-1"] if cut.ended else [])])
            await sup.stop()
            stage.baseline.check(sup.ref)
            assert balanced(stage.log)


async def test_a_dynamic_child_is_terminated_or_was_never_asked_to(moment: Moment) -> None:
    for cut in cuts(moment):
        async with open_stage() as stage:
            template = Child("session", partial(Hooked, stage.log))
            sup = await stage.system.spawn(DynamicSupervisor("sessions", template=template))
            ref = await sup.start()
            await cut.run(lambda: sup.terminate_child(ref))  # noqa: B023
            await stage.empty()
            assert not (cut.ended and ref.is_alive)
            stage.baseline.check(ref, new=["sessions", *([ref.path] if ref.is_alive else [])])


async def test_an_ask_of_a_pool_is_one_members_or_nobodys(moment: Moment) -> None:
    for cut in cuts(moment):
        async with open_stage() as stage, anyio.create_task_group() as group:
            pool = await stage.system.spawn(
                Pool("desks", member=Child("desk", partial(Narrow, stage.log)), size=2)
            )
            names = {ref.path for ref in stage.system.actors()} - {"desk"}
            for message in (Hold(1), Hold(2), Echo(3), Echo(4)):  # each has one in hand and one queued
                await asking(group, pool, message)

            async def open_later() -> None:
                await anyio.sleep(1)
                stage.log.open()

            group.start_soon(open_later)
            await cut.run(lambda: pool.ask(Echo(5), timeout=50))  # noqa: B023
            handled = stage.log.count(5)
            await stage.empty()
            assert stage.log.count(5) == handled == int(cut.ended or handled)
            stage.baseline.check(new=names)


# --- watching ---


async def test_a_wait_for_an_end_leaves_no_waiter(moment: Moment) -> None:
    for cut in cuts(moment):
        async with open_stage() as stage, anyio.create_task_group() as group:
            monitor = stage.system.monitor(stage.ref)

            async def stop_later() -> None:
                await anyio.sleep(1)
                await stage.ref.stop()

            group.start_soon(stop_later)
            await cut.run(monitor.wait)
            assert monitor._waiters == []
            await stage.empty()
            assert monitor.down is not None
            stage.baseline.check(stage.ref, gone=["desk"])


async def test_a_replay_of_dead_letters_loses_and_repeats_none(moment: Moment) -> None:
    for cut in cuts(moment):
        async with open_stage(Narrow) as stage, anyio.create_task_group() as group:
            gone = await stage.system.spawn(Child("gone", partial(Desk, stage.log)))
            await gone.stop()
            letters = stage.system.dead_letters
            for number in range(6):  # every other for the dead
                letters.add(gone if number % 2 else stage.ref, Note(number), "stopped")
            await asking(group, stage.ref, Hold(1))

            async def open_later() -> None:
                await anyio.sleep(1)
                stage.log.open()

            group.start_soon(open_later)
            await cut.run(letters.replay)
            await stage.empty()
            kept = [letter.message for letter in letters.read()]
            assert {message.text for message in kept if isinstance(message, Note)} >= {1, 3, 5}
            taken = [number for number in stage.log if isinstance(number, int)]
            assert sorted([*taken, *(message.text for message in kept if isinstance(message, Note))]) == list(  # type: ignore[type-var]
                range(6)
            )
            assert cut.result == (3 if cut.ended else None)
            stage.baseline.check(stage.ref)


# --- the system itself ---


async def whole_life(log: Log, actor: Callable[[Log], Actor]) -> None:
    """Open a system, start a tree, and leave."""
    async with open_system() as system:
        leaves = [Child(name, partial(actor, log)) for name in "ab"]
        await system.spawn(Supervisor("tree", children=[Supervisor("inner", children=leaves[:1]), leaves[1]]))
        await system.get("tree/b").ask(Echo(1))


@pytest.mark.parametrize("actor", [Desk, Hooked, Housed])
async def test_a_system_is_left_whole_wherever_it_is_cancelled(moment: Moment, actor: type[Desk]) -> None:
    tasks = living_tasks()
    for cut in cuts(moment):
        log = Log()
        await cut.run(lambda: whole_life(log, actor))  # noqa: B023
        await settle()
        assert living_tasks() == tasks, cut
        assert balanced(log), cut
        assert not isinstance(cut.error, MailboxClosedError | StartError), cut
