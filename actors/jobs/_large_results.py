"""Large results: which are too large for the store, and which are too large altogether."""

from __future__ import annotations

import os
from pathlib import Path

from ._blob_sweep import BlobSweep
from ._blobs import Blobs
from ._checks import check_whole
from ._errors import JobSpecError, ResultTooLargeError
from ._store import Store


class LargeResults:
    """Where the results of one queue's steps and jobs are kept.

    Args:
        folder: For large results of steps; None: there is none.
        max_inline: Bytes that the store itself keeps.
        max_size: Bytes of the largest result there may be.

    Raises:
        JobSpecError: One is no path, or no number of bytes.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, max_inline: int, max_size: int) -> None:
        _check_folder(folder)
        check_whole("Queue.max_inline", max_inline, 0)
        check_whole("Queue.max_result", max_size, 0)
        self._blobs = None if folder is None else Blobs(folder)
        self._max_inline = max_inline
        self._max_size = max_size

    @property
    def folder(self) -> Path | None:
        """Where large ones are; None: nowhere."""
        return None if self._blobs is None else self._blobs.folder

    def check_inline(self, where: str, data: bytes) -> None:
        """Refuse the result of a job that the store itself can't keep.

        Raises:
            ResultTooLargeError: It is too large.
        """
        if len(data) > self._max_inline:
            remedy = "store it in a step, or elsewhere, and return where"
            raise ResultTooLargeError(where, len(data), self._max_inline, remedy)

    def check_size(self, where: str, data: bytes) -> None:
        """Refuse the result of a step that is too large altogether.

        Raises:
            ResultTooLargeError: It is.
        """
        if len(data) > self._max_size:
            remedy = "keep it elsewhere and return where, or raise the queue's max_result"
            raise ResultTooLargeError(where, len(data), self._max_size, remedy)

    async def put(self, where: str, data: bytes) -> str | None:
        """Put a large result into a file; returns its name, or None for one that is not large.

        Raises:
            ResultTooLargeError: It is large and there is no folder for it.
            BlobError: It can't be written.
        """
        if len(data) <= self._max_inline:
            return None
        if self._blobs is None:
            remedy = "give the queue a folder for such results (blobs=)"
            raise ResultTooLargeError(where, len(data), self._max_inline, remedy)
        return await self._blobs.put(data)

    async def get(self, name: str) -> bytes:
        """Read a large result back.

        Raises:
            BlobError: It is gone or damaged, or the queue has no folder for such.
        """
        return await (self._blobs or Blobs("no folder (give the queue blobs=)")).get(name)

    async def sweep(self, store: Store) -> int:
        """Remove files that no step in *store* refers to any more; returns how many. See `BlobSweep`.

        Right after lost leases were cleared: else a worker that was away for long might still store a step.

        Raises:
            BlobError: The folder can't be read or changed.
            StoreError: The store can't be used now.
        """
        folder = self.folder
        if folder is None:
            return 0
        return await BlobSweep(folder, store.blobs_in_use).run()


def _check_folder(folder: object) -> None:
    if folder is not None and not isinstance(folder, str | os.PathLike):
        raise JobSpecError("Queue.blobs", f"must be the path of a folder, got {folder!r}")
