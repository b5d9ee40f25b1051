"""Dynamic supervisors: children that come and go (D1 to D3)."""

import gc
import time
import weakref
from typing import ClassVar

import anyio
import pytest

from relight.runtime import Actor, StartError, handles
from relight.supervisors import (
    AlreadyPresentError,
    AlreadyStartedError,
    Child,
    ChildNotFoundError,
    DynamicSupervisor,
    GuardedActor,
    MaxChildrenError,
    Pool,
    Supervisor,
    open_system,
)
from relight.supervisors.policies import Fixed
from tests.runtime.desk import settle
from tests.supervisors.conformance.trees import counts_of, crash, leave_by
from tests.supervisors.recorded import BoomError, Crash, Diary, Finish, Leave, Who, failing

pytestmark = pytest.mark.anyio


class Greeter(Actor):
    """Made with arguments, and again with the same ones."""

    made: ClassVar[list[tuple[str, str]]]

    def __init__(self, greeting: str, *, name: str = "you") -> None:
        type(self).made.append((greeting, name))

    @handles
    async def crash_now(self, message: Crash) -> None:
        raise BoomError


@pytest.fixture(autouse=True)
def _nobody_made() -> None:
    Greeter.made = []


async def test_d1_arguments_are_kept_for_the_restart() -> None:
    async with open_system() as system:
        template = Child("g", Greeter, restart="transient")
        crowd = await system.spawn(DynamicSupervisor("crowd", template=template))
        ref = await crowd.start("hello", name="ann")
        await crowd.start("ciao")
        await crash(ref)
        assert Greeter.made == [("hello", "ann"), ("ciao", "you"), ("hello", "ann")]
        assert [child.id for child in await crowd.which_children()] == ["g-2", "g-1"]


async def test_d1_a_temporary_childs_arguments_are_not_stored() -> None:
    class Weighty:
        pass

    argument = Weighty()
    gone = weakref.ref(argument)

    class Light(Actor):
        def __init__(self, _: Weighty) -> None:
            pass

    async with open_system() as system:
        kept = await system.spawn(DynamicSupervisor("kept", template=Child("c", Light)))
        crowd = await system.spawn(
            DynamicSupervisor("crowd", template=Child("c", Light, restart="temporary"))
        )
        ref = await crowd.start(argument)
        await settle()
        del argument
        gc.collect()
        assert gone() is None
        assert ref.is_alive
        argument = Weighty()
        gone = weakref.ref(argument)
        await kept.start(argument)
        del argument
        gc.collect()
        assert gone() is not None


async def test_d1_a_start_that_fails_stores_nothing_and_takes_no_place() -> None:
    diary = Diary()
    template = diary.child("a", started=failing(1))
    async with open_system() as system:
        crowd = await system.spawn(DynamicSupervisor("crowd", template=template, max_children=1))
        with pytest.raises(StartError):
            await crowd.start()
        assert await counts_of(crowd) == (0, 0, 0, 0)
        assert (await crowd.start()).is_alive


async def test_d1_a_start_whose_asker_left_leaves_nothing() -> None:
    diary = Diary()
    released = anyio.Event()

    async def waiting(_: int) -> None:
        await released.wait()

    async with open_system() as system:
        crowd = await system.spawn(DynamicSupervisor("crowd", template=diary.child("a", started=waiting)))
        async with anyio.create_task_group() as group:
            group.start_soon(crowd.start)
            await settle()
            group.cancel_scope.cancel()
        released.set()
        await settle()
        assert await counts_of(crowd) == (0, 0, 0, 0)


async def test_d2_terminating_takes_a_ref_and_a_dead_one_is_no_error() -> None:
    diary = Diary()
    async with open_system() as system:
        crowd = await system.spawn(DynamicSupervisor("crowd", template=diary.child("a")))
        first, second = await crowd.start(), await crowd.start()
        for _ in range(2):
            await crowd.terminate_child(first)
        assert not first.is_alive
        assert second.is_alive
        assert await counts_of(crowd) == (1, 1, 0, 1)
        assert "stop a shutdown" in diary.take()


async def test_d2_a_foreign_ref_is_not_found() -> None:
    """Wherever it lives: outside, in another crowd under the same id, or below one of the own children."""
    diary = Diary()
    async with open_system() as system:
        crowd = await system.spawn(DynamicSupervisor("crowd", template=diary.child("a")))
        other = await system.spawn(DynamicSupervisor("other", template=diary.child("a")))
        await crowd.start()
        await crowd.start_child(Supervisor("in", children=[diary.child("x")]))
        strangers = [
            await system.spawn(diary.child("a-1")),
            await other.start(),
            system.get("crowd/in/x"),
            crowd.ref,
        ]
        for stranger in strangers:
            with pytest.raises(ChildNotFoundError) as caught:
                await crowd.terminate_child(stranger)
            assert caught.value.child == stranger.path
            assert stranger.is_alive
        assert await counts_of(crowd) == (2, 2, 1, 1)


async def test_d2_subtrees_services_and_pools_are_terminated_by_the_refs_others_use() -> None:
    class Service(GuardedActor):
        pass

    diary = Diary()
    async with open_system() as system:
        crowd = await system.spawn(DynamicSupervisor("crowd"))
        inner = await crowd.start_child(Supervisor("in", children=[diary.child("x")]))
        service = await crowd.start_child(Child("api", Service))
        pool = await crowd.start_child(Pool("pool", diary.child("m"), size=2))
        nested = await crowd.start_child(DynamicSupervisor("more"))
        for ref in (inner.ref, service, pool, nested.ref):
            await crowd.terminate_child(ref)
            assert not ref.is_alive
        assert await counts_of(crowd) == (0, 0, 0, 0)


async def test_d2_nothing_is_kept_of_a_child_that_has_ended() -> None:
    diary = Diary()
    async with open_system() as system:
        crowd = await system.spawn(DynamicSupervisor("crowd"))
        for restart, message in (("transient", Finish()), ("temporary", Crash()), ("transient", Leave())):
            await leave_by(await crowd.start_child(diary.child("a", restart)), message)
            assert await counts_of(crowd) == (0, 0, 0, 0)
        await (await crowd.start_child(diary.child("a"))).stop()
        assert await counts_of(crowd) == (0, 0, 0, 0)


async def test_d2_two_children_of_one_id_are_refused() -> None:
    diary = Diary()
    async with open_system() as system:
        crowd = await system.spawn(DynamicSupervisor("crowd"))
        ref = await crowd.start_child(diary.child("a", backoff=Fixed(10.0)))
        with pytest.raises(AlreadyStartedError):
            await crowd.start_child(diary.child("a"))
        await crash(ref)
        with pytest.raises(AlreadyPresentError):
            await crowd.start_child(diary.child("a"))


async def test_d3_children_stop_in_parallel_each_with_its_own_time() -> None:
    diary = Diary()
    async with open_system() as system:
        crowd = await system.spawn(DynamicSupervisor("crowd", restart="temporary"))
        for number in range(5):
            await crowd.start_child(diary.child(f"c{number}", slow_stop=0.2))
        await crowd.stop()
        assert anyio.current_time() == pytest.approx(0.2)
        crowd = await system.spawn(DynamicSupervisor("crowd", restart="temporary"))
        await crowd.start_child(diary.child("slow", slow_stop=60.0, shutdown=3.0))
        await crowd.start_child(diary.child("slower", slow_stop=60.0, shutdown=8.0))
        await crowd.start_child(diary.child("killed", slow_stop=60.0, shutdown=0))
        began = anyio.current_time()
        diary.take()
        await crowd.stop()
        assert anyio.current_time() - began == pytest.approx(8.0, abs=0.01)
        assert diary.take() == []


@pytest.mark.slow
async def test_d3_ten_thousand_children_stop_in_about_ten_times_the_time_of_a_thousand() -> None:
    async def seconds(children: int) -> float:
        async with open_system() as system:
            crowd = await system.spawn(DynamicSupervisor("crowd", template=Child("c", Actor)))
            for _ in range(children):
                await crowd.start()
            began = time.perf_counter()
            await crowd.stop()
            return time.perf_counter() - began

    few = min([await seconds(1_000) for _ in range(3)])
    assert await seconds(10_000) < 40 * few  # quadratic would be a hundred times


async def test_d3_a_crowd_beyond_its_budget_gives_up_with_all_its_children() -> None:
    diary = Diary()
    async with open_system() as system:
        spec = DynamicSupervisor("crowd", template=diary.child("a"), intensity=1, restart="temporary")
        crowd = await system.spawn(spec)
        refs = [await crowd.start() for _ in range(3)]
        await crash(refs[0])
        assert await refs[0].ask(Who()) == 4
        await crash(refs[1])
        assert not any(ref.is_alive for ref in refs)
        assert system.actors() == []


async def test_max_children_counts_a_child_that_waits_for_its_restart() -> None:
    """Else there would be one too many when it comes back."""
    diary = Diary()
    template = diary.child("a", backoff=Fixed(10.0))
    async with open_system() as system:
        crowd = await system.spawn(DynamicSupervisor("crowd", template=template, max_children=2))
        ref = await crowd.start()
        await crowd.start()
        await crash(ref)
        assert await counts_of(crowd) == (2, 1, 0, 2)
        with pytest.raises(MaxChildrenError):
            await crowd.start()
        await crowd.terminate_child(ref)
        await crowd.start()
        await anyio.sleep(20)
        assert await counts_of(crowd) == (2, 2, 0, 2)


async def test_d_a_full_supervisor_hands_out_a_child_that_runs() -> None:
    async with open_system() as system:
        crowd = await system.spawn(DynamicSupervisor("crowd", max_children=1))
        ref = await crowd.start_child(Child("a", Actor))
        with pytest.raises(AlreadyStartedError) as caught:
            await crowd.start_child(Child("a", Actor))
        assert caught.value.ref is ref


async def test_d_a_refused_child_uses_up_no_number() -> None:
    async with open_system() as system:
        crowd = await system.spawn(DynamicSupervisor("crowd", template=Child("a", Actor), max_children=1))
        ref = await crowd.start()
        with pytest.raises(MaxChildrenError):
            await crowd.start()
        await ref.stop()
        assert (await crowd.start()).path == "crowd/a-2"


async def test_d_a_pool_is_monitored_by_its_supervisor() -> None:
    async with open_system() as system:
        pool = await system.spawn(Pool("pool", Child("a", Actor), size=1))
        monitor = system.monitor(pool)
        await pool.stop()
        assert (await monitor.wait()).ref is pool.principal
