"""The waits of ElevenLabs and Supabase, followed through their guards in virtual time."""

from functools import partial
from random import Random
from typing import TypeVar

import msgspec
import pytest

from relight.actors import HttpReply
from relight.actors.providers import ElevenLabs, SelectRows, Speak, Supabase
from relight.runtime import Request
from relight.supervisors import (
    Child,
    CircuitBreakerOpenError,
    ProviderError,
    RetriesExhaustedError,
    open_system,
)
from tests.actors.providers.test_waits_in_virtual_time import Offline, Wire, reply
from tests.support.clocks import virtual_time

pytestmark = [pytest.mark.anyio, virtual_time]

T = TypeVar("T")

SPEAK = Speak(text="Once upon a time", voice="v")
SELECT = SelectRows(table="pages")
AUDIO = HttpReply(200, {"content-type": "audio/mpeg"}, b"audio")
ROWS = reply(200, [])


class OfflineElevenLabs(Offline, ElevenLabs):
    pass


class OfflineSupabase(Offline, Supabase):
    pass


def elevenlabs(wire: Wire) -> ElevenLabs:
    actor = OfflineElevenLabs("k")
    actor.wire = wire
    return actor


def supabase(wire: Wire) -> Supabase:
    actor = OfflineSupabase("http://here", "k")
    actor.wire = wire
    return actor


async def ask(child: Child, message: Request[T]) -> T:
    async with open_system(rng=Random(7)) as system:
        return await (await system.spawn(child)).ask(message)


def refusal(code: str, **headers: str) -> HttpReply:
    return reply(429, {"detail": {"code": code, "message": "m"}}, **headers)


@pytest.mark.parametrize("code", ["too_many_concurrent_requests", "concurrent_limit_exceeded"])
async def test_too_many_at_once_is_a_pause_of_a_second_not_of_a_minute(code: str) -> None:
    wire = Wire(refusal(code), refusal(code), AUDIO)
    await ask(Child("elevenlabs", partial(elevenlabs, wire)), SPEAK)
    assert all(1.0 <= gap <= 1.1 for gap in wire.gaps)


async def test_a_busy_system_is_backed_off_from() -> None:
    wire = Wire(refusal("system_busy"), refusal("system_busy"), AUDIO)
    await ask(Child("elevenlabs", partial(elevenlabs, wire)), SPEAK)
    first, second = wire.gaps
    assert 0.0 < first <= 1.0
    assert 0.0 < second <= 2.0


@pytest.mark.parametrize("code", ["concurrent_limit_exceeded", "rate_limit_exceeded"])
async def test_limits_open_no_breaker(code: str) -> None:
    wire = Wire(refusal(code))
    async with open_system(rng=Random(7)) as system:
        ref = await system.spawn(Child("elevenlabs", partial(elevenlabs, wire)))
        for _ in range(4):
            with pytest.raises(RetriesExhaustedError):
                await ref.ask(SPEAK)
    assert len(wire.times) == 12


async def test_a_database_that_reconnects_is_waited_for_as_long_as_it_says() -> None:
    wire = Wire(reply(503, {"code": "PGRST001", "message": "m"}, retry_after="8"), ROWS)
    await ask(Child("supabase", partial(supabase, wire)), SELECT)
    assert 8.0 <= wire.gaps[0] <= 8.8


async def test_a_deadlock_is_tried_again_at_once_nearly() -> None:
    wire = Wire(reply(500, {"code": "40P01", "message": "m"}), ROWS)
    await ask(Child("supabase", partial(supabase, wire)), SELECT)
    assert 0.0 < wire.gaps[0] <= 0.5


@pytest.mark.parametrize(
    ("status", "code", "opens"), [(500, "57014", False), (500, "XX000", False), (504, "PGRST003", True)]
)
async def test_a_word_of_the_database_opens_no_breaker(status: int, code: str, *, opens: bool) -> None:
    wire = Wire(reply(status, {"code": code, "message": "m"}))
    outcomes: list[type[Exception]] = []
    async with open_system(rng=Random(7)) as system:
        ref = await system.spawn(Child("supabase", partial(supabase, wire)))
        for _ in range(8):
            try:
                await ref.ask(SELECT)
            except (ProviderError, CircuitBreakerOpenError) as error:
                outcomes.append(type(error))
    assert (CircuitBreakerOpenError in outcomes) is opens


def test_a_row_is_data_that_can_be_stored() -> None:
    assert msgspec.json.decode(msgspec.json.encode(SPEAK), type=Speak) == SPEAK
