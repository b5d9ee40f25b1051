"""Do several things at once without wasting what is already paid for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import anyio

from ....runtime import DeadlineExceededError, RefusalError

ResultT = TypeVar("ResultT")

# A refusal may say "now": without a floor a job would ask in a tight loop.
_SHORTEST_WAIT: Final = 0.1
# A half-open breaker can't say when its probe will be back.
_UNKNOWN_WAIT: Final = 1.0


async def together(works: Sequence[Callable[[], Awaitable[ResultT]]]) -> list[ResultT]:
    """Run *works* at once and return their results in order.

    One that fails does not cancel the others: they go on to their end, so that a job's next attempt
    finds what they finished.

    Raises:
        Exception: The gravest of what they raised: a failure rather than a refusal, of refusals the one
            that asks for the longest wait.
    """
    results: dict[int, ResultT] = {}
    errors: list[Exception] = []

    async def run(place: int, work: Callable[[], Awaitable[ResultT]]) -> None:
        try:
            results[place] = await work()
        except Exception as error:  # noqa: BLE001 - all of it is raised below, one for all
            errors.append(error)

    async with anyio.create_task_group() as group:
        for place, work in enumerate(works):
            group.start_soon(run, place, work)
    if errors:
        raise max(errors, key=_gravity)
    return [results[place] for place in range(len(works))]


def _gravity(error: Exception) -> tuple[bool, float]:
    return (False, wanted_wait(error)) if is_refusal(error) else (True, 0.0)


def is_refusal(error: Exception) -> bool:
    """Tell whether nothing was tried, as the provider takes no calls now. A deadline is the caller's own."""
    return isinstance(error, RefusalError) and not isinstance(error, DeadlineExceededError)


def wanted_wait(error: Exception) -> float:
    """Return the seconds a refusal asks to wait, made up where it can't know."""
    asked = error.retry_after if isinstance(error, RefusalError) else None
    return _UNKNOWN_WAIT if asked is None else max(asked, _SHORTEST_WAIT)
