"""Beyond OTP: restarts back off, queues outlive an incarnation, askers never hang (N1 to N4)."""

from random import Random

import anyio
import pytest

from relight.runtime import (
    ActorCrashedError,
    ActorStoppedError,
    AskError,
    DeadlineExceededError,
    Ref,
)
from relight.supervisors import (
    Supervisor,
    System,
    open_system,
)
from relight.supervisors.policies import Backoff, Exponential, Fixed
from tests.runtime.desk import settle
from tests.supervisors.conformance.trees import (
    child_ref,
    leave_by,
)
from tests.supervisors.recorded import (
    BoomError,
    Crash,
    Diary,
    Finish,
    Note,
    Starts,
    Who,
    failing,
    starts,
)

pytestmark = pytest.mark.anyio

DOUBLING = Exponential(1.0, cap=8.0, jitter="none")


async def test_n2_messages_queued_while_a_child_restarts_go_to_its_next_incarnation() -> None:
    """The message that crashed it is not delivered again."""
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


async def test_n2_a_crash_names_its_error_to_the_asker() -> None:
    diary = Diary()
    async with open_system() as system:
        ref = await system.spawn(diary.child("a"))
        with pytest.raises(ActorCrashedError) as caught:
            await ref.ask(Crash())
        assert isinstance(caught.value.__cause__, BoomError)
        with pytest.raises(ActorStoppedError):
            await ref.ask(Finish())


async def spawn_child(
    system: System,
    diary: Diary,
    *,
    backoff: Backoff = DOUBLING,
    started: Starts = starts,
    period: float = 1000.0,
    intensity: int = 100,
) -> Ref:
    child = diary.child("a", backoff=backoff, started=started)
    await system.spawn(Supervisor("tree", intensity=intensity, period=period, children=[child]))
    return system.get("tree/a")


async def downtime(ref: Ref) -> float:
    """Crash the actor and return how long it was away."""
    with pytest.raises(AskError):
        await ref.ask(Crash())
    crashed = anyio.current_time()
    await ref.ask(Who(), timeout=10_000)
    return anyio.current_time() - crashed


async def test_n1_the_wait_before_a_restart_doubles_up_to_its_cap() -> None:
    async with open_system() as system:
        ref = await spawn_child(system, Diary())
        waits = [await downtime(ref) for _ in range(6)]
        assert waits == pytest.approx([1.0, 2.0, 4.0, 8.0, 8.0, 8.0])


async def test_n1_failed_restarts_back_off_further() -> None:
    async with open_system() as system:
        ref = await spawn_child(system, Diary(), started=failing(2, 3))
        assert await downtime(ref) == pytest.approx(1.0 + 2.0 + 4.0)


async def test_n1_a_child_that_ran_as_long_as_the_period_starts_over_with_the_shortest_wait() -> None:
    """The reset after a stable time."""
    async with open_system() as system:
        ref = await spawn_child(system, Diary(), period=60.0)
        assert [await downtime(ref), await downtime(ref)] == pytest.approx([1.0, 2.0])
        await anyio.sleep(59)
        assert await downtime(ref) == pytest.approx(4.0)
        await anyio.sleep(60)
        assert await downtime(ref) == pytest.approx(1.0)


async def test_n1_without_a_backoff_a_restart_is_immediate() -> None:
    async with open_system() as system:
        child = Diary().child("a")
        await system.spawn(Supervisor("tree", intensity=100, children=[child]))
        assert [await downtime(system.get("tree/a")) for _ in range(3)] == [0.0, 0.0, 0.0]


async def test_n1_the_jitter_comes_from_the_system() -> None:
    waits: list[list[float]] = []
    for _ in range(2):
        async with open_system(rng=Random(4)) as system:
            ref = await spawn_child(system, Diary(), backoff=Exponential(10.0))
            waits.append([await downtime(ref) for _ in range(3)])
    assert waits[0] == pytest.approx(waits[1])
    assert len({round(wait, 3) for wait in waits[0]}) == 3


async def test_n2_messages_wait_for_the_next_incarnation() -> None:
    diary = Diary()
    async with open_system() as system:
        ref = await spawn_child(system, diary, backoff=Fixed(30.0))
        with pytest.raises(AskError):
            await ref.ask(Crash())
        for _ in range(5):
            ref.tell_nowait(Note())
        assert ref.statistics().queued == 5
        assert diary.notes == 0
        assert await ref.ask(Who(), timeout=100) == 2
        assert anyio.current_time() == pytest.approx(30.0)
        assert diary.notes == 5


async def test_n2_an_ask_during_the_wait_ends_at_its_own_deadline() -> None:
    async with open_system() as system:
        ref = await spawn_child(system, Diary(), backoff=Fixed(30.0))
        with pytest.raises(AskError):
            await ref.ask(Crash())
        with pytest.raises(DeadlineExceededError):
            await ref.ask(Who(), timeout=10)
        assert anyio.current_time() == pytest.approx(10.0)


async def test_n1_the_supervisor_is_not_blocked_by_the_wait() -> None:
    diary = Diary()
    async with open_system() as system:
        children = [diary.child("a", backoff=Fixed(30.0)), diary.child("b")]
        tree = await system.spawn(Supervisor("tree", children=children))
        with pytest.raises(AskError):
            await system.get("tree/a").ask(Crash())
        await settle()
        assert (await tree.count_children()).active == 1
        with pytest.raises(AskError):
            await system.get("tree/b").ask(Crash())
        assert await system.get("tree/b").ask(Who()) == 2
        assert anyio.current_time() == 0.0


async def test_n1_the_restarts_of_several_children_wait_side_by_side() -> None:
    diary = Diary()
    async with open_system() as system:
        children = [diary.child("a", backoff=Fixed(30.0)), diary.child("b", backoff=Fixed(10.0))]
        await system.spawn(Supervisor("tree", children=children))
        diary.take()
        for name in "ab":
            with pytest.raises(AskError):
                await system.get(f"tree/{name}").ask(Crash())
        await anyio.sleep(10.5)
        assert diary.take() == ["stop a boom", "stop b boom", "start b"]
        await anyio.sleep(20)
        assert diary.take() == ["start a"]


async def test_n1_a_restart_that_was_overtaken_does_nothing() -> None:
    diary = Diary()
    async with open_system() as system:
        tree = await system.spawn(Supervisor("tree", children=[diary.child("a", backoff=Fixed(30.0))]))
        with pytest.raises(AskError):
            await system.get("tree/a").ask(Crash())
        await settle()
        await tree.terminate_child("a")
        ref = await tree.restart_child("a")
        await anyio.sleep(60)
        assert await ref.ask(Who()) == 2
