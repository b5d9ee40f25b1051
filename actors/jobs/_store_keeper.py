"""StoreKeeper: the actor that holds the store open."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from ...runtime import Actor, cell_of
from ._desk import Desk


class StoreKeeper(Actor):
    """Hold the store open."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def started(self) -> None:
        """Tell the desk which system it is in."""
        self._desk.kernel = cell_of(self.ref).kernel

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Open the store, close it in the end."""
        async with self._desk.store.opened():
            try:
                yield
            finally:
                self._desk.is_gone = True  # nobody must wait for it any more
