"""What is said to language models, in one form for all of them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable
from typing import Literal, Self

import msgspec

from ...supervisors import Estimate
from .._prices import PriceTable, estimate_tokens
from .._relay import RelayRequest
from .._usage import Usage
from ._tools import Tool, ToolCall

Pricing = Callable[[Usage], Usage]
"""Puts the price of a usage into it."""
DEFAULT_OUTPUT_TOKENS = 1024
"""Assumed of an answer whose length the request leaves open."""
_IMAGE_TOKENS = 1000
"""Assumed of a picture: providers count by its size, some hundreds to some thousands."""


class TextPart(msgspec.Struct, frozen=True, tag="text"):
    """Say a part of a message in words."""

    text: str


class ImagePart(msgspec.Struct, frozen=True, tag="image"):
    """Show a picture as a part of a message."""

    url: str
    """Where the provider fetches it (``https:``), or the picture itself (``data:``)."""
    detail: str | None = None
    """OpenAI: ``low``, ``high`` or ``auto``."""

    @classmethod
    def of(cls, data: bytes, media_type: str = "image/png", *, detail: str | None = None) -> Self:
        """Show the picture that *data* is."""
        return cls(f"data:{media_type};base64,{b64encode(data).decode()}", detail)


class ChatMessage(msgspec.Struct, frozen=True):
    """Hold one turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | tuple[TextPart | ImagePart, ...] = ""
    tool_calls: tuple[ToolCall, ...] = ()
    """Of an assistant's turn: what it asked for."""
    tool_call_id: str | None = None
    """Of a tool's turn: which call it answers."""

    @property
    def text(self) -> str:
        """The words of the message."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content if isinstance(part, TextPart))

    @property
    def images(self) -> int:
        """How many pictures it shows."""
        return sum(isinstance(part, ImagePart) for part in self.content)


PROBE_MESSAGES = (ChatMessage("user", "ping"),)
"""Said to see whether a model answers."""


def estimate_input(messages: Iterable[ChatMessage], tools: tuple[Tool, ...] = (), *more: str | None) -> int:
    """Guess how many tokens a conversation is, with the tools offered and other texts."""
    messages = tuple(messages)
    said = [message.text + "".join(call.arguments for call in message.tool_calls) for message in messages]
    offered = [msgspec.json.encode(tool).decode() for tool in tools]
    texts = estimate_tokens([*said, *offered, *(text for text in more if text)])
    return texts + _IMAGE_TOKENS * sum(message.images for message in messages)


def estimate_output(written: Iterable[str]) -> int:
    """Guess how many tokens an answer was that is only known by what was written."""
    return (sum(map(len, written)) + 3) // 4


def estimate_call(prices: PriceTable, model: str, input_tokens: int, max_tokens: int | None) -> Estimate:
    """Guess what one attempt may cost: the whole input, and the longest answer the request allows."""
    longest = DEFAULT_OUTPUT_TOKENS if max_tokens is None else max_tokens
    return estimate_usage(prices, model, Usage(input_tokens=input_tokens, output_tokens=longest))


def estimate_usage(prices: PriceTable, model: str, usage: Usage) -> Estimate:
    """Say what one attempt may cost that uses this at most."""
    return Estimate(model, prices.cost(model, usage), usage.input_tokens + usage.output_tokens)


def estimate_relay(prices: PriceTable, message: RelayRequest) -> Estimate:
    """Guess what a client library's own request may cost: its text, and an answer of the usual length."""
    usage = Usage(input_tokens=(len(message.body) + 3) // 4, output_tokens=DEFAULT_OUTPUT_TOKENS)
    return estimate_usage(prices, message.model, usage)
