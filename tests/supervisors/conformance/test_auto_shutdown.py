"""Auto shutdown: a supervisor that ends with its significant children (U1 to U3)."""

import anyio
import pytest

from relight.runtime import ExitKind, Request
from relight.supervisors import AutoShutdownName, Supervisor
from relight.supervisors.policies import Fixed
from tests.supervisors.conformance.trees import child_ref, crash, hear, leave_by, open_tree, states_of
from tests.supervisors.recorded import Crash, Diary, Die, Finish, Leave, Who, ignoring

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("restart", "message", "ends"),
    [
        ("transient", Finish(), True),
        ("transient", Leave(), True),
        ("transient", Crash(), False),
        ("transient", Die(), False),
        ("temporary", Finish(), True),
        ("temporary", Leave(), True),
        ("temporary", Crash(), True),
        ("temporary", Die(), True),
    ],
)
@pytest.mark.parametrize("auto_shutdown", ["any_significant", "all_significant"])
async def test_u1_which_exits_of_a_significant_child_count(
    auto_shutdown: AutoShutdownName, restart: str, message: Request[None], ends: bool
) -> None:
    """It is the only significant one here."""
    diary = Diary()
    children = [diary.child("a"), diary.child("s", restart, significant=True), diary.child("b")]
    async with open_tree(*children, diary=diary, auto_shutdown=auto_shutdown) as (system, tree):
        heard = hear(system, "supervisor.finished")
        monitor = system.monitor(tree.ref)
        await leave_by(system.get("tree/s"), message)
        if ends:
            assert heard == [("supervisor.finished", "tree")]
            assert (await monitor.wait()).reason.kind is ExitKind.SHUTDOWN
            assert diary.take()[1:] == ["stop b shutdown", "stop a shutdown"]
            assert system.actors() == []
        else:
            assert await states_of(tree) == {"a": "running", "s": "running", "b": "running"}


async def test_u1_all_significant_ends_with_the_last_of_them_whoever_else_runs() -> None:
    diary = Diary()
    children = [
        diary.child("a"),
        diary.child("s", "transient", significant=True),
        diary.child("t", "temporary", significant=True),
        diary.child("n", "temporary"),
    ]
    async with open_tree(*children, diary=diary, auto_shutdown="all_significant") as (system, tree):
        await leave_by(system.get("tree/n"), Finish())
        await leave_by(system.get("tree/s"), Finish())
        assert await states_of(tree) == {"a": "running", "s": "undefined", "t": "running"}
        diary.take()
        await leave_by(system.get("tree/t"), Crash())
        assert diary.take() == ["stop t boom", "stop a shutdown"]
        assert system.actors() == []


async def test_u1_any_significant_ends_with_the_first_of_them() -> None:
    diary = Diary()
    children = [diary.child(name, "transient", significant=True) for name in "abc"]
    async with open_tree(*children, diary=diary, auto_shutdown="any_significant") as (system, _):
        await leave_by(system.get("tree/b"), Finish())
        assert diary.take() == ["stop b normal", "stop c shutdown", "stop a shutdown"]
        assert system.actors() == []


async def test_u1_never_means_never() -> None:
    diary = Diary()
    async with open_tree(diary.child("a", "temporary"), diary=diary) as (system, tree):
        await leave_by(system.get("tree/a"), Finish())
        assert await states_of(tree) == {}


@pytest.mark.parametrize("auto_shutdown", ["any_significant", "all_significant"])
@pytest.mark.parametrize("way", ["terminate_child", "ref.stop"])
async def test_u2_what_is_stopped_on_request_ends_nothing(auto_shutdown: AutoShutdownName, way: str) -> None:
    diary = Diary()
    children = [
        diary.child("s", "transient", significant=True),
        diary.child("t", "temporary", significant=True),
    ]
    async with open_tree(*children, diary=diary, auto_shutdown=auto_shutdown) as (_, tree):
        for name in "st":
            if way == "terminate_child":
                await tree.terminate_child(name)
            else:
                await (await child_ref(tree, name)).stop()
        assert await states_of(tree) == {"s": "undefined"}
        await tree.delete_child("s")
        assert await states_of(tree) == {}


@pytest.mark.parametrize("auto_shutdown", ["any_significant", "all_significant"])
async def test_u2_a_sibling_stopped_by_a_group_restart_ends_nothing(auto_shutdown: AutoShutdownName) -> None:
    """Also not the last significant one, though as a temporary child it is gone for good."""
    diary = Diary()
    children = [diary.child("a"), diary.child("s", "temporary", significant=True), diary.child("b")]
    async with open_tree(*children, diary=diary, auto_shutdown=auto_shutdown, strategy="one_for_all") as (
        system,
        tree,
    ):
        await crash(system.get("tree/a"))
        assert await states_of(tree) == {"a": "running", "b": "running"}
        stops = ["stop a boom", "stop b shutdown", "stop s shutdown"]
        assert diary.take() == [*stops, "start a", "start b"]


async def test_u2_one_that_was_terminated_counts_as_gone_when_the_last_other_ends() -> None:
    """As in OTP's trace."""
    diary = Diary()
    children = [diary.child(name, "transient", significant=True) for name in "bc"]
    async with open_tree(*children, diary=diary, auto_shutdown="all_significant") as (system, tree):
        await tree.terminate_child("b")
        assert await states_of(tree) == {"b": "undefined", "c": "running"}
        await leave_by(system.get("tree/c"), Finish())
        assert diary.take() == ["stop b shutdown", "stop c normal"]
        assert system.actors() == []


async def test_u2_one_that_waits_for_its_restart_has_not_ended() -> None:
    diary = Diary()
    children = [
        diary.child("s", "transient", significant=True, backoff=Fixed(10.0)),
        diary.child("t", "transient", significant=True),
    ]
    async with open_tree(*children, diary=diary, auto_shutdown="all_significant") as (system, tree):
        await crash(system.get("tree/s"))
        await leave_by(system.get("tree/t"), Finish())
        assert await states_of(tree) == {"s": "restarting", "t": "undefined"}
        await anyio.sleep(10.1)
        await leave_by(system.get("tree/s"), Finish())
        assert system.actors() == []


async def test_u2_one_that_is_held_until_its_group_restarts_has_not_ended() -> None:
    """Nothing has ended by itself: it was stopped, and is about to run again."""
    diary = Diary()
    children = [
        diary.child("t", "transient", significant=True),
        diary.child("a", backoff=Fixed(10.0)),
        diary.child("s", "transient", significant=True),
    ]
    async with open_tree(
        *children, diary=diary, auto_shutdown="all_significant", strategy="rest_for_one"
    ) as (system, tree):
        await crash(system.get("tree/a"))
        assert await states_of(tree) == {"t": "running", "a": "restarting", "s": "undefined"}
        await leave_by(system.get("tree/t"), Finish())
        assert await states_of(tree) == {"t": "undefined", "a": "restarting", "s": "undefined"}
        await anyio.sleep(10.1)
        assert await system.get("tree/s").ask(Who()) == 2


async def test_u2_a_significant_child_that_is_not_wanted_ends_nothing() -> None:
    """It has not ended: it never began."""
    diary = Diary()
    child = diary.child("s", "transient", significant=True, started=ignoring(1, 3))
    async with open_tree(child, diary=diary, auto_shutdown="any_significant") as (system, tree):
        await tree.restart_child("s")
        await crash(system.get("tree/s"))
        assert await states_of(tree) == {"s": "undefined"}


@pytest.mark.parametrize("significant", [True, False])
async def test_u3_the_end_goes_further_up_only_if_the_supervisor_is_significant(significant: bool) -> None:
    diary = Diary()
    inner = Supervisor(
        "in",
        auto_shutdown="any_significant",
        restart="transient",
        significant=significant,
        children=[diary.child("x"), diary.child("s", "transient", significant=True), diary.child("y")],
    )
    async with open_tree(diary.child("a"), inner, diary=diary, auto_shutdown="any_significant") as (
        system,
        tree,
    ):
        await leave_by(system.get("tree/in/s"), Finish())
        stops = ["stop s normal", "stop y shutdown", "stop x shutdown"]
        if significant:
            assert diary.take() == [*stops, "stop a shutdown"]
            assert system.actors() == []
        else:
            assert diary.take() == stops
            assert await states_of(tree) == {"a": "running", "in": "undefined"}


async def test_u3_a_permanent_supervisor_that_has_finished_is_started_again() -> None:
    diary = Diary()
    child = diary.child("s", "transient", significant=True)
    inner = Supervisor("in", auto_shutdown="any_significant", children=[child])
    async with open_tree(inner, diary=diary) as (system, _):
        await leave_by(system.get("tree/in/s"), Finish())
        assert diary.take() == ["stop s normal", "start s"]
