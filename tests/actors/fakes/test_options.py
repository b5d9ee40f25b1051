"""Plans, outages and options may differ from fake to fake."""

from collections.abc import Callable, Coroutine, Iterator

import httpx2
import pytest
from anyio.from_thread import start_blocking_portal

from relight.actors.fakes import FakeOptions, Fakes, FaultKind, FaultPlan, Outage, open_fakes

Ask = Callable[..., Coroutine[None, None, httpx2.Response]]

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def served() -> Iterator[Fakes]:
    options = {
        "openai": FakeOptions(quota=2, latency=(0.0, 0.0)),
        "anthropic": FakeOptions(requests_per_minute=2, latency=(0.0, 0.0)),
        "runpod": FakeOptions(key="another-key"),
    }
    plan = {"runpod": FaultPlan(rate=1.0, weights={FaultKind.SERVER_ERROR: 1.0})}
    outages = [Outage("runpod", 60.0, after_requests=1)]
    opened = open_fakes(plan=plan, options=options, outages=outages)
    with start_blocking_portal("trio") as portal, portal.wrap_async_context_manager(opened) as fakes:
        yield fakes


@pytest.fixture(scope="module")
def rationed() -> Iterator[Fakes]:
    opened = open_fakes(["openai"], options=FakeOptions(tokens_per_minute=60, latency=(0.0, 0.0)))
    with start_blocking_portal("trio") as portal, portal.wrap_async_context_manager(opened) as fakes:
        yield fakes


async def test_tokens_are_rationed_with_true_headers(rationed: Fakes, client: httpx2.AsyncClient) -> None:
    async def ask(words: int) -> httpx2.Response:
        body = {"model": "m", "messages": [{"role": "user", "content": "a " * words}]}
        headers = {"authorization": "Bearer fake-openai-key"}
        return await client.post(f"{rationed.url('openai')}/v1/chat/completions", json=body, headers=headers)

    replies = [await ask(words) for words in (40, 40, 5)]
    left = [int(reply.headers["x-ratelimit-remaining-tokens"]) for reply in replies]
    assert [reply.status_code for reply in replies] == [200, 429, 200]
    assert 15 <= left[1] <= left[0] + 2 <= 22
    assert left[2] < left[1]
    assert replies[0].headers["x-ratelimit-limit-tokens"] == "60"
    assert 15 <= int(replies[1].headers["retry-after"]) <= 26


async def test_a_spent_quota_refuses_until_it_is_topped_up(fakes: Fakes, chat: Ask) -> None:
    replies = [await chat() for _ in range(4)]
    await fakes.top_up("openai", 1)
    replies += [await chat() for _ in range(2)]
    await fakes.top_up("openai")
    replies.append(await chat())
    assert [reply.status_code for reply in replies] == [200, 200, 429, 429, 200, 429, 200]
    assert replies[2].json()["error"]["code"] == "insufficient_quota"
    assert (await fakes.log("openai"))[2].source == "quota"


async def test_a_rate_limit_counts_and_says_when_the_next_request_may_come(message: Ask) -> None:
    replies = [await message() for _ in range(3)]
    left = [reply.headers["anthropic-ratelimit-requests-remaining"] for reply in replies]
    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert left == ["1", "0", "0"]
    assert replies[2].headers["anthropic-ratelimit-requests-limit"] == "2"
    assert 28 <= int(replies[2].headers["retry-after"]) <= 30


async def test_each_fake_follows_its_own_plan_and_outages(fakes: Fakes, runpod: Ask, chat: Ask) -> None:
    assert fakes.key("runpod") == "another-key"
    replies = [await runpod("GET", "health", key="another-key") for _ in range(2)]
    assert [reply.status_code for reply in replies] == [500, 503]
    assert [entry.source for entry in await fakes.log("runpod")] == ["plan", "outage"]
    assert (await chat()).status_code == 200


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"latency": (0.2, 0.1)}, r"FakeOptions.latency\[1\]"),
        ({"run_seconds": (-1.0, 0.1)}, r"FakeOptions.run_seconds\[0\]"),
        ({"workers": 0}, "FakeOptions.workers"),
        ({"quota": -1}, "FakeOptions.quota"),
        ({"requests_per_minute": 0}, "FakeOptions.requests_per_minute"),
        ({"tokens_per_minute": 0}, "FakeOptions.tokens_per_minute"),
        ({"chunk_delay": -1.0}, "FakeOptions.chunk_delay"),
        ({"max_body": 0}, "FakeOptions.max_body"),
    ],
)
def test_an_impossible_option_is_refused_by_name(changes: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        FakeOptions(**changes)  # type: ignore[arg-type]
