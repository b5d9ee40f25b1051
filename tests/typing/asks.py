"""What type checkers know of a reply. Only they run this file."""

from typing import assert_type

from relight import (
    Actor,
    Child,
    Message,
    Portal,
    Ref,
    Request,
    StreamRequest,
    Supervisor,
    SupervisorRef,
    System,
    handles,
)


class Count(Request[int], frozen=True):
    text: str


class Names(Request[list[str]], frozen=True):
    pass


class Forget(Request[None], frozen=True):
    pass


class Tail(StreamRequest[str], frozen=True):
    pass


class Note(Message, frozen=True):
    pass


class Clerk(Actor):
    @handles
    async def count(self, message: Count) -> int:
        return len(message.text)


async def check(system: System, ref: Ref) -> None:
    assert_type(await ref.ask(Count("a")), int)
    assert_type(await ref.ask(Names(), timeout=1.0), list[str])
    await ref.ask(Forget())
    print(await ref.ask(Count("a")))
    await ref.tell(Note())
    await ref.tell(Count("a"))
    assert_type(await ref.ask(Tail()), list[str])
    async with ref.stream(Tail(), timeout=1.0) as lines:
        async for line in lines:
            assert_type(line, str)
    ref.stream(Count("a"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await ref.ask(Note())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert_type(await system.spawn(Child("clerk", Clerk)), Ref)
    assert_type(await system.spawn(Supervisor("tree")), SupervisorRef)
    assert_type(await Clerk().count(Count("a")), int)


def check_portal(portal: Portal, ref: Ref) -> None:
    assert_type(portal.ask(ref, Count("a")), int)
    assert_type(portal.ask(ref, Names(), 1.0), list[str])
    assert_type(portal.spawn(Child("clerk", Clerk)), Ref)
    assert_type(portal.spawn(Supervisor("tree")), SupervisorRef)
    assert_type(portal.call(ref.ask, Count("a")), int)
    portal.tell(ref, Note())
    portal.ask(ref, Note())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
