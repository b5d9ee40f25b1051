"""Large results: files named by the hash of what they hold."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import anyio.to_thread

from ._errors import BlobError


class Blobs:
    """Keep large results in a folder that all workers share.

    A file is complete and on the disk before its name exists, and the name before `put` returns. The
    same content is stored once.

    Args:
        folder: Made when the first file is.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    async def put(self, data: bytes) -> str:
        """Store *data*; returns its name.

        Raises:
            BlobError: The disk is full, or the folder can't be written.
        """
        name = sha256(data).hexdigest()
        try:
            await anyio.to_thread.run_sync(_write, self._path(name), data)
        except OSError as error:
            raise BlobError(str(self.folder), name, f"can't be written: {error.strerror or error}") from error
        return name

    async def get(self, name: str) -> bytes:
        """Read what *name* holds.

        Raises:
            BlobError: The file is gone, or holds something else.
        """
        try:
            data = await anyio.to_thread.run_sync(self._path(name).read_bytes)
        except OSError as error:
            problem = f"can't be read: {error.strerror or error}; restore it, or replay the job from scratch"
            raise BlobError(str(self.folder), name, problem) from error
        if sha256(data).hexdigest() != name:
            raise BlobError(str(self.folder), name, "is damaged: restore it, or replay the job from scratch")
        return data

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / name


def _write(path: Path, data: bytes) -> None:
    if path.exists():
        return
    _make_folder(path.parent)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        with draft.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    if not folder.parent.is_dir():
        _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    """Make a new name in *folder* survive a power loss, where folders can be opened."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
