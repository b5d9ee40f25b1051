"""Let the hand-written agents and those on relight meet the same trouble, and count.

    python -m examples.video_maker.compare
    python -m examples.video_maker.compare outage

Both try five times. All waits are a fiftieth of what they usually are: the first one is 0.02 s instead of
1 s, a breaker stays open for 0.6 s instead of 30 s, a call may take 3.6 s instead of 180 s.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol

import anyio
import msgspec
import structlog

from relight import (
    Breaker,
    Child,
    Concurrency,
    Exponential,
    FailureKind,
    Fixed,
    Retry,
    Settings,
    System,
    open_system,
)
from relight.actors.jobs import JobContext, JobFunction, MemoryStore, Queue, Worker, together
from relight.actors.providers import OpenAI
from relight.fakes import FakeOptions, Fakes, FaultKind, Outage, RetryAfterForm, Step, open_fakes

from .before.image_generator import BATCH_RETRIES, MAX_CONCURRENT
from .before.image_generator import ImageGenerator as PainterByHand
from .before.script_writer import ScriptWriter as WriterByHand
from .image_generator import DrawScene, ImageGenerator
from .production import pool
from .script_writer import ScriptWriter, WriteScript

SCALE = 0.02
LATENCY = (0.002, 0.006)
VIDEOS = 5
SCENES = ("a tower", "a goose", "a lamp", "a bell", "a wave", "a boat", "a rope", "a sister")
OUTLINE = "A goose sleeps in the lamp. The storm comes. The keeper rings the bell. The boats come home."


class Agents(Protocol):
    """The two agents, whoever wrote them."""

    async def write(self, outline: str) -> object:
        """Write a script."""
        ...

    async def draw(self, scenes: Sequence[str]) -> object:
        """Draw pictures."""
        ...


class ByHand:
    """The hand-written agents."""

    def __init__(self, url: str, key: str) -> None:
        self._writer = WriterByHand(url, key, initial_delay=SCALE)
        self._painter = PainterByHand(url, key, initial_delay=SCALE)

    async def close(self) -> None:
        await self._writer.close()
        await self._painter.close()

    async def write(self, outline: str) -> object:
        return await self._writer.write(outline, 4)

    async def draw(self, scenes: Sequence[str]) -> object:
        return await self._painter.draw_all(list(scenes))


class OnRelight:
    """The agents on relight. Their service has the usual policy, with the waits made shorter."""

    def __init__(self, system: System, queue: Queue, draw_all: JobFunction[list[str], int]) -> None:
        self._system = system
        self._queue = queue
        self._draw_all = draw_all

    async def write(self, outline: str) -> object:
        return await self._system.get("script-writers").ask(WriteScript(outline, 4))

    async def draw(self, scenes: Sequence[str]) -> object:
        job = await self._queue.enqueue(self._draw_all, list(scenes))
        try:
            drawn = await self._queue.result_of(self._draw_all, job)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await self._queue.cancel(job)
            raise
        return drawn


def declare_pictures(queue: Queue) -> JobFunction[list[str], int]:
    """Make all pictures of a video a job of *queue*, tried as often as the batch written by hand."""

    @queue.job(attempts=BATCH_RETRIES, backoff=Exponential(SCALE))
    async def draw_all(job: JobContext, scenes: list[str]) -> int:
        pictures = await together(
            *(
                job.ask("image-generators", DrawScene(scene), name=f"picture-{number}")
                for number, scene in enumerate(scenes, start=1)
            )
        )
        return len(pictures)

    return draw_all


@asynccontextmanager
async def by_hand(fakes: Fakes) -> AsyncGenerator[Agents]:
    """Open the hand-written agents."""
    agents = ByHand(f"{fakes.url('openai')}/v1", fakes.key("openai"))
    yield agents
    await agents.close()


@asynccontextmanager
async def on_relight(fakes: Fakes) -> AsyncGenerator[Agents]:
    """Open the agents on relight."""
    policy = msgspec.structs.replace(
        OpenAI.policy,
        retry=Retry(
            attempts=5,
            backoff=Exponential(SCALE, cap=30.0 * SCALE),
            backoff_by_kind={FailureKind.RATE_LIMIT: Fixed(60.0 * SCALE)},
        ),
        breaker=Breaker(open_seconds=30.0 * SCALE, open_cap=300.0 * SCALE),
        concurrency=Concurrency(MAX_CONCURRENT),
        call_timeout=180.0 * SCALE,
    )
    start = partial(OpenAI, fakes.key("openai"), base_url=f"{fakes.url('openai')}/v1")
    queue = Queue(MemoryStore())
    async with open_system(settings=Settings(log_level="error")) as system:
        await system.spawn(Child("openai", start, policy=policy))
        await system.spawn(pool("script-writers", partial(ScriptWriter, "openai")))
        await system.spawn(pool("image-generators", partial(ImageGenerator, "openai")))
        draw_all = declare_pictures(queue)
        await Worker(queue, drain=0.0).start(system)
        yield OnRelight(system, queue, draw_all)


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What one side did in one kind of trouble."""

    requests: int
    """Requests sent to OpenAI."""
    made: int
    """Scripts or pictures that came out."""
    paid: int
    """Scripts or pictures that OpenAI made, and wants money for."""
    seconds: float


async def quota(fakes: Fakes, agents: Agents) -> Figures:
    """Write the scripts of five videos, one after the other, without money."""
    await fakes.script("openai", [Step(fault=FaultKind.QUOTA, times=1000)])
    return await _measured(fakes, lambda: _one_by_one([partial(agents.write, OUTLINE)] * VIDEOS))


async def outage(fakes: Fakes, agents: Agents) -> Figures:
    """Write five scripts at once while OpenAI is down for 75 s (1.5 s here)."""
    await fakes.start_outage(Outage("openai", seconds=75.0 * SCALE))
    return await _measured(fakes, lambda: _at_once([partial(agents.write, OUTLINE)] * VIDEOS))


async def limit(fakes: Fakes, agents: Agents) -> Figures:
    """Draw eight pictures while OpenAI asks everybody to wait, in milliseconds; count until then."""
    wait = Step(
        fault=FaultKind.RATE_LIMIT,
        retry_after=20.0 * SCALE,
        retry_after_form=RetryAfterForm.MILLISECONDS,
        times=1000,
    )
    await fakes.script("openai", [wait])

    async def draw_for_a_while() -> int:
        with anyio.move_on_after(19.0 * SCALE):
            await agents.draw(SCENES)
        return 0

    return await _measured(fakes, draw_for_a_while)


async def repaint(fakes: Fakes, agents: Agents) -> Figures:
    """Order eight pictures until all are there; after five of them OpenAI is down for 50 s (1 s here)."""
    await fakes.start_outage(Outage("openai", seconds=50.0 * SCALE, after_requests=5))

    async def order() -> int:
        for _ in range(3):
            if await _is_made(partial(agents.draw, SCENES)):
                return len(SCENES)
        return 0

    return await _measured(fakes, order)


TROUBLES: Mapping[str, Callable[[Fakes, Agents], Awaitable[Figures]]] = {
    "quota": quota,
    "outage": outage,
    "limit": limit,
    "repaint": repaint,
}


async def _one_by_one(works: Sequence[Callable[[], Awaitable[object]]]) -> int:
    return sum([await _is_made(work) for work in works])


async def _at_once(works: Sequence[Callable[[], Awaitable[object]]]) -> int:
    return sum(await asyncio.gather(*(_is_made(work) for work in works)))


async def _is_made(work: Callable[[], Awaitable[object]]) -> bool:
    try:
        await work()
    except Exception:  # noqa: BLE001 - each side has errors of its own, all mean: not made
        return False
    return True


async def _measured(fakes: Fakes, work: Callable[[], Awaitable[int]]) -> Figures:
    began = time.perf_counter()
    made = await work()
    seconds = time.perf_counter() - began
    log = await fakes.log("openai")
    paid = sum(1 for entry in log if entry.status == 200 and not entry.fault)
    return Figures(requests=len(log), made=made, paid=paid, seconds=round(seconds, 1))


async def measure(trouble: str, fakes: Fakes) -> dict[str, Figures]:
    """Let both sides meet a trouble, one after the other."""
    figures: dict[str, Figures] = {}
    for name, side in (("by hand", by_hand), ("relight", on_relight)):
        await fakes.reset("openai")
        async with side(fakes) as agents:
            figures[name] = await TROUBLES[trouble](fakes, agents)
    return figures


async def main(troubles: Sequence[str]) -> None:
    """Print what was counted."""
    async with open_fakes(["openai"], options=FakeOptions(latency=LATENCY)) as fakes:
        for trouble in troubles:
            for name, one in (await measure(trouble, fakes)).items():
                print(
                    f"{trouble:<8} {name}: {one.requests:>3} requests, {one.made} made, {one.paid} paid, "
                    f"{one.seconds:.1f} s"
                )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m examples.video_maker.compare")
    parser.add_argument("trouble", nargs="*", help=f"of {', '.join(TROUBLES)}; default: all of them")
    # Both sides complain at length. Only the figures are wanted here.
    logging.getLogger("examples").setLevel(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    asyncio.run(main(parser.parse_args().trouble or list(TROUBLES)))
