"""Large results: files named by the hash of what they hold. What removes them is in `BlobSweep`."""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import anyio.to_thread

from ._errors import BlobError

SWEPT = ".swept"
"""How the name of a file ends that is about to be removed."""


class Blobs:
    """Keep large results in a folder that all workers share.

    A file is complete and on the disk before its name exists, and the name before `put` returns. The
    same content is stored once; its time of change says when somebody last wanted it there.

    Args:
        folder: Made when the first file is.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    async def put(self, data: bytes) -> str:
        """Store *data*; returns its name.

        Raises:
            BlobError: The disk is full, or the folder can't be written. It is passing: the result is good,
                and somebody can put the folder right.
        """
        name = sha256(data).hexdigest()
        try:
            await anyio.to_thread.run_sync(_write, self._path(name), data)
        except OSError as error:
            problem = f"can't be written: {error.strerror or error}"
            raise BlobError(str(self.folder), name, problem, is_passing=True) from error
        return name

    async def get(self, name: str) -> bytes:
        """Read what *name* holds.

        Raises:
            BlobError: The file is gone, or holds something else.
        """
        try:
            data = await anyio.to_thread.run_sync(_read, self._path(name))
        except OSError as error:
            problem = f"can't be read: {error.strerror or error}; restore it, or replay the job from scratch"
            raise BlobError(str(self.folder), name, problem) from error
        if sha256(data).hexdigest() != name:
            raise BlobError(str(self.folder), name, "is damaged: restore it, or replay the job from scratch")
        return data

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / name


def trash_of(path: Path) -> Path:
    """Return a name of its own for a file about to be removed; `Blobs.get` still finds it there."""
    return path.with_name(f".{path.name}.{os.urandom(4).hex()}{SWEPT}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        # A sweep may have it in its hands, and put it back in between.
        for trash in (*path.parent.glob(f".{path.name}.*{SWEPT}"), path):
            with suppress(FileNotFoundError):
                return trash.read_bytes()
        raise


def _write(path: Path, data: bytes) -> None:
    # Not `exists`: one that is wanted again must look young before it is counted on.
    with suppress(OSError):
        os.utime(path)
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
