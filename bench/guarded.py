"""What does it cost to have a call guarded when nothing fails?

The whole way: the ask, admission, one attempt in a context of its own, the breaker's and the
bulkhead's accounts, the counters. Beside it, in the same process, a bare function in tenacity's decorator.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.util import find_spec

from relight import Child, GuardedActor, Policy, Ref, Request, handles, open_system

from . import floors
from .harness import MICROSECONDS, Figure, Stage, Target, clock, figure, in_turns

CALLS = 100
"""Calls a round."""
TARGETS = {"trio": Target(15.0, of="value")}
TENACITY_TARGET = Target(0.75)


class Quote(Request[int], frozen=True):
    """Ask the service."""


class Broker(GuardedActor):
    """A service that never fails, with every policy on."""

    policy = Policy()

    @handles
    async def quote(self, message: Quote) -> int:
        """Answer at once."""
        return 1


async def answer(stage: Stage) -> AsyncIterator[Figure]:
    """Ask one service, one call after another."""
    async with open_system() as system:
        broker = await system.spawn(Child("broker", Broker))
        measured = await in_turns(lambda: _ask(broker), lambda: floors.handoff(CALLS), stage.seconds)
        yield figure(
            "guarded",
            stage,
            measured.scaled(MICROSECONDS),
            floor_is=floors.HANDOFF,
            target=TARGETS.get(stage.backend),
        )
        if find_spec("tenacity") is None:
            return
        decorated = _decorated()
        beside = await in_turns(lambda: _ask(broker), lambda: _call(decorated), stage.seconds)
    yield figure(
        "guarded_tenacity",
        stage,
        beside.scaled(MICROSECONDS),
        floor_is="a bare function in tenacity's decorator",
        target=TENACITY_TARGET,
    )


def _decorated() -> Callable[[], Awaitable[int]]:
    import tenacity

    @tenacity.retry(
        stop=tenacity.stop_after_attempt(3), wait=tenacity.wait_random_exponential(multiplier=1.0, max=30.0)
    )
    async def quote() -> int:
        return 1

    return quote


async def _ask(broker: Ref) -> float:
    message = Quote()
    began = clock()
    for _ in range(CALLS):
        await broker.ask(message)
    return (clock() - began) / CALLS


async def _call(function: Callable[[], Awaitable[int]]) -> float:
    began = clock()
    for _ in range(CALLS):
        await function()
    return (clock() - began) / CALLS
