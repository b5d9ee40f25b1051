"""Several things at once."""

from collections.abc import Awaitable, Iterable
from typing import TypeVar

import anyio

ResultT = TypeVar("ResultT")
OtherT = TypeVar("OtherT")


async def together(works: Iterable[Awaitable[ResultT]]) -> list[ResultT]:
    """Wait for all of *works*, and return their results in order.

    Where one fails the others go on to their end, so that what they cost is not wasted. Then the first
    error is raised.
    """
    results: dict[int, ResultT] = {}
    errors: list[Exception] = []

    async def wait(place: int, work: Awaitable[ResultT]) -> None:
        try:
            results[place] = await work
        except Exception as error:  # noqa: BLE001 - raised below
            errors.append(error)

    async with anyio.create_task_group() as group:
        for place, work in enumerate(works):
            group.start_soon(wait, place, work)
    if errors:
        raise errors[0]
    return [results[place] for place in sorted(results)]


async def both(one: Awaitable[ResultT], other: Awaitable[OtherT]) -> tuple[ResultT, OtherT]:
    """Wait for two things that differ in kind, as `together` does."""
    ones: list[ResultT] = []
    others: list[OtherT] = []

    async def wait_one() -> None:
        ones.append(await one)

    async def wait_other() -> None:
        others.append(await other)

    await together([wait_one(), wait_other()])
    return ones[0], others[0]
