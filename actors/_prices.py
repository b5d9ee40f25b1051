"""What models cost: dated defaults, to be overridden by what the user really pays."""

import re
import warnings
from collections.abc import Iterable, Mapping
from datetime import date
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Self

import msgspec

from ..runtime import SettingsError, same_setting
from ..supervisors import PriceSettings, Settings
from ._litellm import litellm_file, read_litellm
from ._usage import Usage

_MILLION = 1_000_000
_RELEASE = re.compile(r"-(?:[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8})$")


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """State what one model costs, in US dollars.

    Tokens are priced per million. A part that has no price of its own costs what the plain part costs.
    """

    input: float = 0.0
    output: float = 0.0
    cached_input: float | None = None
    """Input read from the provider's cache."""
    cache_write: float | None = None
    """Input written to the provider's cache."""
    thousand_characters: float = 0.0
    """A thousand characters of speech."""
    image: float = 0.0
    """One image."""
    second: float = 0.0
    """One second of compute."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise ValueError(f"Price.{name} must be a number of dollars, 0 or more, got {value!r}")

    def of(self, usage: Usage) -> float:
        """Return what *usage* costs, in dollars."""
        cached, written = usage.cached_tokens, usage.cache_write_tokens
        tokens = (
            max(0, usage.input_tokens - cached - written) * self.input
            + cached * _first(self.cached_input, self.input)
            + written * _first(self.cache_write, self.input)
            + usage.output_tokens * self.output
        )
        speech = usage.characters / 1000 * self.thousand_characters
        return tokens / _MILLION + speech + usage.images * self.image + usage.seconds * self.second


class PriceTable:
    """Look up what models cost. Immutable; :meth:`with_prices` makes an amended copy."""

    def __init__(
        self, prices: Mapping[str, Price], *, read_on: date | None = None, source: str = "the program"
    ) -> None:
        self._prices = MappingProxyType(dict(prices))
        self.source = source
        """Where the prices come from, in words."""
        self.read_on = read_on
        """The day the prices were read; None if they are the user's own."""

    def __repr__(self) -> str:
        return f"<PriceTable of {len(self._prices)} models, read on {self.read_on}>"

    def price(self, model: str) -> Price | None:
        """Return the price of *model*, or None where it is unknown.

        A dated release (``gpt-4o-mini-2024-07-18``) costs what its model costs, unless it has an
        entry of its own.
        """
        exact = self._prices.get(model)
        return exact if exact is not None else self._prices.get(_RELEASE.sub("", model))

    def cost(self, model: str, usage: Usage) -> float | None:
        """Return what *usage* of *model* costs in dollars, or None where the price is unknown."""
        price = self.price(model)
        return None if price is None else price.of(usage)

    def charge(self, model: str, usage: Usage) -> Usage:
        """Return *usage* with its ``usd`` filled in."""
        return msgspec.structs.replace(usage, usd=self.cost(model, usage))

    def __len__(self) -> int:
        """Return how many models have a price."""
        return len(self._prices)

    def with_prices(self, prices: Mapping[str, Price]) -> Self:
        """Return a copy in which *prices* come first."""
        return type(self)({**self._prices, **prices}, read_on=self.read_on, source=self.source)

    def with_settings(self, settings: Mapping[str, PriceSettings]) -> Self:
        """Return a copy in which the operator's numbers come first; what they leave out stays.

        Names are compared as settings are: ``GPT_4O_MINI`` in a variable is ``gpt-4o-mini``.
        """
        own: dict[str, Price] = {}
        for spelled, numbers in settings.items():
            model = next((known for known in self._prices if same_setting(known, spelled)), spelled)
            own[model] = msgspec.structs.replace(self.price(model) or Price(), **numbers.given())
        return self.with_prices(own) if own else self

    @classmethod
    def from_litellm(cls, path: Path | None = None) -> Self:
        """Read the list that comes with litellm, without importing it.

        Its day is that of the file: the prices are at least as old.

        Args:
            path: The file; None: that of the litellm that is installed here.

        Raises:
            SettingsError: litellm is not installed, or the file is not such a list.
        """
        file = path or litellm_file()
        if file is None:
            raise SettingsError("litellm", 'is not installed: pip install litellm, or set "prices" yourself')
        found, written = read_litellm(file)
        prices = {model: Price(**costs) for model, costs in found.items()}
        return cls(prices, read_on=written, source=f"litellm ({file.name})")


def estimate_tokens(texts: Iterable[str]) -> int:
    """Guess how many tokens *texts* are: one for four characters, and a few for each text's frame.

    Good to perhaps a third for English prose. It is for budgets, never for bills.
    """
    return sum(4 + (len(text) + 3) // 4 for text in texts)


def _first(price: float | None, otherwise: float) -> float:
    return otherwise if price is None else price


DEFAULT_PRICES = PriceTable(
    {
        "gpt-4o-mini": Price(input=0.15, cached_input=0.075, output=0.60),
        "gpt-4o": Price(input=2.50, cached_input=1.25, output=10.00),
        "gpt-5.4-mini": Price(input=0.75, cached_input=0.075, output=4.50),
        "gpt-6-sol": Price(input=2.00, cached_input=0.20, output=10.00),
        "claude-haiku-4-5": Price(input=1.00, cached_input=0.10, cache_write=1.25, output=5.00),
        "claude-sonnet-5": Price(input=2.00, cached_input=0.20, cache_write=2.50, output=10.00),
        "claude-opus-5": Price(input=5.00, cached_input=0.50, cache_write=6.25, output=25.00),
        "gemini-2.5-flash": Price(input=0.30, cached_input=0.03, output=2.50),
        "text-embedding-3-small": Price(input=0.02),
        "eleven_multilingual_v2": Price(thousand_characters=0.18),
        "stable-image-core": Price(image=0.03),
        "sd3.5-large": Price(image=0.065),
    },
    read_on=date(2026, 11, 22),
    source="relight",
)
"""Packaged prices, from the table inside litellm 1.106.2; not compared with the providers' pages."""


def prices_in_force(settings: Settings, own: PriceTable = DEFAULT_PRICES) -> PriceTable:
    """Return the prices a service goes by.

    The settings win over a table the program gave to the service. Where it gave none, litellm's list
    wins over the packaged table, if it is installed and ``litellm_prices`` is not off. A list that
    can't be read is warned of, and the packaged table holds.
    """
    return (_standard_prices(settings) if own is DEFAULT_PRICES else own).with_settings(settings.prices)


def _standard_prices(settings: Settings) -> PriceTable:
    file = litellm_file() if settings.litellm_prices else None
    if file is None:
        return DEFAULT_PRICES
    try:
        return _over_packaged(file, file.stat().st_mtime_ns)
    except (SettingsError, OSError) as error:
        warnings.warn(f"relight's packaged prices are used: {error}", RuntimeWarning, stacklevel=2)
        return DEFAULT_PRICES


@lru_cache(maxsize=2)
def _over_packaged(file: Path, changed: int) -> PriceTable:
    """Read it once for all services; *changed* tells one file from its successor."""
    litellm = PriceTable.from_litellm(file)
    prices = {**DEFAULT_PRICES._prices, **litellm._prices}
    return PriceTable(prices, read_on=litellm.read_on, source=f"{litellm.source}, then relight")
