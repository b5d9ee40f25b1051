"""Tokens and credit: pure, so time is a number here."""

import pytest

from relight.actors import Secret
from relight.actors.jobs import BadTokenError, make_token, read_token

SECRET = "sixteen characters or more"


def test_a_token_says_who_until_it_expires() -> None:
    token = make_token(SECRET, "ann", 60.0, clock=lambda: 100.0)
    assert read_token(Secret(SECRET), token, clock=lambda: 159.0).user == "ann"
    with pytest.raises(BadTokenError, match="expired"):
        read_token(SECRET, token, clock=lambda: 160.0)


def test_a_changed_token_is_refused() -> None:
    token = make_token(SECRET, "ann", 60.0)
    other = make_token(SECRET, "ben", 60.0)
    body, _, signature = token.partition(".")
    swapped = f"{other.partition('.')[0]}.{signature}"
    for bad in ("", ".", body, f"{body}.", swapped, token[:-1], f"{token}x", "\u00e9.\u00e9"):
        with pytest.raises(BadTokenError, match="not valid"):
            read_token(SECRET, bad)
    with pytest.raises(BadTokenError):
        read_token("another secret, just as long", token)


def test_a_short_secret_or_no_user_is_refused() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        make_token("short", "ann", 60.0)
    with pytest.raises(ValueError, match="user"):
        make_token(SECRET, "", 60.0)
