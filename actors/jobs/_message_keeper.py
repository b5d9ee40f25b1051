"""MessageKeeper: the actor that keeps undeliverable messages in the store."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio

from ...runtime import Actor, cell_of
from ._desk import Desk
from ._message_log import MessageLog

_PAUSE = 0.1
"""Seconds between two batches: describing messages takes the time of actors at work."""
_LAST = 2.0
"""Seconds for those that are left when it stops."""


class MessageKeeper(Actor):
    """Keep undeliverable messages in the store.

    Args:
        desk: The worker's.
        log: Which of them are there already.
    """

    def __init__(self, desk: Desk, log: MessageLog) -> None:
        self._desk = desk
        self._log = log

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Keep them."""
        self._log.attach(cell_of(self.ref).kernel)
        async with anyio.create_task_group() as group:
            group.start_soon(self._keep_for_ever)
            yield
            group.cancel_scope.cancel()
        with anyio.move_on_after(_LAST):
            await self._log.keep_rest()

    async def _keep_for_ever(self) -> None:
        while self._log.is_kept:
            await self._log.wait()
            await self._desk.insist(self._log.keep_some)
            await anyio.sleep(_PAUSE)
