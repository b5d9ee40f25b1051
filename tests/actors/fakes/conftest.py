"""One child process serves the fakes of most tests; each test begins with them reset."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

import httpx2
import pytest
from anyio.from_thread import start_blocking_portal

from relight.actors.fakes import FakeOptions, Fakes, open_fakes

Ask = Callable[..., Coroutine[None, None, httpx2.Response]]


@pytest.fixture
def anyio_backend() -> str:
    """What is on the wire does not depend on the client's backend; ``test_open_fakes`` tries both."""
    return "trio"


@pytest.fixture(scope="session")
def served() -> Iterator[Fakes]:
    """Open fakes in a thread: each test has an event loop of its own, the processes outlive them."""
    options = FakeOptions(
        latency=(0.0, 0.002), run_seconds=(0.02, 0.03), cold_start_seconds=0.3, max_body=100_000
    )
    with (
        start_blocking_portal("trio") as portal,
        portal.wrap_async_context_manager(open_fakes(options=options)) as fakes,
    ):
        yield fakes


@pytest.fixture
async def client(anyio_backend: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(trust_env=False, verify=False, timeout=60.0) as client:
        yield client


@pytest.fixture
async def fakes(served: Fakes, client: httpx2.AsyncClient) -> Fakes:
    for provider in served.providers:
        await client.post(f"{served.url(provider)}/_fake/reset")
    return served


@pytest.fixture
def chat(fakes: Fakes, client: httpx2.AsyncClient) -> Ask:
    """Ask the fake of OpenAI for a chat completion."""

    async def ask(text: str = "hello", *, key: str = "fake-openai-key", **more: object) -> httpx2.Response:
        body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], **more}
        headers = {"authorization": f"Bearer {key}"}
        return await client.post(f"{fakes.url('openai')}/v1/chat/completions", json=body, headers=headers)

    return ask


@pytest.fixture
def message(fakes: Fakes, client: httpx2.AsyncClient) -> Ask:
    """Ask the fake of Anthropic for a message."""

    async def ask(text: str = "hello", *, key: str = "fake-anthropic-key", **more: object) -> httpx2.Response:
        messages = [{"role": "user", "content": text}]
        body = {"model": "claude-haiku-4-5", "max_tokens": 1000, "messages": messages, **more}
        headers = {"x-api-key": key, "anthropic-version": "2023-06-01"}
        return await client.post(f"{fakes.url('anthropic')}/v1/messages", json=body, headers=headers)

    return ask


@pytest.fixture
def runpod(fakes: Fakes, client: httpx2.AsyncClient) -> Ask:
    """Send a request to the fake of RunPod: ``runpod("GET", "status/some-id")``."""

    async def ask(
        method: str, path: str, *, key: str = "fake-runpod-key", json: object = None
    ) -> httpx2.Response:
        headers = {"authorization": f"Bearer {key}"}
        return await client.request(
            method, f"{fakes.url('runpod')}/v2/painter/{path}", json=json, headers=headers
        )

    return ask
