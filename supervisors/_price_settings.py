"""What an operator may say about prices.

[prices."gpt-4o-mini"]
input = 0.15
output = 0.60
"""

from typing import Annotated

import msgspec
from msgspec import Meta

_Dollars = Annotated[float, Meta(ge=0.0, le=1_000_000.0)]


class PriceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """State what one model costs, in US dollars. None keeps what is known of it, or nothing."""

    input: _Dollars | None = None
    """A million tokens of input."""
    output: _Dollars | None = None
    """A million tokens of output."""
    cached_input: _Dollars | None = None
    """A million tokens of input read from the provider's cache."""
    cache_write: _Dollars | None = None
    """A million tokens of input written to the provider's cache."""
    thousand_characters: _Dollars | None = None
    """A thousand characters of speech."""
    image: _Dollars | None = None
    """One image."""
    second: _Dollars | None = None
    """One second of compute."""

    def given(self) -> dict[str, float]:
        """Return the numbers that are set."""
        return {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}
