"""Restart intensity: too many restarts within a period, and the supervisor gives up."""

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from hypothesis import given
from hypothesis import strategies as st

from relight.runtime import AskError, Ref
from relight.supervisors import Child, RestartIntensityError, RestartWindow, Supervisor, System, open_system
from relight.supervisors.policies import Fixed
from tests.supervisors.recorded import Crash, Diary, Who, failing
from tests.support.clocks import virtual_time

moments = st.lists(st.floats(0.0, 1000.0), max_size=50).map(sorted)


# --- the window, a pure machine ---


def test_a_window_allows_as_many_restarts_as_its_intensity() -> None:
    window = RestartWindow(2, 5.0)
    assert [window.add(0.0), window.add(1.0), window.add(2.0)] == [True, True, False]


def test_a_window_of_intensity_zero_allows_none() -> None:
    assert not RestartWindow(0, 5.0).add(0.0)


def test_a_restart_leaves_the_window_just_after_the_period() -> None:
    """B7: inclusive, and in float seconds where OTP counts whole ones."""
    inclusive = RestartWindow(1, 5.0)
    assert [inclusive.add(0.0), inclusive.add(5.0)] == [True, False]
    after = RestartWindow(1, 5.0)
    assert [after.add(0.0), after.add(5.000001)] == [True, True]


def test_a_cleared_window_has_forgotten_all() -> None:
    window = RestartWindow(1, 5.0)
    window.add(0.0)
    window.clear()
    assert window.count(0.0) == 0
    assert window.add(0.0)


@given(
    intensity=st.integers(0, 5),
    period=st.floats(0.001, 100.0),
    moments=moments,
)
def test_a_window_agrees_with_counting_everything(
    intensity: int, period: float, moments: list[float]
) -> None:
    window = RestartWindow(intensity, period)
    seen: list[float] = []
    for moment in moments:
        seen.append(moment)
        recent = sum(1 for earlier in seen if earlier >= moment - period)
        assert window.add(moment) == (recent <= intensity)
        assert window.count(moment) == recent


@given(moments=moments)
def test_a_window_forgets_what_has_left_it(moments: list[float]) -> None:
    window = RestartWindow(3, 10.0)
    for moment in moments:
        window.add(moment)
        assert window.count(moment + 10.1) == 0


# --- the supervisor that keeps to it ---


async def crash(ref: Ref) -> None:
    with pytest.raises(AskError):
        await ref.ask(Crash())
    await wait_all_tasks_blocked()


async def spawn_tree(system: System, *children: Child, intensity: int, period: float = 5.0) -> Ref:
    """Start a tree that its own supervisor does not restart."""
    tree = await system.spawn(
        Supervisor("tree", intensity=intensity, period=period, restart="temporary", children=children)
    )
    return tree.ref


@pytest.mark.anyio
@pytest.mark.parametrize("intensity", [0, 1, 3])
async def test_one_restart_too_many_stops_all_children_in_reverse(intensity: int) -> None:
    """B1, B5: the crashed child is not restarted, the budget is looked at before siblings are touched."""
    diary = Diary()
    async with open_system() as system:
        tree = await spawn_tree(system, *map(diary.child, "abc"), intensity=intensity)
        diary.take()
        for _ in range(intensity):
            await crash(system.get("tree/b"))
        assert diary.take() == ["stop b boom", "start b"] * intensity
        monitor = system.monitor(tree)
        await crash(system.get("tree/b"))
        assert diary.take() == ["stop b boom", "stop c shutdown", "stop a shutdown"]
        down = await monitor.wait()
        assert str(down.reason.kind) == "shutdown"
        assert isinstance(down.reason.error, RestartIntensityError)
        assert (down.reason.error.child, down.reason.error.intensity) == ("b", intensity)
        assert system.actors() == []


@pytest.mark.anyio
async def test_giving_up_is_said_with_its_cause() -> None:
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


@pytest.mark.anyio
@virtual_time
async def test_restarts_that_are_far_apart_go_on_for_ever() -> None:
    diary = Diary()
    async with open_system() as system:
        await spawn_tree(system, diary.child("a"), intensity=1, period=5.0)
        for number in range(2, 20):
            await crash(system.get("tree/a"))
            assert await system.get("tree/a").ask(Who()) == number
            await anyio.sleep(5.1)


@pytest.mark.anyio
async def test_two_failing_restarts_are_survived_with_an_intensity_of_three() -> None:
    """B3, as in OTP's trace: the crash and each failed attempt count."""
    diary = Diary()
    async with open_system() as system:
        await spawn_tree(system, diary.child("a", started=failing(2, 3)), intensity=3)
        await crash(system.get("tree/a"))
        assert diary.take() == ["start a", "stop a boom", "startfail a", "startfail a", "start a"]
        assert await system.get("tree/a").ask(Who()) == 4


@pytest.mark.anyio
async def test_the_third_failing_restart_is_one_too_many() -> None:
    """B3."""
    diary = Diary()
    async with open_system() as system:
        await spawn_tree(system, diary.child("a", started=failing(2, 3, 4, 5)), intensity=3)
        await crash(system.get("tree/a"))
        assert diary.take() == ["start a", "stop a boom", *["startfail a"] * 3]
        assert system.actors() == []


@pytest.mark.anyio
async def test_what_is_done_on_request_does_not_count() -> None:
    """B4."""
    diary = Diary()
    async with open_system() as system:
        tree = await system.spawn(Supervisor("tree", intensity=0, children=[diary.child("a")]))
        for _ in range(10):
            await tree.terminate_child("a")
            await tree.restart_child("a")
        assert await system.get("tree/a").ask(Who()) == 11


@pytest.mark.anyio
async def test_children_that_die_together_count_one_by_one() -> None:
    """B6."""
    diary = Diary()
    async with open_system() as system:
        await spawn_tree(system, *map(diary.child, "abc"), intensity=2)
        diary.take()
        for name in "abc":
            system.get(f"tree/{name}").tell_nowait(Crash())
        await wait_all_tasks_blocked()
        lines = sorted(diary.take())
        stops = ["stop a boom", "stop a shutdown", "stop b boom", "stop b shutdown", "stop c boom"]
        assert lines == ["start a", "start b", *stops]
        assert system.actors() == []


@pytest.mark.anyio
@virtual_time
async def test_a_child_that_waits_for_its_restart_when_its_supervisor_gives_up_is_not_started() -> None:
    diary = Diary()
    async with open_system() as system:
        await spawn_tree(system, diary.child("a", backoff=Fixed(3.0)), diary.child("b"), intensity=1)
        await crash(system.get("tree/a"))
        await crash(system.get("tree/b"))
        diary.take()
        await anyio.sleep(10)
        assert diary.take() == []
        assert system.actors() == []
