"""Outcomes: how one attempt at a scripted service goes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from math import inf

from ..runtime import Message
from ..supervisors import FailureKind

Answer = Callable[[Message], object | Awaitable[object]]
"""Makes a reply from the request; may be ``async``, and may ask `current_attempt`."""


@dataclass(frozen=True, slots=True)
class Ok:
    """It answers."""

    reply: object | Answer = None
    """The reply, or a function of the request that makes it."""


@dataclass(frozen=True, slots=True)
class Fail:
    """The provider fails: the attempt raises a `ProviderError`, and the guard decides by its kind."""

    kind: FailureKind
    """What went wrong."""
    detail: str = "scripted"
    """The provider's words."""
    retry_after: float | None = field(default=None, kw_only=True)
    """The server's hint, in seconds."""
    status: int | None = field(default=None, kw_only=True)
    """HTTP status."""
    code: str | None = field(default=None, kw_only=True)
    """The provider's own code."""
    retryable: bool | None = field(default=None, kw_only=True)
    """Overrides the kind."""


@dataclass(frozen=True, slots=True)
class Hang:
    """It does not answer: only a timeout, or the asker's leaving, ends the attempt."""


@dataclass(frozen=True, slots=True)
class Crash:
    """The service's own code has a bug: the attempt raises what nobody expects."""

    error: Exception = field(default_factory=lambda: RuntimeError("scripted crash"))
    """What it raises."""


@dataclass(frozen=True, slots=True)
class Delay:
    """It takes its time first."""

    seconds: float
    """How long."""
    then: Ok | Fail | Hang | Crash | Delay = field(default_factory=Ok)
    """How it goes on."""

    def __post_init__(self) -> None:
        if not 0 <= self.seconds < inf:
            raise ValueError(f"Delay.seconds must be seconds >= 0, got {self.seconds!r}: use Hang() for ever")


Outcome = Ok | Fail | Hang | Crash | Delay
"""How one attempt goes."""
