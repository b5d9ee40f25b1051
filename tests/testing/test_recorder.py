"""Recorder: keeps what it is sent, answers as told, and can be full or closed."""

from collections.abc import Awaitable
from typing import assert_type

import anyio
import pytest

from relight import (
    Actor,
    ActorCrashedError,
    ActorState,
    ActorStoppedError,
    AskTimeoutError,
    Child,
    DeadlineExceededError,
    Exit,
    MailboxClosedError,
    MailboxFullError,
    Ref,
    Request,
    System,
    handles,
)
from relight.testing import Recorder, settle
from tests.testing.actors import Add, Nap, Note

pytestmark = pytest.mark.anyio


class Loud(Note, frozen=True):
    pass


class Relay(Actor):
    """Asks whom it was given."""

    def __init__(self, far: Ref) -> None:
        self.far = far

    @handles
    async def add(self, message: Add) -> int:
        return await self.far.ask(message) * 10

    @handles
    async def note(self, message: Note) -> None:
        self.far.tell_nowait(message)


async def test_it_stands_in_for_an_actor(virtual_system: System) -> None:
    bank = Recorder("bank", info=8080)
    bank.reply(Add, 4)
    relay = await virtual_system.spawn(Child("relay", lambda: Relay(bank)))
    assert await relay.ask(Add(2)) == 40
    await relay.tell(Note("hello"))
    assert await bank.next(Note) == Note("hello")
    assert bank.messages == [Add(2), Note("hello")]
    assert (bank.path, bank.info, bank.is_alive, repr(bank)) == (
        "bank",
        8080,
        True,
        "<Recorder bank: 2 messages>",
    )


async def test_messages_are_listed_by_type_with_subclasses() -> None:
    bank = Recorder()
    for message in (Note("a"), Loud("b")):
        await bank.tell(message)
    assert bank.of(Note) == [Note("a"), Loud("b")]
    assert bank.of(Loud) == [Loud("b")]


async def test_next_returns_each_message_once_and_waits_for_those_to_come() -> None:
    bank = Recorder()

    async def talk() -> None:
        await anyio.sleep(2)
        await bank.tell(Note("late"))

    await bank.tell(Note("early"))
    await bank.tell(Loud("loud"))
    async with anyio.create_task_group() as group:
        group.start_soon(talk)
        assert_type(await bank.next(Loud), Loud)
        assert await bank.next() == Note("early")
        assert await bank.next(Note) == Note("late")


async def test_next_fails_with_what_came_instead() -> None:
    bank = Recorder("bank")
    with pytest.raises(AssertionError, match="bank: no Message within 1 s; nothing else is there"):
        await bank.next(timeout=1)
    await bank.tell(Note("a"))
    with pytest.raises(AssertionError, match=r"bank: no Add within 5 s; there are \[Note"):
        await bank.next(Add)


async def test_replies_are_given_in_order_and_the_last_one_stays() -> None:
    bank = Recorder()
    bank.reply(Add, 1, 2)
    assert [await bank.ask(Add()) for _ in range(3)] == [1, 2, 2]
    bank.reply(Add, 7)
    assert_type(await bank.ask(Add()), int)
    with pytest.raises(ValueError, match="at least one reply"):
        bank.reply(Add)


async def _doubled(request: Request[int]) -> int:
    await anyio.sleep(1)
    return 2


async def test_a_reply_may_be_a_function_of_the_request() -> None:
    bank = Recorder()
    bank.reply(Add, lambda request: 2, _doubled)
    assert [await bank.ask(Add(1)), await bank.ask(Add(1))] == [2, 2]


async def test_a_reply_may_be_an_exception_that_the_asker_gets_as_it_is() -> None:
    bank = Recorder()
    error = ActorCrashedError(bank, Add(), ValueError("no"))
    bank.reply(Add, error, 3)
    with pytest.raises(ActorCrashedError) as caught:
        await bank.ask(Add())
    assert caught.value is error
    assert await bank.ask(Add()) == 3


async def test_an_ask_may_be_answered_while_it_waits() -> None:
    bank = Recorder()
    answers: list[float] = []

    async def ask() -> None:
        answers.append(await bank.ask(Nap()))

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await bank.next(Nap)
        assert bank.statistics().in_hand == 1
        bank.reply(Nap, 0.5)
    assert answers == [0.5]
    assert (bank.statistics().in_hand, bank.statistics().handled) == (0, 1)


async def test_an_ask_without_a_reply_ends_at_its_deadline_and_says_so() -> None:
    bank = Recorder("bank")
    began = anyio.current_time()
    with pytest.raises(AskTimeoutError, match="no reply to Add within 5 s") as caught:
        await bank.ask(Add())
    assert anyio.current_time() - began == pytest.approx(5)
    assert "recorder.reply(Add" in caught.value.__notes__[0]
    with pytest.raises(DeadlineExceededError):
        await bank.ask(Add(), timeout=0)


async def test_an_ask_inherits_the_deadline_of_the_request_in_hand(virtual_system: System) -> None:
    relay = await virtual_system.spawn(Child("relay", lambda: Relay(Recorder())))
    began = anyio.current_time()
    with pytest.raises(AskTimeoutError):
        await relay.ask(Add(), timeout=2)
    await settle()
    assert anyio.current_time() - began == pytest.approx(2)
    assert (relay.statistics().crashed, relay.statistics().in_hand) == (0, 0)


async def test_a_full_one_makes_senders_wait_in_order() -> None:
    bank = Recorder("bank")
    bank.reply(Add, 1)
    bank.fill()
    with pytest.raises(MailboxFullError) as caught:
        bank.tell_nowait(Note())
    assert (caught.value.ref, caught.value.message) == (bank, Note())
    with pytest.raises(DeadlineExceededError, match="not taken"):
        await bank.ask(Add(), timeout=1)
    with anyio.move_on_after(1):
        await bank.tell(Note("left"))
    async with anyio.create_task_group() as group:
        for text in ("a", "b"):
            group.start_soon(bank.tell, Note(text))
            await settle()
        assert bank.statistics().waiting == 2
        bank.drain()
    bank.tell_nowait(Note("c"))
    assert bank.messages == [Note("a"), Note("b"), Note("c")]


async def test_a_closed_one_refuses_and_fails_who_waits() -> None:
    bank = Recorder("bank")
    caught: list[Exception] = []

    async def send(sending: Awaitable[object]) -> None:
        try:
            await sending
        except Exception as error:  # noqa: BLE001 - that is what the test looks at
            caught.append(error)

    async with anyio.create_task_group() as group:
        group.start_soon(send, bank.ask(Add()))
        await settle()
        bank.fill()
        group.start_soon(send, bank.tell(Note()))
        await settle()
        bank.close(Exit().reason)
    assert sorted(type(error).__name__ for error in caught) == ["ActorStoppedError", "MailboxClosedError"]
    assert isinstance(caught[0], ActorStoppedError | MailboxClosedError)
    with pytest.raises(MailboxClosedError):
        bank.tell_nowait(Note())
    with pytest.raises(MailboxClosedError):
        await bank.tell(Note())
    with pytest.raises(MailboxClosedError):
        await bank.ask(Add())
    assert (bank.is_alive, bank.statistics().state) == (False, ActorState.STOPPED)


async def test_stopping_it_closes_it() -> None:
    bank = Recorder()
    await bank.stop()
    await bank.stop()
    assert not bank.is_alive
