"""Restart intensity: too many restarts within a period, and the supervisor gives up (B1 to B7)."""

import anyio
import pytest

from relight.supervisors import (
    RestartIntensityError,
    RestartWindow,
    Supervisor,
    open_system,
)
from relight.supervisors.policies import Fixed
from tests.runtime.desk import settle
from tests.supervisors.conformance.trees import (
    crash,
    spawn_tree,
)
from tests.supervisors.recorded import (
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
