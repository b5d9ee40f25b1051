"""Streams of a service: guarded like any other call, and begun anew only while nothing is out."""

from collections import deque
from collections.abc import AsyncGenerator
from functools import partial

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from relight.runtime import ActorCrashedError, AskTimeoutError, Ref, Stream, StreamRequest, handles
from relight.supervisors import (
    Child,
    CircuitBreakerOpenError,
    FailureKind,
    GuardedActor,
    ProviderError,
    RetriesExhaustedError,
    StreamBrokenError,
    System,
    current_attempt,
    open_system,
)
from relight.supervisors.policies import Breaker, Policy
from tests.supervisors.scripted import PROVIDER, at_rest, policy, statistics
from tests.support.clocks import virtual_time

pytestmark = [pytest.mark.anyio, virtual_time]


class Talk(StreamRequest[str], frozen=True):
    words: int = 3


def full() -> ProviderError:
    return ProviderError(PROVIDER, FailureKind.OVERLOADED, "full", retry_after=7.0)


class Talker(GuardedActor):
    """Says words, a second apart; each attempt breaks where its number in *breaks* says."""

    def __init__(self, breaks: deque[int | None], log: list[str], error: Exception | None = None) -> None:
        self.breaks = breaks
        self.log = log
        self.error = error

    @handles
    async def talk(self, message: Talk) -> AsyncGenerator[str]:
        breaks_at = self.breaks.popleft() if self.breaks else None
        self.log.append("begun")
        try:
            for number in range(message.words):
                await anyio.sleep(1.0)
                if number == breaks_at:
                    raise self.error or ProviderError(
                        PROVIDER, FailureKind.OVERLOADED, "full", retry_after=7.0
                    )
                yield f"{number} of attempt {current_attempt().number}"
        finally:
            self.log.append("over")


async def serve(
    system: System,
    *breaks: int | None,
    log: list[str] | None = None,
    error: Exception | None = None,
    by: Policy | None = None,
) -> Ref:
    talker = partial(Talker, deque(breaks), [] if log is None else log, error)
    return await system.spawn(Child(PROVIDER, talker, policy=by or policy()))


async def read(chunks: Stream[str], seen: list[str]) -> None:
    async for chunk in chunks:
        seen.append(chunk)  # noqa: PERF401 - a comprehension would lose what came before an error


async def test_a_stream_goes_through_the_guard_and_is_counted() -> None:
    async with open_system() as system:
        ref = await serve(system)
        async with ref.stream(Talk()) as chunks:
            assert [chunk async for chunk in chunks] == [f"{n} of attempt 1" for n in range(3)]
        found = await at_rest(system)
        assert found.attempts == 1
        assert [(key.operation, key.outcome) for key in found.calls] == [("Talk", "ok")]


async def test_before_its_first_chunk_it_is_made_again() -> None:
    async with open_system() as system:
        ref = await serve(system, 0)
        async with ref.stream(Talk()) as chunks:
            assert [chunk async for chunk in chunks] == [f"{n} of attempt 2" for n in range(3)]
        assert (await at_rest(system)).attempts == 2


async def test_after_its_first_chunk_it_is_broken_and_not_made_again() -> None:
    async with open_system() as system:
        ref = await serve(system, 2)
        seen: list[str] = []
        async with ref.stream(Talk()) as chunks:
            with pytest.raises(StreamBrokenError, match="overloaded: full") as caught:
                await read(chunks, seen)
        assert seen == ["0 of attempt 1", "1 of attempt 1"]
        assert caught.value.kind is FailureKind.OVERLOADED
        assert caught.value.retry_after == 7.0
        assert isinstance(caught.value.__cause__, ProviderError)
        assert (await at_rest(system)).attempts == 1


async def test_what_the_service_says_of_the_break_is_kept() -> None:
    error = StreamBrokenError(PROVIDER, partial="0 and 1")
    async with open_system() as system:
        ref = await serve(system, 2, error=error)
        async with ref.stream(Talk()) as chunks:
            with pytest.raises(StreamBrokenError) as caught:
                await read(chunks, [])
        assert caught.value is error
        assert caught.value.partial == "0 and 1"
        assert caught.value.retryable is False


async def test_it_gives_up_like_any_other_call() -> None:
    async with open_system() as system:
        ref = await serve(system, 0, 0, 0)
        async with ref.stream(Talk()) as chunks:
            with pytest.raises(RetriesExhaustedError):
                await read(chunks, [])
        assert (await at_rest(system)).attempts == 3


async def test_asked_it_is_made_again_from_anywhere() -> None:
    async with open_system() as system:
        ref = await serve(system, 2)
        assert await ref.ask(Talk()) == [f"{n} of attempt 2" for n in range(3)]


async def test_an_open_breaker_refuses_it_on_entering() -> None:
    async with open_system() as system:
        ref = await serve(system, 0, by=policy(attempts=1, breaker=Breaker(failures=1)))
        async with ref.stream(Talk()) as chunks:
            with pytest.raises(ProviderError):
                await read(chunks, [])
        with pytest.raises(CircuitBreakerOpenError):
            async with ref.stream(Talk()):
                raise AssertionError("entered")
        await at_rest(system)


async def test_a_reader_who_leaves_cancels_the_attempt() -> None:
    log: list[str] = []
    async with open_system() as system:
        ref = await serve(system, log=log)
        async with ref.stream(Talk()) as chunks:
            await anext(chunks)
        await wait_all_tasks_blocked()
        assert log == ["begun", "over"]
        assert anyio.current_time() == 1.0
        found = await at_rest(system)
        assert [key.outcome for key in found.calls] == ["cancelled"]


async def test_the_attempts_timeout_is_for_its_first_chunk() -> None:
    async with open_system() as system:
        ref = await serve(system, by=policy(attempt_timeout=2.5))
        async with ref.stream(Talk(words=10)) as chunks:
            assert len([chunk async for chunk in chunks]) == 10
        slow = await serve_slow(system)
        async with slow.stream(Talk()) as chunks:
            with pytest.raises(RetriesExhaustedError) as caught:
                await read(chunks, [])
        assert caught.value.kind is FailureKind.TIMEOUT


async def serve_slow(system: System) -> Ref:
    class Slow(GuardedActor):
        @handles
        async def talk(self, message: Talk) -> AsyncGenerator[str]:
            await anyio.sleep(60.0)
            yield "late"

    return await system.spawn(Child("slow", Slow, policy=policy(attempt_timeout=2.5)))


async def test_its_deadline_cancels_the_attempt() -> None:
    log: list[str] = []
    async with open_system() as system:
        ref = await serve(system, log=log)
        seen: list[str] = []
        async with ref.stream(Talk(words=10), timeout=3.5) as chunks:
            with pytest.raises(AskTimeoutError):
                await read(chunks, seen)
        assert len(seen) == 3
        await wait_all_tasks_blocked()
        assert log == ["begun", "over"]
        await at_rest(system)


async def test_it_holds_its_slot_to_its_end() -> None:
    async with open_system() as system:
        ref = await serve(system, by=policy(concurrency=1))
        async with ref.stream(Talk(words=40)) as first:
            await anyio.sleep(30.0)
            assert statistics(system).bulkhead.in_flight == 1, "held up by its reader"
            async with ref.stream(Talk(words=1)) as second:
                assert len([chunk async for chunk in first]) == 40
                assert [chunk async for chunk in second] == ["0 of attempt 1"]
        await at_rest(system)


async def test_a_bug_ends_it_after_the_chunks_before() -> None:
    async with open_system() as system:
        ref = await serve(system, 1, error=ValueError("a bug"))
        seen: list[str] = []
        async with ref.stream(Talk()) as chunks:
            with pytest.raises(ActorCrashedError):
                await read(chunks, seen)
        assert seen == ["0 of attempt 1"]
