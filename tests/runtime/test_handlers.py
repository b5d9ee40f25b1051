"""Handlers: registration, dispatch by class, and what is refused when the class is first used."""

from functools import partial
from typing import Any, Generic, Protocol, TypedDict, TypeVar

import pytest

from relight import Actor, Child, HandlerError, Message, Request, UnhandledMessageError, handles, open_system
from tests.runtime import postponed
from tests.runtime.desk import Boom, Desk, Echo, Log, Note, Unknown, open_desk, settle

pytestmark = pytest.mark.anyio
ItemT = TypeVar("ItemT")


class Shape(Message, frozen=True):
    sides: int = 0


class Square(Shape, frozen=True):
    pass


class Tile(Square, frozen=True):
    pass


class Sorter(Actor):
    def __init__(self, log: Log) -> None:
        self.log = log

    @handles
    async def shape(self, message: Shape) -> None:
        self.log.append(("shape", type(message)))

    @handles
    async def square(self, message: Square) -> None:
        self.log.append(("square", type(message)))


async def spawn_error(actor: type[Actor]) -> Exception:
    async with open_system() as system:
        with pytest.raises(HandlerError) as caught:
            await system.spawn(Child("actor", actor))
        return caught.value


async def test_a_message_goes_to_the_handler_of_its_class() -> None:
    async with open_desk(Sorter) as (_, ref, log):
        await ref.tell(Square())
        await settle()
        assert log == [("square", Square)]


async def test_a_message_without_a_handler_of_its_own_goes_to_that_of_its_nearest_base() -> None:
    async with open_desk(Sorter) as (_, ref, log):
        for _ in range(2):  # the second finds what the first looked up
            await ref.tell(Tile())
        await settle()
        assert log == [("square", Tile), ("square", Tile)]


async def test_an_asked_message_is_dispatched_by_base_class_too() -> None:
    class Louder(Echo, frozen=True):
        pass

    async with open_desk() as (_, ref, _log):
        assert await ref.ask(Louder(3)) == 3


async def test_a_handler_of_message_itself_takes_everything() -> None:
    class Sink(Actor):
        def __init__(self, log: Log) -> None:
            self.log = log

        @handles
        async def anything(self, message: Message) -> None:
            self.log.append(message)

    async with open_desk(Sink) as (_, ref, log):
        await ref.tell(Note())
        await settle()
        assert log == [Note()]


async def test_a_told_request_is_handled_and_its_reply_dropped() -> None:
    async with open_desk() as (_, ref, log):
        await ref.tell(Echo(4))
        await settle()
        assert log == [4]
        assert ref.statistics().handled == 1


async def test_an_overridden_handler_needs_no_second_mark() -> None:
    class Twice(Desk):
        async def echo(self, message: Echo) -> int:
            return 2 * await super().echo(message)

    async with open_desk(Twice) as (_, ref, _log):
        assert await ref.ask(Echo(4)) == 8


async def test_a_handler_can_be_marked_again_when_it_is_overridden() -> None:
    class Thrice(Desk):
        @handles
        async def echo(self, message: Echo) -> int:
            return 3 * message.number

    async with open_desk(Thrice) as (_, ref, _log):
        assert await ref.ask(Echo(4)) == 12


async def test_a_subclass_adds_handlers_and_leaves_its_base_alone() -> None:
    class More(Desk):
        @handles
        async def unknown(self, message: Unknown) -> int:
            return 1

    async with open_desk(More) as (system, ref, log):
        assert await ref.ask(Unknown()) == 1
        desk = await system.spawn(Child("plain", partial(Desk, log)))
        with pytest.raises(UnhandledMessageError):
            await desk.ask(Unknown())


async def test_a_message_class_may_be_local_to_a_function() -> None:
    class Local(Request[str], frozen=True):
        pass

    class Host(Actor):
        @handles
        async def local(self, message: Local) -> str:
            return "local"

    async with open_system() as system:
        ref = await system.spawn(Child("host", Host))
        assert await ref.ask(Local()) == "local"


@pytest.mark.parametrize("make", [postponed.module_level, postponed.local_to_a_function, postponed.nested])
async def test_annotations_may_be_postponed(make: postponed.Maker) -> None:
    actor, message = make()
    async with open_system() as system:
        ref = await system.spawn(Child("actor", actor))
        assert await ref.ask(message) == 7


async def test_mixins_may_stand_behind_the_actor() -> None:
    class Mixin:
        def double(self, number: int) -> int:
            return 2 * number

    class Mixed(Desk, Mixin, Generic[ItemT]):
        @handles
        async def echo(self, message: Echo) -> int:
            return self.double(message.number)

    async with open_desk(Mixed) as (_, ref, _log):
        assert await ref.ask(Echo(2)) == 4


async def test_a_handler_that_is_no_coroutine_function_is_refused() -> None:
    class Plain(Actor):
        @handles  # type: ignore[type-var]
        def note(self, message: Note) -> None: ...  # pyright: ignore[reportArgumentType]

    assert "Plain.note: a handler is an `async def`" in str(await spawn_error(Plain))


async def test_a_handler_without_a_parameter_is_refused() -> None:
    class Deaf(Actor):
        @handles
        async def note(self) -> None: ...

    assert "Deaf.note: a handler takes one message, not 0 parameters" in str(await spawn_error(Deaf))


async def test_a_handler_with_two_parameters_is_refused() -> None:
    class Greedy(Actor):
        @handles
        async def note(self, message: Note, other: Note) -> None: ...

    assert "takes one message, not 2 parameters" in str(await spawn_error(Greedy))


async def test_a_handler_without_an_annotation_is_refused() -> None:
    class Vague(Actor):
        @handles
        async def note(self, message) -> None: ...  # type: ignore[no-untyped-def]  # pyright: ignore[reportMissingParameterType, reportUnknownParameterType]

    assert "annotate `message` with the Message class" in str(await spawn_error(Vague))


async def test_a_handler_of_something_that_is_no_message_is_refused() -> None:
    class Wrong(Actor):
        @handles
        async def note(self, message: int) -> None: ...

    assert "annotate `message` with the Message class" in str(await spawn_error(Wrong))


async def test_two_handlers_of_one_message_are_refused() -> None:
    class Torn(Actor):
        @handles
        async def one(self, message: Note) -> None: ...

        @handles
        async def two(self, message: Note) -> None: ...

    assert "Torn: one and two both handle Note" in str(await spawn_error(Torn))


async def test_an_annotation_that_names_nothing_is_refused() -> None:
    class Lost(Actor):
        @handles
        async def note(self, message: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore[reportUndefinedVariable]

    assert "the annotation 'Nowhere' is not defined: import it" in str(await spawn_error(Lost))


async def test_a_reply_of_another_type_than_the_request_asks_for_is_refused() -> None:
    class Liar(Actor):
        @handles
        async def echo(self, message: Echo) -> str:
            return "one"

    assert "Echo asks for int, the handler returns str" in str(await spawn_error(Liar))


async def test_a_handler_that_returns_nothing_where_a_reply_is_asked_for_is_refused() -> None:
    class Silent(Actor):
        @handles
        async def echo(self, message: Echo) -> None: ...

    assert "Echo asks for int, the handler returns NoneType" in str(await spawn_error(Silent))


class Record(TypedDict):
    name: str


class Named(Protocol):
    name: str


class Person:
    name = "Ann"


class AskFloat(Request[float], frozen=True):
    pass


class AskNothing(Request[None], frozen=True):
    pass


class AskAnything(Request[Any], frozen=True):
    pass


class AskRecord(Request[Record], frozen=True):
    pass


class AskNamed(Request[Named], frozen=True):
    pass


class AskList(Request[list[int]], frozen=True):
    pass


async def test_replies_that_fit_are_not_refused() -> None:
    class Giver(Actor):
        @handles
        async def a_float(self, message: AskFloat) -> int:
            return 1

        @handles
        async def nothing(self, message: AskNothing) -> None: ...

        @handles
        async def anything(self, message: AskAnything) -> int:
            return 2

        @handles
        async def record(self, message: AskRecord) -> Record:
            return {"name": "Ann"}

        @handles
        async def named(self, message: AskNamed) -> Person:
            return Person()

        @handles
        async def a_list(self, message: AskList) -> list[int]:
            return [3]

        @handles
        async def boolean(self, message: Echo) -> bool:
            return True

        @handles
        async def unannotated(self, message: Boom):  # type: ignore[no-untyped-def]
            return 4

    async with open_system() as system:
        ref = await system.spawn(Child("giver", Giver))
        assert await ref.ask(AskFloat()) == 1
        assert await ref.ask(AskNothing()) is None  # type: ignore[func-returns-value]
        assert await ref.ask(AskAnything()) == 2
        assert await ref.ask(AskRecord()) == {"name": "Ann"}
        assert (await ref.ask(AskNamed())).name == "Ann"
        assert await ref.ask(AskList()) == [3]
        assert await ref.ask(Echo()) is True
        assert await ref.ask(Boom()) == 4


@pytest.mark.parametrize("option", ["concurrency", "mailbox", "call_timeout"])
async def test_an_actor_that_could_never_handle_anything_is_refused(option: str) -> None:
    broken = type("Broken", (Actor,), {option: 0})
    assert f"Broken.{option} must be" in str(await spawn_error(broken))


async def test_a_refused_actor_leaves_the_system_running() -> None:
    class Bad(Actor):
        @handles
        async def note(self) -> None: ...

    async with open_desk() as (system, ref, _log):
        for factory in (Bad, lambda: Bad()):
            with pytest.raises(HandlerError):
                await system.spawn(Child("bad", factory))
        assert await ref.ask(Echo(1)) == 1
        assert system.find("bad") is None


ReplyT = TypeVar("ReplyT")


class Wrapped(Request[ReplyT], Generic[ReplyT], frozen=True):
    content: ReplyT


class WrappedInt(Wrapped[int], frozen=True):
    pass


async def test_a_request_may_be_generic() -> None:
    class Unwrapper(Actor):
        @handles
        async def unwrap(self, message: WrappedInt) -> int:
            return message.content

    async with open_system() as system:
        ref = await system.spawn(Child("unwrapper", Unwrapper))
        assert await ref.ask(WrappedInt(3)) == 3


async def test_a_factory_may_make_another_class_after_a_restart() -> None:
    class Other(Actor):
        @handles
        async def unknown(self, message: Unknown) -> int:
            return 8

    log = Log()
    made: list[Actor] = []

    def factory() -> Actor:
        made.append(Other() if made else Desk(log))
        return made[-1]

    async with open_system() as system:
        ref = await system.spawn(Child("changing", factory))
        await ref.tell(Boom())
        assert await ref.ask(Unknown()) == 8
        with pytest.raises(UnhandledMessageError):
            await ref.ask(Echo())
