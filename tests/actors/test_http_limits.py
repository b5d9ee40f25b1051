"""An HTTP service keeps to what its provider's headers say, and to what its replies say they cost."""

from collections.abc import AsyncGenerator

import anyio
import msgspec
import pytest

from relight.actors import HttpRequest, HttpService, Price, PriceTable, Service, Usage
from relight.actors.providers import Anthropic, ChatCompletion, ChatMessage, CreateMessage, OpenAI
from relight.runtime import Request, StreamRequest, handles
from relight.supervisors import BudgetExceededError, Charge, Child, RateLimitedError, open_system
from relight.supervisors.policies import CostBudget, Policy, RateLimit
from tests.actors.raw_http import http, http_json, serve

pytestmark = pytest.mark.anyio

GET = HttpRequest("GET", "/thing")


async def test_a_call_waits_for_what_the_headers_of_the_last_answer_said() -> None:
    headers = ("x-ratelimit-limit-requests: 10", "x-ratelimit-remaining-requests: 0")
    slow = http(204, b"", *headers, "x-ratelimit-reset-requests: 5s")
    policy = Policy(rate_limit=RateLimit())
    async with serve(slow, http(204)) as server, open_system() as system:
        ref = await system.spawn(Child("svc", lambda: HttpService(server.url), policy=policy))
        await ref.ask(GET)
        with pytest.raises(RateLimitedError) as refused:
            await ref.ask(GET, timeout=0.3)
        assert refused.value.retry_after is not None
        await ref.ask(GET)
        assert server.times[1] - server.times[0] >= 0.45


async def test_without_a_rate_limit_headers_are_not_followed() -> None:
    headers = ("x-ratelimit-limit-requests: 10", "x-ratelimit-remaining-requests: 0")
    async with serve(http(204, b"", *headers)) as server, open_system() as system:
        ref = await system.spawn(Child("svc", lambda: HttpService(server.url)))
        for _ in range(5):
            await ref.ask(GET, timeout=5.0)
        (found,) = system.services()
        assert found.rate_limit is None


async def test_headers_may_be_met_outside_a_handler() -> None:
    async with serve(http(204, b"", "x-ratelimit-remaining-requests: 0")) as server:
        service = HttpService(server.url)
        async with service.lifespan():
            assert (await service.exchange(GET)).status == 204


DOLLARS = PriceTable({"m": Price(input=1.0, output=1.0)})
"""A dollar for a million tokens."""


def completion(tokens: int) -> bytes:
    usage = {"prompt_tokens": tokens, "completion_tokens": 0}
    answer = {"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}], "usage": usage}
    return http_json(200, answer)


async def test_a_chat_is_charged_by_its_usage_and_refused_by_its_estimate() -> None:
    limit = RateLimit(tokens_per_minute=1e6, burst=120.0)  # there are enough: the money is what is short
    policy = Policy(cost_budget=CostBudget(usd_per_day=1.0), rate_limit=limit)
    chat = ChatCompletion(model="m", messages=(ChatMessage("user", "hello"),), max_tokens=200_000)
    async with serve(completion(900_000)) as server, open_system() as system:
        ref = await system.spawn(
            Child("svc", lambda: OpenAI(None, base_url=server.url, prices=DOLLARS), policy=policy)
        )
        await ref.ask(chat)
        with pytest.raises(BudgetExceededError):
            await ref.ask(chat)
        assert len(server.requests) == 1
        (found,) = system.services()
        assert found.spending is not None
        assert found.spending.first_usd == pytest.approx(0.9)
        assert found.rate_limit is not None
        assert found.rate_limit.tokens_left is not None
        assert found.rate_limit.tokens_left <= 1_600_000  # the estimates alone would leave 1,800,000
        assert found.rate_limit.reports == 0


def test_an_estimate_says_how_many_tokens_an_attempt_may_use() -> None:
    messages = (ChatMessage("user", "hello"),)
    chat = OpenAI(None).estimate(ChatCompletion(model="m", messages=messages, max_tokens=100))
    message = Anthropic(None).estimate(CreateMessage(model="m", messages=messages, max_tokens=100))
    assert chat is not None
    assert message is not None
    assert (chat.tokens, chat.usd) == (106, None)
    assert message.tokens == 106


class Reply(msgspec.Struct, frozen=True):
    usage: Usage | None


class Ask(Request[Reply], frozen=True):
    pass


class Talk(StreamRequest[Reply], frozen=True):
    pass


@pytest.mark.parametrize(
    ("reply", "charge"),
    [
        (Reply(Usage(input_tokens=3, output_tokens=4, usd=0.5)), Charge(0.5, 7)),
        (Reply(Usage(usd=None)), Charge(None, None)),
        (Reply(Usage(seconds=3.0, usd=0.25)), Charge(0.25, None)),
        (Reply(None), None),
        ("text", None),
        ([], None),
        ([Reply(None), Reply(Usage(input_tokens=2, usd=0.1)), Reply(None)], Charge(0.1, 2)),
    ],
)
def test_a_charge_is_read_from_the_usage_of_a_reply(reply: object, charge: Charge | None) -> None:
    assert Service().charge(Ask(), reply) == charge


class Talker(Service):
    @handles
    async def talk(self, message: Talk) -> AsyncGenerator[Reply]:
        yield Reply(None)
        yield Reply(Usage(usd=0.25))


async def test_a_stream_is_charged_by_the_usage_of_its_last_part() -> None:
    policy = Policy(cost_budget=CostBudget(usd_per_day=1.0))
    async with open_system() as system:
        ref = await system.spawn(Child("svc", Talker, policy=policy))
        async with ref.stream(Talk()) as parts:
            assert len([part async for part in parts]) == 2
        await ref.ask(Talk())
        await anyio.wait_all_tasks_blocked()
        (found,) = system.services()
        assert found.spending is not None
        assert found.spending.first_usd == 0.5
