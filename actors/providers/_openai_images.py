"""Images."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ...runtime import Request
from ...supervisors import FailureKind
from .._http import HttpService
from .._usage import Usage
from ._openai_usage import ResponseUsage


class MadeImage(msgspec.Struct, frozen=True, kw_only=True):
    """Hold one image: its bytes, or where to fetch it."""

    data: bytes | None = None
    """The image, in the format asked for; None where the provider keeps it."""
    url: str | None = None
    """Where it can be fetched for a while (an hour at OpenAI); None where *data* holds it."""
    revised_prompt: str | None = None
    """What the model made of the prompt."""


class ImagesReply(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the images a model made."""

    images: tuple[MadeImage, ...]
    """At least one; fewer than asked for, where the provider says so by sending fewer."""
    usage: Usage


class CreateImages(Request[ImagesReply], frozen=True, kw_only=True):
    """Have a model make images."""

    model: str
    prompt: str
    n: int = 1
    """How many."""
    size: str | None = None
    """As ``1024x1024``."""
    quality: str | None = None
    response_format: str | None = None
    """``b64_json`` or ``url``, where the model lets one choose: gpt-image models do not, and send bytes."""
    extra: Mapping[str, object] = {}
    """More fields of the request, as the API names them; they win over the ones above."""


def images_payload(message: CreateImages) -> dict[str, object]:
    """Write the body of a request."""
    fields: dict[str, object] = {
        "model": message.model,
        "prompt": message.prompt,
        "n": message.n,
        "size": message.size,
        "quality": message.quality,
        "response_format": message.response_format,
    }
    return {name: value for name, value in fields.items() if value is not None} | dict(message.extra)


class _Image(msgspec.Struct):
    b64_json: bytes | None = None
    url: str | None = None
    revised_prompt: str | None = None


class WireImages(msgspec.Struct):
    """Images as OpenAI sends them."""

    data: list[_Image]
    usage: ResponseUsage | None = None

    def read(self, service: HttpService) -> ImagesReply:
        """Say it in our words.

        Raises:
            ProviderError: There is no image, or one that is neither here nor elsewhere.
        """
        if not self.data or not all(image.b64_json or image.url for image in self.data):
            raise service.failure(FailureKind.INVALID_RESPONSE, "the answer lacks an image")
        usage = self.usage.normal() if self.usage else Usage()
        return ImagesReply(
            images=tuple(
                MadeImage(data=image.b64_json, url=image.url, revised_prompt=image.revised_prompt)
                for image in self.data
            ),
            usage=msgspec.structs.replace(usage, images=len(self.data)),
        )
