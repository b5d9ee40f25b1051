"""Exits: which of them restart, and whom they concern (the exit table, X1 to X3)."""

import anyio
import pytest

from relight.runtime import (
    MailboxClosedError,
    Request,
)
from relight.supervisors import (
    Supervisor,
    open_system,
)
from tests.runtime.desk import settle
from tests.supervisors.conformance.trees import (
    child_ref,
    leave_by,
    state_of,
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
