"""A ref of several providers: who is asked, in what time, and what is left of it."""

from collections.abc import AsyncGenerator
from functools import partial
from typing import Self, TypeVar, cast

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relight.runtime import (
    Actor,
    AskTimeoutError,
    MailboxClosedError,
    Message,
    Ref,
    RelightError,
    Request,
    Stream,
    StreamRequest,
    UnhandledMessageError,
    handles,
)
from relight.supervisors import (
    Adaptation,
    Child,
    FailureKind,
    FallbackRef,
    GuardedActor,
    ProviderError,
    RetriesExhaustedError,
    System,
    open_system,
)
from relight.supervisors.policies import Breaker, Fallback, Fixed, Policy, Retry
from relight.testing import (
    Delay,
    Fail,
    FlakyScript,
    FlakyService,
    Hang,
    Ok,
    Outcome,
    Recorder,
    assert_no_leaks,
    capture_events,
    run_virtual,
)
from tests.support.clocks import virtual_time

pytestmark = [pytest.mark.anyio, virtual_time]


ChunkT = TypeVar("ChunkT")


class Ask(Request[str], frozen=True):
    text: str = "hi"


class OtherAsk(Request[int], frozen=True):
    number: int


class Note(Message, frozen=True):
    pass


class Talk(StreamRequest[str], frozen=True):
    pass


class Talker(GuardedActor):
    """Streams letters; a ``!`` is an error, a ``_`` never comes."""

    policy = Policy(retry=Retry(attempts=1))

    def __init__(self, letters: str) -> None:
        self.letters = letters

    @handles
    async def talk(self, message: Talk) -> AsyncGenerator[str]:
        for letter in self.letters:
            if letter == "!":
                raise ProviderError("talker", FailureKind.SERVER, "cut off")
            if letter == "_":
                await anyio.sleep_forever()
            yield letter


ONCE = Policy(retry=Retry(attempts=1), breaker=None)
SERVER = Fail(FailureKind.SERVER, "boom")


async def provider(
    system: System, name: str, *outcomes: Outcome, then: Outcome | None = None, policy: Policy = ONCE
) -> tuple[Ref, FlakyScript[FlakyService]]:
    script = FlakyService.script(outcomes, then=then or Ok(name), provider=name)
    return await system.spawn(Child(name, script, policy=policy)), script


async def test_the_next_provider_is_asked_when_the_first_gives_up() -> None:
    policy = Policy(retry=Retry(attempts=2, backoff=Fixed(1.0)))
    async with open_system() as system:
        one, script = await provider(system, "one", SERVER, SERVER, policy=policy)
        two, _ = await provider(system, "two")
        chat = FallbackRef(one, two)
        with capture_events(system) as events:
            assert await chat.ask(Ask()) == "two"
            assert await chat.ask(Ask()) == "one"
        assert len(script.attempts) == 3
        (used,) = events.named("fallback.used")
        assert used.fields == {"provider": "one", "to": "two", "operation": "Ask", "reason": "server"}
        counted = chat.fallback_statistics()
        assert (counted.calls, counted.switches) == (2, {("one", "two", "server"): 1})
        (guard,) = [each for each in system.services() if each.provider == "one"]
        assert guard.fallbacks == {("two", "server"): 1}
        await assert_no_leaks(system)


async def test_a_provider_that_refuses_is_passed_over_at_once() -> None:
    broken = Policy(retry=Retry(attempts=1), breaker=Breaker(failures=1))
    async with open_system() as system:
        one, script = await provider(system, "one", SERVER, policy=broken)
        two, _ = await provider(system, "two")
        chat = FallbackRef(one, two)
        assert [await chat.ask(Ask()) for _ in range(3)] == ["two"] * 3
        assert len(script.attempts) == 1
        assert chat.fallback_statistics().switches["one", "two", "CircuitBreakerOpenError"] == 2


async def test_what_is_wrong_with_the_request_is_nobody_else_s_business() -> None:
    async with open_system() as system:
        one, _ = await provider(system, "one", Fail(FailureKind.BAD_REQUEST, "no such field"))
        two, script = await provider(system, "two")
        with pytest.raises(ProviderError, match="no such field") as caught:
            await FallbackRef(one, two).ask(Ask())
        assert script.attempts == []
        assert not hasattr(caught.value, "__notes__")


async def test_the_last_error_is_raised_and_tells_of_those_before() -> None:
    async with open_system() as system:
        one, _ = await provider(system, "one", Fail(FailureKind.QUOTA, "token=abcdef"))
        two, _ = await provider(system, "two", SERVER)
        three, _ = await provider(system, "three", Fail(FailureKind.OVERLOADED))
        with pytest.raises(ProviderError, match="three: overloaded") as caught:
            await FallbackRef(one, two, three).ask(Ask())
        assert caught.value.__notes__ == [
            "before it, one: ProviderError: one: quota: token=***",
            "before it, two: ProviderError: two: server: boom",
        ]
        assert "two: server" in str(caught.value.__cause__)


async def test_an_error_keeps_its_own_cause() -> None:
    twice = Policy(retry=Retry(attempts=2, backoff=Fixed(0.0)))
    async with open_system() as system:
        one, _ = await provider(system, "one", SERVER)
        two, _ = await provider(system, "two", then=Fail(FailureKind.TIMEOUT), policy=twice)
        with pytest.raises(RetriesExhaustedError) as caught:
            await FallbackRef(one, two).ask(Ask())
        assert "two: timeout" in str(caught.value.__cause__)
        assert len(caught.value.__notes__) == 1


async def test_the_second_gets_what_is_left_of_the_time() -> None:
    async with open_system() as system:
        one, _ = await provider(system, "one", Delay(7.0, SERVER))
        two, _ = await provider(system, "two", Hang())
        began = anyio.current_time()
        with pytest.raises(AskTimeoutError, match="within 3 s"):
            await FallbackRef(one, two).ask(Ask(), timeout=10.0)
        assert anyio.current_time() - began == 10.0
        await assert_no_leaks(system)


async def test_a_first_one_that_hangs_takes_all_the_time_unless_patience_ends() -> None:
    async with open_system() as system:
        one, script = await provider(system, "one", then=Hang())
        two, _ = await provider(system, "two")
        with pytest.raises(AskTimeoutError):
            await FallbackRef(one, two).ask(Ask(), timeout=10.0)
        began = anyio.current_time()
        assert await FallbackRef(one, two, policy=Fallback(patience=4.0)).ask(Ask(), timeout=10.0) == "two"
        assert anyio.current_time() - began == 4.0
        await anyio.wait_all_tasks_blocked()
        assert [seen.outcome for seen in script.attempts] == ["cancelled", "cancelled"]


async def test_without_a_timeout_the_policy_s_is_used() -> None:
    async with open_system() as system:
        one, _ = await provider(system, "one", then=Hang(), policy=Policy(attempt_timeout=1000.0))
        began = anyio.current_time()
        with pytest.raises(AskTimeoutError):
            await FallbackRef(one, policy=Fallback(call_timeout=50.0)).ask(Ask())
        assert anyio.current_time() - began == 50.0


class Broker(Actor):
    """Passes on what it is asked, and says what came of it."""

    def __init__(self, chat: Ref) -> None:
        self.chat = chat

    @handles
    async def pass_on(self, message: Ask) -> str:
        try:
            return await self.chat.ask(message)
        except ProviderError as error:
            return str(error)


async def test_the_deadline_of_the_request_in_hand_is_shared_too() -> None:
    async with open_system() as system:
        one, _ = await provider(system, "one", Delay(2.0, SERVER))
        two, script = await provider(system, "two", Hang())
        broker = await system.spawn(Child("broker", lambda: Broker(FallbackRef(one, two))))
        began = anyio.current_time()
        with pytest.raises(AskTimeoutError):
            await broker.ask(Ask(), timeout=3.0)
        assert script.attempts[0].attempt.deadline == began + 3.0


async def test_with_too_little_of_it_left_the_next_one_is_not_asked() -> None:
    async with open_system() as system:
        one, _ = await provider(system, "one", Delay(2.95, SERVER))
        two, script = await provider(system, "two")
        broker = await system.spawn(Child("broker", lambda: Broker(FallbackRef(one, two))))
        assert await broker.ask(Ask(), timeout=3.0) == "one: server: boom"
        assert script.attempts == []


async def test_a_caller_who_leaves_ends_it() -> None:
    async with open_system() as system:
        one, first = await provider(system, "one", Hang())
        two, second = await provider(system, "two")
        with anyio.move_on_after(5.0):
            await FallbackRef(one, two).ask(Ask())
        await anyio.wait_all_tasks_blocked()
        assert [seen.outcome for seen in first.attempts] == ["cancelled"]
        assert second.attempts == []
        await assert_no_leaks(system)


async def test_a_request_is_adapted_and_its_reply_too() -> None:
    translation = Adaptation(Ask, lambda ask: OtherAsk(len(ask.text)), lambda reply: f"{reply + 1}")
    unused = Adaptation(OtherAsk, lambda ask: Ask(str(ask.number)), len)
    async with open_system() as system:
        one, _ = await provider(system, "one", then=SERVER)
        two, script = await provider(system, "two", then=Ok(41))
        assert await FallbackRef(one, two, adapt={two: translation}).ask(Ask("four")) == "42"
        assert await FallbackRef(one, two, adapt={two: [unused, translation]}).ask(Ask("four")) == "42"
        assert [seen.message for seen in script.attempts] == [OtherAsk(4), OtherAsk(4)]


async def test_adaptations_have_to_be_some_for_one_of_its_providers() -> None:
    one, two = Recorder("one"), Recorder("two")
    with pytest.raises(ValueError, match="names two, which is none of its providers"):
        FallbackRef(one, adapt={two: ()})
    with pytest.raises(TypeError, match="must hold Adaptations, got 3"):
        FallbackRef(one, adapt={one: 3})


async def test_stopped_providers_are_passed_over_by_asks_and_tells() -> None:
    one, two = Recorder("one"), Recorder("two")
    two.reply(Ask, "two")
    chat = FallbackRef(one, two, adapt={two: Adaptation(OtherAsk, lambda ask: Ask(str(ask.number)), len)})
    one.close()
    assert await chat.ask(Ask()) == "two"
    await chat.tell(Note())
    chat.tell_nowait(OtherAsk(5))
    assert two.messages == [Ask(), Note(), Ask("5")]
    assert chat.is_alive
    two.close()
    assert not chat.is_alive
    with pytest.raises(MailboxClosedError):
        await chat.tell(Note())
    with pytest.raises(MailboxClosedError):
        chat.tell_nowait(Note())


async def test_what_is_told_goes_to_the_first() -> None:
    one, two = Recorder("one"), Recorder("two")
    chat = FallbackRef(one, two)
    await chat.tell(Note())
    chat.tell_nowait(Note())
    assert (one.messages, two.messages) == ([Note(), Note()], [])


async def test_it_stands_for_its_first_provider() -> None:
    one, two = Recorder("one", info=7), Recorder("two")
    chat = FallbackRef(one, two)
    assert (chat.path, chat.info, chat.principal) == ("one", 7, one)
    assert repr(chat) == "<FallbackRef one, then two>"
    await one.tell(Note())
    await two.tell(Note())
    assert chat.statistics().accepted == 2
    with pytest.raises(RelightError, match="owns no actor: stop its providers"):
        await chat.stop()
    assert one.is_alive


async def test_a_fallback_may_be_part_of_another() -> None:
    async with open_system() as system:
        one, _ = await provider(system, "one", SERVER)
        two, _ = await provider(system, "two", SERVER)
        three, _ = await provider(system, "three")
        assert await FallbackRef(FallbackRef(one, two), three).ask(Ask()) == "three"


async def talkers(system: System, *letters: str) -> list[Ref]:
    return [
        await system.spawn(Child(f"t{place}", partial(Talker, each))) for place, each in enumerate(letters)
    ]


async def read(chat: Ref, heard: list[str]) -> None:
    async with chat.stream(Talk(), timeout=10.0) as letters:
        async for letter in letters:
            heard.append(letter)  # noqa: PERF401 - to be looked at also when it breaks


@pytest.mark.parametrize("letters", [("!", "abc"), ("abc", "!"), ("!", "!", "abc")])
async def test_a_stream_is_begun_anew_until_its_first_chunk_has_come(letters: tuple[str, ...]) -> None:
    heard: list[str] = []
    async with open_system() as system:
        await read(FallbackRef(*await talkers(system, *letters)), heard)
        await assert_no_leaks(system)
    assert heard == ["a", "b", "c"]


async def test_an_empty_stream_is_an_answer() -> None:
    heard: list[str] = []
    async with open_system() as system:
        await read(FallbackRef(*await talkers(system, "", "abc")), heard)
    assert heard == []


async def test_a_stream_that_breaks_later_is_not_begun_anew() -> None:
    heard: list[str] = []
    async with open_system() as system:
        chat = FallbackRef(*await talkers(system, "ab!", "abc"))
        with pytest.raises(ProviderError, match="cut off"):
            await read(chat, heard)
        assert chat.fallback_statistics().switches == {}
    assert heard == ["a", "b"]


async def test_a_stream_whose_first_chunk_does_not_come_is_left_when_patience_ends() -> None:
    heard: list[str] = []
    async with open_system() as system:
        chat = FallbackRef(*await talkers(system, "_", "abc"), policy=Fallback(patience=2.0))
        began = anyio.current_time()
        await read(chat, heard)
        assert anyio.current_time() - began == 2.0
        assert list(chat.fallback_statistics().switches) == [("t0", "t1", "AskTimeoutError")]
        await assert_no_leaks(system)
    assert heard == ["a", "b", "c"]


async def test_the_last_error_of_a_stream_tells_of_those_before() -> None:
    async with open_system() as system:
        with pytest.raises(ProviderError) as caught:
            await read(FallbackRef(*await talkers(system, "!", "!")), [])
    assert caught.value.__notes__ == ["before it, t0: ProviderError: talker: server: cut off"]


async def test_a_stream_is_entered_once_and_before_it_is_read() -> None:
    async with open_system() as system:
        stream = FallbackRef(*await talkers(system, "abc")).stream(Talk())
        with pytest.raises(RuntimeError, match="enter the stream first"):
            await anext(stream)
        await stream.__aexit__(None, None, None)
        async with stream:
            assert await anext(stream) == "a"
            with pytest.raises(RuntimeError, match="entered once"):
                await stream.__aenter__()
        await assert_no_leaks(system)


class Shout(StreamRequest[str], frozen=True):
    times: int


async def test_the_chunks_of_a_stream_are_adapted_one_by_one() -> None:
    def louder(letters: list[str]) -> list[str]:
        return [letter.upper() for letter in letters * 2 if letter != "b"]

    async with open_system() as system:
        one, two = await talkers(system, "!", "abc")
        chat = FallbackRef(one, two, adapt={two: Adaptation(Shout, lambda _: Talk(), louder)})
        with pytest.raises(UnhandledMessageError):
            await chat.ask(Shout(2))
        chat = FallbackRef(two, adapt={two: Adaptation(Shout, lambda _: Talk(), louder)})
        async with chat.stream(Shout(2)) as letters:
            assert [letter async for letter in letters] == ["A", "A", "C", "C"]
        assert await chat.ask(Shout(2)) == ["A", "C", "A", "C"]
        await assert_no_leaks(system)


class Broken(Stream[str]):
    """Breaks at its first chunk."""

    is_left = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.is_left = True

    async def __anext__(self) -> str:
        raise ProviderError("one", FailureKind.SERVER)


async def test_a_stream_that_another_one_takes_over_from_is_left() -> None:
    class One(Recorder):
        broken = Broken()

        def stream(self, message: StreamRequest[ChunkT], *, timeout: float | None = None) -> Stream[ChunkT]:
            return cast("Stream[ChunkT]", self.broken)

    two = Recorder("two")
    two.reply(Talk, ["a"])
    heard: list[str] = []
    await read(FallbackRef(One("one"), two), heard)
    assert heard == ["a"]
    assert One.broken.is_left


ENDS = [*FailureKind, None]
"""How a provider ends a call: by a failure of this kind, or with an answer."""
TO_BLAME = {"bad_request", "context_length", "content_policy", "not_found", "bug"}


def expected(ends: list[FailureKind | None]) -> tuple[int, str]:
    """Say who is asked last, and what comes of it: the model, which knows no deadlines."""
    for place, end in enumerate(ends):
        if end is None:
            return place, "answered"
        if str(end) in TO_BLAME or place == len(ends) - 1:
            return place, str(end)
    raise AssertionError("there is a provider")


@settings(max_examples=50)
@given(ends=st.lists(st.sampled_from(ENDS), min_size=1, max_size=5))
def test_who_answers_is_who_the_model_says(ends: list[FailureKind | None]) -> None:
    asked: list[str] = []

    async def main() -> str:
        async with open_system() as system:
            refs: list[Ref] = []
            for place, end in enumerate(ends):
                then = Ok("answered") if end is None else Fail(end)
                ref, script = await provider(system, f"p{place}", then=then)
                refs.append(ref)
                scripts.append(script)
            try:
                return await FallbackRef(*refs).ask(Ask())
            except ProviderError as error:
                return str(error.kind)
            finally:
                asked.extend(script.provider for script in scripts if script.attempts)

    scripts: list[FlakyScript[FlakyService]] = []
    outcome = run_virtual(main)
    last, result = expected(ends)
    assert outcome == result
    assert asked == [f"p{place}" for place in range(last + 1)]
