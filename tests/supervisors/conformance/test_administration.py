"""Administration: what a running supervisor can be asked (A1 to A7)."""

from collections.abc import Awaitable

import anyio
import msgspec
import pytest

from relight.runtime import (
    Actor,
    ActorCrashedError,
    ActorStoppedError,
    AskTimeoutError,
    DeadlineExceededError,
    MailboxClosedError,
    NameTakenError,
    NoSuchActorError,
    handles,
)
from relight.supervisors import (
    AlreadyPresentError,
    AlreadyStartedError,
    Child,
    ChildNotFoundError,
    ChildRestartingError,
    ChildRunningError,
    DynamicSupervisor,
    GuardedActor,
    Pool,
    PoolRef,
    Supervisor,
    open_system,
)
from relight.supervisors.policies import Fixed
from tests.runtime.desk import asking, jump, settle
from tests.supervisors.conformance.trees import (
    child_ref,
    counts_of,
    crash,
    open_tree,
    spawn_tree,
    state_of,
    states_of,
)
from tests.supervisors.recorded import (
    Crash,
    Diary,
    Nap,
    Note,
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


async def test_a1_the_ref_in_the_error_of_a_running_service_or_subtree_is_the_one_others_use() -> None:
    class Service(GuardedActor):
        pass

    async with open_system() as system:
        tree = await spawn_tree(system)
        inner = await tree.start_child(Supervisor("in"))
        service = await tree.start_child(Child("api", Service))
        for spec, ref in ((Supervisor("in"), inner.ref), (Child("api", Service), service)):
            with pytest.raises(AlreadyStartedError) as caught:
                await tree.start_child(spec)
            assert caught.value.ref is ref


async def test_a2_terminating_an_unknown_child_is_not_found() -> None:
    async with open_system() as system:
        tree = await spawn_tree(system)
        with pytest.raises(ChildNotFoundError) as caught:
            await tree.terminate_child("nobody")
        assert (caught.value.supervisor, caught.value.child) == ("tree", "nobody")


async def test_a2_a_terminated_child_fails_what_is_queued_for_it_at_once() -> None:
    diary = Diary()
    async with open_tree(diary.child("a"), diary=diary) as (system, tree):
        ref = system.get("tree/a")
        async with anyio.create_task_group() as group:
            in_hand = await asking(group, ref, Nap(2.0))
            queued = await asking(group, ref, Who())
            ref.tell_nowait(Note())
            await tree.terminate_child("a")
        assert in_hand.value == "rested"
        assert isinstance(queued.error, ActorStoppedError)
        assert queued.at == 0.0
        assert [letter.reason for letter in system.dead_letters.read()] == ["stopped"]


async def test_a3_a_restart_on_request_gives_a_new_ref() -> None:
    """The actor was stopped for good; only a restart by its supervisor keeps the ref good."""
    diary = Diary()
    async with open_tree(diary.child("a"), diary=diary) as (system, tree):
        before = system.get("tree/a")
        await tree.terminate_child("a")
        after = await tree.restart_child("a")
        assert after is not before
        assert not before.is_alive
        assert await after.ask(Who()) == 2


async def test_a4_the_list_names_ref_restarts_and_kind_of_each_child() -> None:
    diary = Diary()
    async with open_system() as system:
        inner = Supervisor("in", children=[diary.child("x")])
        pool = Pool("pool", diary.child("m"), size=1)
        tree = await spawn_tree(system, diary.child("a"), inner, DynamicSupervisor("crowd"), pool)
        await crash(system.get("tree/a"))
        listed = {child.id: child for child in await tree.which_children()}
        assert list(listed) == ["pool", "crowd", "in", "a"]
        assert [child.is_supervisor for child in listed.values()] == [True, True, True, False]
        assert (listed["a"].restarts, listed["in"].restarts) == (1, 0)
        assert listed["a"].ref is system.get("tree/a")
        assert isinstance(listed["pool"].ref, PoolRef)


async def test_a5_a_child_that_has_just_died_is_not_active() -> None:
    """Its supervisor has not come to its exit yet, and knows all the same."""
    diary = Diary()
    async with open_tree(diary.child("a"), diary.child("b"), diary=diary) as (system, tree):
        counted: list[object] = []

        async def count() -> None:
            counted.append(await counts_of(tree))

        released = anyio.Event()

        async def waiting(_: int) -> None:
            await released.wait()

        async with anyio.create_task_group() as group:
            group.start_soon(tree.start_child, diary.child("c", started=waiting))
            await settle()
            group.start_soon(count)
            await settle()
            await crash(system.get("tree/a"))
            released.set()
        assert counted == [(3, 2, 0, 3)]
        assert await counts_of(tree) == (3, 3, 0, 3)


@pytest.mark.parametrize("how", ["stopped", "gave up"])
async def test_a6_a_dead_supervisor_is_not_alive_to_any_request_at_once(how: str) -> None:
    diary = Diary()
    async with open_tree(diary.child("a"), diary=diary, intensity=0) as (system, tree):
        if how == "stopped":
            await tree.stop()
        else:
            await crash(system.get("tree/a"))
        requests: list[Awaitable[object]] = [
            tree.start_child(diary.child("b")),
            tree.start_child(Child("c", Plain)),
            tree.start_child(Supervisor("d")),
            tree.terminate_child("a"),
            tree.restart_child("a"),
            tree.delete_child("a"),
            tree.which_children(),
            tree.count_children(),
        ]
        for request in requests:
            with pytest.raises(MailboxClosedError, match="has stopped"):
                await request
        assert anyio.current_time() == 0.0
        await tree.stop()


async def test_a6_the_dead_supervisor_of_a_restarted_subtree_is_the_new_one() -> None:
    """The cell of a supervisor outlives its incarnations, as any actor's: its handle stays good."""
    diary = Diary()
    async with open_system() as system:
        tree = await spawn_tree(system)
        inner = await tree.start_child(Supervisor("in", intensity=0, children=[diary.child("x")]))
        await crash(system.get("tree/in/x"))
        assert await states_of(inner) == {"x": "running"}
        assert system.supervisor("tree/in").ref is inner.ref
        with pytest.raises(NoSuchActorError):
            system.supervisor("tree/in/x")


async def test_a7_an_id_whose_path_is_taken_outside_is_an_error_that_leaves_nothing() -> None:
    """A name of an actor elsewhere may look like a path of this supervisor's child."""
    diary = Diary()
    async with open_tree(diary=diary) as (system, tree):
        named = msgspec.structs.replace(diary.child("x"), name="a")
        await system.spawn(named)
        diary.take()
        with pytest.raises(NameTakenError) as caught:
            await system.spawn(diary.child("a"))
        assert caught.value.name == "a"
        with pytest.raises(NameTakenError):
            await tree.start_child(msgspec.structs.replace(diary.child("b"), name="a"))
        assert await states_of(tree) == {}
        assert diary.take() == []


async def test_a6_a_start_whose_deadline_has_passed_is_never_sent_to_a_dead_supervisor() -> None:
    class Employer(Actor):
        declines = (DeadlineExceededError,)

        @handles
        async def hire(self, message: Who) -> int:
            jump(5.0)
            await tree.start_child(diary.child("a"))
            return 1

    diary = Diary()
    async with open_tree(diary=diary) as (system, tree):
        employer = await system.spawn(Child("employer", Employer))
        await tree.stop()
        with pytest.raises((AskTimeoutError, DeadlineExceededError)):
            await employer.ask(Who(), timeout=1.0)
        assert diary.take() == []
        assert employer.statistics().crashed == 0
