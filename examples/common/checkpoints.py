"""Checkpoints: what is finished is not made again, nor paid for again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar, TypeVarTuple

import anyio.to_thread
import msgspec

ResultT = TypeVar("ResultT")
ArgumentTs = TypeVarTuple("ArgumentTs")


class Checkpoints:
    """Keep the results of finished steps, in memory or as files in a folder.

    It is the one seam to whatever keeps the steps of a job: a step is named, run once, and read back from
    then on.

    Args:
        folder: Where to keep them; None: in memory, until the process ends.
        say: Told of every step that is finished, now or earlier.
    """

    def __init__(self, folder: Path | None = None, *, say: Callable[[str], None] = lambda _: None) -> None:
        self._folder = folder
        self._say = say
        self._kept: dict[str, bytes] = {}
        self._usd: dict[str, float] = {}

    @property
    def usd(self) -> float:
        """What the finished steps cost, those of earlier runs included: the sum of their results' ``usd``."""
        return sum(self._usd.values())

    async def step(
        self,
        name: str,
        result: type[ResultT],
        work: Callable[[*ArgumentTs], Awaitable[ResultT]],
        *args: *ArgumentTs,
    ) -> ResultT:
        """Return the step's result: from *work*, or from an earlier run.

        Args:
            name: Unique in the job; slashes make folders.
            result: What it is read back as.
            work: Called with *args* where the step is not finished yet.
            *args: Its arguments.
        """
        kept = await self._load(name)
        value = await work(*args) if kept is None else msgspec.msgpack.decode(kept, type=result)
        if kept is None:
            await self._save(name, msgspec.msgpack.encode(value))
        self._usd[name] = getattr(value, "usd", 0.0)
        self._say(name if kept is None else f"{name}: kept")
        return value

    async def _load(self, name: str) -> bytes | None:
        if self._folder is None or name in self._kept:
            return self._kept.get(name)
        path = self._path(self._folder, name)
        return await anyio.to_thread.run_sync(lambda: path.read_bytes() if path.exists() else None)

    async def _save(self, name: str, data: bytes) -> None:
        self._kept[name] = data
        if self._folder is not None:
            # Paid for: a cancellation that comes now must not lose it.
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(_write, self._path(self._folder, name), data)

    def _path(self, folder: Path, name: str) -> Path:
        return folder / f"{name}.msgpack"


def _write(path: Path, data: bytes) -> None:
    """Write all of it or nothing, also when the process dies in the middle."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".half")
    half.write_bytes(data)
    half.replace(path)
