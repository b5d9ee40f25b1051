"""Prices: what a call cost, and what nobody knows."""

from datetime import date

import pytest

from relight.actors import DEFAULT_PRICES, Price, PriceTable, Usage, estimate_tokens

MILLION = 1_000_000


@pytest.mark.parametrize(
    ("model", "usd_in", "usd_out"),
    [
        ("gpt-4o-mini", 0.15, 0.60),
        ("gpt-4o", 2.50, 10.00),
        ("gpt-5.4-mini", 0.75, 4.50),
        ("gpt-6-sol", 2.00, 10.00),
        ("claude-haiku-4-5", 1.00, 5.00),
        ("claude-sonnet-5", 2.00, 10.00),
        ("claude-opus-5", 5.00, 25.00),
        ("gemini-2.5-flash", 0.30, 2.50),
    ],
)
def test_packaged_prices_are_per_million_tokens(model: str, usd_in: float, usd_out: float) -> None:
    assert DEFAULT_PRICES.cost(model, Usage(input_tokens=MILLION)) == pytest.approx(usd_in)
    assert DEFAULT_PRICES.cost(model, Usage(output_tokens=MILLION)) == pytest.approx(usd_out)


def test_packaged_prices_say_when_they_were_read() -> None:
    assert DEFAULT_PRICES.read_on == date(2026, 11, 22)


def test_an_unknown_price_is_none_and_not_nothing() -> None:
    usage = Usage(input_tokens=MILLION)
    assert DEFAULT_PRICES.price("gpt-99") is None
    assert DEFAULT_PRICES.cost("gpt-99", usage) is None
    assert DEFAULT_PRICES.charge("gpt-99", usage).usd is None


@pytest.mark.parametrize("model", ["gpt-4o-mini-2024-07-18", "claude-haiku-4-5-20251001"])
def test_a_dated_release_costs_what_its_model_costs(model: str) -> None:
    assert DEFAULT_PRICES.price(model) == DEFAULT_PRICES.price(model[: model.rindex("-20")])
    assert DEFAULT_PRICES.price(model) is not None


@pytest.mark.parametrize("model", ["gpt-4o-audio", "gpt-4o-mini-high", "gpt-4"])
def test_a_model_with_a_similar_name_is_another_model(model: str) -> None:
    assert DEFAULT_PRICES.price(model) is None


def test_cached_input_has_its_own_price() -> None:
    price = Price(input=10.0, cached_input=1.0, cache_write=12.0, output=20.0)
    usage = Usage(input_tokens=MILLION, cached_tokens=MILLION // 2, cache_write_tokens=MILLION // 4)
    assert price.of(usage) == pytest.approx(0.25 * 10 + 0.5 * 1 + 0.25 * 12)


def test_cached_input_without_a_price_of_its_own_costs_what_input_costs() -> None:
    assert Price(input=10.0).of(Usage(input_tokens=MILLION, cached_tokens=MILLION)) == pytest.approx(10.0)


def test_speech_images_and_seconds_are_charged() -> None:
    assert DEFAULT_PRICES.cost("eleven_multilingual_v2", Usage(characters=500)) == pytest.approx(0.09)
    assert DEFAULT_PRICES.cost("sd3.5-large", Usage(images=2)) == pytest.approx(0.13)
    assert Price(second=0.0005).of(Usage(seconds=10.0)) == pytest.approx(0.005)


def test_own_prices_come_before_the_packaged_ones() -> None:
    table = DEFAULT_PRICES.with_prices({"gpt-4o": Price(input=1.0), "mine": Price(input=3.0)})
    assert table.cost("gpt-4o", Usage(input_tokens=MILLION)) == 1.0
    assert table.cost("mine", Usage(input_tokens=MILLION)) == 3.0
    assert table.price("gpt-4o-mini") == DEFAULT_PRICES.price("gpt-4o-mini")
    assert DEFAULT_PRICES.price("mine") is None


def test_a_price_with_a_date_of_its_own_wins_over_its_models() -> None:
    table = PriceTable({"m": Price(input=1.0), "m-2026-01-01": Price(input=2.0)})
    assert table.price("m-2026-01-01") == Price(input=2.0)


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_a_price_that_is_no_amount_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"Price\.output must be .*, got"):
        Price(output=value)


def test_more_text_is_estimated_as_more_tokens() -> None:
    assert estimate_tokens([]) == 0
    assert estimate_tokens(["word " * 100]) > estimate_tokens(["word " * 10]) > estimate_tokens([""]) > 0


def test_a_table_says_how_old_it_is() -> None:
    assert repr(DEFAULT_PRICES).endswith("read on 2026-11-22>")
