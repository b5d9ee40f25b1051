"""OpenAI's embeddings: texts that share words get vectors that are alike, the same in every run."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Sequence
from hashlib import shake_256
from struct import pack
from typing import Literal

import msgspec

from ._answers import count_tokens
from ._dialects import Call
from ._openai_errors import openai_complaint
from ._replies import Reply, json_reply

_LARGE, _SMALL = 3072, 1536
_MOST_INPUTS = 2048


class _Body(msgspec.Struct):
    model: str
    input: str | list[str | int | list[int]]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None


_bodies = msgspec.json.Decoder(_Body)


def embed(call: Call) -> Reply:
    """Embed one or more texts, or lists of tokens."""
    try:
        body = _bodies.decode(call.body)
        texts = _texts(body.input)
    except ValueError as error:  # also msgspec's
        return openai_complaint(f"We could not read the JSON body: {error}")
    usual = _LARGE if "large" in body.model else _SMALL
    size = usual if body.dimensions is None else body.dimensions
    if not 1 <= size <= _LARGE:
        return openai_complaint(f"dimensions must be 1..{_LARGE}, got {size}")
    data = [
        {"object": "embedding", "index": index, "embedding": _written(vector(text, size), body)}
        for index, text in enumerate(texts)
    ]
    tokens = sum(count_tokens(text) for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return json_reply(200, {"object": "list", "data": data, "model": body.model, "usage": usage})


def vector(text: str, size: int) -> list[float]:
    """Return the vector of *text*, of length 1: the sum of one for each of its words."""
    # Two bytes a number: no vector is zero, and no two words have the same.
    sums = [0.0] * size
    for word in text.lower().split() or [""]:
        noise = shake_256(word.encode()).digest(2 * size)
        for index, value in enumerate(memoryview(noise).cast("H")):
            sums[index] += value - 32_767.5
    norm = math.hypot(*sums)
    return [value / norm for value in sums]


def _texts(given: str | Sequence[str | int | list[int]]) -> list[str]:
    if isinstance(given, str):
        return _checked([given])
    if given and all(isinstance(token, int) for token in given):
        return [" ".join(map(str, given))]
    return _checked([_text(item) for item in given])


def _text(item: str | int | list[int]) -> str:
    if isinstance(item, int):
        raise ValueError("input: tokens and texts are mixed")
    return item if isinstance(item, str) else " ".join(map(str, item))


def _checked(texts: list[str]) -> list[str]:
    if not 1 <= len(texts) <= _MOST_INPUTS or "" in texts:
        raise ValueError(f"input: 1..{_MOST_INPUTS} texts that are not empty")
    return texts


def _written(values: Sequence[float], body: _Body) -> object:
    if body.encoding_format != "base64":
        return values
    return b64encode(pack(f"<{len(values)}f", *values)).decode()
