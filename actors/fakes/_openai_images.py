"""OpenAI's images: pictures of the fake's own, in the reply or at an address of the fake."""

from __future__ import annotations

import time
from base64 import b64encode
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ._answers import count_tokens, digest
from ._dialects import Call
from ._openai_errors import openai_complaint, openai_refusal
from ._pictures import picture
from ._plan import FaultKind
from ._replies import Reply, json_reply

_MOST_PICTURES = 1000
_TOKENS = 1056
"""Of one picture of medium quality."""


class _Body(msgspec.Struct):
    prompt: Annotated[str, Meta(min_length=1)]
    model: str = "dall-e-2"
    n: Annotated[int, Meta(ge=1, le=10)] | None = None
    size: str | None = None
    response_format: Literal["url", "b64_json"] | None = None


_bodies = msgspec.json.Decoder(_Body)


class Gallery:
    """Draw pictures and keep those that are fetched later. They are 64 pixels square, whatever is asked."""

    def __init__(self) -> None:
        self._prompts: dict[str, str] = {}

    def draw(self, call: Call) -> Reply:
        """Draw what is asked for; the models named ``gpt-image...`` send no addresses."""
        try:
            body = _bodies.decode(call.body)
        except msgspec.DecodeError as error:
            return openai_complaint(f"We could not read the JSON body: {error}")
        if body.model.startswith("gpt-image") and body.response_format is not None:
            return openai_complaint("Unknown parameter: 'response_format'.")
        prompts = [f"{body.prompt} #{number}" if number else body.prompt for number in range(body.n or 1)]
        document: dict[str, object] = {
            "created": int(time.time()),
            "data": [self._drawn(prompt, body, call) for prompt in prompts],
        }
        if body.model.startswith("gpt-image"):
            document |= _more(body, len(prompts))
        return json_reply(200, document)

    def show(self, call: Call) -> Reply:
        """Send a picture that was drawn before."""
        prompt = self._prompts.get(call.params["name"])
        if prompt is None:
            return openai_refusal(FaultKind.NOT_FOUND)
        return Reply(200, picture(prompt), {"content-type": "image/png"})

    def _drawn(self, prompt: str, body: _Body, call: Call) -> dict[str, object]:
        is_address = body.response_format != "b64_json" and not body.model.startswith("gpt-image")
        if not is_address:
            drawn: dict[str, object] = {"b64_json": b64encode(picture(prompt)).decode()}
        else:
            drawn = {"url": f"http://{call.headers.get('host', '127.0.0.1')}/images/{self._keep(prompt)}"}
        if body.model == "dall-e-3":
            drawn["revised_prompt"] = prompt
        return drawn

    def _keep(self, prompt: str) -> str:
        name = f"{digest(prompt)}.png"
        self._prompts[name] = prompt
        if len(self._prompts) > _MOST_PICTURES:
            del self._prompts[next(iter(self._prompts))]
        return name


def _more(body: _Body, pictures: int) -> dict[str, object]:
    tokens = count_tokens(body.prompt)
    return {
        "background": "opaque",
        "output_format": "png",
        "quality": "medium",
        "size": body.size or "1024x1024",
        "usage": {
            "input_tokens": tokens,
            "input_tokens_details": {"text_tokens": tokens, "image_tokens": 0},
            "output_tokens": _TOKENS * pictures,
            "total_tokens": tokens + _TOKENS * pictures,
        },
    }
