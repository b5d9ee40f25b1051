"""One comic: a job of six steps, each a call that somebody is paid for.

It knows nothing of retries: each service's supervisor owns those. What is left when a service gives up,
or refuses, is the worker's business: the job goes on from the steps that were finished, after a crash too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import anyio.to_thread
import msgspec

from ....runtime import Ref
from ...jobs import JobContext, JobFunction, Queue, together
from ...providers import ChatCompletion, ChatMessage, CreateMessage, RunJob
from ._jobs import JobBoard, Order
from ._output import Comic, Panel, Shelf
from ._pace import Pace
from ._prompts import outline_prompt, panels_prompt, read_image, read_panels
from ._scenes import Scene

_OUTLINER: Final = "claude-haiku-4-5"
_DIRECTOR: Final = "gpt-4o-mini"


class Crew(msgspec.Struct, frozen=True):
    """The services that make comics."""

    anthropic: Ref
    """Outlines."""
    openai: Ref
    """Says what each panel shows."""
    runpod: Ref
    """Paints."""


def declare_comics(queue: Queue, crew: Crew, board: JobBoard, pace: Pace) -> JobFunction[Order, str]:
    """Make comics a job of *queue*; its result is the comic's folder.

    Args:
        queue: Where.
        crew: Whom it asks.
        board: Told of each step that is carried out.
        pace: Of its attempts.
    """

    @queue.job(attempts=pace.attempts, backoff=pace.backoff, attempt_timeout=pace.attempt_timeout)
    async def make_comic(job: JobContext, order: Order) -> str:
        artist = Artist(crew, board, job.id)
        outline = await job.step("outline", artist.outline, order.scene)
        panels = await job.step("panels", artist.panels, outline)

        async def paint(number: int, panel: str) -> bytes:
            name = f"image-{number}"
            return await job.step(name, artist.paint, name, panel)

        images = await together(*(paint(number, panel) for number, panel in enumerate(panels, start=1)))
        files = {f"panel-{number}.png": image for number, image in enumerate(images, start=1)}
        drawn = [Panel(panel, file) for panel, file in zip(panels, files, strict=True)]
        comic = Comic(order.comic, order.scene.angle, order.scene.text, outline, drawn)
        # Done twice it makes the same files, so it need not be a step.
        await anyio.to_thread.run_sync(Shelf(Path(order.folder)).put, comic, files)
        return str(Path(order.folder, order.comic))

    return make_comic


class Artist:
    """Carry out the steps of one comic."""

    def __init__(self, crew: Crew, board: JobBoard, job: str) -> None:
        self._crew = crew
        self._board = board
        self._job = job

    async def outline(self, scene: Scene) -> str:
        """Have a scene told in a few sentences."""
        question = ChatMessage("user", outline_prompt(scene))
        reply = await self._crew.anthropic.ask(CreateMessage(model=_OUTLINER, messages=(question,)))
        self._board.pay(self._job, "outline")
        return reply.text

    async def panels(self, outline: str) -> list[str]:
        """Have said what each panel shows."""
        question = ChatMessage("user", panels_prompt(outline))
        reply = await self._crew.openai.ask(ChatCompletion(model=_DIRECTOR, messages=(question,)))
        panels = read_panels(reply.text)
        self._board.pay(self._job, "panels")
        return panels

    async def paint(self, step: str, panel: str) -> bytes:
        """Have a panel painted."""
        # A panel painted twice costs a cent, a comic given up costs all that went before.
        result = await self._crew.runpod.ask(RunJob(input={"prompt": panel}, duplicate_ok=True))
        image = read_image(result.output)
        self._board.pay(self._job, step)
        return image
