"""The image generator draws a picture for each scene, with a checkpoint for each.

When a picture can't be drawn, those that could are kept: who asks again pays for the missing one only.
"""

from __future__ import annotations

import msgspec

from relight import Agent, Ref, Request, handles
from relight.actors.providers import CreateImages

from ..common.checkpoints import Checkpoints
from ..common.report import usd
from ..common.together import together

MODEL = "gpt-image-1-mini"


class Picture(msgspec.Struct, frozen=True):
    """The picture of a scene."""

    data: bytes
    usd: float


class DrawScenes(Request[list[Picture]], frozen=True):
    """Draw all scenes of a video."""

    video: str
    scenes: list[str]


class ImageGenerator(Agent):
    """Have OpenAI draw."""

    def __init__(self, done: Checkpoints, model: Ref | str = "services/openai") -> None:
        self.done = done
        self.model = model

    @handles
    async def draw_all(self, message: DrawScenes) -> list[Picture]:
        return await together(
            self.done.step(f"{message.video}/picture-{number}", Picture, self.draw, scene)
            for number, scene in enumerate(message.scenes, start=1)
        )

    async def draw(self, scene: str) -> Picture:
        reply = await self.ask(self.model, CreateImages(model=MODEL, prompt=scene))
        data = reply.images[0].data
        assert data is not None, "this model sends pictures, not addresses"
        return Picture(data, usd(reply.usage))
