"""Every operation of every provider, streams too: a debtor asks once, waits are kept, junk ends typed."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

import anyio
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from relight import Child, FailureKind, ProviderBlockedError, ProviderError, Ref, Request, open_system
from relight.actors import HttpReply, HttpRequest, HttpService, HttpStream
from relight.actors.ops import scrape
from relight.actors.providers import PROVIDERS
from relight.supervisors.policies import Policy, Retry
from relight.testing import capture_events
from tests.actors.providers.examples import EXAMPLES, KEY
from tests.actors.providers.operations import OPERATIONS
from tests.support.clocks import virtual_time

Operation = tuple[type[HttpService], Request[object]]

ALL: list[Operation] = [(kind, asked) for kind, messages in OPERATIONS.items() for asked in messages]
every_operation = pytest.mark.parametrize(
    ("kind", "asked"), ALL, ids=[f"{kind.__name__}.{type(asked).__name__}" for kind, asked in ALL]
)


class Wire:
    """In place of a connection: answers in order, the last one for ever, and says when it was asked."""

    def __init__(self, *answers: HttpReply) -> None:
        self._answers = list(answers)
        self.times: list[float] = []

    async def send(self, message: HttpRequest) -> HttpReply:
        self.times.append(anyio.current_time())
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    @asynccontextmanager
    async def stream(self, message: HttpRequest) -> AsyncGenerator[HttpStream]:
        reply = await self.send(message)
        rest = [reply.body]

        async def receive() -> bytes:
            return rest.pop() if rest else b""

        yield HttpStream(reply.status, reply.headers, receive)


class Offline(HttpService):
    """A provider without its network."""

    wire: Wire

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        self._client = self.wire  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
        yield


def child(kind: type[HttpService], wire: Wire, policy: Policy | None = None) -> Child:
    offline = type(f"Offline{kind.__name__}", (Offline, kind), {"wire": wire})
    return Child("svc", partial(EXAMPLES[kind].make, offline, "http://localhost"), policy=policy)


def reply(status: int, body: object, **headers: str) -> HttpReply:
    return HttpReply(
        status, {name.replace("_", "-"): text for name, text in headers.items()}, msgspec.json.encode(body)
    )


async def caught(ref: Ref, asked: Request[object]) -> Exception | None:
    try:
        await ref.ask(asked)
    except Exception as error:  # noqa: BLE001 - the test looks at it
        return error
    return None


def test_the_list_has_every_operation() -> None:
    listed = {kind: {type(asked).__name__ for asked in messages} for kind, messages in OPERATIONS.items()}
    found = {kind: set(kind.operations()) - {"RelayRequest", "HttpRequest"} for kind in PROVIDERS}
    assert listed == found


@pytest.mark.anyio
@virtual_time
@every_operation
async def test_a_spent_account_is_asked_once(kind: type[HttpService], asked: Request[object]) -> None:
    status, body = EXAMPLES[kind].quota
    wire = Wire(reply(status, body, retry_after="1"))
    async with open_system() as system:
        ref = await system.spawn(child(kind, wire))
        error = await caught(ref, asked)
        assert isinstance(error, ProviderError)
        assert error.kind is FailureKind.QUOTA
        assert isinstance(await caught(ref, asked), ProviderBlockedError)
    assert len(wire.times) == 1


@pytest.mark.anyio
@virtual_time
@every_operation
async def test_a_rate_limits_wait_is_kept_by_everybody(
    kind: type[HttpService], asked: Request[object]
) -> None:
    wire = Wire(reply(429, {}, retry_after="20"), reply(*EXAMPLES[kind].quota))
    async with open_system() as system, anyio.create_task_group() as group:
        ref = await system.spawn(child(kind, wire))
        group.start_soon(caught, ref, asked)
        await anyio.sleep(10.0)
        await caught(ref, asked)
    first, *others = wire.times
    assert others
    assert min(others) - first >= 20.0


@pytest.mark.anyio
@virtual_time
@every_operation
@pytest.mark.parametrize("status", [200, 401, 429, 500])
async def test_a_key_that_is_echoed_is_nowhere(
    kind: type[HttpService], asked: Request[object], status: int
) -> None:
    echo = {"message": f"no such key: {KEY}", "code": KEY, "type": KEY, "error": f"bad {KEY}", "status": KEY}
    wire = Wire(reply(status, {"error": echo} | echo, content_type=f"text/{KEY}"))
    async with open_system() as system:
        with capture_events(system) as events:
            ref = await system.spawn(child(kind, wire))
            error: BaseException | None = await caught(ref, asked)
            await ref.tell(asked)
            await anyio.sleep(1000.0)
        # What is no error to a function, a file or a voice is theirs to give.
        assert isinstance(error, ProviderError) or status == 200
        assert system.dead_letters.read() or status == 200
        seen: list[object] = [events, scrape(system), system.dead_letters.read(), system.services()]
        while error is not None:
            seen += [str(error), repr(error), vars(error), getattr(error, "__notes__", None)]
            error = error.__cause__
    assert KEY not in repr(seen)


NAMES = st.sampled_from(
    [
        *("id", "status", "output", "error", "delayTime", "executionTime", "workers", "jobs", "idle"),
        *(
            "detail",
            "message",
            "code",
            "Key",
            "signedURL",
            "name",
            "voices",
            "voice_id",
            "statusCode",
            "data",
        ),
    ]
)
STATUSES = st.sampled_from(["IN_QUEUE", "IN_PROGRESS", "COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"])
LEAVES = st.none() | st.booleans() | st.integers(-5, 600) | st.floats(allow_nan=False) | st.text(max_size=5)
JSON = st.recursive(
    LEAVES | STATUSES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=10,
)
BODIES = (
    JSON.map(msgspec.json.encode) | st.binary(max_size=40) | st.sampled_from([b"", b"{", b"<html>", b"NaN"])
)
ANSWERS = st.builds(
    HttpReply,
    st.sampled_from([200, 200, 200, 201, 204, 206, 302, 400, 404, 409, 429, 500, 503, 529]),
    st.fixed_dictionaries(
        {}, optional={"retry-after": st.text(max_size=5), "content-range": st.text(max_size=6)}
    ),
    BODIES,
)
ONCE = Policy(retry=Retry(attempts=1), breaker=None, attempt_timeout=1000.0, call_timeout=2000.0)


@every_operation
@settings(max_examples=12)
@given(answers=st.lists(ANSWERS, min_size=1, max_size=3))
def test_whatever_is_answered_ends_typed(
    kind: type[HttpService], asked: Request[object], answers: list[HttpReply]
) -> None:
    async def attempt() -> None:
        async with open_system() as system:
            ref = await system.spawn(child(kind, Wire(*answers), ONCE))
            error = await caught(ref, asked)
            assert error is None or isinstance(error, ProviderError)
            assert KEY not in str(error)
            assert system.services()[0].restarts == 0  # no bug of ours: the actor lives on

    anyio.run(attempt, backend="trio", backend_options={"clock": MockClock(autojump_threshold=0)})
