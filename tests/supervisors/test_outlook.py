"""What supervisors have yet to do, as a system shows it."""

from collections.abc import Callable

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from relight.runtime import Actor, ActorState, Cell, Errand
from relight.supervisors import Child, Supervisor, open_system
from relight.supervisors.policies import Fixed
from tests.supervisors.recorded import Crash, Diary
from tests.support.clocks import virtual_time

pytestmark = [pytest.mark.anyio, virtual_time]


async def test_restarts_that_wait_are_listed_with_their_moments() -> None:
    diary = Diary()
    async with open_system() as system:
        await system.spawn(
            Supervisor("top", children=[diary.child("a", backoff=Fixed(3.0)), diary.child("b")])
        )
        assert system.restarts_due() == []
        now = anyio.current_time()
        for name in ("a", "b"):
            await system.get(f"top/{name}").tell(Crash())
        await wait_all_tasks_blocked()
        assert system.restarts_due() == [("top/a", now + 3.0)]
        await anyio.sleep(3.0)
        await wait_all_tasks_blocked()
        assert system.restarts_due() == []


class Look(Errand[None], frozen=True):
    """Looks at the system in the turn of a supervisor."""

    look: Callable[[], None]

    async def carry_out(self, actor: Actor) -> None:
        self.look()


async def test_a_restart_that_waits_for_its_turn_is_due_now() -> None:
    diary = Diary()
    seen: list[list[tuple[str, float]]] = []

    async def starts(number: int) -> None:
        if number == 2:
            await system.root.ref.tell(Look(lambda: seen.append(system.restarts_due())))
            raise OSError("not yet")

    async with open_system() as system:
        await system.spawn(diary.child("a", started=starts))
        await system.get("a").tell(Crash())
        await wait_all_tasks_blocked()
        assert seen == [[("a", anyio.current_time())]]


async def test_children_that_have_ended_and_are_still_held_are_listed() -> None:
    diary = Diary()
    async with open_system() as system:
        ref = await system.spawn(diary.child("a"))
        assert system.ended_children() == []
        assert isinstance(ref, Cell)
        state, ref.state = ref.state, ActorState.STOPPED
        assert system.ended_children() == ["a"]
        ref.state = state
        await ref.stop()
        assert system.ended_children() == []
        assert isinstance(await system.spawn(Child("a", diary.child("a").start)), Cell)
