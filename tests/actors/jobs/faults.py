"""What the tests of broken stores share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import msgspec
import pytest

from relight.actors.jobs import Claimed, DeadMessage, LetterSource, NewJob, Step, Store, StoreError


def new(number: int, **fields: object) -> NewJob:
    """Make a job."""
    return msgspec.structs.replace(
        NewJob(id=f"job-{number:05}", queue="q", kind="draw", args=b"{}"), **fields
    )


def a_message() -> DeadMessage:
    """Make a message that could not be delivered."""
    return DeadMessage(
        id="letter-5e41e5-1",
        source=LetterSource.ACTOR,
        kind="Paint",
        where="app/painter",
        cause="stopped",
        at=1.5,
        process="studio-77",
        content=b'{"what":"a cat"}',
    )


async def begin(store: Store, most: int = 1) -> list[Claimed]:
    """Have a worker take jobs."""
    await store.register("w", 600.0, {})
    return await store.claim("w", ["q"], most)


async def works(store: Store, number: int) -> None:
    """See that a job's whole life works."""
    await store.enqueue([new(number, priority=1_000)])
    (claimed,) = await begin(store)
    assert claimed.job.id == f"job-{number:05}"
    await store.save_step(claimed.job.id, claimed.job.fence, Step(name="a"))
    await store.succeed(claimed.job.id, claimed.job.fence, b"1", cost_usd=0.0, retries=0)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that threads or other processes bring about."""
    with anyio.fail_after(30):
        while not condition():  # noqa: ASYNC110 - nobody else tells
            await anyio.sleep(0.005)


async def insist(write: Callable[[], Awaitable[object]], *, within: float = 30) -> None:
    """Try until the store is there again."""
    with anyio.fail_after(within):
        while True:
            try:
                await write()
            except StoreError as error:
                if not error.is_passing:
                    raise
                await anyio.sleep(0.05)
            else:
                return


def said(caught: pytest.ExceptionInfo[StoreError], words: str, *, is_passing: bool) -> None:
    """See that the error says what is wrong, and whether waiting helps."""
    assert words in str(caught.value)
    assert caught.value.is_passing is is_passing
