"""Heart: the actor that keeps a worker's lease."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from math import inf

import anyio

from ...runtime import Actor, ExitReason
from ._desk import Desk
from ._errors import StoreError

_CANCEL_LATENCY = 0.5
"""Seconds between two looks for jobs that are to be cancelled, while any run."""


class Heart(Actor):
    """Keep the worker's lease, and hear which of its jobs are to be cancelled."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def started(self) -> None:
        """Begin the lease."""
        await self._desk.insist(self._desk.register)

    async def stopping(self, reason: ExitReason) -> None:
        """End the lease, so that nobody waits for it to run out."""
        if reason.is_crash:
            self._desk.lose()  # nobody beats any more, and jobs may still be at hand
            return
        worker = self._desk.worker
        self._desk.is_gone, self._desk.worker = True, None
        if worker is not None:
            await self._desk.store.retire(worker)

    def killed(self, reason: ExitReason) -> None:
        """Have nobody wait for the store any more: it may be closed by now."""
        self._desk.is_gone = True
        self._desk.lose()

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Beat."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._beat_for_ever)
            yield
            group.cancel_scope.cancel()

    async def _beat_for_ever(self) -> None:
        desk = self._desk
        while True:
            interval = desk.lease / 3
            if not desk.runs:
                await desk.busy.wait(interval)
            if desk.runs:
                await anyio.sleep(min(_CANCEL_LATENCY, interval))
            await self._beat()

    async def _beat(self) -> None:
        desk = self._desk
        if desk.worker is None:
            await desk.insist(desk.register)
            return
        began = desk.kernel.now()
        asked: frozenset[str] | None = frozenset()
        is_beaten = False
        # A store that does not answer must not let steps begin beyond the lease. What is in doubt may wait.
        with anyio.move_on_after(desk.lease_ends - began if desk.has_lease else inf):
            try:
                asked = await desk.store.beat(desk.worker, desk.lease)
                is_beaten = True
            except StoreError as error:
                if not error.is_passing:
                    raise
                desk.store_failed(error)
        if asked is None:
            desk.lose()
        elif not is_beaten:
            if not desk.has_lease:
                desk.doubt()
        else:
            desk.store_answered()
            desk.renew(began)
            for job in asked:
                if job in desk.runs:
                    desk.runs[job].cancel()
