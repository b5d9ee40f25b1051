"""ComicAgent: one actor makes one comic, by asking three services.

It knows nothing of retries: each service's supervisor owns those. What is left when a service gives
up, or refuses, is the job's business: the board tries again from the steps that were finished.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import anyio.to_thread
import msgspec

from ....runtime import Actor, Ref, Request, handles
from ...providers import ChatCompletion, ChatMessage, CreateMessage, RunJob
from ._jobs import JobBoard, JobEnd
from ._output import Comic, Panel, Shelf
from ._prompts import outline_prompt, panels_prompt, read_image, read_panels
from ._scenes import Scene
from ._steps import Steps
from ._together import together

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


class MakeComic(Request[JobEnd], frozen=True):
    """Make one comic, however long it takes."""

    job: str
    """The job's id and the name of the comic's folder."""
    scene: Scene


async def make_comic(agent: Ref, job: str, scene: Scene, *, timeout: float) -> JobEnd:
    """Have *agent* make one comic and return how that ended."""
    return await agent.ask(MakeComic(job, scene), timeout=timeout)


class ComicAgent(Actor):
    """Make a comic: an outline, four descriptions, four pictures."""

    def __init__(self, board: JobBoard, crew: Crew, shelf: Shelf) -> None:
        self._board = board
        self._crew = crew
        self._shelf = shelf

    @handles
    async def make(self, message: MakeComic) -> JobEnd:
        """Run the comic's job to its end."""
        return await self._board.run(message.job, partial(self._draw, message))

    async def _draw(self, order: MakeComic, steps: Steps) -> None:
        scene = order.scene
        outline = await steps.run("outline", str, partial(self._outline, scene))
        panels = await steps.run("panels", list[str], partial(self._panels, outline))
        images = await together(
            [
                partial(steps.run, f"image-{number}", bytes, partial(self._paint, panel))
                for number, panel in enumerate(panels, start=1)
            ]
        )
        files = {f"panel-{number}.png": image for number, image in enumerate(images, start=1)}
        drawn = [Panel(panel, file) for panel, file in zip(panels, files, strict=True)]
        comic = Comic(order.job, scene.angle, scene.text, outline, drawn)
        await anyio.to_thread.run_sync(self._shelf.put, comic, files)

    async def _outline(self, scene: Scene) -> str:
        question = ChatMessage("user", outline_prompt(scene))
        reply = await self._crew.anthropic.ask(CreateMessage(model=_OUTLINER, messages=(question,)))
        return reply.text

    async def _panels(self, outline: str) -> list[str]:
        question = ChatMessage("user", panels_prompt(outline))
        reply = await self._crew.openai.ask(ChatCompletion(model=_DIRECTOR, messages=(question,)))
        return read_panels(reply.text)

    async def _paint(self, panel: str) -> bytes:
        # A panel painted twice costs a cent, a comic given up costs all that went before.
        result = await self._crew.runpod.ask(RunJob(input={"prompt": panel}, duplicate_ok=True))
        return read_image(result.output)
