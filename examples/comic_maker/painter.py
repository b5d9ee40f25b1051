"""The painters: one has a GPU at RunPod, the other asks OpenAI. Both paint a panel when they are told to."""

from __future__ import annotations

from base64 import b64decode

import msgspec

from relight import Agent, Ref, Request, handles
from relight.actors.providers import CreateImages, RunJob

MODEL = "gpt-image-1-mini"


class PaintPanel(Request[bytes], frozen=True):
    """Paint one panel."""

    prompt: str


class _Output(msgspec.Struct):
    """What the worker on the GPU answers."""

    images: list[str]


class Painter(Agent):
    """Paint on a GPU of one's own, at RunPod."""

    def __init__(self, gpu: Ref | str = "services/runpod") -> None:
        self.gpu = gpu

    @handles
    async def paint(self, message: PaintPanel) -> bytes:
        # A panel painted twice costs a hundredth of a cent, a page that is lost all that went before.
        result = await self.ask(self.gpu, RunJob(input={"prompt": message.prompt}, duplicate_ok=True))
        return b64decode(msgspec.convert(result.output, _Output).images[0])


class ImagePainter(Agent):
    """Have OpenAI paint."""

    def __init__(self, model: Ref | str = "services/openai") -> None:
        self.model = model

    @handles
    async def paint(self, message: PaintPanel) -> bytes:
        reply = await self.ask(self.model, CreateImages(model=MODEL, prompt=message.prompt))
        data = reply.images[0].data
        assert data is not None, "this model sends pictures, not addresses"
        return data
