"""What ``gen_server`` promises of calls, starts and ends (Q1 to Q10)."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import msgspec
import pytest

from relight.runtime import (
    Actor,
    ActorCrashedError,
    ActorStoppedError,
    AskTimeoutError,
    ExitKind,
    MailboxClosedError,
    Request,
    SelfAskError,
    StartError,
    handles,
)
from relight.supervisors import (
    Child,
    open_system,
)
from tests.runtime.desk import asking, cell_of, settle
from tests.supervisors.conformance.trees import crash, leave_by, open_tree
from tests.supervisors.recorded import (
    BoomError,
    Crash,
    Diary,
    Die,
    Finish,
    Leave,
    Nap,
    Note,
    Who,
    hanging,
    ignoring,
)

pytestmark = pytest.mark.anyio


async def test_q5_a_start_that_takes_too_long_is_an_error() -> None:
    diary = Diary()
    async with open_system() as system:
        with pytest.raises(StartError, match="longer than 2 s"):
            await system.spawn(diary.child("a", started=hanging(1), start_timeout=2.0))
        assert anyio.current_time() == pytest.approx(2.0)
        assert system.actors() == []


async def test_q1_a_call_to_a_dead_actor_fails_at_once() -> None:
    diary = Diary()
    async with open_system() as system:
        ref = await system.spawn(diary.child("a"))
        await ref.stop()
        message = Who()
        with pytest.raises(MailboxClosedError) as caught:
            await ref.ask(message)
        assert caught.value.message is message
        with pytest.raises(MailboxClosedError):
            await ref.tell(Note())
        assert anyio.current_time() == 0.0


async def test_q2_who_calls_an_actor_that_is_killed_in_mid_call_gets_the_reason_at_once() -> None:
    diary = Diary()
    async with open_system() as system:
        ref = await system.spawn(diary.child("a"))
        async with anyio.create_task_group() as group:
            answer = await asking(group, ref, Nap(1000.0))
            cell_of(ref).kill()
        assert isinstance(answer.error, ActorStoppedError)
        assert answer.error.reason.kind is ExitKind.KILLED
        assert answer.at == 0.0


async def test_q2_who_calls_an_actor_whose_lifespan_breaks_gets_the_reason_at_once() -> None:
    broken = anyio.Event()

    class Client(Actor):
        @asynccontextmanager
        async def lifespan(self) -> AsyncGenerator[None]:
            async with anyio.create_task_group() as group:
                group.start_soon(self.connection)
                yield

        async def connection(self) -> None:
            await broken.wait()
            raise BoomError

        @handles
        async def nap(self, message: Nap) -> str:
            await anyio.sleep(message.seconds)
            return ""

    async with open_system() as system:
        ref = await system.spawn(Child("client", Client, restart="temporary"))
        async with anyio.create_task_group() as group:
            answer = await asking(group, ref, Nap(1000.0))
            broken.set()
        assert isinstance(answer.error, ActorCrashedError)
        assert isinstance(answer.error.__cause__, BoomError)
        assert answer.at == 0.0


async def test_q3_a_timed_out_ask_leaves_the_actor_alive_and_its_late_reply_arrives_nowhere() -> None:
    diary = Diary()
    async with open_system() as system:
        ref = await system.spawn(diary.child("a"))
        with pytest.raises(AskTimeoutError):
            await ref.ask(Nap(3.0), timeout=1.0)
        assert await ref.ask(Who()) == 1
        statistics = ref.statistics()
        assert (statistics.late_replies, statistics.handled, statistics.crashed) == (1, 2, 0)
        assert system.dead_letters.read() == []


async def test_q4_an_actor_that_asks_itself_gets_an_error() -> None:
    class Narcissus(Actor):
        @handles
        async def nap(self, message: Nap) -> str:
            return await self.ref.ask(message)

        @handles
        async def who(self, message: Who) -> int:
            return 1

    async with open_system() as system:
        ref = await system.spawn(Child("n", Narcissus, restart="permanent"))
        with pytest.raises(ActorCrashedError) as caught:
            await ref.ask(Nap(1.0), timeout=1000.0)
        assert isinstance(caught.value.__cause__, SelfAskError)
        assert anyio.current_time() == 0.0
        assert await ref.ask(Who()) == 1


@pytest.mark.parametrize("hook", ["factory", "started", "lifespan", "timeout"])
async def test_q6_a_name_is_never_left_registered_after_a_failed_start(hook: str) -> None:
    class Stillborn(Actor):
        def __init__(self) -> None:
            if hook == "factory":
                raise BoomError

        async def started(self) -> None:
            if hook == "started":
                raise BoomError
            if hook == "timeout":
                await anyio.sleep_forever()

        @asynccontextmanager
        async def lifespan(self) -> AsyncGenerator[None]:
            if hook == "lifespan":
                raise BoomError
            yield

    diary = Diary()
    async with open_system() as system:
        with pytest.raises(StartError):
            await system.spawn(Child("a", Stillborn, name="alias", start_timeout=1.0))
        assert system.find("a") is None
        assert system.find("alias") is None
        ref = await system.spawn(msgspec.structs.replace(diary.child("a"), name="alias"))
        assert system.get("alias") is ref


async def test_q6_the_name_of_an_ignored_start_is_free_again() -> None:
    diary = Diary()
    async with open_system() as system:
        await system.spawn(msgspec.structs.replace(diary.child("a", started=ignoring(1)), name="alias"))
        assert system.find("alias") is None
        await system.spawn(msgspec.structs.replace(diary.child("b"), name="alias"))


@pytest.mark.parametrize(
    ("message", "reported"),
    [
        (Finish(), []),
        (Leave(), []),
        (Die(), [("a", "Die", "Exit")]),
        (Crash(), [("a", "Crash", "BoomError")]),
    ],
)
async def test_q7_an_end_in_order_is_no_crash_and_any_other_is_reported_with_its_last_message(
    message: Request[None], reported: list[object]
) -> None:
    diary = Diary()
    async with open_system() as system:
        ref = await system.spawn(diary.child("a", "temporary"))
        reports: list[tuple[object, object, object]] = []
        system.events.listen(
            lambda event, fields: (
                reports.append((fields["actor_path"], fields["message"], fields["error_type"]))
                if event == "actor.crashed"
                else None
            )
        )
        await leave_by(ref, message)
        assert reports == reported


@pytest.mark.slow
async def test_q10_a_backlog_of_half_a_million_slows_an_ask_no_more_than_ten_times() -> None:
    """A process of Erlang looks through its whole mailbox for the reply to its call; an actor does not."""

    class Caller(Actor):
        mailbox = 1_000_000

        async def seconds(self) -> float:
            began = time.perf_counter()
            for _ in range(200):
                await answerer.ask(Who())
            return time.perf_counter() - began

        @handles
        async def compare(self, message: Nap) -> str:
            alone = min([await self.seconds() for _ in range(5)])
            note = Note()
            for _ in range(500_000):
                self.ref.tell_nowait(note)
            return str(min([await self.seconds() for _ in range(5)]) / alone)

        @handles
        async def note(self, message: Note) -> None:
            pass

    async with open_system() as system:
        answerer = await system.spawn(Diary().child("answerer"))
        caller = await system.spawn(Child("caller", Caller))
        assert float(await caller.ask(Nap(0.0), timeout=1000.0)) < 10.0
        assert caller.statistics().accepted == 500_001


class Book(Actor):
    """Holds a number that can be looked at and changed from outside."""

    def __init__(self) -> None:
        self.number = 1
        self.api_key = "sk-very-secret-0123456789abcdef"

    @handles
    async def who(self, message: Who) -> int:
        return self.number


async def test_q8_the_state_is_read_and_replaced_from_outside() -> None:
    async with open_system() as system:
        ref = await system.spawn(Child("book", Book))
        assert system.state(ref)["number"] == 1
        assert "very-secret" not in str(system.state(ref))
        await system.replace_state(ref, lambda state: {**state, "number": 7})
        assert await ref.ask(Who()) == 7


async def test_q8_an_actor_is_suspended_and_resumed_from_outside() -> None:
    async with open_system() as system:
        ref = await system.spawn(Child("book", Book))
        system.suspend(ref)
        async with anyio.create_task_group() as group:
            answer = await asking(group, ref, Who())
            assert not answer.is_in
            assert ref.statistics().state == "suspended"
            system.resume(ref)
        assert answer.value == 1


async def test_q8_a_suspended_supervisor_decides_nothing_until_it_is_resumed() -> None:
    diary = Diary()
    async with open_tree(diary.child("a"), diary=diary) as (system, tree):
        system.suspend(tree.ref)
        await crash(system.get("tree/a"))
        assert diary.take() == ["stop a boom"]
        system.resume(tree.ref)
        await settle()
        assert diary.take() == ["start a"]


async def test_q9_a_crashing_state_formatter_is_contained() -> None:
    class Shy(Book):
        def describe(self) -> dict[str, object]:
            raise BoomError("no")

    class Odd(Book):
        def __init__(self) -> None:
            self.number = 3
            self.odd = Nameless()

    class Nameless:
        def __repr__(self) -> str:
            raise BoomError("no text")

    async with open_system() as system:
        shy = await system.spawn(Child("shy", Shy))
        assert system.state(shy) == {"describe_failed": "BoomError: no"}
        odd = await system.spawn(Child("odd", Odd))
        assert system.state(odd)["number"] == 3
        for ref, number in ((shy, 1), (odd, 3)):
            assert await ref.ask(Who()) == number
            assert ref.statistics().crashed == 0
