"""The image generator draws the picture of a scene."""

from __future__ import annotations

from relight import Agent, Ref, Request, handles
from relight.actors.providers import CreateImages

MODEL = "gpt-image-1-mini"


class DrawScene(Request[bytes], frozen=True):
    """Draw a scene."""

    scene: str


class ImageGenerator(Agent):
    """Have OpenAI draw. How many pictures at once is the service's affair."""

    def __init__(self, model: Ref | str = "services/openai") -> None:
        self.model = model

    @handles
    async def draw(self, message: DrawScene) -> bytes:
        reply = await self.ask(self.model, CreateImages(model=MODEL, prompt=message.scene))
        data = reply.images[0].data
        assert data is not None, "this model sends pictures, not addresses"
        return data
