"""Beyond OTP: restarts back off, queues outlive an incarnation, askers never hang (N1 to N4)."""

from random import Random

import anyio
import pytest

from relight.runtime import (
    Actor,
    ActorCrashedError,
    ActorStoppedError,
    AskError,
    DeadlineExceededError,
    Exit,
    ExitKind,
    Ref,
    Request,
    handles,
)
from relight.supervisors import (
    Child,
    ChildRestartingError,
    RestartIntensityError,
    Supervisor,
    System,
    open_system,
)
from relight.supervisors.policies import Backoff, Exponential, Fixed
from tests.runtime.desk import asking, settle
from tests.supervisors.conformance.trees import (
    child_ref,
    counts_of,
    crash,
    leave_by,
    open_tree,
    spawn_tree,
    states_of,
)
from tests.supervisors.recorded import (
    BoomError,
    Crash,
    Diary,
    Die,
    Finish,
    Nap,
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


async def test_n1_waits_are_capped_jittered_and_never_above_the_step() -> None:
    async with open_system(rng=Random(7)) as system:
        ref = await spawn_child(system, Diary(), backoff=Exponential(1.0, cap=8.0))
        waits = [await downtime(ref) for _ in range(8)]
        steps = [1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0, 8.0]
        assert all(0.0 <= wait <= step + 0.001 for wait, step in zip(waits, steps, strict=True))
        assert len({round(wait, 6) for wait in waits}) == 8


async def test_n1_during_the_wait_the_child_is_restarting_and_can_be_terminated() -> None:
    diary = Diary()
    async with open_tree(diary.child("a", backoff=Fixed(30.0)), diary=diary) as (system, tree):
        await crash(system.get("tree/a"))
        assert await states_of(tree) == {"a": "restarting"}
        assert await counts_of(tree) == (1, 0, 0, 1)
        with pytest.raises(ChildRestartingError):
            await tree.delete_child("a")
        await tree.terminate_child("a")
        await anyio.sleep(60)
        assert await states_of(tree) == {"a": "undefined"}
        assert diary.take() == ["stop a boom"]


async def test_n1_the_wait_does_not_count_a_second_time() -> None:
    """The crash has counted; the restart after the wait is the same one."""
    diary = Diary()
    child = diary.child("a", backoff=Fixed(0.5))
    async with open_tree(child, diary=diary, intensity=2) as (system, _):
        for number in (2, 3):
            await crash(system.get("tree/a"))
            assert await system.get("tree/a").ask(Who()) == number
        await crash(system.get("tree/a"))
        assert system.actors() == []


@pytest.mark.parametrize("left", [1, 2])
async def test_n1_restarts_that_fail_after_their_wait_count_when_they_are_tried(left: int) -> None:
    """With one left the second attempt is one too many: its turn comes, and the supervisor gives up."""
    diary = Diary()
    child = diary.child("a", started=failing(2), backoff=Fixed(0.5))
    async with open_tree(child, diary=diary, intensity=left) as (system, tree):
        await crash(system.get("tree/a"))
        await anyio.sleep(0.6)
        assert diary.take() == ["stop a boom", "startfail a"]
        assert await states_of(tree) == {"a": "restarting"}
        await anyio.sleep(0.6)
        assert (system.find("tree/a") is None) is (left == 1)


async def test_n2_the_poison_is_not_delivered_again_and_the_rest_keeps_its_order() -> None:
    diary = Diary()
    async with open_tree(diary.child("a"), diary=diary) as (system, _):
        ref = system.get("tree/a")
        async with anyio.create_task_group() as group:
            before = await asking(group, ref, Nap(1.0))
            ref.tell_nowait(Note(1))
            poison = await asking(group, ref, Crash())
            for number in (2, 3):
                ref.tell_nowait(Note(number))
            after = await asking(group, ref, Who())
        assert before.value == "rested"
        assert isinstance(poison.error, ActorCrashedError)
        assert isinstance(poison.error.__cause__, BoomError)
        assert after.value == 2
        assert diary.numbers == [(1, 1), (2, 2), (2, 3)]
        assert (ref.statistics().crashed, ref.statistics().dead_letters) == (1, 0)


ENDS: dict[str, Request[None]] = {"crash": Crash(), "exit": Finish(), "kill": Die()}


@pytest.mark.parametrize("restart", ["permanent", "temporary"])
@pytest.mark.parametrize("end", list(ENDS))
async def test_n3_whatever_ends_the_actor_the_asker_in_hand_hears_of_it_at_once(
    end: str, restart: str
) -> None:
    diary = Diary()
    async with open_tree(diary.child("a", restart), diary=diary) as (system, _):
        async with anyio.create_task_group() as group:
            answer = await asking(group, system.get("tree/a"), ENDS[end])
        expected = ActorCrashedError if end == "crash" else ActorStoppedError
        assert type(answer.error) is expected
        assert answer.at == 0.0


@pytest.mark.parametrize("end", list(ENDS))
async def test_n3_an_actor_that_is_not_restarted_fails_its_queue_at_once(end: str) -> None:
    diary = Diary()
    async with open_tree(diary.child("a", "temporary"), diary=diary) as (system, _):
        ref = system.get("tree/a")
        async with anyio.create_task_group() as group:
            await asking(group, ref, Nap(1.0))
            await asking(group, ref, ENDS[end])
            queued = [await asking(group, ref, Who()) for _ in range(3)]
        assert [type(answer.error) for answer in queued] == [ActorStoppedError] * 3
        assert [answer.at for answer in queued] == pytest.approx([1.0] * 3)


async def test_n3_an_asker_of_an_actor_that_can_not_start_again_hears_of_the_end() -> None:
    diary = Diary()
    child = diary.child("a", started=failing(*range(2, 100)), backoff=Fixed(1.0))
    async with open_tree(child, diary=diary, intensity=3, strategy="one_for_all") as (system, _):
        ref = system.get("tree/a")
        await crash(ref)
        async with anyio.create_task_group() as group:
            answer = await asking(group, ref, Who())
        assert isinstance(answer.error, ActorStoppedError)
        assert isinstance(answer.error.reason.error, RestartIntensityError)
        assert answer.at == pytest.approx(4.0)


async def test_n4_the_reason_of_an_exit_is_one_exception_and_its_group_stays_attached() -> None:
    class Troupe(Actor):
        @handles
        async def work(self, message: Note) -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep_forever)
                group.start_soon(self.fail)

        async def fail(self) -> None:
            async with anyio.create_task_group():
                raise BoomError

    async with open_system() as system:
        heard: list[object] = []
        system.events.listen(
            lambda event, fields: heard.append(fields["error_type"]) if event == "actor.crashed" else None
        )
        tree = await spawn_tree(system, Child("a", Troupe, restart="transient"))
        ref = await child_ref(tree, "a")
        monitor = system.monitor(ref)
        ref.tell_nowait(Note())
        reason = (await monitor.wait()).reason
        assert reason.kind is ExitKind.CRASHED
        assert type(reason.error) is BoomError
        assert isinstance(reason.error.__context__, ExceptionGroup)
        assert (await child_ref(tree, "a")) is ref


async def test_n4_an_exit_asked_for_inside_a_task_group_is_that_exit() -> None:
    class Troupe(Actor):
        @handles
        async def work(self, message: Note) -> None:
            async with anyio.create_task_group():
                raise Exit

    async with open_system() as system:
        tree = await spawn_tree(system, Child("a", Troupe, restart="transient"))
        (await child_ref(tree, "a")).tell_nowait(Note())
        await settle()
        assert await states_of(tree) == {"a": "undefined"}
