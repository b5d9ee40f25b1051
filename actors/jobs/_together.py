"""Parallel steps that don't cut each other short."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar, overload

import anyio

OneT = TypeVar("OneT")
TwoT = TypeVar("TwoT")
ThreeT = TypeVar("ThreeT")


@overload
async def together(one: Awaitable[OneT], two: Awaitable[TwoT], /) -> tuple[OneT, TwoT]: ...
@overload
async def together(
    one: Awaitable[OneT], two: Awaitable[TwoT], three: Awaitable[ThreeT], /
) -> tuple[OneT, TwoT, ThreeT]: ...
@overload
async def together(*works: Awaitable[OneT]) -> tuple[OneT, ...]: ...
async def together(*works: Awaitable[object]) -> tuple[object, ...]:
    """Run parallel steps of a job, all of them to their end, and return their results in order.

        panels = await together(*(job.ask(painter, Paint(scene), name=scene) for scene in scenes))

    In a task group of your own one that fails cancels the others, and what they had ordered is paid and
    lost. Here they go on: the job's next attempt finds what they have finished. A cancellation ends all.

    Args:
        works: Steps and asks of a job, or other calls of ``async def`` functions, not yet awaited.

    Raises:
        ExceptionGroup: Several of them failed. What a single one raised is raised as it is.
    """
    results: dict[int, object] = {}
    errors: dict[int, Exception] = {}

    async def run(place: int, work: Awaitable[object]) -> None:
        try:
            results[place] = await work
        except Exception as error:  # noqa: BLE001 - raised below
            errors[place] = error

    async with anyio.create_task_group() as group:
        for place, work in enumerate(works):
            group.start_soon(run, place, work)
    raised = [errors[place] for place in sorted(errors)]
    if len(raised) > 1:
        raise ExceptionGroup(f"{len(raised)} of {len(works)} parallel steps failed", raised)
    if raised:
        raise raised[0]
    return tuple(results[place] for place in range(len(works)))
