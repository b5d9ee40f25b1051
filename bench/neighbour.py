"""How much slower does one provider answer while another hangs, is flooded and crashes?

Both are real HTTP servers in processes of their own. The quiet one answers after 50 ms; its callers'
p99 is taken alone and beside the noisy one, in turns, and the median of the rounds' ratios counts.
The noisy one has no breaker, or it would soon be left alone and make no noise.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import cycle

import anyio

from relight import (
    Child,
    Concurrency,
    Fixed,
    MailboxFullError,
    Message,
    Policy,
    Ref,
    Retry,
    System,
    handles,
    open_system,
)
from relight.actors.fakes import FakeOptions, Fakes, FaultKind, FaultPlan, open_fakes
from relight.actors.providers import Anthropic, ChatCompletion, ChatMessage, CreateMessage, OpenAI

from .harness import Figure, Stage, Target, figure, medians, percentile

CALLERS = 8
"""Callers of the quiet provider, each with one call out at a time."""
ROUNDS = 5
SECONDS = 3.0
"""Of each half of a round."""
QUICK_ROUNDS, QUICK_SECONDS = 2, 0.6
TARGET = Target(1.2)

_MILLISECONDS = 1e3
_QUESTION = (ChatMessage("user", "How are you?"),)
_HANGS = FaultPlan(rate=0.5, weights={FaultKind.HANG: 1.0}, hang_seconds=5.0)
_OPTIONS = FakeOptions(latency=(0.05, 0.05))


class Trip(Message, frozen=True):
    """Make the service crash."""


class Noisy(Anthropic):
    """A service with a bug, behind a provider that hangs half of the time."""

    policy = Policy(
        retry=Retry(attempts=2, backoff=Fixed(0.05)),
        breaker=None,
        concurrency=Concurrency(8),
        attempt_timeout=0.25,
        intensity=1_000_000,
        restart_backoff=Fixed(0.05),
    )

    @handles
    async def trip(self, message: Trip) -> None:
        """Crash."""
        raise RuntimeError("tripped")


async def answer(stage: Stage) -> AsyncIterator[Figure]:
    """Call the quiet provider alone and beside the noisy one, in turns."""
    rounds, seconds = (QUICK_ROUNDS, QUICK_SECONDS) if stage.is_quick else (ROUNDS, SECONDS)
    plans = {"openai": FaultPlan(), "anthropic": _HANGS}
    async with (
        open_fakes(tuple(plans), plan=plans, options=_OPTIONS, processes="each") as fakes,
        open_system(shutdown_timeout=5.0) as system,
    ):
        quiet = await system.spawn(
            Child("openai", partial(OpenAI, fakes.key("openai"), base_url=f"{fakes.url('openai')}/v1"))
        )
        await _latencies(quiet, 0.3)  # opens the connections
        alone: list[float] = []
        beside: list[float] = []
        for _ in range(rounds):
            alone.append(percentile(await _latencies(quiet, seconds), 0.99))
            async with _noise(system, fakes):
                beside.append(percentile(await _latencies(quiet, seconds), 0.99))
    yield figure(
        "neighbour",
        stage,
        medians(beside, alone).scaled(_MILLISECONDS),
        unit="ms",
        floor_is="p99 of the quiet provider alone",
        target=TARGET,
    )


async def _latencies(quiet: Ref, seconds: float) -> list[float]:
    """Call for some seconds; returns the seconds each call took."""
    took: list[float] = []
    end = time.perf_counter() + seconds

    async def call() -> None:
        while (began := time.perf_counter()) < end:
            await quiet.ask(ChatCompletion(model="gpt-4o-mini", messages=_QUESTION))
            took.append(time.perf_counter() - began)

    async with anyio.create_task_group() as group:
        for _ in range(CALLERS):
            group.start_soon(call)
    return took


@asynccontextmanager
async def _noise(system: System, fakes: Fakes) -> AsyncGenerator[None, None]:
    """Keep a service's mailbox full of calls that hang and of messages that make it crash."""
    start = partial(Noisy, fakes.key("anthropic"), base_url=fakes.url("anthropic"))
    noisy = await system.spawn(Child("anthropic", start, shutdown=0.5))
    async with anyio.create_task_group() as group:
        group.start_soon(_flood, noisy)
        await anyio.sleep(0.2)  # until it is in full swing
        yield
        group.cancel_scope.cancel()
    await noisy.stop()


async def _flood(noisy: Ref) -> None:
    call = CreateMessage(model="claude-haiku-4-5", messages=_QUESTION)
    for message in cycle([call] * 9 + [Trip()]):
        try:
            noisy.tell_nowait(message)
        except MailboxFullError:
            await anyio.sleep(0.02)
