"""Every provider, through its guard, by its own policy: a wait is kept in every form, a debtor asks once."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial

import anyio
import msgspec
import pytest

from relight.actors import HttpReply, HttpRequest, HttpService
from relight.supervisors import Child, FailureKind, ProviderBlockedError, ProviderError, open_system
from tests.actors.providers.examples import EXAMPLES, http_services
from tests.support.clocks import virtual_time

pytestmark = [pytest.mark.anyio, virtual_time]

Answer = tuple[int, dict[str, str], object]
"""Status, headers, and a body before it is written as JSON."""


class Wire:
    """What comes over the network: the answers in order, the last one for ever; and when it was asked for."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.times: list[float] = []

    def send(self) -> HttpReply:
        self.times.append(anyio.current_time())
        status, headers, body = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return HttpReply(status, headers, msgspec.json.encode(body))


class Offline(HttpService):
    """A provider without its network."""

    wire: Wire

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None, None]:
        yield

    async def exchange(self, message: HttpRequest) -> HttpReply:
        reply = self.wire.send()
        if reply.is_success:
            return reply
        raise self.failure_of(reply)


def make(kind: type[HttpService], wire: Wire) -> HttpService:
    """Make a provider that talks to *wire*."""
    offline = type(f"Offline{kind.__name__}", (Offline, kind), {"wire": wire})
    return EXAMPLES[kind].make(offline, "http://localhost")


@pytest.fixture(params=http_services(), ids=lambda kind: kind.__name__)
def service(request: pytest.FixtureRequest) -> type[HttpService]:
    found: type[HttpService] = request.param
    return found


SPENT = {"x-ratelimit-remaining-requests": "0"}
FORMS: dict[str, tuple[float, dict[str, str], object]] = {
    "seconds": (20.0, {"retry-after": "20"}, {}),
    "a fraction": (1.5, {"retry-after": "1.5"}, {}),
    "milliseconds": (2.5, {"retry-after-ms": "2500", "retry-after": "9"}, {}),
    "a duration": (66.5, {"retry-after": "1m6.5s"}, {}),
    "an HTTP date": (40.0, {"retry-after": "HTTP"}, {}),
    "RFC 3339": (40.0, {"retry-after": "RFC"}, {}),
    "seconds since 1970": (40.0, {"retry-after": "EPOCH"}, {}),
    "a number in the body": (7.0, {}, {"retry_after": 7}),
    "a text in the body": (7.5, {}, {"error": {"retry_after": "7.5"}}),
    "Google's retryDelay": (3.0, {}, {"error": {"details": [{}, {"retryDelay": "3s"}]}}),
    "the reset of a spent limit": (90.0, {**SPENT, "x-ratelimit-reset-requests": "1m30s"}, {}),
    "the reset of two": (
        8.0,
        {
            **SPENT,
            "x-ratelimit-reset-requests": "5",
            "x-ratelimit-remaining-tokens": "0",
            "x-ratelimit-reset-tokens": "8s",
        },
        {},
    ),
    "words": (18.642, {}, {"error": {"message": "Rate limit reached. Please try again in 18.642s."}}),
    "words in milliseconds": (0.644, {}, {"error": {"message": "Please try again in 644ms."}}),
}


def dated(form: str) -> str:
    """Write a moment 40 seconds from now in a *form*; any other text is a wait as it is."""
    # Dates are compared with the calendar, which goes on in real time; the second more makes up for it.
    moment = datetime.now(UTC) + timedelta(seconds=41)
    match form:
        case "HTTP":
            return format_datetime(moment, usegmt=True)
        case "RFC":
            return moment.isoformat()
        case "EPOCH":
            return str(moment.timestamp())
        case _:
            return form


@pytest.mark.parametrize("form", FORMS)
async def test_a_wait_is_kept_by_all_callers_in_every_form(service: type[HttpService], form: str) -> None:
    example, (seconds, headers, body) = EXAMPLES[service], FORMS[form]
    headers = {name: dated(value) for name, value in headers.items()}
    wire = Wire((429, headers, body), (200, {}, example.answer))
    async with open_system() as system, anyio.create_task_group() as group:
        ref = await system.spawn(Child("svc", partial(make, service, wire)))
        group.start_soon(ref.ask, example.request)
        await anyio.sleep(seconds / 2)
        await ref.ask(example.request)  # it met no rate limit itself
    asked, *others = wire.times
    assert len(others) == 2
    assert seconds <= min(others) - asked <= 1.1 * (seconds + 1.0)


async def test_a_debtor_asks_once_and_then_every_five_minutes(service: type[HttpService]) -> None:
    example = EXAMPLES[service]
    status, body = example.quota
    wire = Wire((status, {"retry-after": "1"}, body))
    async with open_system() as system:
        ref = await system.spawn(Child("svc", partial(make, service, wire)))
        with pytest.raises(ProviderError) as caught:
            await ref.ask(example.request)
        assert caught.value.kind is FailureKind.QUOTA
        for _ in range(29):
            await anyio.sleep(10.0)
            with pytest.raises(ProviderBlockedError):
                await ref.ask(example.request)
        assert len(wire.times) == 1
        await anyio.sleep(10.0)
        with pytest.raises(ProviderError):
            await ref.ask(example.request)
        with pytest.raises(ProviderBlockedError):
            await ref.ask(example.request)
    assert len(wire.times) == 2
