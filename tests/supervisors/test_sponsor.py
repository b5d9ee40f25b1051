"""Sponsors: on whose behalf calls are made, through however many actors."""

from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager, suppress
from functools import partial

import anyio
import pytest

from relight.runtime import Actor, Ref, Request, Slot, StreamRequest, cell_of, current_request, handles
from relight.supervisors import (
    Child,
    FailureKind,
    GuardedActor,
    ProviderError,
    StreamBrokenError,
    current_attempt,
    open_system,
)
from relight.supervisors.policies import Fixed, Policy, Retry

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]


class Call(Request[str], frozen=True):
    failures: int = 0


class Relay(Request[str], frozen=True):
    call: Call


class Service(GuardedActor):
    """Answers with the key of the call."""

    policy = Policy(retry=Retry(attempts=3, backoff=Fixed(1.0)), breaker=None)

    @handles
    async def call(self, message: Call) -> str:
        attempt = current_attempt()
        if attempt.number <= message.failures:
            raise ProviderError("service", FailureKind.SERVER)
        await anyio.sleep(0.1)
        return f"{attempt.idempotency_key} {attempt.correlation_id}"


class Agent(Actor):
    def __init__(self, service: Ref) -> None:
        self.service = service

    @handles
    async def relay(self, message: Relay) -> str:
        return await self.service.ask(message.call)


class Notes:
    """A sponsor that keeps what it hears."""

    def __init__(self) -> None:
        self.keys = 0
        self.ended: list[tuple[int, bool]] = []
        self.replies: list[object] = []

    def next_key(self) -> str:
        self.keys += 1
        return f"key-{self.keys}"

    def call_ended(self, attempts: int, reply: object) -> None:
        self.ended.append((attempts, reply is not None))
        self.replies.append(reply)


@contextmanager
def sponsored(ref: Ref, sponsor: Notes) -> Generator[Slot]:
    slot = cell_of(ref).kernel.slot()
    slot.sponsor = sponsor
    token = current_request.set(slot)
    try:
        yield slot
    finally:
        current_request.reset(token)


async def test_calls_of_a_sponsor_have_its_keys_also_through_an_agent() -> None:
    sponsor = Notes()
    async with open_system() as system:
        service = await system.spawn(Child("service", Service))
        agent = await system.spawn(Child("agent", partial(Agent, service)))
        with sponsored(service, sponsor):
            keys = [
                await service.ask(Call()),
                await service.ask(Call(), timeout=5.0),
                await agent.ask(Relay(Call(failures=2))),
            ]
    assert [key.split()[0] for key in keys] == ["key-1", "key-2", "key-3"]
    assert len({key.split()[1] for key in keys}) == 3
    assert sponsor.ended == [(1, True), (1, True), (3, True)]


async def test_a_sponsor_hears_of_calls_that_did_not_end_well() -> None:
    sponsor = Notes()
    async with open_system() as system:
        service = await system.spawn(Child("service", Service))
        with sponsored(service, sponsor):
            with pytest.raises(ProviderError):
                await service.ask(Call(failures=9))
            with anyio.move_on_after(0.05):
                await service.ask(Call())
            await anyio.sleep(1.0)
    assert sponsor.ended == [(3, False), (1, False)]


async def test_a_sponsor_whose_request_is_over_is_not_inherited() -> None:
    sponsor = Notes()
    async with open_system() as system:
        service = await system.spawn(Child("service", Service))
        with sponsored(service, sponsor) as slot:
            slot.done = True
            assert len((await service.ask(Call())).split()[0]) == 32
            assert len((await service.ask(Call(), timeout=5.0)).split()[0]) == 32
    assert (sponsor.keys, sponsor.ended) == (0, [])


class Count(StreamRequest[int], frozen=True):
    to: int
    breaks_with: object = None
    breaks_after: int = 9


class Counter(GuardedActor):
    @handles
    async def count(self, message: Count) -> AsyncGenerator[int]:
        for number in range(1, message.to + 1):
            yield number
            if number == message.breaks_after:
                raise StreamBrokenError("service", partial=message.breaks_with)


@pytest.mark.parametrize(
    ("message", "heard"),
    [(Count(3), 3), (Count(3, breaks_after=2), 2), (Count(3, "so far", 2), "so far")],
    ids=["well", "broken", "broken with what came before"],
)
async def test_a_sponsor_hears_what_is_known_of_a_stream_at_its_end(message: Count, heard: object) -> None:
    sponsor = Notes()
    async with open_system() as system:
        service = await system.spawn(Child("service", Counter))
        with sponsored(service, sponsor), suppress(StreamBrokenError):
            async with service.stream(message) as numbers:
                async for _ in numbers:
                    pass
    assert (sponsor.ended, sponsor.replies) == ([(1, True)], [heard])


async def test_a_sponsor_hears_of_a_stream_that_is_left_when_it_is_left() -> None:
    """Not when its handler has unwound: by then a step may be stored."""
    sponsor = Notes()
    async with open_system() as system:
        service = await system.spawn(Child("service", Counter))
        with sponsored(service, sponsor):
            async with service.stream(Count(1000)) as numbers:
                async for _ in numbers:
                    break
            heard = list(sponsor.replies)
            await anyio.sleep(1.0)
    assert len(heard) == 1
    assert isinstance(heard[0], int)
    assert sponsor.replies == heard
    assert sponsor.ended == [(1, True)]
