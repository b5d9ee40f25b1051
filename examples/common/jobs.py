"""The jobs of an application: begun, or taken up where an earlier run has left them."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from relight import Exponential
from relight.actors.jobs import JobDetail, JobFunction, JobState, Query, Queue

OrderT = TypeVar("OrderT")
ResultT = TypeVar("ResultT")

BACKOFF = Exponential(0.25, cap=4.0, jitter="equal")
"""Between the attempts of a job. Short, for the fakes; by default they are 2 seconds to 10 minutes."""
_PUT_ASIDE = frozenset({JobState.CANCELLED, JobState.DISCARDED})
_MOST = 1000


async def take_up(queue: Queue, function: JobFunction[OrderT, ResultT], order: OrderT) -> str:
    """Return the id of the job that carries out *order*: the one that the store has, else a new one.

    So the same command goes on where it was, and when all is made it makes nothing again.
    """
    arguments = msgspec.json.encode((order,))
    for job in await queue.store.jobs(Query(queue=queue.name, kind=function.kind), most=_MOST):
        if job.args == arguments and job.state not in _PUT_ASIDE:
            return job.id
    return await queue.enqueue(function, order)


async def ended(queue: Queue, id: str) -> JobDetail:  # noqa: A002 - the name people know
    """Wait for the end of a job, and return all that is known of it."""
    await queue.wait(id)
    detail = await queue.store.job(id)
    assert detail is not None, "jobs are kept"
    return detail
