"""How long does a message from one actor to another take, when each waits for the other's?"""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio

from relight import Actor, Child, Message, Ref, handles, open_system

from . import floors
from .harness import MICROSECONDS, Figure, Stage, Target, clock, figure, in_turns

HOPS = 1000
"""Hops a round."""
TARGETS = {"trio": Target(0.35), "asyncio": Target(0.45), "uvloop": Target(0.7)}


class Serve(Message, frozen=True):
    """Begin a game."""

    other: Ref
    hops: int
    over: anyio.Event


class Ball(Message, frozen=True):
    """Come and go."""


class Player(Actor):
    """Send the ball back until enough hops were made."""

    def __init__(self) -> None:
        self._game: Serve | None = None
        self._left = 0

    @handles
    async def serve(self, message: Serve) -> None:
        """Take part in a game."""
        self._game = message
        self._left = message.hops

    @handles
    async def hit(self, message: Ball) -> None:
        """Send the ball back."""
        game = self._game
        assert game is not None
        if self._left:
            self._left -= 1
            await game.other.tell(message)
        else:
            game.over.set()


async def answer(stage: Stage) -> AsyncIterator[Figure]:
    """Let two actors play."""
    async with open_system() as system:
        players = [await system.spawn(Child(name, Player)) for name in ("ann", "bob")]
        measured = await in_turns(lambda: play(*players), lambda: floors.handoff(HOPS // 2), stage.seconds)
    yield figure(
        "ping_pong",
        stage,
        measured.scaled(MICROSECONDS, 0.5 * MICROSECONDS),
        floor_is=f"half of: {floors.HANDOFF}",
        target=TARGETS[stage.backend],
    )


async def play(ann: Ref, bob: Ref) -> float:
    """Play one game; seconds a hop."""
    over = anyio.Event()
    await ann.tell(Serve(bob, HOPS // 2, over))
    await bob.tell(Serve(ann, HOPS // 2, over))
    await anyio.wait_all_tasks_blocked()
    began = clock()
    await ann.tell(Ball())
    await over.wait()
    return (clock() - began) / (HOPS + 1)
