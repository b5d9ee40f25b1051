"""One actor a visitor, started when the visitor comes: a dynamic supervisor."""

from contextlib import suppress

import relight
from relight import Actor, ActorCrashedError, Child, DynamicSupervisor, MaxChildrenError, Request, handles


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


async def main() -> None:
    async with relight.open_system() as system:
        sessions = await system.spawn(
            DynamicSupervisor("sessions", template=Child("session", Session), max_children=2)
        )
        ann = await sessions.start("ann")
        bob = await sessions.start("bob")
        print(await ann.ask(Say("hello")))
        print(await bob.ask(Say("hi")))

        with suppress(ActorCrashedError):
            await ann.ask(Say(""))
        print(await ann.ask(Say("me again")))

        try:
            await sessions.start("eve")
        except MaxChildrenError as error:
            print(error)
        await bob.stop()
        eve = await sessions.start("eve")
        print(await eve.ask(Say("at last")))
        print([child.id for child in await sessions.which_children()])


relight.run(main)
