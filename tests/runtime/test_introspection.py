"""Introspection: an actor is looked at, suspended and changed from outside, never behind its messages."""

from collections import deque
from collections.abc import Mapping
from functools import partial

import anyio
import pytest

from relight import (
    SHUTDOWN,
    ActorBusyError,
    ActorCrashedError,
    ActorState,
    AskTimeoutError,
    Child,
    DeadlineExceededError,
    Exited,
    MailboxClosedError,
    NoSuchActorError,
    NotRunningError,
    RelightError,
    Supervisor,
    handles,
    open_system,
)
from tests.runtime.desk import (
    Boom,
    Crowd,
    Desk,
    Echo,
    Hold,
    Log,
    Nap,
    Note,
    asking,
    cell_of,
    open_desk,
    settle,
)

pytestmark = pytest.mark.anyio


class Loaded(Desk):
    """A desk that holds a bit of everything."""

    def __init__(self, log: Log) -> None:
        super().__init__(log)
        self.api_key = "sk-proj-0123456789abcdef"
        self.text = "token=abcdefgh and " + "x " * 5_000
        self.many = list(range(1_000))
        self.table = {str(number): number for number in range(1_000)}
        self.deep = [[[[[["too deep"]]]]]]
        self.queue = deque([b"bytes"])
        self.flags = (True, None, 1.5)
        self.odd = Odd()
        del self.log


class Odd:
    """Something whose text is an error."""

    def __repr__(self) -> str:
        raise ValueError("no text")


# --- state ---------------------------------------------------------------------------------------------


async def test_the_state_is_the_attributes() -> None:
    async with open_desk() as (system, ref, log):
        log.append("entry")
        assert system.state(ref) == {"log": ["entry"], "number": 1}


async def test_the_state_shows_no_secrets_and_is_bounded() -> None:
    async with open_desk(Loaded) as (system, ref, _log):
        state = system.state(ref)
        assert state["api_key"] == "***"
        assert str(state["text"]).startswith("token=*** and x x x")
        assert len(str(state["text"])) <= 2048
        assert state["many"] == [*range(100), "... 1000 entries"]
        table = state["table"]
        assert isinstance(table, dict)
        assert (len(table), table["..."]) == (101, "1000 entries")  # pyright: ignore[reportUnknownArgumentType]
        assert state["deep"] == [[[["<list of 1>"]]]]
        assert (state["queue"], state["flags"]) == (["bytes"], [True, None, 1.5])
        assert state["odd"] == "<no text: its repr raised ValueError>"


async def test_an_actor_describes_itself() -> None:
    class Discreet(Desk):
        def describe(self) -> Mapping[str, object]:
            return {"entries": len(self.log), "password": "hunter2"}

    async with open_desk(Discreet) as (system, ref, _log):
        assert system.state(ref) == {"entries": 0, "password": "***"}


async def test_a_description_that_raises_is_contained() -> None:
    class Broken(Desk):
        def describe(self) -> Mapping[str, object]:
            raise ValueError("token=abcdefgh")

    async with open_desk(Broken) as (system, ref, _log):
        assert system.state(ref) == {"describe_failed": "ValueError: token=***"}
        assert await ref.ask(Echo(1)) == 1


async def test_the_state_is_seen_in_the_middle_of_a_handler() -> None:
    async with open_desk() as (system, ref, log), anyio.create_task_group() as group:
        await asking(group, ref, Hold(1))
        assert system.state(ref)["log"] == [["holds", 1]]
        log.open()


async def test_a_stopped_actor_has_no_state() -> None:
    async with open_desk() as (system, ref, _log):
        await ref.stop()
        with pytest.raises(NoSuchActorError):
            system.state(ref)


async def test_a_supervisor_is_looked_at_as_any_actor() -> None:
    async with open_system() as system:
        tree = await system.spawn(Supervisor("tree", children=[Child("leaf", partial(Desk, Log()))]))
        assert "leaf" in str(system.state(tree.ref)["children"])


# --- suspend and resume ----------------------------------------------------------------------------------


async def test_messages_of_a_suspended_actor_queue_until_it_is_resumed() -> None:
    async with open_desk() as (system, ref, log):
        system.suspend(ref)
        system.suspend(ref)
        for number in range(3):
            await ref.tell(Note(number))
        await anyio.sleep(60)
        assert (log, ref.statistics().state, ref.statistics().queued) == ([], ActorState.SUSPENDED, 3)
        system.resume(ref)
        await settle()
        assert log == [0, 1, 2]
        system.resume(ref)  # it is not suspended: no error
        assert ref.statistics().state is ActorState.RUNNING


async def test_what_a_suspended_actor_has_in_hand_goes_on() -> None:
    async with open_desk() as (system, ref, log), anyio.create_task_group() as group:
        held = await asking(group, ref, Hold(1))
        queued = await asking(group, ref, Echo(2))
        system.suspend(ref)
        log.open()
        await settle()
        assert (held.value, queued.is_in) == (1, False)
        system.resume(ref)
        await settle()
        assert queued.value == 2


async def test_deadlines_hold_while_an_actor_is_suspended() -> None:
    async with open_desk() as (system, ref, _log), anyio.create_task_group() as group:
        in_hand = await asking(group, ref, Nap(20), timeout=5)
        queued = await asking(group, ref, Echo(2), timeout=5)
        system.suspend(ref)
        await anyio.sleep(6)
        assert isinstance(in_hand.error, AskTimeoutError)
        assert isinstance(queued.error, DeadlineExceededError)
        await anyio.sleep(20)
        system.resume(ref)
        await settle()
        assert ref.statistics().abandoned == 1


async def test_a_suspended_actor_can_be_stopped() -> None:
    async with open_desk() as (system, ref, _log):
        system.suspend(ref)
        await ref.tell(Note("queued"))
        await ref.stop()
        assert ref.statistics().state is ActorState.STOPPED
        assert [letter.reason for letter in system.dead_letters.read()] == ["stopped"]


@pytest.mark.parametrize("kind", [Desk, Crowd])
async def test_the_crash_of_what_a_suspended_actor_has_in_hand_ends_it(kind: type[Desk]) -> None:
    class Late(kind):  # type: ignore[valid-type, misc]
        async def boom(self, message: Boom) -> int:
            await self.log.gate.wait()
            raise ValueError("late")

    async with open_desk(Late) as (system, ref, log), anyio.create_task_group() as group:
        answer = await asking(group, ref, Boom())
        await asking(group, ref, Note("queued"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        system.suspend(ref)
        log.open()
        await settle()
        assert isinstance(answer.error, ActorCrashedError)
        assert (log, log.made) == (["queued"], 2)
        assert ref.statistics().state is ActorState.RUNNING
        assert ref.statistics().in_hand == 0


async def test_a_suspended_supervisor_decides_nothing() -> None:
    log = Log()
    async with open_system() as system, anyio.create_task_group() as group:
        tree = await system.spawn(Supervisor("tree", children=[Child("leaf", partial(Desk, log))]))
        leaf = system.get("tree/leaf")
        system.suspend(tree.ref)
        await leaf.tell(Boom())
        group.start_soon(tree.start_child, Child("next", partial(Desk, log)))
        await anyio.sleep(60)
        assert log.made == 1
        assert system.find("tree/next") is None
        system.resume(tree.ref)
        await settle()
        assert await leaf.ask(Echo(1)) == 1
        assert await system.get("tree/next").ask(Echo(2)) == 2


async def test_a_suspended_supervisor_can_be_stopped() -> None:
    log = Log()
    async with open_system() as system:
        tree = await system.spawn(Supervisor("tree", children=[Child("leaf", partial(Desk, log))]))
        system.suspend(tree.ref)
        await tree.stop()
        assert system.find("tree/leaf") is None


async def test_only_an_actor_that_runs_is_suspended() -> None:
    async with open_desk() as (system, ref, _log):
        await ref.stop()
        with pytest.raises(NotRunningError, match="desk: it is stopped, not running") as caught:
            system.suspend(ref)
        assert (caught.value.ref, caught.value.state) == (ref, ActorState.STOPPED)
        system.resume(ref)


# --- replace_state -----------------------------------------------------------------------------------------


def doubled(state: dict[str, object]) -> dict[str, object]:
    assert isinstance(state["number"], int)
    return {**state, "number": state["number"] * 2}


@pytest.mark.parametrize("is_suspended", [False, True])
async def test_the_state_of_an_idle_actor_is_replaced_at_once(is_suspended: bool) -> None:
    async with open_desk() as (system, ref, _log):
        if is_suspended:
            system.suspend(ref)
        state = await system.replace_state(ref, doubled)
        assert state["number"] == system.state(ref)["number"] == 2
        assert (ref.statistics().state is ActorState.SUSPENDED) == is_suspended
        system.resume(ref)
        assert await ref.ask(Echo(1)) == 1
        assert cell_of(ref).ties is None


@pytest.mark.parametrize("kind", [Desk, Crowd])
async def test_the_state_is_replaced_between_two_messages(kind: type[Desk]) -> None:
    class Teller(kind):  # type: ignore[valid-type, misc]
        async def echo(self, message: Echo) -> int:
            return self.number  # type: ignore[no-any-return]

    async with open_desk(Teller) as (system, ref, log), anyio.create_task_group() as group:
        for number in range(kind.concurrency):
            await asking(group, ref, Hold(number))
        before = await asking(group, ref, Echo()) if kind.concurrency == 1 else None
        done: list[object] = []

        async def replace() -> None:
            done.append((await system.replace_state(ref, doubled))["number"])

        group.start_soon(replace)
        group.start_soon(replace)
        await settle()
        after = await asking(group, ref, Echo())
        assert done == []
        log.open()
        await settle()
        assert done == [2, 4]
        assert after.value == 4
        assert before is None or before.value == 4  # it was queued, and no message goes before control
        assert cell_of(ref).ties is None


async def test_a_change_that_raises_changes_nothing() -> None:
    def fail(state: dict[str, object]) -> dict[str, object]:
        state["number"] = 99
        raise ValueError("no")

    async with open_desk() as (system, ref, _log):
        with pytest.raises(ValueError, match="no"):
            await system.replace_state(ref, fail)
        assert system.state(ref)["number"] == 1
        assert await ref.ask(Echo(1)) == 1


async def test_a_change_gives_up_when_the_actor_stays_busy() -> None:
    async with open_desk() as (system, ref, log), anyio.create_task_group() as group:
        held = await asking(group, ref, Hold(1))
        queued = await asking(group, ref, Echo(2))
        with pytest.raises(ActorBusyError, match="desk: still busy with a message after 3 s") as caught:
            await system.replace_state(ref, doubled, timeout=3)
        assert (caught.value.ref, caught.value.timeout) == (ref, 3)
        log.open()
        await settle()
        assert (held.value, queued.value) == (1, 2)
        assert system.state(ref)["number"] == 1


async def test_messages_go_on_where_a_change_gives_up_on_one_of_several_hands() -> None:
    async with open_desk(Crowd) as (system, ref, log), anyio.create_task_group() as group:
        await asking(group, ref, Hold(1))
        with pytest.raises(ActorBusyError):
            await system.replace_state(ref, doubled, timeout=3)
        assert await ref.ask(Echo(2)) == 2
        log.open()


async def test_a_change_fails_with_the_incarnation_it_was_for() -> None:
    async with open_desk() as (system, ref, _log), anyio.create_task_group() as group:
        await asking(group, ref, Hold(1))
        raised: list[Exception] = []

        async def replace() -> None:
            try:
                await system.replace_state(ref, doubled)
            except NotRunningError as error:
                raised.append(error)

        group.start_soon(replace)
        await settle()
        system.kill(ref)
        await settle()
        assert len(raised) == 1
        assert system.state(ref)["number"] == 2  # the second incarnation, not the doubled one


async def test_a_change_goes_before_signals_that_wait() -> None:
    class Trapper(Desk):
        traps_exits = True

        @handles
        async def exited(self, message: Exited) -> None:
            self.log.append(self.number)

    async with open_desk(Trapper) as (system, ref, log), anyio.create_task_group() as group:
        system.exit(ref, SHUTDOWN)  # a worker is on its way to it
        await system.replace_state(ref, doubled)
        await asking(group, ref, Hold(1))
        system.exit(ref, SHUTDOWN)
        group.start_soon(system.replace_state, ref, doubled)
        await settle()
        log.open()
        await settle()
        assert log == [2, ("holds", 1), ("held", 1), 4]
        assert cell_of(ref).ties is None


async def test_no_signal_is_begun_while_a_change_waits() -> None:
    class Trapper(Crowd):
        traps_exits = True

        @handles
        async def exited(self, message: Exited) -> None:
            self.log.append(self.number)

    async with open_desk(Trapper) as (system, ref, log), anyio.create_task_group() as group:
        await asking(group, ref, Hold(1))
        system.exit(ref, SHUTDOWN)  # a worker is on its way to it, and a permit is free
        with pytest.raises(ActorBusyError):
            await system.replace_state(ref, doubled, timeout=1)
        assert log == [("holds", 1)]
        await settle()
        assert log == [("holds", 1), 1]
        log.open()


async def test_an_actor_cannot_wait_for_its_own_end() -> None:
    class Selfish(Desk):
        async def echo(self, message: Echo) -> int:
            await system.replace_state(self.ref, doubled)
            return 1

    async with open_desk(Selfish) as (system, ref, _log):
        with pytest.raises(ActorCrashedError) as caught:
            await ref.ask(Echo())
        assert isinstance(caught.value.__cause__, RelightError)
        assert "called by the actor itself" in str(caught.value.__cause__)


async def test_the_state_of_a_stopped_actor_is_not_replaced() -> None:
    async with open_desk() as (system, ref, _log):
        await ref.stop()
        with pytest.raises(NotRunningError):
            await system.replace_state(ref, doubled)
        with pytest.raises(MailboxClosedError):
            await ref.ask(Echo(1))
