"""Strategies: who restarts with whom, in which order, and what goes on meanwhile (G1 to G8)."""

from functools import partial

import anyio
import msgspec
import pytest

from relight.runtime import (
    ActorStoppedError,
    MailboxClosedError,
)
from relight.supervisors import (
    AlreadyPresentError,
    ChildRestartingError,
    DynamicSupervisor,
    RestartIntensityError,
    StrategyName,
    Supervisor,
    SupervisorRef,
    System,
    open_system,
)
from relight.supervisors.policies import Fixed
from tests.runtime.desk import settle
from tests.supervisors.conformance.trees import (
    child_ref,
    counts_of,
    crash,
    hear,
    leave_by,
    open_tree,
    state_of,
    states_of,
)
from tests.supervisors.recorded import (
    BoomError,
    Crash,
    Diary,
    Finish,
    Note,
    Who,
    failing,
    ignoring,
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


# --- the order ---


async def test_g1_one_for_all_stops_the_others_in_reverse_and_starts_all_in_order() -> None:
    diary = Diary()
    children = [diary.child(name) for name in "abcd"]
    async with open_tree(*children, diary=diary, strategy="one_for_all") as (system, tree):
        refs = [system.get(f"tree/{name}") for name in "abcd"]
        await crash(refs[1])
        stops = ["stop b boom", "stop d shutdown", "stop c shutdown", "stop a shutdown"]
        assert diary.take() == [*stops, *(f"start {name}" for name in "abcd")]
        assert [await ref.ask(Who()) for ref in refs] == [2] * 4
        assert list(await states_of(tree)) == list("abcd")


@pytest.mark.parametrize("crashed", range(4))
async def test_g2_rest_for_one_restarts_the_crashed_child_and_those_after_it(crashed: int) -> None:
    diary = Diary()
    names = "abcd"
    children = [diary.child(name) for name in names]
    async with open_tree(*children, diary=diary, strategy="rest_for_one") as (system, _):
        refs = [system.get(f"tree/{name}") for name in names]
        await crash(refs[crashed])
        later = names[crashed + 1 :]
        stops = [f"stop {names[crashed]} boom", *(f"stop {name} shutdown" for name in reversed(later))]
        assert diary.take() == [*stops, *(f"start {name}" for name in names[crashed:])]
        assert [await ref.ask(Who()) for ref in refs] == [1] * crashed + [2] * (4 - crashed)


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
async def test_g3_temporary_siblings_stopped_by_a_group_restart_are_removed(strategy: StrategyName) -> None:
    diary = Diary()
    children = [diary.child("a"), diary.child("t", "temporary"), diary.child("b")]
    async with open_tree(*children, diary=diary, strategy=strategy) as (system, tree):
        temporary = system.get("tree/t")
        await crash(system.get("tree/a"))
        assert diary.take() == ["stop a boom", "stop b shutdown", "stop t shutdown", "start a", "start b"]
        assert await states_of(tree) == {"a": "running", "b": "running"}
        with pytest.raises(MailboxClosedError):
            temporary.tell_nowait(Note())
        await tree.start_child(diary.child("t", "temporary"))


async def test_g3_earlier_temporary_siblings_are_not_touched_by_rest_for_one() -> None:
    diary = Diary()
    children = [diary.child("t", "temporary"), diary.child("a")]
    async with open_tree(*children, diary=diary, strategy="rest_for_one") as (system, tree):
        await crash(system.get("tree/a"))
        assert await states_of(tree) == {"t": "running", "a": "running"}


async def test_g4_a_group_restart_revives_a_finished_transient() -> None:
    diary = Diary()
    children = [diary.child("a"), diary.child("b", "transient"), diary.child("c")]
    async with open_tree(*children, diary=diary, strategy="one_for_all") as (system, tree):
        await leave_by(system.get("tree/b"), Finish())
        assert await states_of(tree) == {"a": "running", "b": "undefined", "c": "running"}
        diary.take()
        await crash(system.get("tree/a"))
        assert diary.take() == ["stop a boom", "stop c shutdown", "start a", "start b", "start c"]
        assert await states_of(tree) == dict.fromkeys("abc", "running")


@pytest.mark.parametrize(("strategy", "revived"), [("one_for_all", "bd"), ("rest_for_one", "d")])
async def test_g4_a_group_restart_revives_terminated_and_ignored_siblings_of_the_group(
    strategy: StrategyName, revived: str
) -> None:
    diary = Diary()
    children = [diary.child("b"), diary.child("c"), diary.child("d", started=ignoring(1))]
    async with open_tree(*children, diary=diary, strategy=strategy) as (system, tree):
        await tree.terminate_child("b")
        diary.take()
        await crash(system.get("tree/c"))
        expected = {name: "running" if name in f"c{revived}" else "undefined" for name in "bcd"}
        assert await states_of(tree) == expected


# --- a member that fails to start again ---


class Gate:
    """Lets the start of an incarnation wait until a test has looked around."""

    def __init__(self, *failing: int, held: int) -> None:
        self.opened = anyio.Event()
        self._failing = failing
        self._held = held

    async def __call__(self, number: int) -> None:
        if number == self._held:
            await self.opened.wait()
        if number in self._failing:
            raise BoomError


async def test_g5_one_for_all_stops_those_just_started_and_redoes_all() -> None:
    """As in OTP's trace; those that were started run until the retry comes."""
    diary = Diary()
    gate = Gate(2, held=2)
    children = [diary.child("a"), diary.child("b"), diary.child("c", started=gate), diary.child("d")]
    async with open_tree(*children, diary=diary, strategy="one_for_all") as (system, tree):
        meanwhile: list[dict[str, str]] = []

        async def look() -> None:
            meanwhile.append(await states_of(tree))

        async with anyio.create_task_group() as group:
            await crash(system.get("tree/b"))
            group.start_soon(look)
            await settle()
            gate.opened.set()
        await settle()
        stops = ["stop b boom", "stop d shutdown", "stop c shutdown", "stop a shutdown"]
        again = ["stop b shutdown", "stop a shutdown", "start a", "start b", "start c", "start d"]
        assert diary.take() == [*stops, "start a", "start b", "startfail c", *again]
        assert meanwhile == [{"a": "running", "b": "running", "c": "restarting", "d": "undefined"}]
        assert await states_of(tree) == dict.fromkeys("abcd", "running")


async def test_g5_rest_for_one_keeps_those_before_and_retries_from_there() -> None:
    diary = Diary()
    gate = Gate(2, held=2)
    children = [diary.child("a"), diary.child("b"), diary.child("c", started=gate), diary.child("d")]
    async with open_tree(*children, diary=diary, strategy="rest_for_one") as (system, tree):
        meanwhile: list[object] = []

        async def look() -> None:
            meanwhile.append(await states_of(tree))
            meanwhile.append(await counts_of(tree))

        async with anyio.create_task_group() as group:
            await crash(system.get("tree/b"))
            group.start_soon(look)
            await settle()
            gate.opened.set()
        await settle()
        stops = ["stop b boom", "stop d shutdown", "stop c shutdown"]
        assert diary.take() == [*stops, "start b", "startfail c", "start c", "start d"]
        states = {"a": "running", "b": "running", "c": "restarting", "d": "undefined"}
        assert meanwhile == [states, (4, 4, 0, 4)]
        assert await system.get("tree/b").ask(Who()) == 2


async def test_g5_a_revived_child_that_fails_to_start_is_retried_without_a_cell_of_its_own() -> None:
    """It was terminated before: nothing of it is left but its spec, also when the budget is exceeded."""
    diary = Diary()
    children = [diary.child("a"), diary.child("b", started=failing(2, 3))]
    async with open_tree(*children, diary=diary, strategy="one_for_all", intensity=2) as (system, tree):
        monitor = system.monitor(tree.ref)
        await tree.terminate_child("b")
        diary.take()
        await crash(system.get("tree/a"))
        assert diary.take()[:3] == ["stop a boom", "start a", "startfail b"]
        down = await monitor.wait()
        assert isinstance(down.reason.error, RestartIntensityError)
        assert down.reason.error.child == "b"
        assert system.actors() == []


async def test_g5_the_name_of_a_revived_child_may_be_taken() -> None:
    diary = Diary()
    named = msgspec.structs.replace(diary.child("b"), name="alias")
    async with open_tree(diary.child("a"), named, diary=diary, strategy="one_for_all", intensity=1) as (
        system,
        tree,
    ):
        heard = hear(system, "actor.start_failed")
        await tree.terminate_child("b")
        other = await system.spawn(msgspec.structs.replace(diary.child("other"), name="alias"))
        await crash(system.get("tree/a"))
        assert heard == [("actor.start_failed", "tree/b")]
        assert system.find("tree") is None
        assert await other.ask(Who()) == 1


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
async def test_g6_a_supervisor_that_keeps_failing_to_restart_a_group_can_be_asked_and_stopped(
    strategy: StrategyName,
) -> None:
    diary = Diary()
    children = [diary.child("a"), diary.child("b", started=failing(*range(2, 10_000))), diary.child("c")]
    async with open_tree(*children, diary=diary, strategy=strategy, intensity=1_000_000) as (system, tree):
        await system.get("tree/a").tell(Crash())
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        assert await states_of(tree) == {"a": "running", "b": "restarting", "c": "undefined"}
        await tree.stop()
        assert system.actors() == []
        assert len(diary.take()) < 1000
        await settle()
        assert diary.take() == []


async def test_g7_meanwhile_requests_about_a_restarting_child_say_so() -> None:
    diary = Diary()
    async with open_system() as system:
        tree = await restarting(system, diary)
        for request in (tree.restart_child, tree.delete_child):
            with pytest.raises(ChildRestartingError, match="child 'a' is restarting"):
                await request("a")
        with pytest.raises(AlreadyPresentError):
            await tree.start_child(diary.child("a"))
        await anyio.sleep(10.1)
        assert diary.take() == ["start a"]


async def test_g8_a_restart_that_is_ignored_leaves_the_child_undefined() -> None:
    diary = Diary()
    async with open_tree(diary.child("a", started=ignoring(2, 3)), diary=diary, intensity=1) as (
        system,
        tree,
    ):
        ref = system.get("tree/a")
        await crash(ref)
        assert diary.take() == ["stop a boom", "ignore a"]
        assert await states_of(tree) == {"a": "undefined"}
        assert not ref.is_alive
        assert not (await tree.restart_child("a")).is_alive
        assert await (await tree.restart_child("a")).ask(Who()) == 4


async def test_g8_a_dynamic_child_that_is_not_wanted_again_is_removed() -> None:
    diary = Diary()
    async with open_system() as system:
        crowd = await system.spawn(DynamicSupervisor("crowd", template=diary.child("a", started=ignoring(2))))
        await crash(await crowd.start())
        assert await counts_of(crowd) == (0, 0, 0, 0)


async def test_g6_a_retry_of_a_child_that_was_deleted_is_nothing_to_another_of_its_id() -> None:
    """The retry is queued behind requests that have put another child in its place."""
    diary = Diary()
    gate = Gate(2, held=2)
    async with open_tree(diary.child("a", started=gate), diary=diary) as (system, tree):
        await crash(system.get("tree/a"))

        requests = [
            partial(tree.terminate_child, "a"),
            partial(tree.delete_child, "a"),
            partial(tree.start_child, diary.child("a")),
            *(
                partial(request, "a")
                for _ in range(2)
                for request in (tree.terminate_child, tree.restart_child)
            ),
        ]
        async with anyio.create_task_group() as group:
            for request in requests:
                group.start_soon(request)
                await settle()
            gate.opened.set()
        await settle()
        starts = [line for line in diary.take() if line.startswith("start")]
        assert starts == ["startfail a", "start a", "start a", "start a"]
        assert await system.get("tree/a").ask(Who()) == 5
