"""Child specs: how to start, stop and restart one child. Wrong ones are refused when built."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from math import inf
from typing import Literal, cast

import msgspec

from ..runtime import Actor
from ._errors import ChildSpecError
from .policies import Backoff, Policy

RestartName = Literal["permanent", "transient", "temporary"]
StrategyName = Literal["one_for_one"]

_RESTARTS = frozenset({"permanent", "transient", "temporary"})
_NUMBER = (int, float)


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
    start: Callable[[], Actor]
    """Makes a new actor object for each incarnation: the class, or a ``partial`` of it."""

    def __post_init__(self) -> None:
        _check_id("Child.id", self.id)
        if not callable(self.start):
            raise ChildSpecError("Child.start", self.start, "must be a factory that returns a new actor")
        _check_restart("Child.restart", self.restart)
        _check_least("Child.shutdown", self.shutdown, "must be seconds >= 0")
        _check_positive("Child.start_timeout", self.start_timeout, "must be seconds > 0")
        _check_backoff("Child.backoff", self.backoff)
        if self.name is not None:
            _check_id("Child.name", self.name)
        _check_policy("Child.policy", self.policy)


class _SupervisorOptions(msgspec.Struct, frozen=True, kw_only=True):
    strategy: StrategyName = "one_for_one"
    """Which siblings restart with a child: with ``one_for_one``, none."""
    intensity: int = 3
    """More than this many restarts within ``period`` and the supervisor gives up: it stops its
    children in reverse order and ends with the reason ``shutdown``."""
    period: float = 5.0
    """Seconds."""
    children: Sequence[Child | Supervisor] = ()
    """Started in this order, stopped in reverse."""
    restart: Restart | RestartName = "permanent"
    """When the supervisor above starts this one again."""
    shutdown: float = inf
    """Seconds a stop may take in all; by default as long as its children need."""
    backoff: Backoff | None = None
    """How long the supervisor above waits before it restarts this one."""


class Supervisor(_SupervisorOptions, frozen=True):
    """Describe a supervisor: a subtree of actors that is started, watched and stopped together.

    Raises:
        ChildSpecError: An option is out of range, or two children share an id.
    """

    id: str
    """Unique among its siblings; part of the path."""

    def __post_init__(self) -> None:
        _check_id("Supervisor.id", self.id)
        if self.strategy != "one_for_one":
            raise ChildSpecError("Supervisor.strategy", self.strategy, "must be 'one_for_one'")
        _check_whole("Supervisor.intensity", self.intensity)
        _check_positive("Supervisor.period", self.period, "must be seconds > 0")
        _check_least("Supervisor.shutdown", self.shutdown, "must be seconds >= 0")
        _check_restart("Supervisor.restart", self.restart)
        _check_backoff("Supervisor.backoff", self.backoff)
        _check_children(self.children)


def _check_children(children: object) -> None:
    # A generator would be used up by this check and leave a supervisor without children.
    if not isinstance(children, list | tuple):
        raise ChildSpecError("Supervisor.children", children, "must be a list or tuple of specs")
    seen: set[str] = set()
    for child in cast("Sequence[object]", children):
        if not isinstance(child, Child | Supervisor):
            raise ChildSpecError("Supervisor.children", child, "must be Child or Supervisor specs")
        if child.id in seen:
            raise ChildSpecError("Supervisor.children", child.id, "must have unique ids")
        seen.add(child.id)


def _check_id(field: str, value: object) -> None:
    if not (isinstance(value, str) and value and "/" not in value and value.isprintable()):
        raise ChildSpecError(field, value, "must be a printable name without '/'")


def _check_restart(field: str, value: object) -> None:
    if value not in _RESTARTS:
        raise ChildSpecError(field, value, "must be 'permanent', 'transient' or 'temporary'")


def _check_least(field: str, value: object, remedy: str) -> None:
    if not (isinstance(value, _NUMBER) and value >= 0):
        raise ChildSpecError(field, value, remedy)


def _check_positive(field: str, value: object, remedy: str) -> None:
    if not (isinstance(value, _NUMBER) and value > 0):
        raise ChildSpecError(field, value, remedy)


def _check_whole(field: str, value: object) -> None:
    if not (isinstance(value, int) and value >= 0):
        raise ChildSpecError(field, value, "must be a whole number >= 0")


def _check_backoff(field: str, value: object) -> None:
    if value is not None and not callable(getattr(value, "wait", None)):
        raise ChildSpecError(field, value, "must be a backoff such as Exponential(1.0), or None")


def _check_policy(field: str, value: object) -> None:
    if value is not None and not isinstance(value, Policy):
        raise ChildSpecError(field, value, "must be a Policy, or None")
