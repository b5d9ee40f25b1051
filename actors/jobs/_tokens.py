"""Tokens: who may hear of whose jobs, signed with a secret of the server's."""

from __future__ import annotations

import hmac
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Callable
from hashlib import sha256

import msgspec

from .._secret import Secret
from ._checks import check_finite, check_kind
from ._errors import BadTokenError, JobSpecError
from ._texts import check_label

EVERYBODY = "*"
"""The user whose token shows everybody's jobs: for operators."""
_LEAST_SECRET = 16
_LONGEST = 2048
"""Characters of a token."""


class Claims(msgspec.Struct, frozen=True):
    """What a token says."""

    user: str
    expires_at: float
    """Seconds since 1970."""


def make_token(secret: Secret | str, user: str, ttl: float, *, clock: Callable[[], float] = time.time) -> str:
    """Make a token with which *user* may hear of their jobs for *ttl* seconds.

    Give it to a user who has logged in with you. Nobody can change it without the secret; it can't be taken
    back before it expires, so keep *ttl* short (minutes): a client gets a new one when it connects again.

    Args:
        secret: The server's, at least 16 characters, the same for every process.
        user: As of the jobs; ``"*"``: of all, for operators.
        ttl: Seconds.
        clock: Seconds since 1970.

    Raises:
        JobSpecError: The secret is too short, there is no user, or *ttl* is no time.
    """
    check_label("make_token: user", user)
    check_finite("make_token: ttl", ttl)
    body = _text(msgspec.json.encode(Claims(user, clock() + ttl)))
    return f"{body}.{_signature(secret, body)}"


def read_token(secret: Secret | str, token: str, *, clock: Callable[[], float] = time.time) -> Claims:
    """Return what a token says.

    Raises:
        BadTokenError: It was not made with this secret, or has expired.
    """
    if not isinstance(token, str):  # pyright: ignore[reportUnnecessaryIsInstance] - it comes from a client
        raise BadTokenError("is no text")
    body, _, signature = token.partition(".")
    expected = _signature(secret, body)
    # In constant time: how long a refusal takes must not tell how much of a guess was right.
    if len(token) > _LONGEST or not hmac.compare_digest(signature.encode(), expected.encode()):
        raise BadTokenError("is not valid")
    try:
        claims = msgspec.json.decode(urlsafe_b64decode(f"{body}{'=' * (-len(body) % 4)}"), type=Claims)
    except (Base64Error, msgspec.MsgspecError, ValueError) as error:
        raise BadTokenError("is not valid") from error
    if claims.expires_at <= clock():
        raise BadTokenError("has expired")
    return claims


def key_of(secret: Secret | str) -> bytes:
    """Return what tokens are signed with.

    Raises:
        JobSpecError: The secret is too short, or no text.
    """
    check_kind("the secret of tokens", secret, Secret | str, "a text", "read it from the environment")
    key = (secret.reveal() if isinstance(secret, Secret) else secret).encode()
    if len(key) < _LEAST_SECRET:
        raise JobSpecError("the secret of tokens", f"must have {_LEAST_SECRET} bytes or more, got {len(key)}")
    return key


def _signature(secret: Secret | str, body: str) -> str:
    key = key_of(secret)
    return _text(hmac.digest(key, b"relight.jobs\0" + body.encode(), sha256))


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
