"""Restart intensity: too many restarts within a period, and the supervisor gives up (B1 to B7)."""

import anyio
import pytest

from relight.runtime import ExitKind, StartError
from relight.supervisors import (
    RestartIntensityError,
    RestartWindow,
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
    crash,
    open_tree,
    spawn_tree,
    state_of,
    states_of,
)
from tests.supervisors.recorded import (
    BoomError,
    Crash,
    Diary,
    Who,
    failing,
)

pytestmark = pytest.mark.anyio


def test_b7_a_restart_leaves_the_window_just_after_the_period() -> None:
    """Inclusive, and in float seconds where OTP counts whole ones."""
    inclusive = RestartWindow(1, 5.0)
    assert [inclusive.add(0.0), inclusive.add(5.0)] == [True, False]
    after = RestartWindow(1, 5.0)
    assert [after.add(0.0), after.add(5.000001)] == [True, True]


@pytest.mark.parametrize("intensity", [0, 1, 3])
async def test_b1_b5_one_restart_too_many_stops_all_children_in_reverse(intensity: int) -> None:
    """The crashed child is not restarted, the budget is looked at before siblings are touched."""
    diary = Diary()
    async with open_system() as system:
        tree = await spawn_tree(system, *map(diary.child, "abc"), intensity=intensity)
        diary.take()
        for _ in range(intensity):
            await crash(system.get("tree/b"))
        assert diary.take() == ["stop b boom", "start b"] * intensity
        monitor = system.monitor(tree.ref)
        await crash(system.get("tree/b"))
        assert diary.take() == ["stop b boom", "stop c shutdown", "stop a shutdown"]
        down = await monitor.wait()
        assert str(down.reason.kind) == "shutdown"
        assert isinstance(down.reason.error, RestartIntensityError)
        assert (down.reason.error.child, down.reason.error.intensity) == ("b", intensity)
        assert system.actors() == []


async def test_b1_restarts_that_are_far_apart_go_on_for_ever() -> None:
    diary = Diary()
    async with open_system() as system:
        await spawn_tree(system, diary.child("a"), intensity=1, period=5.0)
        for number in range(2, 20):
            await crash(system.get("tree/a"))
            assert await system.get("tree/a").ask(Who()) == number
            await anyio.sleep(5.1)


async def test_b3_two_failing_restarts_are_survived_with_an_intensity_of_three() -> None:
    """B3, as in OTP's trace: the crash and each failed attempt count."""
    diary = Diary()
    async with open_system() as system:
        await spawn_tree(system, diary.child("a", started=failing(2, 3)), intensity=3)
        await crash(system.get("tree/a"))
        assert diary.take() == ["start a", "stop a boom", "startfail a", "startfail a", "start a"]
        assert await system.get("tree/a").ask(Who()) == 4


async def test_b3_the_third_failing_restart_is_one_too_many() -> None:
    diary = Diary()
    async with open_system() as system:
        await spawn_tree(system, diary.child("a", started=failing(2, 3, 4, 5)), intensity=3)
        await crash(system.get("tree/a"))
        assert diary.take() == ["start a", "stop a boom", *["startfail a"] * 3]
        assert system.actors() == []


async def test_b4_what_is_done_on_request_does_not_count() -> None:
    diary = Diary()
    async with open_system() as system:
        tree = await system.spawn(Supervisor("tree", intensity=0, children=[diary.child("a")]))
        for _ in range(10):
            await tree.terminate_child("a")
            await tree.restart_child("a")
        assert await system.get("tree/a").ask(Who()) == 11


async def test_b6_children_that_die_together_count_one_by_one() -> None:
    diary = Diary()
    async with open_system() as system:
        await spawn_tree(system, *map(diary.child, "abc"), intensity=2)
        diary.take()
        for name in "abc":
            system.get(f"tree/{name}").tell_nowait(Crash())
        await settle()
        lines = sorted(diary.take())
        stops = ["stop a boom", "stop a shutdown", "stop b boom", "stop b shutdown", "stop c boom"]
        assert lines == ["start a", "start b", *stops]
        assert system.actors() == []


async def test_b1_a_child_that_waits_for_its_restart_when_its_supervisor_gives_up_is_not_started() -> None:
    diary = Diary()
    async with open_system() as system:
        await spawn_tree(system, diary.child("a", backoff=Fixed(3.0)), diary.child("b"), intensity=1)
        await crash(system.get("tree/a"))
        await crash(system.get("tree/b"))
        diary.take()
        await anyio.sleep(10)
        assert diary.take() == []
        assert system.actors() == []


async def test_b1_the_default_is_three_restarts_in_five_seconds() -> None:
    """OTP's is one."""
    diary = Diary()
    async with open_system() as system:
        spec = Supervisor("tree", restart="temporary", children=[diary.child("a"), diary.child("b")])
        await system.spawn(spec)
        for _ in range(3):
            await crash(system.get("tree/a"))
            assert await system.get("tree/b").ask(Who()) == 1
        await crash(system.get("tree/a"))
        assert system.actors() == []


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
async def test_b2_a_group_restart_counts_one_however_many_children(strategy: StrategyName) -> None:
    diary = Diary()
    children = [diary.child(name) for name in "abcde"]
    async with open_tree(*children, diary=diary, strategy=strategy, intensity=1) as (system, tree):
        await crash(system.get("tree/a"))
        assert await states_of(tree) == dict.fromkeys("abcde", "running")
        assert [await system.get(f"tree/{name}").ask(Who()) for name in "abcde"] == [2] * 5
        await crash(system.get("tree/e"))
        assert system.actors() == []


async def test_b3_a_failing_start_in_a_group_counts_each_time() -> None:
    """The crash and each later attempt count, whichever child of the group fails."""
    diary = Diary()
    children = [diary.child("a"), diary.child("b", started=failing(2, 3))]
    async with open_tree(*children, diary=diary, strategy="one_for_all", intensity=3) as (system, _):
        await crash(system.get("tree/a"))
        assert await system.get("tree/b").ask(Who()) == 4
        diary.take()
        await crash(system.get("tree/a"))
        assert diary.take() == ["stop a boom", "stop b shutdown"]
        assert system.actors() == []


async def test_b4_a_restart_on_request_that_fails_does_not_count_either() -> None:
    diary = Diary()
    child = diary.child("a", started=failing(2, 3, 4))
    async with open_tree(child, diary=diary, intensity=0) as (_, tree):
        await tree.terminate_child("a")
        for _ in range(3):
            with pytest.raises(StartError):
                await tree.restart_child("a")
        assert await (await tree.restart_child("a")).ask(Who()) == 5


async def test_b4_the_stop_of_a_ref_does_not_count() -> None:
    diary = Diary()
    async with open_tree(diary.child("a"), diary=diary, intensity=0) as (_, tree):
        for number in range(2, 5):
            await (await child_ref(tree, "a")).stop()
            assert await (await tree.restart_child("a")).ask(Who()) == number


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("one_for_all", ["stop b boom", "stop d shutdown", "stop c shutdown", "stop a shutdown"]),
        ("rest_for_one", ["stop b boom", "stop d shutdown", "stop c shutdown", "stop a shutdown"]),
    ],
)
async def test_b5_the_budget_is_looked_at_before_the_group_is_touched(
    strategy: StrategyName, expected: list[str]
) -> None:
    diary = Diary()
    children = [diary.child(name) for name in "abcd"]
    async with open_tree(*children, diary=diary, strategy=strategy, intensity=0) as (system, tree):
        monitor = system.monitor(tree.ref)
        await crash(system.get("tree/b"))
        assert diary.take() == expected
        down = await monitor.wait()
        assert down.reason.kind is ExitKind.SHUTDOWN
        assert isinstance(down.reason.error, RestartIntensityError)
        assert isinstance(down.reason.error.__cause__, BoomError)


async def crash_together(system: System, tree: SupervisorRef, names: str) -> None:
    """Crash several children before the supervisor decides on the first, in this order."""
    released = anyio.Event()

    async def waiting(_: int) -> None:
        await released.wait()

    async with anyio.create_task_group() as group:
        group.start_soon(tree.start_child, Diary().child("busy", "temporary", started=waiting))
        await settle()
        for name in names:
            await crash(system.get(f"tree/{name}"))
        released.set()
    await settle()


async def test_b6_one_for_one_counts_each_of_several_deaths() -> None:
    diary = Diary()
    async with open_tree(*map(diary.child, "abc"), diary=diary, intensity=3) as (system, tree):
        await crash_together(system, tree, "abc")
        assert diary.take() == ["stop a boom", "stop b boom", "stop c boom", "start a", "start b", "start c"]
        await crash(system.get("tree/a"))
        assert system.actors() == []


async def test_b6_one_for_all_counts_several_deaths_once() -> None:
    """The others are absorbed while the group is stopped."""
    diary = Diary()
    tree_of_three = [diary.child(name) for name in "abc"]
    async with open_tree(*tree_of_three, diary=diary, strategy="one_for_all", intensity=1) as (system, tree):
        await crash_together(system, tree, "cab")
        assert diary.take() == ["stop c boom", "stop a boom", "stop b boom", "start a", "start b", "start c"]
        assert [await system.get(f"tree/{name}").ask(Who()) for name in "abc"] == [2, 2, 2]
        assert await state_of(tree, "a") == "running"


@pytest.mark.parametrize(
    ("order", "started", "counted"),
    [
        ("abc", ["start a", "start b", "start c"], 1),
        ("cba", ["start c", "start b", "start c", "start a", "start b", "start c"], 3),
        ("bac", ["start b", "start c", "start a", "start b", "start c"], 2),
    ],
)
async def test_b6_in_rest_for_one_it_depends_on_the_order(
    order: str, started: list[str], counted: int
) -> None:
    diary = Diary()
    children = [diary.child(name) for name in "abc"]
    async with open_tree(*children, diary=diary, strategy="rest_for_one", intensity=counted) as (
        system,
        tree,
    ):
        await crash_together(system, tree, order)
        assert [line for line in diary.take() if line.startswith("start")] == started
        assert await states_of(tree) == dict.fromkeys("abc", "running")
        await crash(system.get("tree/a"))
        assert system.actors() == []


async def test_b7_the_supervisors_window_is_in_float_seconds() -> None:
    """OTP's counts whole ones: 0.4 s are none to it."""
    diary = Diary()
    async with open_system() as system:
        await spawn_tree(system, diary.child("a"), intensity=1, period=0.4)
        for number in range(2, 6):
            await crash(system.get("tree/a"))
            assert await system.get("tree/a").ask(Who()) == number
            await anyio.sleep(0.41)
        await crash(system.get("tree/a"))
        await anyio.sleep(0.39)
        await crash(system.get("tree/a"))
        assert system.actors() == []
