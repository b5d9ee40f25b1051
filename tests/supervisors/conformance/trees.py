"""What the conformance tests share: start a tree, make a child end, look at what its supervisor knows."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import pytest

from relight.runtime import AskError, Ref, Request
from relight.supervisors import (
    AutoShutdownName,
    ChildStatus,
    DynamicSupervisorRef,
    Spec,
    StrategyName,
    Supervisor,
    SupervisorRef,
    System,
    open_system,
)
from relight.supervisors._supervisor import SupervisorActor
from tests.runtime.desk import cell_of, settle
from tests.supervisors.recorded import Crash, Diary


async def spawn_tree(
    system: System,
    *children: Spec,
    strategy: StrategyName = "one_for_one",
    auto_shutdown: AutoShutdownName = "never",
    intensity: int = 3,
    period: float = 5.0,
) -> SupervisorRef:
    """Start a supervisor ``tree`` that stays away when it has ended."""
    return await system.spawn(
        Supervisor(
            "tree",
            strategy=strategy,
            auto_shutdown=auto_shutdown,
            intensity=intensity,
            period=period,
            restart="temporary",
            children=children,
        )
    )


@asynccontextmanager
async def open_tree(
    *children: Spec,
    diary: Diary,
    strategy: StrategyName = "one_for_one",
    auto_shutdown: AutoShutdownName = "never",
    intensity: int = 3,
) -> AsyncGenerator[tuple[System, SupervisorRef]]:
    """Open a system with one supervisor, ``tree``; the diary's lines of its start are taken."""
    async with open_system() as system:
        tree = await spawn_tree(
            system, *children, strategy=strategy, auto_shutdown=auto_shutdown, intensity=intensity
        )
        diary.take()
        yield system, tree


async def leave_by(ref: Ref, message: Request[None]) -> None:
    """Have an actor end itself and wait until its supervisor has decided what follows."""
    with pytest.raises(AskError):
        await ref.ask(message)
    await settle()


async def crash(ref: Ref) -> None:
    """Crash an actor and wait until its supervisor has decided what follows."""
    await leave_by(ref, Crash())


def _state(child: ChildStatus) -> str:
    return "restarting" if child.is_restarting else "undefined" if child.ref is None else "running"


async def states_of(supervisor: SupervisorRef | DynamicSupervisorRef) -> dict[str, str]:
    """Say of each child, in start order, whether it runs, restarts or is undefined."""
    return {child.id: _state(child) for child in reversed(await supervisor.which_children())}


async def state_of(supervisor: SupervisorRef, id: str) -> str:  # noqa: A002
    """Say whether a child runs, restarts, is undefined, or was dropped."""
    return (await states_of(supervisor)).get(id, "dropped")


async def counts_of(supervisor: SupervisorRef | DynamicSupervisorRef) -> tuple[int, int, int, int]:
    """Count specs, active children, supervisors and workers."""
    counts = await supervisor.count_children()
    return counts.specs, counts.active, counts.supervisors, counts.workers


async def child_ref(supervisor: SupervisorRef, id: str) -> Ref:  # noqa: A002
    """Return the ref of a child that runs."""
    (status,) = [child for child in await supervisor.which_children() if child.id == id]
    assert status.ref is not None
    return status.ref


def hear(system: System, *events: str) -> list[tuple[str, object]]:
    """Collect what the system says from now on: the event and whom it is about."""
    said: list[tuple[str, object]] = []

    def note(event: str, fields: Mapping[str, object]) -> None:
        if event in events:
            said.append((event, fields["actor_path"]))

    system.events.listen(note)
    return said


def supervisor_of(handle: SupervisorRef | DynamicSupervisorRef) -> SupervisorActor:
    """Look behind a handle, where a test needs what has no face."""
    supervisor = cell_of(handle.ref).actor
    assert isinstance(supervisor, SupervisorActor)
    return supervisor
