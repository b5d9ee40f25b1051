"""Exits: which of them restart, and whom they concern (the exit table, X1 to X3)."""

import anyio
import pytest

from relight.runtime import (
    KILLED,
    SHUTDOWN,
    ExitKind,
    ExitReason,
    MailboxClosedError,
    Request,
)
from relight.supervisors import (
    StrategyName,
    Supervisor,
    open_system,
)
from tests.runtime.desk import cell_of, settle
from tests.supervisors.conformance.trees import (
    child_ref,
    counts_of,
    leave_by,
    open_tree,
    state_of,
    states_of,
    supervisor_of,
)
from tests.supervisors.recorded import (
    Crash,
    Diary,
    Die,
    Finish,
    Leave,
    Who,
)

pytestmark = pytest.mark.anyio

EXITS: dict[str, Request[None]] = {"normal": Finish(), "shutdown": Leave(), "crash": Crash(), "kill": Die()}
OUTCOMES = {
    "permanent": {"normal": "restarted", "shutdown": "restarted", "crash": "restarted", "kill": "restarted"},
    "transient": {"normal": "undefined", "shutdown": "undefined", "crash": "restarted", "kill": "restarted"},
    "temporary": {"normal": "dropped", "shutdown": "dropped", "crash": "dropped", "kill": "dropped"},
}


@pytest.mark.parametrize("exit_kind", list(EXITS))
@pytest.mark.parametrize("restart", list(OUTCOMES))
async def test_table_the_restart_type_decides_what_follows_an_exit(restart: str, exit_kind: str) -> None:
    diary = Diary()
    async with open_system() as system:
        tree = await system.spawn(Supervisor("tree", children=[diary.child("a", restart), diary.child("b")]))
        ref = await child_ref(tree, "a")
        await leave_by(ref, EXITS[exit_kind])
        expected = OUTCOMES[restart][exit_kind]
        assert await state_of(tree, "a") == ("running" if expected == "restarted" else expected)
        if expected == "restarted":
            assert await ref.ask(Who()) == 2
        else:
            with pytest.raises(MailboxClosedError):
                await ref.ask(Who())
        assert await (await child_ref(tree, "b")).ask(Who()) == 1


async def test_x3_the_crash_of_a_child_that_was_terminated_meanwhile_is_no_news() -> None:
    """Its exit waits in the mailbox behind the request that has ended it."""
    diary = Diary()
    async with open_system() as system:
        children = [diary.child("a"), diary.child("b", slow_stop=2.0)]
        tree = await system.spawn(Supervisor("tree", intensity=0, children=children))
        a = await child_ref(tree, "a")
        async with anyio.create_task_group() as group:
            group.start_soon(tree.terminate_child, "b")
            await settle()
            group.start_soon(tree.terminate_child, "a")
            await settle()
            a.tell_nowait(Crash())
        assert await state_of(tree, "a") == "undefined"


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
@pytest.mark.parametrize(
    ("restart", "exit_kind"),
    [("temporary", "crash"), ("temporary", "kill"), ("transient", "normal")],
)
async def test_x1_an_exit_that_is_not_to_be_restarted_leaves_the_siblings_alone(
    strategy: StrategyName, restart: str, exit_kind: str
) -> None:
    diary = Diary()
    children = [diary.child("a", restart), diary.child("b"), diary.child("c")]
    async with open_tree(*children, diary=diary, strategy=strategy) as (system, tree):
        await leave_by(system.get("tree/a"), EXITS[exit_kind])
        assert len(diary.take()) == 1
        assert await state_of(tree, "a") == OUTCOMES[restart][exit_kind]
        for name in "bc":
            assert await system.get(f"tree/{name}").ask(Who()) == 1


@pytest.mark.parametrize(("message", "word"), [(Finish(), "normal"), (Leave(), "shutdown")])
async def test_x2_a_permanent_childs_normal_exit_restarts_all(message: Request[None], word: str) -> None:
    diary = Diary()
    children = [diary.child("a"), diary.child("b"), diary.child("c")]
    async with open_tree(*children, diary=diary, strategy="one_for_all") as (system, _):
        await leave_by(system.get("tree/b"), message)
        expected = [f"stop b {word}", "stop c shutdown", "stop a shutdown", "start a", "start b", "start c"]
        assert diary.take() == expected


async def test_x3_the_exit_of_an_actor_that_is_no_child_is_ignored() -> None:
    """Its exit reaches the supervisor all the same: an actor of another supervisor, of the same id."""
    diary = Diary()
    async with open_tree(diary.child("a"), diary=diary, intensity=0) as (system, tree):
        stranger = await system.spawn(diary.child("a"))
        supervisor_of(tree).exited(cell_of(stranger), KILLED, final=False)
        assert await states_of(tree) == {"a": "running"}
        assert await system.get("tree/a").ask(Who()) == 1
        assert diary.take() == ["start a"]


async def test_x3_the_end_of_its_parent_stops_a_supervisor_which_stops_its_children() -> None:
    diary = Diary()
    inner = Supervisor("in", children=[diary.child("x"), diary.child("y")])
    async with open_tree(diary.child("a"), inner, diary.child("b"), diary=diary) as (system, tree):
        refs = [system.get(path) for path in ("tree/a", "tree/in", "tree/in/x", "tree/in/y", "tree/b")]
        await tree.stop()
        assert diary.take() == ["stop b shutdown", "stop y shutdown", "stop x shutdown", "stop a shutdown"]
        assert not any(ref.is_alive for ref in refs)


@pytest.mark.parametrize("message", [Crash(), Finish(), Die()])
async def test_x3_an_exit_signal_from_an_unknown_actor_is_ignored(message: Request[None]) -> None:
    """As in OTP's trace: a process that was linked to the supervisor ends."""
    diary = Diary()
    async with open_tree(diary.child("a"), diary=diary, intensity=0) as (system, tree):
        stranger = await system.spawn(Diary().child("stranger", "temporary"))
        system.link(tree.ref, stranger)
        await leave_by(stranger, message)
        system.exit(tree.ref, ExitReason(ExitKind.CRASHED), sender=system.get("tree/a"))
        assert await states_of(tree) == {"a": "running"}
        assert await counts_of(tree) == (1, 1, 0, 1)
        assert diary.take() == []


async def test_x3_a_child_that_ends_by_a_signal_is_decided_on_as_by_any_exit() -> None:
    diary = Diary()
    children = [diary.child("a", "transient"), diary.child("b", "transient")]
    async with open_tree(*children, diary=diary) as (system, tree):
        system.exit(system.get("tree/a"), SHUTDOWN)
        system.kill(system.get("tree/b"))
        await settle()
        assert await states_of(tree) == {"a": "undefined", "b": "running"}
        assert diary.take() == ["stop a shutdown", "start b"]
