"""A service actor in front of a fake, and an official client in front of the actor."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

import httpx2
import msgspec

import relight
from relight import Child, Ref, System, open_system
from relight.actors.providers import Anthropic, OpenAI
from relight.supervisors import FailureKind
from relight.supervisors.policies import Breaker, Exponential, Fixed, Policy
from tests.actors.transport.conftest import Servers
from tests.actors.transport.scenarios import Scenario, Talk, TalkAnthropic, TalkOpenAI

PROVIDERS = ("openai", "anthropic")
SERVICES: dict[str, type[OpenAI] | type[Anthropic]] = {"openai": OpenAI, "anthropic": Anthropic}


def impatient(policy: Policy, breaker_after: int) -> Policy:
    """Keep everything of *policy* but its long waits."""
    retry = msgspec.structs.replace(
        policy.retry,
        backoff=Exponential(0.02, jitter="none"),
        backoff_by_kind={FailureKind.RATE_LIMIT: Fixed(0.02)},
    )
    return msgspec.structs.replace(policy, retry=retry, breaker=Breaker(failures=breaker_after))


@asynccontextmanager
async def serving(servers: Servers, provider: str, scenario: Scenario) -> AsyncGenerator[tuple[System, Ref]]:
    """Run the provider's service actor in front of its fake."""
    service = SERVICES[provider]
    start = partial(service, scenario.key or servers.key(provider), base_url=servers.url(provider))
    policy = impatient(service.policy, scenario.breaker_after)
    async with open_system() as system:
        yield system, await system.spawn(Child(provider, start, policy=policy))


@asynccontextmanager
async def client_of(provider: str, ref: Ref, servers: Servers, scenario: Scenario) -> AsyncGenerator[Talk]:
    """Put the official client in front of *ref*."""
    talk = {"openai": TalkOpenAI, "anthropic": TalkAnthropic}[provider]
    async with httpx2.AsyncClient(transport=relight.transport(ref), timeout=scenario.patience) as http:
        yield talk(http, servers.url(provider))
