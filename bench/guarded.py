"""What does it cost to have a call guarded when nothing fails?

The whole way: the ask, admission, one attempt in a context of its own, the breaker's and the
bulkhead's accounts, rate limit, money, the counters. Every policy is on, and every limit so wide that it is
never reached. Beside it, in the same process: a bare function in tenacity's decorator, and with ``--peers``
in those of other libraries; and the same service with the default policy, and with its policies off.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.util import find_spec

from relight import (
    Actor,
    Adaptive,
    Breaker,
    Charge,
    Child,
    CostBudget,
    Estimate,
    GuardedActor,
    Message,
    Policy,
    RateLimit,
    Ref,
    Request,
    handles,
    open_system,
)

from . import floors
from ._peers import PEERS, PeerError, try_out
from .harness import MICROSECONDS, Figure, Stage, Target, clock, figure, in_turns

CALLS = 100
"""Calls a round."""
TARGETS = {"trio": Target(15.0, of="value")}
TENACITY_TARGET = Target(0.75)
DEFAULT = Policy()
ALL_ON = Policy(
    breaker=Breaker(slow_seconds=10.0),
    concurrency=Adaptive(low=2, high=32),
    rate_limit=RateLimit(requests_per_minute=1e8, tokens_per_minute=1e10),
    cost_budget=CostBudget(usd_per_minute=1e6, usd_per_day=1e9),
)
"""Every policy is; the retry budget is by default."""
ALL_OFF = Policy(breaker=None, retry_budget=None)
"""Every policy that can be off is."""
_ESTIMATE = Estimate("quotes", 0.001, 100.0)
_CHARGE = Charge(0.0008, 90.0)


class Quote(Request[int], frozen=True):
    """Ask the service."""


class Broker(GuardedActor):
    """A service that never fails, with every policy on."""

    policy = ALL_ON

    def estimate(self, message: Message) -> Estimate:
        """Say what it may cost."""
        return _ESTIMATE

    def charge(self, message: Message, reply: object) -> Charge:
        """Say what it did cost."""
        return _CHARGE

    @handles
    async def quote(self, message: Quote) -> int:
        """Answer at once."""
        return 1


class Bystander(Actor):
    """The same, without a guard."""

    isolated = True
    concurrency = DEFAULT.concurrency.limit

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
        default = await system.spawn(Child("default", Broker, policy=DEFAULT))
        bare = await system.spawn(Child("bare", Broker, policy=ALL_OFF))
        measured = await in_turns(lambda: _ask(default), lambda: _ask(bare), stage.seconds)
        floor_is = "the same service with every policy off; the value is of one with the default policy"
        yield figure("guarded_default", stage, measured.scaled(MICROSECONDS), floor_is=floor_is)
        measured = await in_turns(lambda: _ask(broker), lambda: _ask(bare), stage.seconds)
        floor_is = "the same service with every policy off that can be"
        yield figure("guarded_policies", stage, measured.scaled(MICROSECONDS), floor_is=floor_is)
        actor = await system.spawn(Child("actor", Bystander))
        measured = await in_turns(lambda: _ask(bare), lambda: _ask(actor), stage.seconds)
        floor_is = "an isolated actor without a guard; the value is of a service with every policy off"
        yield figure("guarded_off", stage, measured.scaled(MICROSECONDS), floor_is=floor_is)
        async for each in _beside(stage, broker):
            yield each


async def _beside(stage: Stage, broker: Ref) -> AsyncIterator[Figure]:
    if find_spec("tenacity") is not None:
        yield await _compare(stage, broker, "tenacity", _decorated(), "tenacity's decorator", TENACITY_TARGET)
    for peer in PEERS if stage.peers else ():
        try:
            function = await try_out(peer)
        except PeerError as error:
            sys.stderr.write(f"bench: {stage.backend}: no guarded_{peer.name}: {error}\n")
        else:
            yield await _compare(stage, broker, peer.name, function, peer.what)


async def _compare(
    stage: Stage,
    broker: Ref,
    name: str,
    function: Callable[[], Awaitable[int]],
    what: str,
    target: Target | None = None,
) -> Figure:
    beside = await in_turns(lambda: _ask(broker), lambda: _call(function), stage.seconds)
    return figure(
        f"guarded_{name}",
        stage,
        beside.scaled(MICROSECONDS),
        floor_is=f"a bare function in {what}",
        target=target,
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
