"""Traces: what one actor handles is read along, and nobody else pays for it."""

import gc
from functools import partial

import anyio
import pytest

from relight import (
    Child,
    Message,
    NoSuchActorError,
    Ref,
    Request,
    Trace,
    TracePhase,
    UnhandledMessageError,
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
    Unknown,
    asking,
    cell_of,
    open_desk,
    settle,
)

pytestmark = pytest.mark.anyio


class Loud(Note, frozen=True):
    """A note that no handler names."""


class Login(Message, frozen=True):
    """Told: with a secret."""

    api_key: str
    text: str = ""


class Odd(Request[object], frozen=True):
    """Asked: the reply has no text."""


class Wordless:
    def __repr__(self) -> str:
        raise ValueError("no text")


class Office(Desk):
    @handles
    async def login(self, message: Login) -> None:
        pass

    @handles
    async def odd(self, message: Odd) -> object:
        return Wordless()


def seen(trace: Trace) -> list[tuple[str, str, str]]:
    return [(str(entry.phase), entry.kind, entry.outcome) for entry in trace.read()]


async def test_a_trace_shows_what_is_received_and_handled_and_how_long_it_took() -> None:
    async with open_desk() as (system, ref, _log):
        with system.trace(ref) as trace:
            await ref.ask(Nap(3), timeout=10)
        first, second = trace.read()
        assert (first.phase, first.kind, first.message) == (TracePhase.RECEIVED, "Nap", "Nap(seconds=3)")
        assert (first.seconds, first.outcome, first.incarnation) == (None, "", 1)
        assert (second.phase, second.outcome) == (TracePhase.HANDLED, "3")
        assert second.seconds == pytest.approx(3)
        assert second.at - first.at == pytest.approx(3)
        assert trace.read() == []


async def test_a_trace_shows_a_crash_and_goes_on_after_it() -> None:
    async with open_desk() as (system, ref, _log):
        with system.trace(ref) as trace:
            await ref.tell(Boom("why"))
            await settle()
            await ref.ask(Echo(1))
        entries = trace.read()
        assert [(entry.phase, entry.incarnation) for entry in entries] == [
            (TracePhase.RECEIVED, 1),
            (TracePhase.CRASHED, 1),
            (TracePhase.RECEIVED, 2),
            (TracePhase.HANDLED, 2),
        ]
        assert entries[1].outcome == "ValueError: why"


async def test_a_trace_shows_a_handler_that_is_cancelled() -> None:
    async with open_desk() as (system, ref, _log), anyio.create_task_group() as group:
        with system.trace(ref) as trace:
            await asking(group, ref, Hold(1))
            system.kill(ref)
            await settle()
        assert [entry.phase for entry in trace.read()] == [TracePhase.RECEIVED, TracePhase.CRASHED]


async def test_a_trace_goes_on_where_a_restart_makes_another_class() -> None:
    class Second(Desk):
        async def echo(self, message: Echo) -> int:
            return 2

    log = Log()
    async with open_system() as system:
        ref = await system.spawn(Child("desk", lambda: (Second if log.made else Desk)(log)))
        with system.trace(ref) as trace:
            await ref.tell(Boom())
            await settle()
            assert await ref.ask(Echo(1)) == 2
        assert seen(trace)[-1] == ("handled", "Echo", "2")
        assert await ref.ask(Echo(1)) == 2


async def test_a_trace_shows_messages_that_a_base_class_has_the_handler_of() -> None:
    async with open_desk() as (system, ref, log):
        with system.trace(ref) as trace:
            await ref.tell(Loud("one"))
            await ref.tell(Loud("two"))
            await settle()
        assert [entry.kind for entry in trace.read()] == ["Loud"] * 4
        assert log == ["one", "two"]


async def test_a_traced_actor_still_has_no_handler_for_what_it_does_not_know() -> None:
    async with open_desk() as (system, ref, _log):
        with system.trace(ref) as trace, pytest.raises(UnhandledMessageError):
            await ref.ask(Unknown())
        assert trace.read() == []


async def test_a_trace_shows_no_secrets_and_is_bounded() -> None:
    async with open_desk(Office) as (system, ref, _log):
        with system.trace(ref) as trace:
            await ref.tell(Login("sk-proj-0123456789abcdef", "x" * 1000))
            await settle()
        entry = trace.read()[0]
        assert entry.message.startswith("Login(api_key='***', text='xxx")
        assert len(entry.message) == 200


async def test_a_text_that_raises_hurts_nobody() -> None:
    async with open_desk(Office) as (system, ref, _log):
        with system.trace(ref) as trace:
            await ref.ask(Odd())
        assert trace.read()[1].outcome == "<no text: its repr raised ValueError>"
        assert ref.statistics().crashed == 0


async def test_a_full_trace_drops_the_oldest_and_counts() -> None:
    async with open_desk() as (system, ref, _log):
        with system.trace(ref, size=3) as trace:
            for number in range(4):
                await ref.ask(Echo(number))
        assert trace.dropped == 5
        assert seen(trace) == [("handled", "Echo", "2"), ("received", "Echo", ""), ("handled", "Echo", "3")]


async def test_a_trace_without_room_is_refused() -> None:
    async with open_desk() as (system, ref, _log):
        with pytest.raises(ValueError, match="size must be at least 1"):
            system.trace(ref, size=0)
        assert cell_of(ref).ties is None


async def test_a_trace_is_iterated_as_it_grows_and_ends_with_its_actor() -> None:
    async with open_desk() as (system, ref, _log), anyio.create_task_group() as group:
        kinds: list[str] = []
        trace = system.trace(ref)

        async def read() -> None:
            kinds.extend([f"{entry.phase} {entry.kind}" async for entry in trace])
            kinds.append("over")

        group.start_soon(read)
        group.start_soon(read)
        await settle()
        await ref.ask(Echo(1))
        await ref.stop()
        await settle()
        assert sorted(kinds) == ["handled Echo", "over", "over", "received Echo"]
        trace.close()
        assert cell_of(ref).ties is None


async def test_a_cancelled_reader_leaves_the_trace_good_for_others() -> None:
    async with open_desk() as (system, ref, _log):
        with system.trace(ref) as trace:
            with anyio.move_on_after(1):
                await anext(trace)
            await ref.ask(Echo(1))
            assert (await anext(trace)).kind == "Echo"


async def test_two_traces_of_one_actor_see_the_same() -> None:
    async with open_desk() as (system, ref, _log):
        with system.trace(ref) as one:
            with system.trace(ref) as two:
                await ref.ask(Echo(1))
            await ref.ask(Echo(2))
        assert (len(one.read()), len(two.read())) == (4, 2)


async def test_a_trace_begins_with_the_next_message_also_in_the_middle_of_a_batch() -> None:
    async with open_desk() as (system, ref, log), anyio.create_task_group() as group:
        await asking(group, ref, Hold(1))
        for number in range(5):
            await ref.tell(Note(number))
        with system.trace(ref) as trace:
            log.open()
            await settle()
            assert len(trace.read()) == 10
            await asking(group, ref, Hold(2))
            await ref.tell(Note())
        trace.read()
        log.open()
        await settle()
        assert [entry.kind for entry in trace.read()] == []


async def test_a_trace_that_is_off_costs_nothing() -> None:
    async with open_desk() as (system, ref, log):
        other = await system.spawn(Child("other", partial(Desk, log)))
        table = cell_of(ref).handlers
        with system.trace(ref):
            assert cell_of(ref).handlers is not table
            assert cell_of(other).handlers is table
            assert cell_of(other).ties is None
        assert cell_of(ref).handlers is table
        assert cell_of(ref).ties is None


async def test_a_trace_keeps_no_message_alive() -> None:
    class Heavy(Message, frozen=True, weakref=True):
        pass

    class Porter(Desk):
        @handles
        async def carry(self, message: Heavy) -> None:
            pass

    async with open_desk(Porter) as (system, ref, _log):
        with system.trace(ref) as trace:
            await ref.tell(Heavy())
            await settle()
            gc.collect()
            assert not [thing for thing in gc.get_objects() if isinstance(thing, Heavy)]
            assert len(trace.read()) == 2


async def test_several_hands_are_traced() -> None:
    async with open_desk(Crowd) as (system, ref, log), anyio.create_task_group() as group:
        with system.trace(ref) as trace:
            for number in range(3):
                await asking(group, ref, Hold(number))
            log.open()
            await settle()
        assert [str(entry.phase) for entry in trace.read()] == ["received"] * 3 + ["handled"] * 3


async def test_a_stopped_actor_is_not_traced() -> None:
    async with open_desk() as (system, ref, _log):
        await ref.stop()
        with pytest.raises(NoSuchActorError):
            system.trace(ref)


async def test_a_trace_outlives_the_links_of_an_incarnation() -> None:
    async with open_desk() as (system, ref, log):
        other: Ref = await system.spawn(Child("other", partial(Desk, log)))
        system.link(ref, other)
        with system.trace(ref) as trace:
            await other.tell(Boom())
            await settle()
            await ref.ask(Echo(1))
        assert seen(trace) == [("received", "Echo", ""), ("handled", "Echo", "1")]
        assert cell_of(ref).ties is None
