"""Prices: what a call cost, and what nobody knows."""

import os
import sys
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

import msgspec
import pytest

from relight.actors import (
    DEFAULT_PRICES,
    Price,
    PriceTable,
    Service,
    Usage,
    estimate_tokens,
    prices_in_force,
)
from relight.runtime import Request, SettingsError, handles
from relight.supervisors import Child, PriceSettings, Settings, open_system

MILLION = 1_000_000


class Cost(Request[float | None], frozen=True):
    """What a million tokens cost."""


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


# --- what the settings say ----------------------------------------------------------------------------------


def prices_of(toml: str = "", *, own: PriceTable = DEFAULT_PRICES, **environ: str) -> PriceTable:
    with TemporaryDirectory() as folder:
        file = Path(folder, "relight.toml")
        file.write_text(toml)
        return prices_in_force(Settings.load(file=file, environ=environ).settings, own)


def test_what_is_set_for_a_model_is_changed_and_the_rest_of_its_price_stays() -> None:
    table = prices_of('[prices."gpt-4o-mini"]\ninput = 0.2')
    assert table.price("gpt-4o-mini") == Price(input=0.2, cached_input=0.075, output=0.60)
    assert table.price("gpt-4o") == DEFAULT_PRICES.price("gpt-4o")


def test_a_variable_names_a_model_with_underscores() -> None:
    table = prices_of(RELIGHT_PRICES__GPT_4O_MINI__OUTPUT="0.9")
    assert table.price("gpt-4o-mini") == Price(input=0.15, cached_input=0.075, output=0.9)


def test_a_model_nobody_knows_may_be_given_a_price() -> None:
    assert prices_of('[prices."mine"]\nsecond = 0.5').cost("mine", Usage(seconds=2.0)) == 1.0


def test_the_settings_win_over_what_the_program_gave() -> None:
    own = PriceTable({"gpt-4o": Price(input=9.0, output=9.0)})
    assert prices_of('[prices."gpt-4o"]\ninput = 1', own=own).price("gpt-4o") == Price(input=1.0, output=9.0)
    assert prices_of(own=own) is own


@pytest.mark.anyio
async def test_a_service_charges_by_the_settings() -> None:
    class Model(Service):
        @handles
        async def cost(self, message: Cost) -> float | None:
            return self._prices.cost("gpt-4o", Usage(input_tokens=MILLION))

    settings = Settings(prices={"gpt-4o": PriceSettings(input=7.0)})
    async with open_system(settings=settings) as system:
        for service in (Model, partial(Model, prices=PriceTable({"gpt-4o": Price(input=1.0)}))):
            ref = await system.spawn(Child("model", service))
            assert await ref.ask(Cost()) == 7.0
            await ref.stop()


# --- litellm's list -----------------------------------------------------------------------------------------

LIST: dict[str, object] = {
    "sample_spec": {"input_cost_per_token": 0.0, "mode": "one of: chat, embedding"},
    "gpt-4o-mini": {
        "input_cost_per_token": 1.5e-07,
        "output_cost_per_token": 6e-07,
        "cache_read_input_token_cost": 7.5e-08,
        "input_cost_per_token_batches": 7.5e-08,
        "output_cost_per_token_above_272k_tokens": 1.0,
        "litellm_provider": "openai",
    },
    "claude": {"input_cost_per_token": 1e-06, "cache_creation_input_token_cost": 1.25e-06},
    "speech": {"input_cost_per_character": 0.00018},
    "painter": {"output_cost_per_image": 0.04},
    "only-batches": {"input_cost_per_token_batches": 1e-06},
    "strange": {"input_cost_per_token": "free", "output_cost_per_token": True, "output_cost_per_image": -1},
    "no entry": [],
}


@pytest.fixture
def litellm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a litellm that must not be imported; returns its list."""
    package = tmp_path / "site" / "litellm"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.setattr(sys, "path", [str(package.parent), *sys.path])
    file = package / "model_prices_and_context_window_backup.json"
    file.write_bytes(msgspec.json.encode(LIST))
    day = datetime(2026, 10, 1, tzinfo=UTC).timestamp()
    os.utime(file, (day, day))
    return file


def test_litellms_list_is_read_in_our_units(litellm: Path) -> None:
    table = PriceTable.from_litellm()
    assert table.price("gpt-4o-mini") == Price(input=0.15, output=0.6, cached_input=0.075)
    assert table.price("claude") == Price(input=1.0, cache_write=1.25)
    assert table.price("speech") == Price(thousand_characters=0.18)
    assert table.price("painter") == Price(image=0.04)
    assert len(table) == 4, "unknown is not free, and the sample is no model"
    assert table.read_on == date(2026, 10, 1)


@pytest.mark.usefixtures("litellm")
def test_litellm_is_not_imported() -> None:
    PriceTable.from_litellm()
    prices_of()
    assert "litellm" not in sys.modules


def test_a_list_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "prices.json").write_bytes(msgspec.json.encode(LIST))
    assert len(PriceTable.from_litellm(tmp_path / "prices.json")) == 4


@pytest.mark.usefixtures("litellm")
def test_the_installed_list_wins_over_the_packaged_one_and_loses_to_the_settings() -> None:
    table = prices_of('[prices."painter"]\nimage = 1')
    assert table.price("claude") == Price(input=1.0, cache_write=1.25)
    assert table.price("gpt-4o") == DEFAULT_PRICES.price("gpt-4o"), "what it does not know stays"
    assert table.price("painter") == Price(image=1.0)
    assert table.read_on == date(2026, 10, 1)
    assert prices_of("litellm_prices = false") is DEFAULT_PRICES


@pytest.mark.usefixtures("litellm")
def test_a_table_of_the_programs_own_is_not_mixed_with_the_installed_list() -> None:
    own = PriceTable({"mine": Price(input=1.0)})
    assert prices_of(own=own) is own


def test_without_litellm_the_packaged_prices_hold() -> None:
    assert prices_of() is DEFAULT_PRICES
    with pytest.raises(SettingsError, match="litellm: is not installed"):
        PriceTable.from_litellm()


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"{", "is not JSON"),
        (b'{"a": NaN}', "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "has to be an object of models"),
        (b"{}", "holds no price"),
        (b'{"a": {"input_cost_per_token": 1e305}}', "holds no price"),
        (b" " * (32 * 1024 * 1024 + 1), "is longer than"),
    ],
)
def test_a_broken_list_is_warned_of_and_the_packaged_prices_hold(
    litellm: Path, body: bytes, problem: str
) -> None:
    litellm.write_bytes(body)
    with pytest.raises(SettingsError, match=problem):
        PriceTable.from_litellm(litellm)
    with pytest.warns(RuntimeWarning, match=rf"packaged prices are used: .*{problem}"):
        assert prices_of() is DEFAULT_PRICES


def test_a_list_that_can_not_be_read_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="can't be read"):
        PriceTable.from_litellm(tmp_path)


@pytest.mark.parametrize("module", ["namespace", "without a spec"])
def test_what_is_no_litellm_is_left_alone(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if module == "namespace":
        (tmp_path / "litellm").mkdir()
        monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    else:
        monkeypatch.setitem(sys.modules, "litellm", ModuleType("litellm"))
    assert prices_of() is DEFAULT_PRICES
