"""What a person is told of the jobs while they are made, and of what earlier runs had finished."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import anyio

from relight.actors.jobs import Event, Job, Queue

Name = Callable[[Job], str]
"""Says what a job makes, in a word or two."""


@asynccontextmanager
async def telling(queue: Queue, name: Name, say: Callable[[str], None] = print) -> AsyncGenerator[None]:
    """Tell of the jobs of *queue* while the block runs, each event once.

    The events are the store's, read from the first one on: what an earlier process did is among them.
    """
    teller = _Teller(queue, name, say)
    async with anyio.create_task_group() as group:
        group.start_soon(teller.listen)
        yield
        group.cancel_scope.cancel()
    await teller.finish()


class _Teller:
    def __init__(self, queue: Queue, name: Name, say: Callable[[str], None]) -> None:
        self._queue = queue
        self._name = name
        self._say = say
        self._began = time.time()
        self._names: dict[str, str] = {}
        self._events = queue.events(after="0")
        self._told = "0"
        """The cursor after what was told. The subscription's is one ahead while a job's name is looked up."""

    async def listen(self) -> None:
        async for event in self._events:
            await self._tell(event)

    async def finish(self) -> None:
        """Tell what has happened since the last event that was told."""
        for event in await self._queue.store.events(self._told, queue=self._queue.name):
            await self._tell(event)

    async def _tell(self, event: Event) -> None:
        line = _line(event, is_kept=event.at < self._began)
        if line is not None:
            self._say(f"      {await self._name_of(event.job)}: {line}")
        self._told = event.cursor

    async def _name_of(self, job: str) -> str:
        if job not in self._names:
            detail = await self._queue.store.job(job)
            self._names[job] = "?" if detail is None else self._name(detail.job)
        return self._names[job]


def _line(event: Event, *, is_kept: bool) -> str | None:
    data = event.data
    match event.kind:
        case "step":
            return f"{data['name']}{': kept' if is_kept else ''}"
        case "rescued" if not is_kept:
            return "goes on: the process that had it is gone"
        case "retrying" if not is_kept:
            return f"attempt {data['attempt']} failed, next in {data['delay']:.1f} s: {data['error']}"
        case "waiting" if not is_kept:
            return f"waits {data['delay']:.1f} s: {data['error']}"
        case _:
            return None
