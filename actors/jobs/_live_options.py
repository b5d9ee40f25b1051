"""What the notifications' sessions have in common."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from .._secret import Secret
from ._feed import Feed


class LiveOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the sessions of one server have in common."""

    feed: Feed
    secret: Secret
    origins: frozenset[str]
    patience: float
    heartbeat: float
    sessions: int
    clock: Callable[[], float]
