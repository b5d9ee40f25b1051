"""Child: how to start, stop and restart one actor. Wrong specs are refused when they are built."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Literal

import msgspec

from ..runtime import Actor
from ._errors import ChildSpecError
from ._spec_checks import check_backoff, check_id, check_least, check_policy, check_positive, check_restart
from .policies import Backoff, Policy

RestartName = Literal["permanent", "transient", "temporary"]


class Restart(enum.StrEnum):
    """When a child that has ended is started again."""

    PERMANENT = "permanent"
    """Always."""
    TRANSIENT = "transient"
    """After a crash or a kill, not after a normal end or a shutdown."""
    TEMPORARY = "temporary"
    """Never; its spec goes with it."""


class _ChildOptions(msgspec.Struct, frozen=True, kw_only=True):
    restart: Restart | RestartName = "permanent"
    """When to start it again."""
    significant: bool = False
    """Its own end counts for its supervisor's ``auto_shutdown``."""
    shutdown: float = 5.0
    """Seconds a stop may take before the child is killed; 0 kills at once, ``inf`` waits."""
    backoff: Backoff | None = None
    """How long to wait before a restart; None restarts at once, as OTP does."""
    start_timeout: float = 30.0
    """Seconds the start hook and the lifespan's entry may take."""
    name: str | None = None
    """A name of its own in the registry, besides its path."""
    policy: Policy | None = None
    """For a service: its policy, instead of the settings' and the class's."""


class Child(_ChildOptions, frozen=True):
    """Say how to start, stop and restart one child.

    Raises:
        ChildSpecError: A field is out of range; names the field, the value and the remedy.
    """

    id: str
    """Unique among the children of one supervisor; part of the path."""
    start: Callable[..., Actor]
    """Makes a new actor object for each incarnation: the class, or a ``partial`` of it. For the template
    of a `DynamicSupervisor` it takes the arguments each child is started with."""

    def __post_init__(self) -> None:
        check_id("Child.id", self.id)
        if not callable(self.start):
            raise ChildSpecError("Child.start", self.start, "must be a factory that returns a new actor")
        check_restart("Child", self.restart, self.significant)
        check_least("Child.shutdown", self.shutdown, "must be seconds >= 0")
        check_positive("Child.start_timeout", self.start_timeout)
        check_backoff("Child.backoff", self.backoff)
        if self.name is not None:
            check_id("Child.name", self.name)
        check_policy("Child.policy", self.policy)
