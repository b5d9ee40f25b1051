"""Descriptions of supervisors: of a fixed list of children, of a changing crowd, of a pool of equals."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from math import inf
from typing import Literal, cast, get_args

import msgspec

from ..runtime import Actor, Message
from ._child import Child, Restart, RestartName
from ._errors import ChildSpecError
from ._spec_checks import (
    check_backoff,
    check_id,
    check_least,
    check_positive,
    check_restart,
    check_whole,
    check_word,
)
from .policies import Backoff

StrategyName = Literal["one_for_one", "one_for_all", "rest_for_one"]
AutoShutdownName = Literal["never", "any_significant", "all_significant"]
RouteName = Literal["round_robin", "least_loaded"]

_STRATEGIES: frozenset[str] = frozenset(get_args(StrategyName))
_AUTO_SHUTDOWNS: frozenset[str] = frozenset(get_args(AutoShutdownName))
_ROUTES: frozenset[str] = frozenset(get_args(RouteName))


class _TreeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What every kind of supervisor has in common."""

    intensity: int = 3
    """More than this many restarts within ``period`` and the supervisor gives up: it stops its
    children and ends with the reason ``shutdown``. A group that restarts together counts once."""
    period: float = 5.0
    """Seconds."""
    restart: Restart | RestartName = "permanent"
    """When the supervisor above starts this one again."""
    significant: bool = False
    """Its own end counts for the ``auto_shutdown`` of the supervisor above."""
    shutdown: float = inf
    """Seconds a stop may take in all; by default as long as its children need."""
    backoff: Backoff | None = None
    """How long the supervisor above waits before it restarts this one."""


class _SupervisorOptions(_TreeOptions, frozen=True, kw_only=True):
    strategy: StrategyName = "one_for_one"
    """Which siblings restart with a child: none; with ``one_for_all`` all; with ``rest_for_one`` those
    started after it."""
    auto_shutdown: AutoShutdownName = "never"
    """End when a significant child has ended by itself: the first (``any_significant``), or the last
    that ran (``all_significant``)."""
    children: Sequence[Spec] | Callable[[], Sequence[Spec]] = ()
    """Started in this order, stopped in reverse. A function is called at each start of the supervisor;
    it may raise `Ignore`, and the supervisor is not started then."""


class Supervisor(_SupervisorOptions, frozen=True):
    """Describe a supervisor: a subtree of actors that is started, watched and stopped together.

    Raises:
        ChildSpecError: An option is out of range, or two children share an id.
    """

    id: str
    """Unique among its siblings; part of the path."""

    def __post_init__(self) -> None:
        _check_tree("Supervisor", self.id, self)
        check_word("Supervisor.strategy", self.strategy, _STRATEGIES)
        check_word("Supervisor.auto_shutdown", self.auto_shutdown, _AUTO_SHUTDOWNS)
        if not callable(self.children):
            check_children(self.children, self.auto_shutdown)

    def child_specs(self) -> Sequence[Spec]:
        """Return the children to start.

        Raises:
            Ignore: The function that makes them wants no supervisor now.
            ChildSpecError: What that function returned is no list of specs.
        """
        children = self.children
        if not callable(children):
            return children
        made = children()
        check_children(made, self.auto_shutdown)
        return made


class _DynamicOptions(_TreeOptions, frozen=True, kw_only=True):
    template: Child | None = None
    """How to start children that differ in their arguments only; None where each brings its own spec."""
    max_children: int | None = None
    """How many there may be; one more is refused. None: no bound."""


class DynamicSupervisor(_DynamicOptions, frozen=True):
    """Describe a supervisor of children that come and go: one a session, one a customer, one a job.

    They restart one for one, stop all at once, each within its own ``shutdown``, and nothing is kept
    of one that has ended.

    Raises:
        ChildSpecError: An option is out of range.
    """

    id: str
    """Unique among its siblings; part of the path."""

    def __post_init__(self) -> None:
        _check_tree("DynamicSupervisor", self.id, self)
        if self.template is not None:
            _check_template("DynamicSupervisor.template", self.template)
        if self.max_children is not None:
            check_whole("DynamicSupervisor.max_children", self.max_children)


class _PoolOptions(_TreeOptions, frozen=True, kw_only=True):
    size: int
    """How many members to start."""
    route: RouteName | Callable[[Message], Hashable] = "round_robin"
    """Who gets a message: one after the other, whoever has least to do, or the member that a key of the
    message belongs to. A key stays with its member while the pool keeps its size."""


class Pool(_PoolOptions, frozen=True):
    """Describe a pool: equal actors behind one ref, each message for one of them.

    Raises:
        ChildSpecError: An option is out of range.
    """

    id: str
    """Unique among its siblings; part of the path, and the pool's name."""
    member: Child
    """How to start each member; they are called ``ID-1``, ``ID-2`` after its id."""

    def __post_init__(self) -> None:
        _check_tree("Pool", self.id, self)
        _check_template("Pool.member", self.member)
        check_whole("Pool.size", self.size, least=1)
        if not callable(self.route):
            check_word("Pool.route", self.route, _ROUTES)


Spec = Child | Supervisor | DynamicSupervisor | Pool
"""How to start something below a supervisor."""


def check_children(children: object, auto_shutdown: AutoShutdownName) -> None:
    """Refuse what is no list of specs that a supervisor could start.

    Raises:
        ChildSpecError: Not a list, not specs, an id twice, or a significant child that counts for nothing.
    """
    # A generator would be used up by this check and leave a supervisor without children.
    if not isinstance(children, list | tuple):
        raise ChildSpecError("Supervisor.children", children, "must be a list or tuple of specs")
    seen: set[str] = set()
    for child in cast("Sequence[object]", children):
        if not isinstance(child, Spec):
            raise ChildSpecError(
                "Supervisor.children", child, "must be specs such as Child(...) or Supervisor(...)"
            )
        if child.id in seen:
            raise ChildSpecError("Supervisor.children", child.id, "must have unique ids")
        seen.add(child.id)
        check_counts(child, auto_shutdown)


def check_counts(child: Spec, auto_shutdown: AutoShutdownName) -> None:
    """Refuse a significant child of a supervisor that never ends by itself.

    Raises:
        ChildSpecError: It is one.
    """
    if child.significant and auto_shutdown == "never":
        remedy = "needs a supervisor with auto_shutdown='any_significant' or 'all_significant'"
        raise ChildSpecError(f"{type(child).__name__}.significant", child.id, remedy)


def _check_tree(spec: str, id: str, options: _TreeOptions) -> None:  # noqa: A002 - the field's name
    check_id(f"{spec}.id", id)
    check_whole(f"{spec}.intensity", options.intensity)
    check_positive(f"{spec}.period", options.period)
    check_least(f"{spec}.shutdown", options.shutdown, "must be seconds >= 0")
    check_restart(spec, options.restart, options.significant)
    check_backoff(f"{spec}.backoff", options.backoff)


def _check_template(field: str, template: object) -> None:
    if not isinstance(template, Child):
        raise ChildSpecError(field, template, "must be a Child")
    if template.name is not None:
        raise ChildSpecError(f"{field}.name", template.name, "must be None: several children can't share it")
    check_counts(template, "never")


def numbered(template: Child, number: int, start: Callable[[], Actor] | None = None) -> Child:
    """Make the spec of one child from a template: its id with a number, and its own *start*."""
    id = f"{template.id}-{number}"  # noqa: A001 - the field's name
    return msgspec.structs.replace(template, id=id, start=template.start if start is None else start)
