"""Remove the files of large results that no step refers to any more.

A worker writes the file, or makes it young again, and only then the step that refers to it. So a file that
nobody refers to may be one whose step is about to be stored, by any process. It is removed in two looks:

1. A file is a candidate when it has not been written or wanted for an hour and no step refers to it.
2. It is renamed. From now on whoever wants the same content does not find it, and writes it anew.
3. Steps are looked at again. Whoever found the file before it was renamed has by now stored its step, or has
   made the file young. Either way it gets its name back; else it is removed.

A worker that takes more than an hour from the file to the step has lost its lease, and with it the right to
store the step: lost leases are cleared before a sweep. A sweep that dies leaves renamed files behind, which
are read like others and settled by the next sweep, and so are the drafts of writers that died. Several
sweeps at once are in nobody's way: each renames to names of its own, and decides after it has looked.

Ages are told by the clock of the file system, which over a network is not this machine's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import anyio.to_thread

from ._blobs import SWEPT, trash_of
from ._errors import BlobError

MARGIN = 3600.0
"""Seconds a file stays, though no step refers to it, after it was last wanted."""
_CHUNK = 500
"""Files looked up at a time."""
_BLOB = re.compile(r"[0-9a-f]{64}")
_HIDDEN = re.compile(r"\.([0-9a-f]{64})\..+")
"""A draft, or a file that a sweep has renamed."""


class _Found(NamedTuple):
    stale: list[Path]
    """Files that were not wanted for long."""
    trash: list[Path]
    """Files that a sweep has renamed."""


class BlobSweep:
    """One sweep of one folder.

    Args:
        folder: Where the files are; all steps that refer to them are in one store.
        in_use: Returns which of some files a step refers to.
        margin: Seconds; see `MARGIN`.
    """

    def __init__(
        self,
        folder: Path,
        in_use: Callable[[Collection[str]], Awaitable[frozenset[str]]],
        margin: float = MARGIN,
    ) -> None:
        self._folder = folder
        self._in_use = in_use
        self._margin = margin
        self._oldest = 0.0
        """Files changed before it are old, by the file system's clock."""

    async def run(self) -> int:
        """Remove what is of no use; returns how many files.

        Raises:
            BlobError: The folder can't be read or changed.
            StoreError: The store can't be used now. Nothing in use was removed.
        """
        try:
            found = await anyio.to_thread.run_sync(self._look)
            trash = found.trash
            for some in _chunks(found.stale):
                used = await self._in_use([path.name for path in some])
                unused = [path for path in some if path.name not in used]
                trash += await anyio.to_thread.run_sync(_rename, unused)
            removed = 0
            for some in _chunks(trash):
                used = await self._in_use([_name_in(path) for path in some])
                removed += await anyio.to_thread.run_sync(self._settle, some, used)
        except OSError as error:
            problem = f"can't be swept: {error.strerror or error}"
            raise BlobError(str(self._folder), "results", problem) from error
        return removed

    def _look(self) -> _Found:
        found = _Found([], [])
        if not self._folder.is_dir():
            return found
        self._oldest = _now(self._folder) - self._margin
        for part in self._folder.iterdir():
            if len(part.name) == 2 and part.is_dir():
                self._look_into(part, found)
        return found

    def _look_into(self, part: Path, found: _Found) -> None:
        for path in part.iterdir():
            if _BLOB.fullmatch(path.name):
                if self._is_old(path):
                    found.stale.append(path)
            elif _HIDDEN.fullmatch(path.name):
                if path.name.endswith(SWEPT):
                    found.trash.append(path)
                elif self._is_old(path):
                    path.unlink(missing_ok=True)

    def _is_old(self, path: Path) -> bool:
        try:
            return path.stat().st_mtime < self._oldest
        except FileNotFoundError:
            return False

    def _settle(self, trash: list[Path], used: frozenset[str]) -> int:
        removed = 0
        for path in trash:
            name = _name_in(path)
            with suppress(FileNotFoundError):  # another sweep has settled it
                if name in used or not self._is_old(path):
                    os.utime(path)  # it may take the place of one that was written anew meanwhile
                    path.replace(path.with_name(name))
                else:
                    path.unlink()
                    removed += 1
        return removed


def _rename(paths: list[Path]) -> list[Path]:
    renamed: list[Path] = []
    for path in paths:
        trash = trash_of(path)
        with suppress(FileNotFoundError):
            path.replace(trash)
            renamed.append(trash)
    return renamed


def _name_in(trash: Path) -> str:
    return trash.name[1:65]


def _now(folder: Path) -> float:
    probe = folder / f".now.{os.urandom(4).hex()}"
    try:
        probe.touch()
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def _chunks(paths: list[Path]) -> Iterator[list[Path]]:
    for first in range(0, len(paths), _CHUNK):
        yield paths[first : first + _CHUNK]
