"""Subtree: the child spec that stands for a description of a supervisor in the supervisor above it."""

from __future__ import annotations

from functools import partial
from math import inf

from ..runtime import Actor
from ._child import Child
from ._dynamic_supervisor import DynamicSupervisorActor
from ._keeper import TreeContext
from ._pool_supervisor import PoolSupervisor
from ._specs import DynamicSupervisor, Pool, Supervisor
from ._supervisor import SupervisorActor


def subtree_child(spec: Supervisor | DynamicSupervisor | Pool, context: TreeContext) -> Child:
    """Turn the description of a supervisor into the child spec its own supervisor works with."""
    return Child(
        spec.id,
        partial(_supervisor_of, spec, context),
        restart=spec.restart,
        significant=spec.significant,
        shutdown=spec.shutdown,
        backoff=spec.backoff,
        start_timeout=inf,
    )


def _supervisor_of(spec: Supervisor | DynamicSupervisor | Pool, context: TreeContext) -> Actor:
    if isinstance(spec, Supervisor):
        return SupervisorActor(spec, context)
    if isinstance(spec, DynamicSupervisor):
        return DynamicSupervisorActor(spec, context)
    return PoolSupervisor(spec, context)
