"""One actor a visitor, started when the visitor comes: a dynamic supervisor."""

from contextlib import suppress
from functools import partial

import relight
from relight import (
    Actor,
    ActorCrashedError,
    Child,
    DynamicSupervisor,
    DynamicSupervisorRef,
    MaxChildrenError,
    Ref,
    Request,
    System,
    handles,
)


class Say(Request[str], frozen=True):
    text: str


class Session(Actor):
    def __init__(self, visitor: str) -> None:
        self.visitor = visitor
        self.said = 0

    @handles
    async def say(self, message: Say) -> str:
        if not message.text:
            raise ValueError("nothing to say")
        self.said += 1
        return f"{self.visitor} said {message.text!r}, number {self.said}"


async def session_of(visitor: str, system: System, sessions: DynamicSupervisorRef) -> Ref:
    """Return the visitor's session; start it where there is none."""
    session = system.find(f"sessions/{visitor}")
    return session or await sessions.start_child(Child(visitor, partial(Session, visitor)))


async def main() -> None:
    async with relight.open_system() as system:
        sessions = await system.spawn(DynamicSupervisor("sessions", max_children=2))
        ann = await session_of("ann", system, sessions)
        bob = await session_of("bob", system, sessions)
        print(await ann.ask(Say("hello")))
        print(await bob.ask(Say("hi")))
        ann = await session_of("ann", system, sessions)
        print(await ann.ask(Say("it is me")))

        with suppress(ActorCrashedError):
            await ann.ask(Say(""))
        print(await ann.ask(Say("me again")))

        try:
            await session_of("eve", system, sessions)
        except MaxChildrenError as error:
            print(error)
        await bob.stop()
        eve = await session_of("eve", system, sessions)
        print(await eve.ask(Say("at last")))
        print([child.id for child in await sessions.which_children()])


relight.run(main)
