"""Jobs in every state, made by hand: what tests of the people's side begin with."""

import msgspec

from relight.actors.jobs import Failure, JobState, NewJob, Step, Store

FAILURE = Failure(
    error="ValueError: no ink left",
    error_type="ValueError",
    cause="draw: ValueError: no ink left",
    traceback="Traceback ...\nValueError: no ink left\n",
    step="draw",
    cost_usd=0.25,
)


def new(number: int, **fields: object) -> NewJob:
    """Make a job."""
    return msgspec.structs.replace(
        NewJob(id=f"job-{number:04}", queue="q", kind="draw", args=b'["a cat"]'), **fields
    )


async def kill(store: Store, *numbers: int, failure: Failure = FAILURE, steps: int = 0) -> None:
    """Let jobs begin, do so many steps, and die. They are in the store."""
    wanted = {f"job-{number:04}" for number in numbers}
    await store.register("w", 60.0, {})
    for claimed in await store.claim("w", ["q"], 1000):
        id_, fence = claimed.job.id, claimed.job.fence
        if id_ not in wanted:
            await store.release(id_, fence, cost_usd=0.0, retries=0)
            continue
        for step in range(steps):
            await store.save_step(
                id_, fence, Step(name=f"step-{step}", result=b'"done"', cost_usd=0.5, seconds=1.5)
            )
        await store.fail(id_, fence, failure, retry_in=None, spends=True)


async def state(store: Store, number: int) -> JobState:
    """Tell where a job is."""
    detail = await store.job(f"job-{number:04}")
    assert detail is not None
    return detail.job.state
