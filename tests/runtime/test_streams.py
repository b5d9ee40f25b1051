"""Streams: replies in parts, on plain actors."""

from collections.abc import AsyncGenerator
from functools import partial

import anyio
import pytest

from relight import (
    Actor,
    ActorCrashedError,
    ActorStoppedError,
    AskTimeoutError,
    Child,
    HandlerError,
    MailboxClosedError,
    Pool,
    Request,
    SelfAskError,
    Stream,
    StreamRequest,
    handles,
    open_system,
)
from relight.runtime import KILLED, DeadlineExceededError, cell_of
from relight.testing import Recorder, assert_no_leaks, settle

pytestmark = pytest.mark.anyio

BUFFER = 16


class Count(StreamRequest[int], frozen=True):
    up_to: int
    pause: float = 0.0
    fail_at: int | None = None


class Ping(Request[str], frozen=True):
    pass


class Counter(Actor):
    def __init__(self, log: list[object]) -> None:
        self.log = log

    @handles
    async def count(self, message: Count) -> AsyncGenerator[int]:
        try:
            for number in range(message.up_to):
                if number == message.fail_at:
                    raise RuntimeError("miscounted")
                await anyio.sleep(message.pause)
                self.log.append(number)
                yield number
        finally:
            self.log.append("closed")

    @handles
    async def ping(self, message: Ping) -> str:
        return "pong"


async def read(chunks: Stream[int], seen: list[int]) -> None:
    """Read to the end, whatever that is, and note what came."""
    async for chunk in chunks:
        seen.append(chunk)  # noqa: PERF401 - a comprehension would lose what came before an error


def counter(log: list[object]) -> Child:
    return Child("counter", partial(Counter, log))


async def test_chunks_come_in_order_as_they_are_made() -> None:
    log: list[object] = []
    async with open_system() as system:
        ref = await system.spawn(counter(log))
        began = anyio.current_time()
        seen: list[tuple[int, float]] = []
        async with ref.stream(Count(3, pause=1.0)) as chunks:
            seen.extend([(chunk, anyio.current_time() - began) async for chunk in chunks])
        assert seen == [(0, 1.0), (1, 2.0), (2, 3.0)]
        assert await ref.ask(Ping()) == "pong"
        await assert_no_leaks(system)


async def test_asked_the_reply_is_the_list_of_all_chunks() -> None:
    async with open_system() as system:
        ref = await system.spawn(counter([]))
        assert await ref.ask(Count(40)) == list(range(40))


async def test_told_its_chunks_go_nowhere_and_it_runs_to_its_end() -> None:
    log: list[object] = []
    async with open_system() as system:
        ref = await system.spawn(counter(log))
        async with ref.stream(Count(1)) as chunks:
            assert [chunk async for chunk in chunks] == [0]
        await ref.tell(Count(3))
        await settle()
        assert log == [0, "closed", 0, 1, 2, "closed"]


async def test_a_slow_reader_holds_the_handler_up() -> None:
    log: list[object] = []
    async with open_system() as system:
        ref = await system.spawn(counter(log))
        async with ref.stream(Count(100)) as chunks:
            await settle()
            assert log == list(range(BUFFER))
            assert await anext(chunks) == 0
            await settle()
            assert log == list(range(BUFFER + 1))
            assert [chunk async for chunk in chunks] == list(range(1, 100))


async def test_what_came_before_a_crash_is_delivered_and_then_the_crash() -> None:
    async with open_system() as system:
        ref = await system.spawn(counter([]))
        seen: list[int] = []
        async with ref.stream(Count(9, fail_at=3)) as chunks:
            with pytest.raises(ActorCrashedError, match="Count: RuntimeError"):
                await read(chunks, seen)
            with pytest.raises(StopAsyncIteration):
                await anext(chunks)
        assert seen == [0, 1, 2]
        assert await ref.ask(Ping()) == "pong"


async def test_the_deadline_covers_the_whole_stream() -> None:
    log: list[object] = []
    async with open_system() as system:
        ref = await system.spawn(counter(log))
        seen: list[int] = []
        async with ref.stream(Count(9, pause=1.0), timeout=2.5) as chunks:
            with pytest.raises(AskTimeoutError):
                await read(chunks, seen)
        assert seen == [0, 1]
        await anyio.sleep(1.0)
        assert log == [0, 1, 2, "closed"], "the handler was closed at its next chunk"


async def test_a_handler_held_up_by_a_reader_past_its_deadline_is_let_go() -> None:
    log: list[object] = []
    async with open_system() as system:
        ref = await system.spawn(counter(log))
        async with ref.stream(Count(100), timeout=2.0) as chunks:
            await anyio.sleep(3.0)
            assert log == [*range(BUFFER), "closed"]
            assert await ref.ask(Ping()) == "pong"
            with pytest.raises(AskTimeoutError):
                await read(chunks, [])


async def test_a_reader_who_leaves_ends_the_stream_at_its_next_chunk() -> None:
    log: list[object] = []
    async with open_system() as system:
        ref = await system.spawn(counter(log))
        async with ref.stream(Count(100)) as chunks:
            assert await anext(chunks) == 0
            await settle()
        await settle()
        assert log[-1] == "closed"
        assert "closed" in log[:20]
        assert await ref.ask(Ping()) == "pong"
        await assert_no_leaks(system)


async def test_a_cancelled_wait_ends_the_stream() -> None:
    log: list[object] = []
    async with open_system() as system:
        ref = await system.spawn(counter(log))
        async with ref.stream(Count(9, pause=1.0)) as chunks:
            with anyio.move_on_after(0.5) as scope:
                await anext(chunks)
            assert scope.cancelled_caught
            with pytest.raises(RuntimeError, match="cancelled"):
                await anext(chunks)
        await anyio.sleep(1.0)
        assert log == [0, "closed"]


async def test_a_wait_cancelled_just_as_the_stream_ends_is_cancelled() -> None:
    async with open_system() as system, anyio.create_task_group() as group:
        ref = await system.spawn(counter([]))
        scope = anyio.CancelScope()

        async def wait() -> None:
            with scope:
                async with ref.stream(Count(9, pause=1.0)) as chunks:
                    await anext(chunks)

        group.start_soon(wait)
        await settle()
        scope.cancel()
        cell_of(ref).kill(KILLED)
        await settle()
        assert scope.cancelled_caught


async def test_a_stop_ends_a_stream_that_does_not_end_by_itself() -> None:
    async with open_system() as system:
        ref = await system.spawn(counter([]))
        async with ref.stream(Count(10**9), timeout=60.0) as chunks:
            assert await anext(chunks) == 0
            await ref.stop(timeout=1.0)
            with pytest.raises(ActorStoppedError):
                await read(chunks, [])


async def test_a_stopped_actor_takes_no_stream() -> None:
    async with open_system() as system:
        ref = await system.spawn(counter([]))
        await ref.stop()
        with pytest.raises(MailboxClosedError):
            async with ref.stream(Count(1)):
                raise AssertionError("entered")


async def test_a_stream_waits_for_room_in_the_mailbox() -> None:
    log: list[object] = []

    class Narrow(Counter):
        mailbox = 1

    async with open_system() as system:
        ref = await system.spawn(Child("narrow", partial(Narrow, log)))
        async with (
            ref.stream(Count(1, pause=1.0)) as first,
            ref.stream(Count(1)) as second,
            ref.stream(Count(1)) as third,
        ):
            for chunks in (first, second, third):
                assert [chunk async for chunk in chunks] == [0]


class Chain(Request[int], frozen=True):
    pass


async def test_a_stream_inherits_the_deadline_of_the_request_in_hand() -> None:
    class Reader(Actor):
        @handles
        async def chain(self, message: Chain) -> int:
            async with ref.stream(Count(9, pause=1.0)) as chunks:
                return sum([chunk async for chunk in chunks])

    async with open_system() as system:
        ref = await system.spawn(counter([]))
        reader = await system.spawn(Child("reader", Reader))
        began = anyio.current_time()
        with pytest.raises(AskTimeoutError):
            await reader.ask(Chain(), timeout=2.5)
        assert anyio.current_time() - began == 2.5
        with pytest.raises(DeadlineExceededError):
            async with ref.stream(Count(1), timeout=0.0):
                raise AssertionError("entered")


async def test_an_actor_that_streams_from_itself_is_told_so() -> None:
    class Selfish(Counter):
        @handles
        async def chain(self, message: Chain) -> int:
            with pytest.raises(SelfAskError):
                async with self.ref.stream(Count(1)):
                    raise AssertionError("entered")
            return 1

    async with open_system() as system:
        ref = await system.spawn(Child("selfish", partial(Selfish, [])))
        assert await ref.ask(Chain()) == 1


async def test_a_stream_is_entered_once_and_before_it_is_read() -> None:
    async with open_system() as system:
        ref = await system.spawn(counter([]))
        stream = ref.stream(Count(1))
        with pytest.raises(RuntimeError, match="enter the stream"):
            await anext(stream)
        await stream.__aexit__(None, None, None)
        async with stream:
            with pytest.raises(RuntimeError, match="entered once"):
                await stream.__aenter__()


async def test_isolated_handlers_stream_too() -> None:
    class Apart(Counter):
        isolated = True

    async with open_system() as system:
        ref = await system.spawn(Child("apart", partial(Apart, [])))
        async with ref.stream(Count(20)) as chunks:
            assert [chunk async for chunk in chunks] == list(range(20))


async def test_a_pool_streams_from_one_member() -> None:
    async with open_system() as system:
        pool = await system.spawn(Pool("pool", counter([]), size=2))
        async with pool.stream(Count(3)) as chunks:
            assert [chunk async for chunk in chunks] == [0, 1, 2]


async def test_a_recorder_delivers_a_scripted_list() -> None:
    recorder = Recorder()
    recorder.reply(Count, [1, 2, 3])
    async with recorder.stream(Count(7)) as chunks:
        assert [chunk async for chunk in chunks] == [1, 2, 3]
    assert recorder.messages == [Count(7)]


async def test_a_handler_of_the_wrong_form_is_refused_when_the_class_is_used() -> None:
    class Plain(Actor):
        @handles
        async def count(self, message: Count) -> list[int]:
            return []

    class Yielding(Actor):
        @handles
        async def ping(self, message: Ping) -> AsyncGenerator[str]:
            yield "pong"

    class Wrong(Actor):
        @handles
        async def count(self, message: Count) -> AsyncGenerator[str]:
            yield "one"

    async with open_system() as system:
        for actor, words in (
            (Plain, "Count is a StreamRequest, so its handler is an `async def` with `yield`"),
            (Yielding, "Ping is no StreamRequest, so its handler is an `async def` without `yield`"),
            (Wrong, "Count asks for int, the handler returns str"),
        ):
            with pytest.raises(HandlerError, match=words):
                await system.spawn(Child("x", actor))
