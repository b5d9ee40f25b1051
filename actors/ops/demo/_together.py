"""Do several things at once without wasting what is already paid for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio

ResultT = TypeVar("ResultT")


async def together(works: Sequence[Callable[[], Awaitable[ResultT]]]) -> list[ResultT]:
    """Run *works* at once and return their results in order.

    One that fails does not cancel the others: they go on to their end, so that a job's next attempt
    finds what they finished.

    Raises:
        ExceptionGroup: All that they raised. What follows from it the job's own patience knows.
    """
    results: dict[int, ResultT] = {}
    errors: list[Exception] = []

    async def run(place: int, work: Callable[[], Awaitable[ResultT]]) -> None:
        try:
            results[place] = await work()
        except Exception as error:  # noqa: BLE001 - all of it is raised below
            errors.append(error)

    async with anyio.create_task_group() as group:
        for place, work in enumerate(works):
            group.start_soon(run, place, work)
    if errors:
        raise ExceptionGroup(f"{len(errors)} of {len(works)} failed", errors)
    return [results[place] for place in range(len(works))]
