"""The video assembler has a GPU at RunPod put pictures and sounds together.

What it hands over are digests: in production the addresses of the uploaded files stand there.
"""

from __future__ import annotations

from base64 import b64decode
from hashlib import blake2b

import msgspec

from relight import Agent, Ref, Request, handles
from relight.actors.providers import RunJob


class AssembleVideo(Request[bytes], frozen=True):
    """Put a video together."""

    title: str
    pictures: tuple[bytes, ...]
    sounds: tuple[bytes, ...]


class _Output(msgspec.Struct):
    """What the worker on the GPU answers: files, in base64."""

    images: list[str]


class VideoAssembler(Agent):
    """Run a job, and wait for its end. Polling and cancelling are the service's."""

    def __init__(self, gpu: Ref | str = "services/runpod") -> None:
        self.gpu = gpu

    @handles
    async def assemble(self, message: AssembleVideo) -> bytes:
        parts = {
            "prompt": message.title,
            "pictures": [_digest(picture) for picture in message.pictures],
            "sounds": [_digest(sound) for sound in message.sounds],
        }
        # It makes the same video of the same parts: a job that may run already may be begun again.
        result = await self.ask(self.gpu, RunJob(input=parts, duplicate_ok=True))
        return b64decode(msgspec.convert(result.output, _Output).images[0])


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=16).hexdigest()
