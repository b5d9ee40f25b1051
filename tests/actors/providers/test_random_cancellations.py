"""A thousand calls to the providers, each cancelled at a random moment, leave nothing behind.

Attempts, waits, polls and the cancelling of jobs are cut wherever they happen to be, over real sockets.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from random import Random

import anyio
import msgspec
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from relight import AskError, Child, ProviderError, Ref, RefusalError, Request, System, open_system
from relight.actors.fakes import FakeOptions, Fakes, FaultKind, FaultPlan, RetryAfterForm, open_fakes
from relight.actors.providers import (
    Anthropic,
    ChatCompletion,
    ChatMessage,
    CreateMessage,
    OpenAI,
    Polling,
    RunJob,
    RunPod,
)
from relight.supervisors.policies import Breaker, Concurrency, Exponential, Policy
from relight.testing import assert_no_leaks

CANCELLATIONS = 1000
BATCH, AT_ONCE = 200, 30
HELLO = (ChatMessage("user", "Hello there"),)
REQUESTS: dict[str, Request[object]] = {
    "openai": ChatCompletion(model="gpt-4o-mini", messages=HELLO),
    "anthropic": CreateMessage(model="claude-haiku-4-5", messages=HELLO),
    "runpod": RunJob(input={"prompt": "a lighthouse"}),
}
SLOTS = 8
FAULTS = {
    FaultKind.RATE_LIMIT: 1.0,
    FaultKind.SERVER_ERROR: 2.0,
    FaultKind.UNAVAILABLE: 2.0,
    FaultKind.HANG: 2.0,
    FaultKind.RESET: 2.0,
    FaultKind.BROKEN_JSON: 1.0,
    FaultKind.TRUNCATED: 1.0,
    FaultKind.JOB_FAILED: 1.0,
}
PLAN = FaultPlan(
    rate=0.3,
    seed=5,
    weights=FAULTS,
    hang_seconds=0.5,
    retry_after_seconds=0.01,
    retry_after_forms=(RetryAfterForm.MILLISECONDS,),
)
# A rate limit leaves a quarter of the slots, and hardly a job would be begun.
PLANS = {
    "openai": PLAN,
    "anthropic": PLAN,
    "runpod": msgspec.structs.replace(PLAN, weights={**FAULTS, FaultKind.RATE_LIMIT: 0.0}),
}
OPTIONS = FakeOptions(latency=(0.0, 0.01), run_seconds=(0.05, 0.5), workers=64)
OPEN_FILES = "/proc/self/fd"


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture(scope="module")
def opened(portal: BlockingPortal) -> Iterator[Fakes]:
    """Serve the fakes from processes of their own; each test has an event loop of its own."""
    with portal.wrap_async_context_manager(open_fakes(plan=PLANS, options=OPTIONS)) as fakes:
        yield fakes


@pytest.fixture
def fakes(opened: Fakes, portal: BlockingPortal) -> Fakes:
    for name in opened.providers:
        portal.call(opened.reset, name)
    return opened


def hasty(policy: Policy) -> Policy:
    """Keep everything of *policy* but its long waits."""
    retry = msgspec.structs.replace(
        policy.retry, backoff=Exponential(0.01, cap=0.05), backoff_by_kind={}, attempts_by_kind={}
    )
    return msgspec.structs.replace(
        policy, retry=retry, breaker=Breaker(failures=20, open_seconds=0.05), concurrency=Concurrency(SLOTS)
    )


async def spawn_all(system: System, fakes: Fakes) -> dict[str, Ref]:
    url, key = fakes.url, fakes.key
    polling = Polling(initial=0.01, cap=0.03)
    children = (
        Child(
            "openai",
            partial(OpenAI, key("openai"), base_url=f"{url('openai')}/v1"),
            policy=hasty(OpenAI.policy),
        ),
        Child(
            "anthropic",
            partial(Anthropic, key("anthropic"), base_url=url("anthropic")),
            policy=hasty(Anthropic.policy),
        ),
        Child(
            "runpod",
            partial(RunPod, "sdxl", key("runpod"), base_url=f"{url('runpod')}/v2", polling=polling),
            policy=hasty(RunPod.policy),
        ),
    )
    return {child.id: await system.spawn(child) for child in children}


class Tally:
    """What became of the calls."""

    def __init__(self) -> None:
        self.cut = self.answered = self.failed = 0

    async def call(self, ref: Ref, message: Request[object], seconds: float) -> None:
        """Ask, and leave after some seconds if there is no answer."""
        with anyio.move_on_after(seconds) as scope:
            try:
                await ref.ask(message)
            except (ProviderError, RefusalError, AskError):
                self.failed += 1
            else:
                self.answered += 1
        self.cut += scope.cancelled_caught

    @property
    def total(self) -> int:
        return self.cut + self.answered + self.failed


def open_files() -> int:
    """Count what this process has open; 0 where the system does not tell."""
    return len(os.listdir(OPEN_FILES)) if os.path.isdir(OPEN_FILES) else 0


@pytest.mark.anyio
@pytest.mark.slow
async def test_a_thousand_random_cancellations_over_sockets_leave_nothing(
    fakes: Fakes, portal: BlockingPortal
) -> None:
    rng, tally = Random(11), Tally()
    files = open_files()
    async with open_system() as system:
        refs = await spawn_all(system, fakes)
        names = list(refs)
        limiter = anyio.CapacityLimiter(AT_ONCE)

        async def one(name: str, seconds: float) -> None:
            async with limiter:
                await tally.call(refs[name], REQUESTS[name], seconds)

        made = 0
        while tally.cut < CANCELLATIONS:
            async with anyio.create_task_group() as group:
                for number in range(BATCH):
                    group.start_soon(one, names[number % len(names)], rng.uniform(0.0, 0.15))
            made += BATCH
            assert tally.total == made <= 20 * CANCELLATIONS
        assert tally.answered > 0

        await assert_no_leaks(system, timeout=60.0)
        # Each slot has given its connection back or closed it.
        assert open_files() - files <= SLOTS * len(refs) + 8
        jobs = portal.call(fakes.statistics, "runpod").jobs
        with anyio.fail_after(30.0):
            while jobs.keys() & {"IN_QUEUE", "IN_PROGRESS"}:
                await anyio.sleep(0.01)
                jobs = portal.call(fakes.statistics, "runpod").jobs
        assert jobs["CANCELLED"] > 0
    assert open_files() <= files
