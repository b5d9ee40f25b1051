"""The tree as data: every supervisor and actor, as their supervisors know them now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..runtime import Actor, ActorState, Cell
from ._child import Child
from ._children import ChildRecord, ChildState
from ._dynamic_supervisor import DynamicSupervisorActor
from ._guarded_cell import GuardedCell
from ._pool_supervisor import PoolSupervisor
from ._restarter import Restarter
from ._service_supervisor import ServiceSupervisor
from ._service_view import state_of_service

ROOT = "root"
UNDEFINED = "undefined"
"""The state of what is known and does not run."""


@dataclass(frozen=True, slots=True)
class Supervision:
    """How a supervisor goes about it."""

    strategy: str
    """Who restarts with a child."""
    intensity: int
    """Restarts there may be within the period."""
    period: float
    """Seconds."""
    recent_restarts: int
    """Restarts within the last period."""


@dataclass(frozen=True, slots=True)
class TreeNode:
    """One actor of the tree, with those below it. Printed, it is the subtree, a line each."""

    id: str
    """Its id; ``root`` for the top."""
    path: str
    """Where it stands; ``root`` for the top, which is no part of the paths below."""
    role: str
    """``supervisor``, ``dynamic``, ``pool``, ``service`` or ``actor``."""
    kind: str
    """The class of the actor."""
    state: str
    """An `ActorState`; ``undefined`` where it is known but does not run. For a service that runs, what its
    guard says: ``ok``, ``paused``, ``breaker_open``, ``forced_open``, ``half_open``, ``blocked`` or
    ``failed``."""
    restart: str
    """When its supervisor starts it again: ``permanent``, ``transient`` or ``temporary``."""
    restarts: int
    """How often it was started again."""
    queued: int
    """Messages that wait in its mailbox."""
    in_hand: int
    """Messages being handled."""
    restart_in: float | None
    """Seconds until its restart is tried, where it waits for one."""
    supervision: Supervision | None
    """Of a supervisor that runs."""
    children: tuple[TreeNode, ...]
    """Those below it, in start order."""

    def __iter__(self) -> Iterator[TreeNode]:
        """Walk over the node and all below it, parents first."""
        yield self
        for child in self.children:
            yield from child

    def __str__(self) -> str:
        return "\n".join(_lines(self, "", ""))


def _lines(node: TreeNode, first: str, others: str) -> Iterator[str]:
    facts = [node.state]
    if node.supervision is not None:
        facts.append(node.supervision.strategy)
    if node.restarts:
        facts.append(f"restarts {node.restarts}")
    if node.restart_in is not None:
        facts.append(f"next try in {node.restart_in:.3g} s")
    if node.queued:
        facts.append(f"queued {node.queued}")
    yield f"{first}{node.id}: {', '.join(facts)}"
    for child in node.children:
        branch, below = ("└─ ", "   ") if child is node.children[-1] else ("├─ ", "│  ")
        yield from _lines(child, others + branch, others + below)


def look_at_tree(root: Restarter) -> TreeNode:
    """Look at *root* and everything below it."""
    record = ChildRecord(Child(ROOT, Actor), is_supervisor=True, cell=root.cell, state=ChildState.RUNNING)
    return _look(record, ROOT, root.kernel.now())


def _look(record: ChildRecord, path: str, now: float) -> TreeNode:
    cell, supervisor = record.cell, _supervisor_in(record)
    if isinstance(supervisor, ServiceSupervisor):
        cell, supervisor = supervisor.service or cell, None
    counters = None if cell is None else cell.statistics()
    return TreeNode(
        id=record.id,
        path=path,
        role=_role_of(record),
        kind="" if cell is None else type(cell.actor).__name__,
        state=_state_of(record, cell),
        restart=str(record.spec.restart),
        restarts=0 if counters is None else counters.restarts,
        queued=0 if counters is None else counters.queued,
        in_hand=0 if counters is None else counters.in_hand,
        restart_in=None if record.restart_due is None else max(0.0, record.restart_due - now),
        supervision=None if supervisor is None else _supervision_of(supervisor, now),
        children=() if supervisor is None else _children_of(supervisor, now),
    )


def _supervisor_in(record: ChildRecord) -> Restarter | None:
    """Return the supervisor that runs in a child's cell, if one does."""
    actor = None if record.cell is None else record.cell.actor
    return actor if isinstance(actor, Restarter) and actor.is_settled else None


def _children_of(supervisor: Restarter, now: float) -> tuple[TreeNode, ...]:
    records = tuple(supervisor.children.values())
    return tuple(_look(record, supervisor.path_of(record), now) for record in records)


def _supervision_of(supervisor: Restarter, now: float) -> Supervision:
    window = supervisor.window
    return Supervision(supervisor.strategy, window.intensity, window.period, window.count(now))


def _role_of(record: ChildRecord) -> str:
    supervisor = _supervisor_in(record)
    if isinstance(supervisor, ServiceSupervisor):
        return "service"
    if isinstance(supervisor, PoolSupervisor):
        return "pool"
    if isinstance(supervisor, DynamicSupervisorActor):
        return "dynamic"
    return "supervisor" if record.is_supervisor else "actor"


def _state_of(record: ChildRecord, cell: Cell | None) -> str:
    if isinstance(cell, GuardedCell):
        return state_of_service(cell)
    if record.state is ChildState.RESTARTING:
        return str(ActorState.RESTARTING)
    if cell is None or (record.state is ChildState.UNDEFINED and cell.state is not ActorState.STARTING):
        return UNDEFINED
    return str(cell.state)
