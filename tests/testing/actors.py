"""Actors that the kit's tests look at."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import pytest

from relight import Actor, ExitReason, GuardedActor, Message, Request, handles

real_time = pytest.mark.parametrize("anyio_backend", ["real-trio", "real-asyncio"], indirect=True)
"""Run an anyio test on both backends in real time."""


class Add(Request[int], frozen=True):
    amount: int = 1


class Note(Message, frozen=True):
    text: str = "note"


class Nap(Request[float], frozen=True):
    seconds: float = 1.0


class Counter(Actor):
    """Well-behaved: counts."""

    def __init__(self) -> None:
        self.total = 0
        self.notes: list[str] = []

    @handles
    async def add(self, message: Add) -> int:
        self.total += message.amount
        return self.total

    @handles
    async def note(self, message: Note) -> None:
        self.notes.append(message.text)

    @handles
    async def nap(self, message: Nap) -> float:
        await anyio.sleep(message.seconds)
        return message.seconds


class Host(Counter):
    """Well-behaved: has hooks, a lifespan, and several hands."""

    concurrency = 3

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None, None]:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            yield
            group.cancel_scope.cancel()

    async def stopping(self, reason: ExitReason) -> None:
        self.notes.clear()


class Service(GuardedActor):
    """Well-behaved: a service."""

    @handles
    async def add(self, message: Add) -> int:
        await anyio.sleep(0.5)
        return message.amount
