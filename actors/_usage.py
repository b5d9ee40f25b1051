"""What one call used, in the same terms for every provider."""

from __future__ import annotations

from typing import Any

import msgspec


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Read what a call used: tokens of a language model, seconds of a GPU, characters spoken.

    Providers count differently (OpenAI's input includes what came from its cache, Anthropic's does
    not); here ``input_tokens`` is always all of the input, and the cache's parts are parts of it.
    """

    input_tokens: int = 0
    """All of the input, cached or not."""
    output_tokens: int = 0
    """All of the output, reasoning included."""
    cached_tokens: int = 0
    """The part of the input read from the provider's cache."""
    cache_write_tokens: int = 0
    """The part of the input written to the provider's cache."""
    reasoning_tokens: int = 0
    """The part of the output spent on thinking."""
    characters: int = 0
    """Characters of text spoken, where those are billed."""
    images: int = 0
    """Images made, where those are billed."""
    seconds: float = 0.0
    """Seconds of compute, where that is what is billed."""
    is_estimate: bool = False
    """Whether it was counted here, because the provider did not say: a stream that broke or was left."""
    usd: float | None = None
    """What it cost; None where the price is unknown, which is not the same as nothing."""

    def __add__(self, other: Usage) -> Usage:
        """Add what two calls used; the cost is known only where both are."""
        mine, its = msgspec.structs.asdict(self), msgspec.structs.asdict(other)
        sums: dict[str, Any] = {name: _sum(mine[name], its[name]) for name in mine if name != "usd"}
        usd = None if self.usd is None or other.usd is None else self.usd + other.usd
        return Usage(**sums, usd=usd)


def _sum(one: float, other: float) -> float:
    """Add two figures; of two flags either counts."""
    return one or other if isinstance(one, bool) else one + other
