"""Large results: which are too large for the store, and which are too large altogether."""

from __future__ import annotations

import os

from ._blobs import Blobs
from ._errors import ResultTooLargeError


class LargeResults:
    """Where the results of one queue's steps and jobs are kept.

    Args:
        folder: For large results of steps; None: there is none.
        max_inline: Bytes that the store itself keeps.
        max_size: Bytes of the largest result there may be.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, max_inline: int, max_size: int) -> None:
        self.blobs = None if folder is None else Blobs(folder)
        self._max_inline = max_inline
        self._max_size = max_size

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
        if self.blobs is None:
            remedy = "give the queue a folder for such results (blobs=)"
            raise ResultTooLargeError(where, len(data), self._max_inline, remedy)
        return await self.blobs.put(data)

    async def get(self, name: str) -> bytes:
        """Read a large result back.

        Raises:
            BlobError: It is gone or damaged, or the queue has no folder for such.
        """
        return await (self.blobs or Blobs("no folder (give the queue blobs=)")).get(name)
