"""Secrets: keys that do not leak by accident."""

import copy
import pickle
from collections.abc import Callable

import pytest

from relight.actors import Secret
from relight.runtime import SettingsError

KEY = "sk-test-0123456789"


@pytest.mark.parametrize("show", [repr, str, "{}".format, "{!r}".format, "%s".__mod__])
def test_a_secret_is_never_shown(show: Callable[[object], str]) -> None:
    assert KEY not in show(Secret(KEY))


def test_a_secret_is_revealed_on_request() -> None:
    assert Secret(KEY).reveal() == KEY


def test_a_secret_is_masked_in_a_text_that_echoes_it() -> None:
    assert Secret(KEY).hide_in(f"Incorrect API key provided: {KEY}.") == "Incorrect API key provided: ***."


@pytest.mark.parametrize("placeholder", ["", "k", "none", "EMPTY", "ollama"])
def test_a_placeholder_for_a_key_masks_nothing(placeholder: str) -> None:
    text = f"the token kept for {placeholder} is none"
    assert Secret(placeholder).hide_in(text) == text


@pytest.mark.parametrize(("text", "fits"), [(KEY, True), ("", True), (f"{KEY}\n", False), (f" {KEY}", False)])
def test_a_secret_knows_whether_a_header_can_carry_it(text: str, fits: bool) -> None:
    assert Secret(text).fits_header is fits


def test_a_secret_cannot_be_pickled_or_copied() -> None:
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(Secret(KEY))
    with pytest.raises(TypeError, match="cannot be pickled"):
        copy.copy(Secret(KEY))


def test_a_secret_is_read_from_the_environment() -> None:
    assert Secret.from_env("SOME_KEY", env={"SOME_KEY": f" {KEY}\n"}).reveal() == KEY


@pytest.mark.parametrize("env", [{}, {"SOME_KEY": ""}, {"SOME_KEY": "  "}])
def test_a_missing_key_is_named(env: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="SOME_KEY"):
        Secret.from_env("SOME_KEY", env=env)
