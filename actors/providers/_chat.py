"""What the language model providers have in common."""

from collections.abc import Iterable
from typing import Literal

import msgspec

from ...supervisors import Estimate
from .._prices import PriceTable, estimate_tokens
from .._usage import Usage

DEFAULT_OUTPUT_TOKENS = 1024
"""Assumed of an answer whose length the request leaves open."""


class ChatMessage(msgspec.Struct, frozen=True):
    """Hold one turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


PROBE_MESSAGES = (ChatMessage("user", "ping"),)
"""Said to see whether a model answers."""


def estimate_chat(
    prices: PriceTable, model: str, messages: Iterable[ChatMessage], max_tokens: int | None, *more: str
) -> Estimate:
    """Guess what one attempt may cost: the whole input, and the longest answer the request allows."""
    usage = Usage(
        input_tokens=estimate_tokens([*(message.content for message in messages), *more]),
        output_tokens=DEFAULT_OUTPUT_TOKENS if max_tokens is None else max_tokens,
    )
    return Estimate(model, prices.cost(model, usage), usage.input_tokens + usage.output_tokens)
